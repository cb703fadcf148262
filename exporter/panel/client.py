"""Talks HTTP to the panels: one pool for all, one client for each.

A reply's bytes are read by the function that the caller gives, out of `exporter.panel.decode`.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import chain
from typing import Self, TypeVar, Unpack
from urllib.parse import urlencode

import aiohttp
from aiohappyeyeballs import AddrInfoType
from aiohttp.abc import AbstractResolver

from exporter import USER_AGENT
from exporter.config.models import HostConfig, PollConfig
from exporter.panel.body import ACCEPTED_ENCODINGS, read_body, too_large
from exporter.panel.budget import FREE, Budget, Held
from exporter.panel.error_messages import (
    Attempt,
    closed_pool,
    exchange_fault,
    long_sentence,
    status_fault,
)
from exporter.panel.errors import WANT_OF_FILES, PanelError, no_files
from exporter.panel.in_flight import (
    AbortingResponse,
    Before,
    CheckedRequest,
    InFlight,
    abort,
    connect_seconds,
    current_flight,
)
from exporter.panel.protocol import (
    Details,
    MessageCommand,
    Operation,
    ServiceCommand,
    request_fields,
)
from exporter.panel.redaction import read_discreetly
from exporter.panel.slots import YOUNG, Place, ResizableSemaphore, SharedSlots
from exporter.panel.tls import TlsContexts, TlsLink, current_link, trust_of
from exporter.snapshot import Reason

T = TypeVar("T")

Observe = Callable[[Operation, str, float], None]
"""Called once a request: operation, `ok` or a Reason, seconds."""

LONGEST_DATE = 64
"""Characters of a Date header; a good one has 29."""

KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept.

Long enough for the requests of one poll, which follow each other at once. Web servers drop an
idle connection after 5 s or more, so below that a request hardly ever meets a dropped one; and
a fleet's connections between two polls would hold 66 kB each for nothing.
"""

DNS_TTL = 300
"""Seconds that a name's addresses are kept; a panel that fails is looked up anew at once."""

RECEIVE_BUFFER = 128 * 2**10
"""Bytes of a reply that may wait in a socket.

uvloop reads a socket 32 times in one go as long as each read fills its buffer of 256 kB, and
aiohttp makes objects of all the headers in there before anybody can object: a flood of tiny
replies took 200 MB and stalled the loop for 1.6 s. With less than one read's worth waiting it is
6 MB and 30 ms. A panel 50 ms away can still send 2.5 MB/s.
"""

SHORT_REPLY = FREE
"""Bytes of a reply to anything but list_msg. The others are a sentence or two and are decoded on
the event loop, which a larger one would hold up for seconds. None of them waits for memory."""

FILES_PAUSE = 0.1
"""Seconds after which a request for which no file was left is tried again."""

_READ_ONLY = frozenset({Operation.COUNT, Operation.LIST})


@dataclass(frozen=True, slots=True)
class PanelReply:
    """A panel's reply with an HTTP status of success."""

    operation: Operation
    body: bytes
    """Decompressed, at most `poll.max_response` bytes."""
    duration: float
    """Seconds that the request took, the wait for its turn not included."""
    held: Held | None = None
    """What the body takes of poll.response_budget, to be released once it was read."""

    def release(self) -> None:
        """Make room for other replies: the body is no longer needed."""
        if self.held is not None:
            self.held.release()


class PanelPool:
    """The clients of all panels, and what they share: limits, name look-ups, TLS contexts.

    To be made inside a running event loop.
    """

    def __init__(self, poll: PollConfig, *, observe: Observe | None = None) -> None:
        self.poll = poll
        self.slots = SharedSlots(poll.concurrency, young=_young(poll))
        """Requests in flight to all panels."""
        self.budget = Budget(poll.response_budget)
        self.idle: dict[PanelClient, float] = {}
        """Clients that may have an idle connection, with the time of their last request, the
        oldest first."""
        self.contexts = TlsContexts()
        # Not a thread for each look-up: with a dead DNS server these would pile up. With the
        # three servers that a resolv.conf may name, giving up takes less than CONNECT_TIMEOUT,
        # so that it is reported as what it is.
        self.resolver: AbstractResolver = aiohttp.AsyncResolver(timeout=1.0, tries=2)
        self.cookies = aiohttp.DummyCookieJar()
        self.observe = observe or (lambda *_: None)
        self._clients: dict[str, PanelClient] = {}
        self._leases: Counter[PanelClient] = Counter()
        """How many hold a client; one that is no longer wanted is closed with the last of them."""
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def client(self, host: HostConfig) -> PanelClient:
        """Return the client for a host of the config in force, the same while it is asked alike."""
        client = self._clients.get(host.name)
        if client is None or not client.host.is_asked_like(host):
            self._retire(client)
            client = self._clients[host.name] = PanelClient(host, self)
        client.host = host  # its labels may be others now
        return client

    @contextmanager
    def lease(self, host: HostConfig) -> Iterator[PanelClient]:
        """Yield a client that lasts as long as the block, whatever becomes of the host meanwhile.

        It is the host's client unless the host is asked otherwise now, or has left.
        """
        client = self._clients.get(host.name)
        if client is None or not client.host.is_asked_like(host):
            client = PanelClient(host, self)
        self._leases[client] += 1
        try:
            yield client
        finally:
            self._leases[client] -= 1
            if self._leases[client] <= 0:  # less: the pool was closed meanwhile
                del self._leases[client]
                if self._clients.get(client.host.name) is not client:
                    self._retire(client)

    def update(self, poll: PollConfig) -> None:
        """Apply a reloaded config, and files of authorities that changed.

        Connections stay; requests under way end by the limits that they began with.
        """
        self.poll = poll
        self.slots.resize(poll.concurrency, young=_young(poll))
        self.budget.resize(poll.response_budget)
        self.contexts.refresh()
        for client in {*self._clients.values(), *self._leases}:
            client.slots.resize(poll.requests_per_host)

    def forget(self, host: HostConfig) -> None:
        """Drop what is kept for a panel that was removed or changed: connections, sessions.

        A request that is still under way fails, unless its caller holds a lease.
        """
        client = self._clients.get(host.name)
        if client is not None and client.host.is_asked_like(host):
            del self._clients[host.name]
            self._retire(client)

    def _retire(self, client: PanelClient | None) -> None:
        if client is not None and client not in self._leases:
            closing = asyncio.create_task(client.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close every connection; requests that are still under way fail."""
        left = {*self._clients.values(), *self._leases}
        self._clients.clear()
        self._leases.clear()
        for client in left:
            self._retire(client)
        await asyncio.gather(*self._closing)
        self.slots.close()
        await self.resolver.close()

    def close_idle(self, *, but: int) -> None:
        """Close the oldest idle connections until no more than so many are left.

        An idle connection is an open file as well: where files are few, it goes before a request.
        """
        gone = time.monotonic() - KEEP_ALIVE
        while self.idle:
            client, since = next(iter(self.idle.items()))
            if since > gone:
                if len(self.idle) <= but:
                    return
                client.drop_idle()
            del self.idle[client]


class PanelClient:
    """Sends requests to one panel. Made by a PanelPool."""

    def __init__(self, host: HostConfig, pool: PanelPool) -> None:
        self.host = host
        self.slots = ResizableSemaphore(pool.poll.requests_per_host)
        """Requests in flight to this panel."""
        self._pool = pool
        self._url = host.address
        self._trust = trust_of(host.tls) if self._url.scheme == "https" else None
        self._link = TlsLink(host.tls.fingerprint_sha256)
        self._forms: dict[
            tuple[Operation, MessageCommand | ServiceCommand | None, bool], bytes
        ] = {}
        self._sockets_opened = 0
        self.clock_skew: float | None = None
        """Seconds by which the panel's clock is ahead of ours, by the Date of its last response
        compared with the middle of the request; as sure as half the request and a second. None
        where it had none."""
        self._silent = False  # whether the last request took long and came to nothing
        self._last_list = 0  # bytes of the last reply to list_msg
        # A connector of its own can be closed for this panel alone, and cannot lend its
        # connections to a panel at the same address that is to be checked differently.
        self._connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEP_ALIVE,
            ttl_dns_cache=DNS_TTL,
            resolver=pool.resolver,
            socket_factory=self._open_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            headers=_headers(host),
            cookie_jar=pool.cookies,
            auto_decompress=False,
            request_class=CheckedRequest,
            response_class=AbortingResponse,
        )

    def __repr__(self) -> str:
        return f"<PanelClient {self.host.name} {self._url}>"

    @property
    def certificate_expiry(self) -> float | None:
        """Unix time at which the panel's certificate expires, verified or not.

        Of the last handshake that succeeded; None before the first and for plain http.
        """
        return self._link.certificate_expiry

    async def call(
        self,
        operation: Operation,
        read: Callable[[bytes], Awaitable[T]],
        *,
        on_reply: Callable[[], None] | None = None,
        before: Before | None = None,
        **details: Unpack[Details],
    ) -> T:
        """Ask the panel, and read its reply without letting a secret out.

        `on_reply` is called when there is a reply, before it is read; the rest is as `request`
        has it. The request is counted by what its reply says.

        Raises:
            NotSentError: `before` said no.
            PanelError: there was no reply, or `read` did not accept it.
        """
        reply = await self.request(operation, before=before, **details)
        try:
            if on_reply is not None:
                on_reply()
            value = await read_discreetly(reply.body, self.host.secret_values, read)
        except PanelError as error:
            self.record_outcome(reply, "ok" if error.own else error.reason)
            raise
        finally:
            reply.release()
        self.record_outcome(reply, "ok")
        return value

    def record_outcome(self, reply: PanelReply, outcome: str) -> None:
        """Count a reply by its outcome, `ok` or the reason it is no good.

        Requests without a reply are counted by `request`.
        """
        self._pool.observe(reply.operation, outcome, reply.duration)

    async def request(
        self, operation: Operation, *, before: Before | None = None, **details: Unpack[Details]
    ) -> PanelReply:
        """Ask the panel for one operation; `call` also reads and counts what it replies.

        Waits for its turn, without a bound; poll.timeout bounds the request from then on.

        Args:
            operation: what to ask.
            details: what else the request says.
            before: asked once there is a slot and a connection, which may take a while: whether
                the request still may go out. What it raises is raised here.

        Raises:
            NotSentError: `before` said no.
            PanelError: why there is no reply with a status of success. A read-only request
                that fails because the panel had just dropped the idle connection was repeated
                on a new one before; any other is sent once.
        """
        if self._session.closed:
            raise closed_pool()
        form = self._form(operation, details)
        read_only = operation in _READ_ONLY or details.get("command") is ServiceCommand.STATUS
        is_list = operation is Operation.LIST
        held = Held(self._pool.budget)
        place = await self._take_slots(held, is_list=is_list)
        self._pool.budget.take_off(held)
        self._pool.idle.pop(self, None)
        self._pool.close_idle(but=self._pool.slots.left)
        started = time.monotonic()
        seconds = self._pool.poll.timeout
        attempt = Attempt(
            self.host, not read_only, seconds, connect_seconds(seconds), short=not is_list
        )
        try:
            body = await self._ask(InFlight(form, attempt, place, held, before))
        except BaseException as error:
            took = time.monotonic() - started
            if isinstance(error, PanelError) and not error.own:
                self._silent = error.reason is Reason.TIMEOUT or took >= self._pool.slots.young
                self._pool.observe(operation, error.reason, took)
            if is_list:
                self._last_list = max(self._last_list, held.used)
            held.release()
            raise
        finally:
            self._pool.idle.pop(self, None)  # it goes to the end
            self._pool.idle[self] = time.monotonic()
            self._pool.slots.release(place)
            self.slots.release()
        self._silent = False
        if is_list:
            self._last_list = len(body)
        held.settle()
        return PanelReply(operation, body, time.monotonic() - started, held)

    def drop_idle(self) -> None:
        """Close the connections that no request uses."""
        # The connector offers no way to close these alone.
        idle = self._connector._conns  # noqa: SLF001
        for protocol, _ in chain.from_iterable(idle.values()):
            protocol.close()
        idle.clear()

    async def close(self) -> None:
        """Close the connections; called by the pool."""
        self._link.drop_session()
        await self._session.close()

    def _form(self, operation: Operation, details: Details) -> bytes:
        """Return the request's body; kept where it is the same each time."""
        key = operation, details.get("command"), bool(details.get("force"))
        same = details.get("message_id") is None
        form = self._forms.get(key) if same else None
        if form is None:
            host = self.host
            assert host.password is not None  # noqa: S101 - the config requires it
            fields = request_fields(
                operation,
                username=host.username,
                password=host.password.get_secret_value(),
                dialect=host.dialect,
                language=host.language,
                **details,
            )
            form = urlencode(fields).encode()
            if same:
                self._forms[key] = form
        return form

    async def _take_slots(self, held: Held, *, is_list: bool) -> Place:
        """Take one of this panel's slots, then one of all: a slow panel holds only its own.

        In between a list that was long the last time waits for its room.
        """
        await self.slots.acquire()
        try:
            # A panel that is silent waits long for its place, and may have no list.
            if is_list and not self._silent:
                await self._pool.budget.reserve(held, self._last_list)
            place = await self._pool.slots.acquire(silent=self._silent)
        except BaseException:
            held.release()
            self.slots.release()
            raise
        if self._connector.closed:  # while it waited
            held.release()
            self._pool.slots.release(place)
            self.slots.release()
            raise closed_pool()
        return place

    async def _ask(self, flight: InFlight) -> bytes:
        """Return the body of the reply, if need be of a second try.

        A dropped idle connection costs a read-only request another try. So does a want of
        files, for a read-only request or not: then nothing was sent.
        """
        attempt = flight.attempt
        fault: PanelError | None = None
        try:
            async with asyncio.timeout(attempt.seconds) as flight.clock:
                if not attempt.action:
                    flight.place.give_way = flight.give_way
                while fault is None:
                    opened = self._sockets_opened
                    try:
                        return await self._exchange(flight)
                    except (aiohttp.ClientError, TimeoutError) as error:
                        reused = opened == self._sockets_opened
                        # Each round uses an idle connection up, so the last one is on a new one.
                        if attempt.action or not reused or not _dropped(error):
                            fault = _fault(attempt, error)
                    flight.again = True
                    if fault is not None and fault.own:
                        fault, flight.lacked_files = None, True
                        self._pool.close_idle(but=0)
                        await asyncio.sleep(FILES_PAUSE)
        except TimeoutError as error:
            fault = flight.timeout_fault(error)
        finally:
            flight.place.give_way = None
        # Raised out here because aiohttp's error, which holds the request's headers, would
        # stay attached to it as its context.
        self._connector.clear_dns_cache()
        if fault.reason in {Reason.TLS, Reason.TLS_PIN}:
            self._link.drop_session()
        raise fault

    async def _exchange(self, flight: InFlight) -> bytes:
        context = True if self._trust is None else self._pool.contexts.get(self._trust)
        link, sending = current_link.set(self._link), current_flight.set(flight)
        began = time.time()
        try:
            response = await self._session.post(
                self._url,
                data=flight.form,
                ssl=context,
                timeout=flight.limit,
                allow_redirects=False,
            )
        finally:
            current_link.reset(link)
            current_flight.reset(sending)
        self.clock_skew = skew_of(response.headers.get("Date", ""), (began + time.time()) / 2)
        try:
            body = await self._read(response, flight)
        except BaseException:
            abort(response.connection)
            response.close()
            raise
        response.release()
        self._link.keep_session()
        return body

    async def _read(self, response: aiohttp.ClientResponse, flight: InFlight) -> bytes:
        attempt = flight.attempt
        if not 200 <= response.status < 300:
            raise status_fault(attempt, response.status, response.headers.get("Location", ""))
        largest = self._pool.poll.max_response
        limit = min(largest, SHORT_REPLY) if attempt.short else largest
        try:
            if (response.content_length or 0) > limit:
                raise too_large(limit)
            encoding = response.headers.get("Content-Encoding", "")
            return await read_body(response.content, encoding, limit, flight.make_room)
        except asyncio.CancelledError:
            # aiohttp goes on waiting when it has closed the connection itself, which it does
            # at a body that is not valid HTTP.
            connection = response.connection
            gone = connection is not None and connection.transport is None
            if gone and flight.clock is not None and flight.clock.expired() and not flight.cut:
                raise aiohttp.ClientPayloadError from None
            raise
        except PanelError as error:
            if attempt.short and error.reason is Reason.TOO_LARGE and limit == SHORT_REPLY:
                error = long_sentence(limit)
            raise attempt.lost(
                error.reason, error.message, error.hint, retryable=error.retryable
            ) from None

    def _open_socket(self, address: AddrInfoType) -> socket.socket:
        self._sockets_opened += 1
        family, kind, protocol, _, _ = address
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        return opened


def _dropped(error: Exception) -> bool:
    """Return whether an open connection ended before anything was received."""
    ended = isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
    return ended and not isinstance(error, aiohttp.ClientConnectorError)  # none was open


def _fault(attempt: Attempt, error: aiohttp.ClientError | TimeoutError) -> PanelError:
    # Without files a name is not looked up either, which has an error of its own.
    if isinstance(error, aiohttp.ClientConnectorError) and not _has_files_left():
        return no_files()
    return exchange_fault(attempt, error)


@lru_cache(maxsize=1024)
def _date(text: str) -> float | None:
    """Return the Unix time of an HTTP date; panels polled within a second show the same."""
    try:
        return parsedate_to_datetime(text).timestamp() if len(text) < LONGEST_DATE else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def skew_of(date: str, now: float) -> float | None:
    """Return the seconds by which a Date header is ahead of Unix time `now`; None without a time.

    It has whole seconds, the last that had begun.
    """
    at = _date(date)
    return None if at is None else round(at + 0.5 - now, 1)


def _headers(host: HostConfig) -> dict[str, str]:
    headers = {
        "User-Agent": USER_AGENT,
        "Accept-Encoding": ACCEPTED_ENCODINGS,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    auth = host.basic_auth
    if auth is not None and auth.password is not None:
        password = auth.password.get_secret_value()
        headers["Authorization"] = aiohttp.encode_basic_auth(auth.username, password)
    return headers


def _young(poll: PollConfig) -> float:
    """Return after how many seconds a request is no longer young: a part of what it may take."""
    return min(YOUNG, poll.timeout / 10)


def _has_files_left() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno not in WANT_OF_FILES
    return True


def raise_file_limit() -> None:
    """Allow as many open files as the system lets this process: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # a sandbox may forbid it; then the limit stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

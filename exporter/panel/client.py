"""Talks HTTP to the panels: one pool for all, one client for each.

A client returns a reply's bytes as they are; what they say is for `exporter.panel.decode`.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from base64 import b64encode
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import chain
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlencode

import aiohttp
from aiohappyeyeballs import AddrInfoType
from aiohttp.abc import AbstractCookieJar, AbstractResolver

from exporter import __version__
from exporter.config.models import HostConfig, PollConfig
from exporter.panel.body import ACCEPTED_ENCODINGS, read_body, too_large
from exporter.panel.budget import Budget, Held
from exporter.panel.error_messages import (
    Attempt,
    cut_short,
    exchange_fault,
    no_slot,
    status_fault,
)
from exporter.panel.errors import NotSentError, PanelError
from exporter.panel.files import WANT_OF_FILES, no_files
from exporter.panel.protocol import MessageCommand, Operation, ServiceCommand, request_fields
from exporter.panel.semaphore import ResizableSemaphore
from exporter.panel.shares import YOUNG, Place, SharedSlots
from exporter.panel.tls import TlsContexts, TlsLink, current_link, trust_of
from exporter.snapshot import Reason

T = TypeVar("T")

Observe = Callable[[Operation, str, float], None]
"""Called once a request: operation, `ok` or a Reason, seconds."""

Before = Callable[[], Awaitable[bool]]
"""Asked right before a request goes out, whether it still may."""

CONNECT_TIMEOUT = 10.0
"""Seconds for name look-up, TCP and TLS together; the panel's own time comes on top."""

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

SHORT_REPLY = 256 * 2**10
"""Bytes of a reply to anything but list_msg. The others are a sentence or two and are decoded on
the event loop, which a larger one would hold up for seconds."""

FILES_PAUSE = 0.1
"""Seconds after which a request for which no file was left is tried again."""

_READ_ONLY = frozenset({Operation.COUNT, Operation.LIST})

_Command = MessageCommand | ServiceCommand


@dataclass(frozen=True, slots=True)
class PanelReply:
    """A panel's answer with an HTTP status of success."""

    operation: Operation
    body: bytes
    """Decompressed, at most `poll.max_response` bytes."""
    duration: float
    """Seconds that the request took, the wait for its turn not included."""
    status: int
    held: Held | None = None
    """What the body takes of poll.response_budget, to be released by who has read it."""

    def release(self) -> None:
        """Make room for other replies: the body is needed no more."""
        if self.held is not None:
            self.held.release()


_LONG_SENTENCE = PanelError(
    Reason.TOO_LARGE,
    f"The panel's reply is longer than {SHORT_REPLY // 2**10} KiB; it should be a sentence.",
    hint="Does the url lead to the panel's API?",
)


_CLOSED = PanelError(
    Reason.CONNECT, "The exporter has closed its connections to this panel; nothing was sent."
)


class PanelPool:
    """What the clients of all panels share: limits, name look-ups, TLS contexts.

    To be made inside a running event loop.
    """

    def __init__(self, poll: PollConfig, *, observe: Observe | None = None) -> None:
        self._shared = _Shared(
            poll=poll,
            slots=SharedSlots(poll.concurrency, young=_young(poll)),
            budget=Budget(poll.response_budget),
            idle=_Idle(),
            contexts=TlsContexts(),
            # Not a thread for each look-up: with a dead DNS server these would pile up. With
            # the three servers that a resolv.conf may name, giving up takes less than
            # CONNECT_TIMEOUT, so that it is told as what it is.
            resolver=aiohttp.AsyncResolver(timeout=1.0, tries=2),
            cookies=aiohttp.DummyCookieJar(),
            observe=observe or _observe_nothing,
        )
        self._clients: dict[str, PanelClient] = {}
        self._leases: Counter[PanelClient] = Counter()
        """How many hold a client; one that is wanted no more is closed when nobody does."""
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def client(self, host: HostConfig) -> PanelClient:
        """The client for a host of the config in force; the same one while it is asked alike."""
        client = self._clients.get(host.name)
        if client is None or not client.host.is_asked_like(host):
            self._retire(client)
            client = self._clients[host.name] = PanelClient(host, self._shared)
        client.host = host  # its labels may be others now
        return client

    @contextmanager
    def lease(self, host: HostConfig) -> Iterator[PanelClient]:
        """A client that lasts as long as the block, whatever becomes of the host meanwhile.

        It is the host's client unless the host is asked otherwise now, or has left.
        """
        client = self._clients.get(host.name)
        if client is None or not client.host.is_asked_like(host):
            client = PanelClient(host, self._shared)
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
        """Follow a reloaded config, and files of authorities that changed.

        Connections stay; requests under way end by the limits that they began with.
        """
        self._shared.poll = poll
        self._shared.slots.resize(poll.concurrency, young=_young(poll))
        self._shared.budget.resize(poll.response_budget)
        self._shared.contexts.refresh()
        for client in {*self._clients.values(), *self._leases}:
            client.slots.resize(poll.requests_per_host)

    def forget(self, host: HostConfig) -> None:
        """Drop what is kept for a panel that was removed or changed: connections, sessions.

        A request that is still under way fails, unless whoever asked holds a lease.
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
        self._shared.slots.close()
        await self._shared.resolver.close()

    @property
    def most_requests(self) -> int:
        """Requests in flight to panels that answer; fewer than configured where files are few."""
        return self._shared.slots.limit


class _Idle:
    """The clients that may have an idle connection, in the order of their last requests.

    An idle connection is an open file as well: where these are few, it goes before a request.
    """

    def __init__(self) -> None:
        self._since: OrderedDict[PanelClient, float] = OrderedDict()

    def busy(self, client: PanelClient) -> None:
        """Its connection is in use."""
        self._since.pop(client, None)

    def add(self, client: PanelClient) -> None:
        """A request of it has just ended."""
        self._since[client] = time.monotonic()
        self._since.move_to_end(client)

    def keep_only(self, count: int) -> None:
        """Close the oldest until no more than so many are left."""
        gone = time.monotonic() - KEEP_ALIVE
        while self._since:
            client, since = next(iter(self._since.items()))
            if since > gone:
                if len(self._since) <= count:
                    return
                client.drop_idle()
            del self._since[client]


@dataclass(slots=True)
class _Shared:
    """What a pool's clients share; a reload changes it in place."""

    poll: PollConfig
    slots: SharedSlots
    budget: Budget
    idle: _Idle
    contexts: TlsContexts
    resolver: AbstractResolver
    cookies: AbstractCookieJar
    observe: Observe


class PanelClient:
    """Asks one panel. Made by a PanelPool."""

    def __init__(self, host: HostConfig, shared: _Shared) -> None:
        self.host = host
        self.slots = ResizableSemaphore(shared.poll.requests_per_host)
        """Requests in flight to this panel."""
        self._shared = shared
        self._url = host.address
        self._trust = trust_of(host.tls) if self._url.scheme == "https" else None
        self._link = TlsLink(host.tls.fingerprint_sha256)
        self._forms: dict[tuple[Operation, _Command | None, bool], bytes] = {}
        self._sockets_opened = 0
        self.clock_skew: float | None = None
        """Seconds by which the panel's clock is ahead of ours, by the Date of its last response
        held against the middle of the request; as sure as half the request and a second. None
        where it told none."""
        self._silent = False  # whether the last request took long and came to nothing
        self._last_list = 0  # bytes of the last reply to list_msg
        # A connector of its own can be closed for this panel alone, and cannot lend its
        # connections to a panel at the same address that is to be checked differently.
        self._connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEP_ALIVE,
            ttl_dns_cache=DNS_TTL,
            resolver=shared.resolver,
            socket_factory=self._open_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            headers=_headers(host),
            cookie_jar=shared.cookies,
            auto_decompress=False,
            request_class=_Request,
            response_class=_Response,
        )

    def __repr__(self) -> str:
        return f"<PanelClient {self.host.name} {self._url}>"

    @property
    def certificate_expiry(self) -> float | None:
        """Unix time at which the panel's certificate expires, verified or not.

        Of the last handshake that succeeded; None before the first and for plain http.
        """
        return self._link.certificate_expiry

    async def request(
        self,
        operation: Operation,
        *,
        message_id: str | None = None,
        command: MessageCommand | ServiceCommand | None = None,
        force: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - it bounds the request, not the caller
        before: Before | None = None,
    ) -> PanelReply:
        """Ask the panel for one operation.

        Waits for its turn, without a bound unless `timeout` is given; poll.timeout bounds the
        request from then on.

        Args:
            operation: what to ask.
            message_id: `id` of controll_msg.
            command: `command` of controll_msg, clamav and spamassassin.
            force: `dellete_forse` of delete_all_msg.
            timeout: seconds for the wait and the request together; cannot prolong poll.timeout.
            before: asked once there is a slot and a connection, which may take a while: whether
                the request still may go out. What it raises is raised here.

        Raises:
            NotSentError: `before` said no.
            PanelError: why there is no reply with a status of success. A read-only request
                that fails because the panel had just dropped the idle connection was repeated
                on a new one before; any other is sent once.
        """
        if self._session.closed:
            raise _CLOSED
        form = self._form(operation, message_id, command, force=force)
        read_only = operation in _READ_ONLY or command is ServiceCommand.STATUS
        is_list = operation is Operation.LIST
        held = self._shared.budget.hold() if is_list else None
        deadline = None if timeout is None else time.monotonic() + timeout
        place = await self._take_slots(held, timeout)
        if self._connector.closed:  # while it waited
            if held is not None:
                held.release()
            self._shared.slots.release(place)
            self.slots.release()
            raise _CLOSED
        if held is not None:
            held.take_off()
        self._shared.idle.busy(self)
        self._shared.idle.keep_only(self._shared.slots.left)
        started = time.monotonic()
        try:
            attempt = self._attempt(deadline, started, action=not read_only, short=not is_list)
            status, body = await self._ask(_Flight(form, attempt, place, held, before))
        except BaseException as error:
            took = time.monotonic() - started
            if isinstance(error, PanelError) and not error.own:
                self._silent = error.reason is Reason.TIMEOUT or took >= self._shared.slots.young
                self._shared.observe(operation, error.reason, took)
            if held is not None:
                self._last_list = max(self._last_list, held.used)
                held.release()
            raise
        finally:
            self._shared.idle.add(self)
            self._shared.slots.release(place)
            self.slots.release()
        self._silent = False
        if held is not None:
            self._last_list = len(body)
            held.settle()
        return PanelReply(operation, body, time.monotonic() - started, status, held)

    def judged(self, reply: PanelReply, outcome: str) -> None:
        """Tell the pool's observer what came of a reply: `ok` or the reason it is no good.

        For whoever reads the reply to call; requests without a reply are told by `request`.
        """
        self._shared.observe(reply.operation, outcome, reply.duration)

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

    def _form(
        self,
        operation: Operation,
        message_id: str | None,
        command: _Command | None,
        *,
        force: bool,
    ) -> bytes:
        """The request's body; kept where it is the same each time."""
        key = operation, command, force
        form = self._forms.get(key) if message_id is None else None
        if form is None:
            host = self.host
            assert host.password is not None  # noqa: S101 - the config requires it
            fields = request_fields(
                operation,
                username=host.username,
                password=host.password.get_secret_value(),
                dialect=host.dialect,
                language=host.language,
                message_id=message_id,
                command=command,
                force=force,
            )
            form = urlencode(fields).encode()
            if message_id is None:
                self._forms[key] = form
        return form

    async def _take_slots(self, held: Held | None, seconds: float | None) -> Place:
        """Take one of this panel's slots, then one of all: a slow panel holds only its own.

        In between a list that was long the last time waits for its room.
        """
        try:
            async with asyncio.timeout(seconds):
                await self.slots.acquire()
                try:
                    # A panel that is silent waits long for its place, and may have no list.
                    if held is not None and not self._silent:
                        await self._shared.budget.reserve(held, self._last_list)
                    return await self._shared.slots.acquire(silent=self._silent)
                except BaseException:
                    if held is not None:
                        held.release()
                    self.slots.release()
                    raise
        except TimeoutError:
            raise no_slot(seconds or 0.0) from None

    def _attempt(self, deadline: float | None, now: float, *, action: bool, short: bool) -> Attempt:
        seconds = self._shared.poll.timeout
        if deadline is not None:
            seconds = max(min(seconds, deadline - now), 0.001)
        return Attempt(self.host, action, seconds, _connect_seconds(seconds), short)

    async def _ask(self, flight: _Flight) -> tuple[int, bytes]:
        """Status and body; a dropped idle connection costs a read-only request another try.

        So does a want of files, for a read-only request or not: then nothing was sent.
        """
        attempt = flight.attempt
        fault: PanelError | None = None
        try:
            async with asyncio.timeout(attempt.seconds) as flight.clock:
                if not attempt.action:
                    flight.place.give_way = flight.give_way
                while fault is None:
                    outcome = await self._try(flight)
                    if not isinstance(outcome, PanelError):
                        if outcome is not None:
                            return outcome
                    elif outcome.own:
                        flight.lacked_files = flight.again = True
                        self._shared.idle.keep_only(0)
                        await asyncio.sleep(FILES_PAUSE)
                    else:
                        fault = outcome
        except TimeoutError as error:
            fault = flight.too_late(error)
        finally:
            flight.place.give_way = None
        # Raised out here because aiohttp's error, which holds the request's headers, would
        # stay attached to it as its context.
        self._connector.clear_dns_cache()
        if fault.reason in {Reason.TLS, Reason.TLS_PIN}:
            self._link.drop_session()
        raise fault

    async def _try(self, flight: _Flight) -> tuple[int, bytes] | PanelError | None:
        """Status and body, what went wrong, or None for "try it again"."""
        opened = self._sockets_opened
        try:
            return await self._exchange(flight)
        except (aiohttp.ClientError, TimeoutError) as error:
            reused = opened == self._sockets_opened
            if _dropped(error) and reused and not flight.attempt.action:
                # Each round uses an idle connection up, so the last one is on a new one.
                flight.again = True
                return None
            # Without files a name is not looked up either, which has an error of its own.
            if isinstance(error, aiohttp.ClientConnectorError) and not _has_files_left():
                return no_files()
            return exchange_fault(flight.attempt, error)

    async def _exchange(self, flight: _Flight) -> tuple[int, bytes]:
        context = True if self._trust is None else self._shared.contexts.get(self._trust)
        link = current_link.set(self._link)
        leave = _current_leave.set(flight.may_go)
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
            _current_leave.reset(leave)
        self.clock_skew = skew_of(response.headers.get("Date", ""), (began + time.time()) / 2)
        try:
            body = await self._read(response, flight)
        except BaseException:
            _abort(response.connection)
            response.close()
            raise
        response.release()
        self._link.keep_session()
        return response.status, body

    async def _read(self, response: aiohttp.ClientResponse, flight: _Flight) -> bytes:
        attempt = flight.attempt
        if not 200 <= response.status < 300:
            raise status_fault(attempt, response.status, response.headers.get("Location", ""))
        limit = self._shared.poll.max_response
        if attempt.short:
            limit = min(limit, SHORT_REPLY)
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
            if gone and flight.is_over and not flight.cut:
                raise aiohttp.ClientPayloadError from None
            raise
        except PanelError as error:
            if attempt.short and error.reason is Reason.TOO_LARGE and limit == SHORT_REPLY:
                error = _LONG_SENTENCE
            raise attempt.lost(
                error.reason, error.message, error.hint, retryable=error.retryable
            ) from None

    def _open_socket(self, address: AddrInfoType) -> socket.socket:
        self._sockets_opened += 1
        family, kind, protocol, _, _ = address
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        return opened


@dataclass(slots=True)
class _Flight:
    """One request from its first try to its end."""

    form: bytes
    attempt: Attempt
    place: Place
    held: Held | None
    before: Before | None = None
    clock: asyncio.Timeout | None = None
    """Ends the request; stands still while there is no room for its reply."""
    cut: bool = False
    """Whether the request had to give way to another."""
    lacked_files: bool = False
    again: bool = False
    """Whether this is not the first try."""

    @property
    def limit(self) -> aiohttp.ClientTimeout:
        """What aiohttp is to see to; all the rest is the clock's."""
        seconds = self.attempt.connect_seconds
        due = self.clock.when() if self.again and self.clock is not None else None
        if due is not None:
            seconds = min(seconds, _connect_seconds(due - asyncio.get_running_loop().time()))
        return _connect_limit(seconds)

    @property
    def is_over(self) -> bool:
        """Whether its time is up."""
        return self.clock is not None and self.clock.expired()

    def give_way(self) -> None:
        """End at once: others wait for the place."""
        if self.clock is not None and not self.clock.expired():
            self.cut = True
            self.clock.reschedule(asyncio.get_running_loop().time())

    def too_late(self, error: TimeoutError) -> PanelError:
        """What it means that the time is up."""
        if self.cut:
            waited = asyncio.get_running_loop().time() - self.place.since
            return cut_short(self.attempt, waited)
        return no_files() if self.lacked_files else exchange_fault(self.attempt, error)

    def make_room(self, count: int) -> Awaitable[None] | None:
        """See to it that so many bytes more of the reply may be held."""
        if self.held is None or self.held.fits(count):
            return None
        return self._wait_for_room(self.held, count)

    async def may_go(self) -> None:
        """Ask whether the request still may go out.

        Raises:
            NotSentError: it may not.
        """
        if self.before is not None and not await self._off_the_clock(self.before()):
            raise NotSentError

    async def _wait_for_room(self, held: Held, count: int) -> None:
        """That the exporter has no room is not told as a panel that is too slow."""
        await self._off_the_clock(held.grow(count))

    async def _off_the_clock(self, wait: Awaitable[T]) -> T:
        """Wait for what is not the panel's to answer for."""
        clock, loop = self.clock, asyncio.get_running_loop()
        due = None if clock is None else clock.when()
        if clock is None or due is None or clock.expired():
            return await wait
        left = due - loop.time()
        give_way, self.place.give_way = self.place.give_way, None
        clock.reschedule(None)
        try:
            return await wait
        finally:
            clock.reschedule(loop.time() + left)
            self.place.give_way = give_way


async def _no_leave_needed() -> None:
    return None


_current_leave: ContextVar[Callable[[], Awaitable[None]]] = ContextVar(
    "current_leave", default=_no_leave_needed
)
"""Asks whether the request that is being made may go out; raises when it may not."""


class _Request(aiohttp.ClientRequest):
    """A request that asks for leave at the last moment: when there is a connection for it."""

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        await _current_leave.get()()
        return await super().send(conn)


class _Response(aiohttp.ClientResponse):
    """A response whose connection is gone at once when no headers come.

    aiohttp would close it in the orderly way, for which a TLS connection waits up to 30 s for
    a peer that has just shown that it does not answer.
    """

    async def start(self, connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        try:
            return await super().start(connection)
        except BaseException:
            _abort(connection)
            raise


def _dropped(error: Exception) -> bool:
    """Whether an open connection ended before anything was received."""
    if isinstance(error, aiohttp.ClientConnectorError):  # a ClientOSError, but no connection
        return False
    return isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)


def _abort(connection: aiohttp.connector.Connection | None) -> None:
    """Drop a connection without draining it."""
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


@lru_cache(maxsize=1024)
def _date(text: str) -> float | None:
    """The Unix time of an HTTP date; panels polled within a second tell the same."""
    try:
        return parsedate_to_datetime(text).timestamp() if len(text) < LONGEST_DATE else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def skew_of(date: str, now: float) -> float | None:
    """Seconds by which a Date header is ahead of Unix time `now`; None when it tells no time.

    It tells whole seconds, the last that had begun.
    """
    told = _date(date)
    return None if told is None else round(told + 0.5 - now, 1)


def _headers(host: HostConfig) -> dict[str, str]:
    headers = {
        "User-Agent": f"brainycp-exporter/{__version__}",
        "Accept-Encoding": ACCEPTED_ENCODINGS,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    auth = host.basic_auth
    if auth is not None and auth.password is not None:
        pair = f"{auth.username}:{auth.password.get_secret_value()}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    return headers


def _connect_seconds(seconds: float) -> float:
    # A tenth is left, so that a connection that does not come about is told from a panel that
    # does not answer.
    return min(CONNECT_TIMEOUT, 0.9 * seconds)


@lru_cache(maxsize=64)
def _connect_limit(seconds: float) -> aiohttp.ClientTimeout:
    # aiohttp takes 0 for "no limit".
    return aiohttp.ClientTimeout(total=None, connect=max(seconds, 0.001))


def _young(poll: PollConfig) -> float:
    """Seconds after which a request is not young any more: a small part of what it may take."""
    return min(YOUNG, poll.timeout / 10)


def _has_files_left() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno not in WANT_OF_FILES
    return True


def _observe_nothing(operation: Operation, outcome: str, seconds: float) -> None:
    """For a pool whose requests nobody counts."""


def raise_file_limit() -> None:
    """Allow as many open files as the system lets this process: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # a sandbox may forbid it; then the limit stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

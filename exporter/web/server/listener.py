"""Serves an application on the addresses, and by the web config, that are in force."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import structlog
from aiohttp import web

from exporter.web.server.access_control import AccessControl
from exporter.web.server.connections import Connections
from exporter.web.server.sockets import ListenError, listening_socket
from exporter.web.server.tls import ServerTls
from exporter.web.server.web_config import WebSettings

__all__ = ["ListenError", "Listeners"]

KEEPALIVE = 130.0
"""Seconds that a connection may be without a whole request: longer than a scrape interval of two
minutes, and the bound for a client that sends its request's head slowly."""

LINGER = 2.0
"""Seconds for which a body that no route has read is read away."""

RELEASE_GRACE = 10.0
"""Seconds that requests in flight get when their address or its TLS is given up, or too many
connections are open."""

MAX_LINE = 8190
"""Bytes of a request's first line and of one header."""

MAX_HEADERS = 64

MOST_CONNECTIONS = 4096
"""Connections open at once, some 10 KiB each while idle; of further ones the idle ones make room.

No more than half of the files that the process may open: who opens ever more must not take those
of the polls, which would tell of panels that are down.
"""

ACCEPT_PAUSE = 1.0
"""Seconds without new connections when too many, or too many files, are open."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Binding:
    """One address that is listened on."""

    socket: socket.socket
    tls: ServerTls | None
    """For connections to come."""
    connections: Connections
    """Takes the connections to come."""
    has_room: Callable[[], bool]
    """Whether one more may be open; when not, room is made."""

    def open(self) -> None:
        """Accept connections from now on.

        Not by an asyncio.Server: when one is closed, to change its TLS, it forgets connections
        that it has accepted in the same turn of the event loop.
        """
        asyncio.get_running_loop().add_reader(self.socket, self._accept)

    def close(self) -> None:
        """Give the address up; connections go on."""
        asyncio.get_running_loop().remove_reader(self.socket)
        self.socket.close()

    def _accept(self) -> None:
        if not self.has_room():
            self._pause("as many are open as may be")
            return
        try:
            accepted, _ = self.socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # the client has left already
        except OSError as error:
            self._pause(error.strerror)
        else:
            self.connections.take(accepted, None if self.tls is None else self.tls.context)

    def _pause(self, cause: str | None) -> None:
        log.error("cannot accept connections for a moment", cause=cause)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.socket)
        loop.call_later(ACCEPT_PAUSE, self._resume)

    def _resume(self) -> None:
        if self.socket.fileno() != -1:
            self.open()


class Listeners:
    """The listening side of one application."""

    def __init__(self, app: web.Application) -> None:
        """Guards `app`, to which routes may be added until the first `apply`."""
        self._gate = AccessControl()
        self._gate.guard(app)
        self._runner = web.AppRunner(app, access_log=None)
        self._bindings: dict[str, _Binding] = {}
        self._tls: ServerTls | None = None
        self._releases: dict[asyncio.Task[None], Connections] = {}
        self._changing = asyncio.Lock()
        self._closed = False

    @property
    def urls(self) -> list[str]:
        """A URL to open for each address, in the order of the addresses."""
        scheme = "http" if self._tls is None else "https"
        return [f"{scheme}://{_reachable(b.socket)}" for b in self._bindings.values()]

    async def apply(self, addresses: Sequence[str], settings: WebSettings) -> None:
        """Listen on `addresses`, each `ADDRESS:PORT`, and nowhere else, by `settings`.

        All or nothing: new addresses are bound before old ones are given up. Connections of an
        address that stays go on, unless who may connect and how has changed; a renewed
        certificate is for new connections. No connection is refused meanwhile; a handshake under
        way is broken off when its policy goes. Does nothing once it was closed.

        Raises:
            ListenError: an address cannot be listened on; everything is as before.
        """
        async with self._changing:
            if self._closed:
                return  # a reload that comes too late
            if self._runner.server is None:
                await self._runner.setup()
            before = self._bindings
            after = await self._bind(dict.fromkeys(addresses), settings.tls)
            # Nothing fails or waits from here: no request sees the old and the new mixed.
            for address, binding in before.items():
                if address not in after:
                    binding.close()
                    self._release(binding.connections)
                elif _policy(settings.tls) != _policy(self._tls):
                    self._release(binding.connections)
                    binding.connections = self._new_connections()
                binding.tls = settings.tls
            self._bindings, self._tls = after, settings.tls
            self._gate.use(settings)
            for address in after.keys() - before.keys():
                after[address].open()

    async def close(self, grace: float) -> None:
        """Stop listening at once, and end the connections within `grace` seconds.

        Requests in flight may end in that time; then they are cancelled.
        """
        async with self._changing:
            self._closed = True
            for binding in self._bindings.values():
                binding.close()
            ending = [binding.connections for binding in self._bindings.values()]
            ending += self._releases.values()
            self._bindings = {}
            # What is being released already has this grace too, not what is left of its own.
            for task in self._releases:
                task.cancel()
            await asyncio.gather(*self._releases, return_exceptions=True)
            await asyncio.gather(*(connections.end(grace) for connections in ending))
            await self._runner.cleanup()
            self._gate.close()

    async def _bind(self, addresses: Iterable[str], tls: ServerTls | None) -> dict[str, _Binding]:
        """A binding for each address: the one there is, or a new one that is not open yet."""
        wanted = set(addresses)
        leaving = [b.socket for address, b in self._bindings.items() if address not in wanted]
        after: dict[str, _Binding] = {}
        with ExitStack() as undo:
            for address in addresses:
                if address in self._bindings:
                    after[address] = self._bindings[address]
                    continue
                listening = await listening_socket(address, beside=leaving)
                undo.callback(listening.close)
                after[address] = _Binding(listening, tls, self._new_connections(), self._has_room)
            undo.pop_all()
        return after

    def _has_room(self) -> bool:
        """Whether one more connection may be open. When not, those there are end.

        The idle ones at once: a scrape must not wait for them to time out.
        """
        open_now = [binding.connections for binding in self._bindings.values()]
        open_now += self._releases.values()
        if sum(map(len, open_now)) < _most_connections():
            return True
        for binding in self._bindings.values():
            self._release(binding.connections)
            binding.connections = self._new_connections()
        return False

    def _new_connections(self) -> Connections:
        app = self._runner.server
        assert app is not None  # noqa: S101 - set up by apply
        server = web.Server(
            self._gate.before(app.request_handler),
            request_factory=app.request_factory,
            access_log=None,
            keepalive_timeout=KEEPALIVE,
            lingering_time=LINGER,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
        )
        return Connections(server)

    def _release(self, connections: Connections) -> None:
        task = asyncio.create_task(connections.end(RELEASE_GRACE), name="end connections")
        self._releases[task] = connections
        task.add_done_callback(self._releases.pop)


def _most_connections() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if files < 0 else min(MOST_CONNECTIONS, files // 2)


def _policy(tls: ServerTls | None) -> object:
    return None if tls is None else tls.parameters.policy


def _reachable(listening: socket.socket) -> str:
    """HOST:PORT that a client on this machine can ask for."""
    host, port = listening.getsockname()[:2]
    if host == "::" and listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        host = "::1"
    elif host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

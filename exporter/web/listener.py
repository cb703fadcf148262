"""Serves an application on the addresses, and by the web config, that are in force."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from aiohttp import web

from exporter.web.gate import Gate
from exporter.web.sockets import BACKLOG, ListenError, listening_socket
from exporter.web.tls import ServerTls
from exporter.web.toolkit import WebSettings

__all__ = ["ListenError", "Listeners"]

KEEPALIVE = 130.0
"""Seconds that a connection may be without a whole request: longer than a scrape interval of two
minutes, and the bound for a client that sends its request's head slowly."""

HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a TLS handshake may take."""

LINGER = 2.0
"""Seconds for which a body that no route has read is read away."""

RELEASE_GRACE = 10.0
"""Seconds that requests in flight get when their address or its TLS is given up."""

MAX_LINE = 8190
"""Bytes of a request's first line and of one header."""

MAX_HEADERS = 64


@dataclass(slots=True)
class _Binding:
    """One address that is listened on."""

    socket: socket.socket
    """Listens as long as the binding lives; connections are accepted on duplicates of it."""
    connections: web.Server
    acceptor: asyncio.AbstractServer


class Listeners:
    """The listening side of one application."""

    def __init__(self, app: web.Application) -> None:
        """Guards `app`, to which routes may be added until the first `apply`."""
        self._gate = Gate()
        self._gate.guard(app)
        self._runner = web.AppRunner(app, access_log=None)
        self._bindings: dict[str, _Binding] = {}
        self._tls: ServerTls | None = None
        self._releases: dict[asyncio.Task[None], web.Server] = {}
        self._changing = asyncio.Lock()

    @property
    def urls(self) -> list[str]:
        """A URL to open for each address, in the order of the addresses."""
        scheme = "http" if self._tls is None else "https"
        return [f"{scheme}://{_reachable(b.socket)}" for b in self._bindings.values()]

    async def apply(self, addresses: Sequence[str], settings: WebSettings) -> None:
        """Listen on `addresses`, each `ADDRESS:PORT`, and nowhere else, by `settings`.

        All or nothing: new addresses are bound before old ones are given up. Connections of an
        address that stays go on, unless who may connect and how has changed; a renewed
        certificate is for new connections. No connection is refused meanwhile.

        Raises:
            ListenError: an address cannot be listened on; everything is as before.
        """
        async with self._changing:
            if self._runner.server is None:
                await self._runner.setup()
            before = self._bindings
            with ExitStack() as undo:
                after = await self._prepare(dict.fromkeys(addresses), settings.tls, undo)
                undo.pop_all()
            # Nothing fails from here. The new rules hold only once no old acceptor can hand on a
            # connection that they were not made for.
            for address, old in before.items():
                self._give_up(old, after.get(address))
            self._bindings, self._tls = after, settings.tls
            self._gate.use(settings)
            for binding in after.values():
                await binding.acceptor.start_serving()

    async def close(self, grace: float) -> None:
        """Stop listening at once, and end the connections within `grace` seconds.

        Requests in flight may end in that time; then they are cancelled.
        """
        async with self._changing:
            for binding in self._bindings.values():
                binding.acceptor.close()
                binding.socket.close()
            servers = [binding.connections for binding in self._bindings.values()]
            servers += self._releases.values()
            self._bindings = {}
            # What is being released already has this grace too, not what is left of its own.
            for task in self._releases:
                task.cancel()
            await asyncio.gather(*self._releases, return_exceptions=True)
            await asyncio.gather(*(_end(server, grace) for server in servers))
            await self._runner.cleanup()
            self._gate.close()

    async def _prepare(
        self, addresses: dict[str, None], tls: ServerTls | None, undo: ExitStack
    ) -> dict[str, _Binding]:
        """The bindings that shall be; acceptors that are new among them do not accept yet."""
        released = [b.socket for address, b in self._bindings.items() if address not in addresses]
        after: dict[str, _Binding] = {}
        for address in addresses:
            old = self._bindings.get(address)
            if old is not None and tls == self._tls:
                after[address] = old
                continue
            if old is None:
                listening = await listening_socket(address, beside=released)
                undo.callback(listening.close)
                connections = self._new_server()
            else:
                listening = old.socket
                same = _policy(tls) == _policy(self._tls)
                connections = old.connections if same else self._new_server()
            acceptor = await _acceptor(listening, connections, tls)
            undo.callback(acceptor.close)
            after[address] = _Binding(listening, connections, acceptor)
        return after

    def _new_server(self) -> web.Server:
        """Speaks HTTP for the application, and knows its own connections."""
        app = self._runner.server
        assert app is not None  # noqa: S101 - set up by apply
        return web.Server(
            app.request_handler,
            request_factory=app.request_factory,
            access_log=None,
            keepalive_timeout=KEEPALIVE,
            lingering_time=LINGER,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
        )

    def _give_up(self, old: _Binding, new: _Binding | None) -> None:
        """Stop what `old` has and `new` has not."""
        if new is None or new.acceptor is not old.acceptor:
            old.acceptor.close()
        if new is None:
            old.socket.close()
        if new is None or new.connections is not old.connections:
            task = asyncio.create_task(_end(old.connections, RELEASE_GRACE))
            self._releases[task] = old.connections
            task.add_done_callback(self._releases.pop)


async def _acceptor(
    listening: socket.socket, connections: web.Server, tls: ServerTls | None
) -> asyncio.AbstractServer:
    """Hands accepted connections to `connections` once it is started.

    Works on a duplicate: closing it leaves those that wait in the queue to the next acceptor.
    """
    return await asyncio.get_running_loop().create_server(
        connections,
        sock=listening.dup(),
        ssl=None if tls is None else tls.context,
        backlog=BACKLOG,
        ssl_handshake_timeout=None if tls is None else HANDSHAKE_TIMEOUT,
        start_serving=False,
    )


async def _end(connections: web.Server, grace: float) -> None:
    """Close idle connections now and busy ones after their request, within `grace` seconds."""
    await asyncio.sleep(0)  # lets requests that have just arrived become busy
    connections.pre_shutdown()
    # aiohttp waits twice for a request, before and after it takes its body away.
    await connections.shutdown(grace / 2)


def _policy(tls: ServerTls | None) -> object:
    return None if tls is None else tls.parameters.policy


def _reachable(listening: socket.socket) -> str:
    """HOST:PORT that a client on this machine can ask for."""
    host, port = listening.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

"""Serves an application on the addresses of the config, by the web config in force."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import Sequence
from contextlib import ExitStack

import structlog
from aiohttp import web

from exporter.web.server.access_control import AccessControl
from exporter.web.server.connections import Connections
from exporter.web.server.sockets import listening_socket
from exporter.web.server.web_config import WebSettings

KEEPALIVE = 130.0
"""Seconds that a connection may be without a whole request: longer than a scrape interval of two
minutes, and the bound for a client that sends its request's head slowly."""

LINGER = 2.0
"""Seconds for which a body that no route has read is read and dropped."""

RELEASE_GRACE = 10.0
"""Seconds that requests in flight get when their TLS policy is replaced, or too many connections
are open."""

MAX_LINE = 8190
"""Bytes of a request's first line and of one header."""

MAX_HEADERS = 64

MAX_CONNECTIONS = 4096
"""Connections open at once, some 10 KiB each while idle; the idle ones make room for further ones.

No more than half of the files that the process may open: a client that opens ever more connections
must not take the files of the polls, which would then report panels as down.
"""

ACCEPT_PAUSE = 1.0
"""Seconds without new connections when too many connections or files are open."""

log = structlog.get_logger(__name__)


class Listeners:
    """The listening sockets of one application, and the connections that came by them."""

    def __init__(self, app: web.Application) -> None:
        """Guard `app`, to which routes may be added until `start`."""
        self.addresses: tuple[str, ...] = ()
        """Where it listens, as the config wrote it at the start."""
        self.settings = WebSettings()
        """The web config in force."""
        self._access_control = AccessControl()
        self._access_control.guard(app)
        self._runner = web.AppRunner(app, access_log=None)
        self._sockets: list[socket.socket] = []
        self._connections: Connections | None = None
        """Takes the connections to come; None before the start."""
        self._releases: dict[asyncio.Task[None], Connections] = {}

    @property
    def urls(self) -> list[str]:
        """A URL to open for each address, in the order of the addresses."""
        scheme = "http" if self.settings.tls is None else "https"
        return [f"{scheme}://{_reachable(listening)}" for listening in self._sockets]

    async def start(self, addresses: Sequence[str], settings: WebSettings) -> None:
        """Listen on `addresses`, each `ADDRESS:PORT`, by `settings`.

        Raises:
            ListenError: an address cannot be listened on; then none is.
        """
        await self._runner.setup()
        with ExitStack() as undo:
            sockets = [
                undo.enter_context(await listening_socket(address))
                for address in dict.fromkeys(addresses)
            ]
            undo.pop_all()
        self.addresses, self.settings, self._sockets = tuple(addresses), settings, sockets
        self._connections = self._new_connections()
        self._access_control.apply_config(settings)
        for listening in sockets:
            self._open(listening)

    def apply_config(self, addresses: Sequence[str], settings: WebSettings) -> None:
        """Serve by new `settings`; other `addresses` need a restart, which the log says.

        Connections go on, unless the TLS policy has changed; a renewed certificate is for new
        connections. No connection is refused meanwhile; a handshake under way is broken off when
        its policy goes. Where the addresses have changed, too, settings that guard less than those
        in force are for the restart as well: they may be meant for the new addresses alone.

        Does nothing before the start and after the close.
        """
        if not self._sockets:
            return  # a reload that comes too late
        if tuple(addresses) != self.addresses:
            log.warning(
                "a new web.listen needs a restart; the old one stays",
                listen=list(self.addresses),
                new=list(addresses),
            )
            if lost := _safeguards(self.settings) - _safeguards(settings):
                log.warning(
                    "the old web config stays until the restart: the new one guards less",
                    without=sorted(lost),
                )
                return
        old, new = (each.tls and each.tls.parameters.policy for each in (self.settings, settings))
        if old != new:
            self._release_connections()
        self.settings = settings
        self._access_control.apply_config(settings)

    async def close(self, grace: float) -> None:
        """Stop listening at once, and end the connections within `grace` seconds.

        Requests in flight may end in that time; then they are cancelled.
        """
        while self._sockets:
            listening = self._sockets.pop()
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
        # What is being released already has this grace too, not what is left of its own.
        ending = [*self._releases.values(), *filter(None, [self._connections])]
        for task in self._releases:
            task.cancel()
        await asyncio.gather(*self._releases, return_exceptions=True)
        await asyncio.gather(*(connections.end(grace) for connections in ending))
        await self._runner.cleanup()
        self._access_control.close()

    # --- accepting ------------------------------------------------------------------------------
    #
    # Not by an asyncio.Server: its ssl context is fixed, so a new TLS policy would need a new
    # server, and one that is closed forgets connections that it accepted in the same turn of
    # the event loop.

    def _open(self, listening: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        connections = self._connections
        if connections is None or not self._has_room(connections):
            self._pause(listening, "as many are open as may be")
            return
        try:
            accepted, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # the client has left already
        except OSError as error:
            self._pause(listening, error.strerror)
        else:
            tls = self.settings.tls
            connections.take(accepted, None if tls is None else tls.context)

    def _pause(self, listening: socket.socket, cause: str | None) -> None:
        log.error("cannot accept connections for a moment", cause=cause)
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        loop.call_later(ACCEPT_PAUSE, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if listening.fileno() != -1:
            self._open(listening)

    def _has_room(self, connections: Connections) -> bool:
        """Return whether one more connection may be open. When not, those that are open end.

        The idle ones end at once: a scrape must not wait for them to time out.
        """
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = MAX_CONNECTIONS if files < 0 else min(MAX_CONNECTIONS, files // 2)
        if sum(map(len, (connections, *self._releases.values()))) < most:
            return True
        self._release_connections()
        return False

    def _release_connections(self) -> None:
        """End the open connections, those with a request after RELEASE_GRACE at the latest."""
        old, self._connections = self._connections, self._new_connections()
        if old is not None:
            task = asyncio.create_task(old.end(RELEASE_GRACE), name="end connections")
            self._releases[task] = old
            task.add_done_callback(self._releases.pop)

    def _new_connections(self) -> Connections:
        app = self._runner.server
        assert app is not None  # noqa: S101 - set up by start
        server = web.Server(
            self._access_control.wrap(app.request_handler),
            request_factory=app.request_factory,
            access_log=None,
            keepalive_timeout=KEEPALIVE,
            lingering_time=LINGER,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
        )
        return Connections(server)


def _safeguards(settings: WebSettings) -> set[str]:
    """Return the keys of a web config that keep clients out, or others from reading along."""
    tls = settings.tls
    held = {
        "basic_auth_users": settings.users,
        "tls_server_config": tls,
        "client_auth_type": tls is not None and tls.parameters.client_auth is not ssl.CERT_NONE,
        "client_allowed_sans": settings.client_sans,
    }
    return {key for key, holds in held.items() if holds}


def _reachable(listening: socket.socket) -> str:
    """Return the HOST:PORT that a client on this machine can ask for."""
    host, port = listening.getsockname()[:2]
    if host == "::" and listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        host = "::1"
    elif host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

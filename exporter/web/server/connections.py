"""Connections from the moment they are accepted to their end."""

from __future__ import annotations

import asyncio
import socket
import ssl

import structlog
from aiohttp import web

HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a TLS handshake may take."""

log = structlog.get_logger(__name__)


class Connections:
    """The connections that came by one TLS policy; they can be ended together."""

    def __init__(self, server: web.Server) -> None:
        """Serve connections by `server`, which speaks HTTP on them and on no others."""
        self._server = server
        self._arriving = dict[asyncio.Task[None], web.RequestHandler]()
        """By the task of its handshake, what will speak HTTP on an accepted connection."""

    def __len__(self) -> int:
        """Return how many are open, or about to be."""
        # One in its handshake may be connected already: it counts once.
        connected = set(self._server.connections)
        return len(connected.union(self._arriving.values()))

    def take(self, accepted: socket.socket, context: ssl.SSLContext | None) -> None:
        """Serve a connection that has just been accepted; with a context, after a handshake."""
        handler = self._server()
        connecting = self._connect(accepted, context, handler)
        task = asyncio.create_task(connecting, name="accept a connection")
        self._arriving[task] = handler
        task.add_done_callback(self._arriving.pop)

    async def _connect(
        self,
        accepted: socket.socket,
        context: ssl.SSLContext | None,
        handler: web.RequestHandler,
    ) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: handler,
                accepted,
                ssl=context,
                ssl_handshake_timeout=None if context is None else HANDSHAKE_TIMEOUT,
            )
        except OSError as error:  # ssl.SSLError is one
            # Mostly the client's fault: nothing to fill a log with.
            log.debug("no TLS handshake", cause=str(error))

    async def end(self, grace: float) -> None:
        """Close idle connections now, and busy ones after their request.

        Requests that are not answered after `grace` seconds are cancelled.
        """
        # What was accepted a moment ago gets its protocol, and what was read becomes a request.
        await asyncio.sleep(0)
        handshakes = list(self._arriving)
        for task in handshakes:
            task.cancel()
        await asyncio.gather(*handshakes, return_exceptions=True)
        self._server.pre_shutdown()
        # aiohttp waits twice for a request: before and after it takes its body away.
        await self._server.shutdown(grace / 2)

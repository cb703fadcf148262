"""Panels made of raw bytes, which can misbehave in ways that no HTTP server would."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs

Behaviour = Callable[["Peer"], Awaitable[None]]
"""What a panel does with one connection; it is closed afterwards."""


@dataclass(frozen=True)
class Request:
    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        fields = parse_qs(self.body.decode(), strict_parsing=True, keep_blank_values=True)
        assert all(len(values) == 1 for values in fields.values())
        return {name: values[0] for name, values in fields.items()}


class Peer:
    """One connection, as the panel sees it."""

    def __init__(self, panel: RawPanel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.panel = panel
        self.number = panel.connections
        """1 for the first connection, and so on."""
        self._reader = reader
        self._writer = writer

    @property
    def resumed(self) -> bool:
        connection = self._writer.get_extra_info("ssl_object")
        assert isinstance(connection, ssl.SSLObject)
        return bool(connection.session_reused)

    async def read_request(self) -> Request | None:
        """The next request; None when the client has gone."""
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            return None
        line, *fields = head.rstrip().split("\r\n")
        headers = {k.lower(): v.strip() for k, v in (field.split(":", 1) for field in fields)}
        body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(line, headers, body)
        self.panel.requests.append(request)
        self.panel.asked.set()
        return request

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def read_some(self) -> bytes:
        return await self._reader.read(65536)

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        while await self._reader.read(65536):
            pass

    def reset(self) -> None:
        """End the connection with RST instead of FIN."""
        self._writer.transport.abort()


class ServeRaw(Protocol):
    async def __call__(self, behave: Behaviour, **options: Any) -> RawPanel: ...


@dataclass
class RawPanel:
    behave: Behaviour
    connections: int = 0
    requests: list[Request] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """A request has come."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """A connection has ended."""
    url: str = ""

    def __post_init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(
        self, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1", scheme: str = ""
    ) -> None:
        self._server = await asyncio.start_server(self._accept, address, 0, ssl=tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        shown = f"[{address}]" if ":" in address else address
        self.url = f"{scheme or ('https' if tls else 'http')}://{shown}:{self.port}/api/api.php"

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            # A client that goes away in the middle is what many tests are about.
            with suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await self.behave(Peer(self, reader, writer))
        finally:
            self.left.set()
            writer.transport.abort() if writer.is_closing() else writer.close()
            self._tasks.discard(task)


def http(body: bytes = b"{}", status: str = "200 OK", **headers: str) -> bytes:
    """A reply with a Content-Length."""
    fields = {"Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def answering(*replies: bytes) -> Behaviour:
    """One reply after the other, the last one again and again, on connections that are kept."""

    async def behave(peer: Peer) -> None:
        while await peer.read_request() is not None:
            await peer.send(replies[min(len(peer.panel.requests), len(replies)) - 1])

    return behave


def sending(*parts: bytes) -> Behaviour:
    """These bytes for the first request, then the end of the connection."""

    async def behave(peer: Peer) -> None:
        await peer.read_request()
        for part in parts:
            await peer.send(part)

    return behave


def sending_endlessly(first: bytes, again: bytes) -> Behaviour:
    """`first`, then `again` until the client goes away."""

    async def behave(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(first)
        while True:
            await peer.send(again)

    return behave


async def silent(peer: Peer) -> None:
    """Take the request and never answer."""
    await peer.read_request()
    await peer.gone()

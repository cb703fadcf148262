from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: str


class Client:
    """One keep-alive connection that speaks just enough HTTP."""

    def __init__(self, url: str, context: ssl.SSLContext | None = None) -> None:
        scheme, _, place = url.partition("://")
        self._host, _, port = place.rpartition(":")
        self._host = self._host.strip("[]")
        self._port = int(port)
        self._context = context if scheme == "https" else None

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(
            self._host,
            self._port,
            ssl=self._context,
            server_hostname="localhost" if self._context else None,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.transport.abort()

    @property
    def tls(self) -> ssl.SSLObject:
        found = self._writer.get_extra_info("ssl_object")
        assert isinstance(found, ssl.SSLObject)
        return found

    @property
    def certificate(self) -> bytes | None:
        return self.tls.getpeercert(binary_form=True)

    async def get(self, path: str = "/hello", *, head: str = "", method: str = "GET") -> Reply:
        await self.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode())
        return await self.reply()

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def reply(self) -> Reply:
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        body = await self._reader.readexactly(int(headers.get("Content-Length", "0")))
        return Reply(int(lines[0].split()[1]), headers, body.decode())

    async def ended(self) -> bool:
        """Waits until the server has closed the connection."""
        return await self._reader.read() == b""


async def get(
    url: str, path: str = "/hello", *, context: ssl.SSLContext | None = None, head: str = ""
) -> Reply:
    """One request on a connection of its own."""
    async with Client(url, context) as client:
        return await client.get(path, head=head)

"""A fleet of panels in one process on one port: those that answer, and those that never do.

`python -m bench.silent_panels` serves them, prints the port, and ends with its standard input.
What a panel does stands first in its path: /live/3/api.php, /silent/…, /heading/…, /dripping/…
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

KINDS = ("silent", "heading", "dripping")
"""Panels that take a request and do not answer; that send a heading alone; a byte now and then."""


def _reply(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            form = await reader.readexactly(length)
            await _answer(head.split(b"/", 2)[1], form, writer)
    writer.transport.abort()


async def _answer(kind: bytes, form: bytes, writer: asyncio.StreamWriter) -> None:
    if kind == b"live":
        detail = b"7" if b"count_msg" in form else b"[]"
        writer.write(_reply(b'{"error": 0, "detail": %s}' % detail))
        return
    if kind != b"silent":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while kind == b"dripping":
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.3)
    await asyncio.sleep(3600)


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # its connections hang for ever


if __name__ == "__main__":
    asyncio.run(_main())

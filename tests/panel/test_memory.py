"""What a hostile panel can make the exporter hold, measured from outside in its own process."""

from __future__ import annotations

import asyncio
import json
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.panel.servers import Behaviour, Peer, ServeRaw, sending_endlessly

MIB = 2**20
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])  # the child has the daemon's loop


def ten_gigabytes_of_zeros() -> Iterator[bytes]:
    """A gzip body of 10 MB: after a full flush the same block can be sent again and again."""
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    zeros = b"\0" * (10 * MIB)
    yield packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    for _ in range(1023):
        yield block


async def bomb(peer: Peer) -> None:
    await peer.read_request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
    for part in ten_gigabytes_of_zeros():
        await peer.send(part)


async def bomb_at_once(peer: Peer) -> None:
    await peer.read_request()
    body = b"".join(ten_gigabytes_of_zeros())
    head = f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    await peer.send(f"HTTP/1.1 200 OK\r\n{head}".encode() + body)


async def ask_in_a_child(url: str, max_response: str, patience: str = "1s") -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.panel.bombed", url, max_response, patience,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await child.communicate()
    assert child.returncode == 0
    result: dict[str, Any] = json.loads(output)
    return result


def junk(size: int = 60000) -> bytes:
    return b"x" * size


@pytest.mark.slow
@pytest.mark.parametrize("behave", [bomb, bomb_at_once])
async def test_a_gzip_bomb_costs_little_more_than_the_limit(
    serve: ServeRaw, behave: Behaviour
) -> None:
    panel = await serve(behave)
    result = await ask_in_a_child(panel.url, "64MiB", "20s")  # to decompress takes its time
    assert result["outcome"] == "too_large"
    assert result["growth"] < (64 + 32) * MIB
    assert result["stall"] < 0.5


ENDLESS = {
    "body": sending_endlessly(b"HTTP/1.1 200 OK\r\n\r\n", junk()),
    "chunks": sending_endlessly(CHUNKED, b"ea60\r\n" + junk() + b"\r\n"),
    "tiny chunks": sending_endlessly(CHUNKED, b"1\r\nx\r\n" * 10000),
    "compressed nothing": sending_endlessly(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n",
        b"\x00\x00\x00\xff\xff" * 10000,  # stored blocks of no bytes
    ),
    "header": sending_endlessly(b"HTTP/1.1 200 OK\r\nX-Long: ", junk()),
    "headers": sending_endlessly(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 5000),
    "interim replies": sending_endlessly(b"", b"HTTP/1.1 100\r\n\r\n" * 5000),
    "trailers": sending_endlessly(CHUNKED + b"0\r\n", b"X-Some: trailer\r\n" * 3000),
    "trailer": sending_endlessly(CHUNKED + b"0\r\nX-Long: ", junk()),
    "chunk extension": sending_endlessly(CHUNKED + b"5;name=", junk()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDLESS)
async def test_what_never_ends_is_not_kept(serve: ServeRaw, name: str) -> None:
    panel = await serve(ENDLESS[name])
    result = await ask_in_a_child(panel.url, "8MiB")
    assert result["outcome"] != "ok"
    assert result["growth"] < (8 + 24) * MIB
    assert result["stall"] < 0.5


async def test_replies_that_were_not_asked_for_are_not_kept(serve: ServeRaw) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    panel = await serve(sending_endlessly(b"", reply * 2000))
    result = await ask_in_a_child(panel.url, "8MiB")
    assert result["outcome"] == "ok"
    assert result["growth"] < 24 * MIB
    assert result["stall"] < 0.5


LONG = 16 * MIB


async def long_and_short(peer: Peer) -> None:
    while (request := await peer.read_request()) is not None:
        size = LONG if "/long/" in request.line else 1000
        await peer.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(size // MIB):
            await peer.send(bytes(MIB))
        await peer.send(bytes(size % MIB))


@pytest.mark.slow
@pytest.mark.parametrize("budget", ["32MiB", "1MiB"])
async def test_lists_of_all_panels_together_are_bounded(serve: ServeRaw, budget: str) -> None:
    """20 lists of 16 MiB: more than the budget, and than can be read within poll.timeout."""
    panel = await serve(long_and_short)
    url = panel.url.removesuffix("/api/api.php")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.panel.hoard", url, "20", budget, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await child.communicate()
    result = json.loads(output)
    assert result["outcomes"] == {f"long {LONG}": 40, "short 1000": 40}, "nobody is blamed"
    most = int(budget.removesuffix("MiB")) * MIB + LONG
    assert result["held"] <= most
    assert (
        result["growth"] < most + LONG + 48 * MIB
    )  # one is put together at a time; 640 MiB without a bound
    assert result["left"] == 0
    assert result["short"] < 1.5

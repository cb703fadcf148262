from __future__ import annotations

import asyncio
import gzip
import random
import zlib
from collections.abc import Sequence

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from hypothesis import given
from hypothesis import strategies as st

from exporter.panel.body import read_body
from exporter.panel.errors import PanelError
from exporter.snapshot import Reason

LIMIT = 5 * 2**20


def stream_of(chunks: Sequence[bytes]) -> StreamReader:
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), 2**30, loop=loop)
    for chunk in chunks:
        stream.feed_data(chunk)
    stream.feed_eof()
    return stream


async def read(*chunks: bytes, encoding: str = "", limit: int = LIMIT) -> bytes:
    return await read_body(stream_of(chunks), encoding, limit)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def bytewise(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


DATA = random.Random(7).randbytes(3000) + b"\0" * 2**22 + b"end"
PACKED = {
    "gzip": gzip.compress(DATA),
    "x-gzip": gzip.compress(DATA),
    " Deflate ": zlib.compress(DATA),
}


async def test_plain() -> None:
    assert await read(b"one ", b"two") == b"one two"
    assert await read(b"same", encoding="identity") == b"same"
    assert await read() == b""


@pytest.mark.parametrize("encoding", PACKED)
async def test_compressed(encoding: str) -> None:
    packed = PACKED[encoding]
    assert await read(packed, encoding=encoding) == DATA
    assert await read(*bytewise(packed), encoding=encoding) == DATA


async def test_deflate_without_its_header() -> None:
    packed = raw_deflate(DATA)
    assert await read(packed, encoding="deflate") == DATA
    assert await read(*bytewise(packed), encoding="deflate") == DATA


async def test_gzip_of_several_members_and_padding() -> None:
    packed = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two") + b"\0" * 500
    assert await read(packed, encoding="gzip") == b"one two"
    assert await read(*bytewise(packed), encoding="gzip") == b"one two"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_an_empty_body_needs_no_compression(encoding: str) -> None:
    assert await read(encoding=encoding) == b""


@pytest.mark.parametrize(
    ("chunks", "encoding"),
    [
        ([b"x" * 101], ""),
        ([b"x"] * 101, ""),
        ([gzip.compress(b"x" * 101)], "gzip"),
        ([zlib.compress(b"x" * 101)], "deflate"),
        ([gzip.compress(b"x" * 51) * 2], "gzip"),
        ([gzip.compress(random.Random(1).randbytes(100))], "gzip"),  # 123 bytes compressed
        ([gzip.compress(b"")] * 9, "gzip"),  # never yields anything
    ],
)
async def test_more_than_the_limit(chunks: list[bytes], encoding: str) -> None:
    with pytest.raises(PanelError, match=r"larger than poll\.max_response") as caught:
        await read(*chunks, encoding=encoding, limit=100)
    assert caught.value.reason is Reason.TOO_LARGE
    assert not caught.value.retryable


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
async def test_the_limit_itself_is_allowed(encoding: str) -> None:
    data = b"x" * 100
    packed = {"": data, "gzip": gzip.compress(data), "deflate": zlib.compress(data)}[encoding]
    assert await read(packed, encoding=encoding, limit=100) == data


GZIPPED = gzip.compress(b"some text that is long enough")


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"<html>", "gzip"),
        (GZIPPED[:-1], "gzip"),
        (GZIPPED[:12], "gzip"),
        (GZIPPED[:-8] + b"\0" * 8, "gzip"),  # a wrong checksum
        (GZIPPED + b"garbage", "gzip"),
        (gzip.compress(b"") * 1001, "gzip"),
        (b"\xff", "deflate"),
        (zlib.compress(b"text")[:-1], "deflate"),
        (zlib.compress(b"text") + b"more", "deflate"),
    ],
    # By name: gzip stamps the time, and workers that collect a second apart would differ.
    ids=[
        "not-gzip",
        "gzip-short-by-one",
        "gzip-cut-in-the-middle",
        "gzip-wrong-checksum",
        "gzip-and-garbage",
        "gzip-too-many-members",
        "not-deflate",
        "deflate-short-by-one",
        "deflate-and-more",
    ],
)
async def test_what_does_not_decompress(body: bytes, encoding: str) -> None:
    with pytest.raises(PanelError, match="cannot be decompressed") as caught:
        await read(body, encoding=encoding)
    assert caught.value.reason is Reason.UNEXPECTED
    assert caught.value.retryable


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "SECRET"])
async def test_an_encoding_that_was_not_asked_for(encoding: str) -> None:
    with pytest.raises(PanelError, match="not asked for") as caught:
        await read(b"x", encoding=encoding)
    assert caught.value.reason is Reason.UNEXPECTED
    assert encoding not in str(caught.value)


async def test_a_bomb_in_one_chunk_lets_others_run() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    packed = gzip.compress(b"\0" * 2**26)
    with pytest.raises(PanelError):
        await read(packed, encoding="gzip", limit=2**25)
    counting.cancel()
    assert turns > 20


@given(st.lists(st.binary(max_size=200)), st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_end_in_bytes_or_the_typed_error(chunks: list[bytes], encoding: str) -> None:
    async def attempt() -> bytes | Reason:
        try:
            return await read(*chunks, encoding=encoding, limit=500)
        except PanelError as error:
            return error.reason

    with asyncio.Runner() as runner:
        result = runner.run(attempt())
    assert result in {Reason.UNEXPECTED, Reason.TOO_LARGE} or len(result) <= 500

"""Reads a reply's body, however compressed, within a bound on its size.

aiohttp decompresses too, in pieces of 256 KiB and so within bounds, but it takes a gzip body that
ends in the middle for a whole one: of a list that was cut, the rest would count as all there is.
Its decompressor cannot be asked afterwards whether it was done. So zlib is used here directly.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator

from aiohttp import StreamReader

from exporter.config.units import format_size
from exporter.panel.errors import PanelError
from exporter.snapshot import Reason

ACCEPTED_ENCODINGS = "gzip, deflate"
"""The Accept-Encoding of a request: what `read_body` understands."""

_PIECE = 2**20
"""Bytes decompressed at once: some milliseconds, and all that a bomb gets above the limit."""

_MAX_MEMBERS = 1000
"""Members of one gzip body. Each costs much more than its bytes, and real ones have a few."""


MakeRoom = Callable[[int], Awaitable[None] | None]
"""Called before so many bytes of a body are kept; what it returns is awaited first."""


async def read_body(
    stream: StreamReader, encoding: str, limit: int, make_room: MakeRoom | None = None
) -> bytes:
    """Return the whole body, decompressed.

    Neither the bytes received nor those they decompress to may exceed `limit`; at most a
    mebibyte more than twice the limit is ever held.

    Args:
        stream: the body as it was sent, not decompressed.
        encoding: the reply's Content-Encoding; "" when it has none.
        limit: bytes.
        make_room: asked before anything is kept.

    Raises:
        PanelError: `too_large`, or `unexpected` for an encoding that is not known or a body
            that does not decompress. What aiohttp raises for a broken connection passes.
    """
    inflater = _inflater_for(encoding)
    received = size = 0
    kept: list[bytes] = []
    while chunk := await stream.readany():
        received += len(chunk)
        if received > limit:
            raise too_large(limit)
        pieces: Iterable[bytes] = (chunk,) if inflater is None else inflater.feed(chunk)
        for piece in pieces:
            size += len(piece)
            if size > limit:
                raise too_large(limit)
            if make_room is not None and (room := make_room(len(piece))) is not None:
                await room
            kept.append(piece)
            if len(piece) == _PIECE:
                await asyncio.sleep(0)  # a small chunk may hold very many pieces
    if inflater is not None and not inflater.complete:
        raise _damaged("it ends in the middle")
    return b"".join(kept)


def too_large(limit: int) -> PanelError:
    """Return the error for a reply of more than `limit` bytes."""
    return PanelError(
        Reason.TOO_LARGE,
        f"The panel's reply is larger than poll.max_response ({format_size(limit)}).",
        hint="Raise poll.max_response if the queue is really that long, or lower "
        "poll.queue_detail_limit so that a long queue is not listed.",
    )


def _damaged(what: str) -> PanelError:
    return PanelError(
        Reason.UNEXPECTED,
        f"The panel's reply is compressed, but cannot be decompressed: {what}.",
        hint="Something between here and the panel damages it; look at proxies on the way.",
        retryable=True,
    )


def _inflater_for(encoding: str) -> _Inflater | None:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return _Inflater(gzip=True)
        case "deflate":
            return _Inflater(gzip=False)
    # The value is the panel's own text, so it is not repeated.
    raise PanelError(
        Reason.UNEXPECTED,
        "The panel's reply has a Content-Encoding that was not asked for.",
        hint=f"Only {ACCEPTED_ENCODINGS} are; something between here and the panel ignores that.",
    )


class _Inflater:
    """Decompresses in pieces of at most _PIECE bytes, whatever the ratio."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._members = 0
        self._member: zlib._Decompress | None = None

    @property
    def complete(self) -> bool:
        """Whether what was fed so far is a whole body; an empty one is."""
        return self._member is None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decompresses to.

        Raises:
            PanelError: it does not decompress.
        """
        while data:
            member = self._member = self._member or self._open(data[0])
            full = True
            while data or full:
                try:
                    piece = member.decompress(data, _PIECE)
                except zlib.error:
                    raise _damaged("its data is not what its header says") from None
                if piece:
                    yield piece
                data, full = member.unconsumed_tail, len(piece) == _PIECE
            if member.eof:
                self._member = None
                data = member.unused_data.lstrip(b"\0")  # gzip may be padded

    def _open(self, first_byte: int) -> zlib._Decompress:
        self._members += 1
        if self._members > (_MAX_MEMBERS if self._gzip else 1):
            raise _damaged("it goes on after its end")
        if self._gzip:
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        # "deflate" means a zlib stream, but some servers send a bare one. The low four bits
        # of a zlib stream's first byte name the method, 8; a bare stream never starts so.
        return zlib.decompressobj(zlib.MAX_WBITS if first_byte & 0x0F == 8 else -zlib.MAX_WBITS)

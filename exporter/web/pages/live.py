"""Server-sent events: rows of the fleet as they change; for other pages, that they changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web
from isal import isal_zlib

from exporter.web.pages.change_feed import ChangeFeed
from exporter.web.pages.fleet import Fleet, FleetView
from exporter.web.pages.render import translator_for
from exporter.web.pages.translator import Translator
from exporter.web.responses import accepts_gzip

ALIVE_EVERY = 10.0
"""Seconds after which an event without news is sent: else a page takes the exporter for gone."""

LOOK_EVERY = 2.0
"""Seconds after which a stream looks for what is not reported to the feed."""

SHORTEST_PAUSE = 1.0
"""Seconds between two events to one page: what changes meanwhile comes in one."""

FETCH_PAUSE = 5.0
"""The same for pages that are fetched again as a whole."""

WRITE_TIMEOUT = 20.0
"""Seconds that a page may take to read an event; then it is not waited for."""

MAX_STREAMS = 200
"""Pages that are kept live at once; further ones try again later."""

FLEET, ALL = "fleet", "all"
"""Watched by the fleet page, and by pages that any change may concern; a host's page watches its
name with `host:` before it."""

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "Vary": "Accept-Encoding",
}
_ALIVE = b"event: alive\ndata:\n\n"


class Live:
    """The open streams."""

    def __init__(self, feed: ChangeFeed, fleet: Fleet) -> None:
        self._feed = feed
        self._fleet = fleet
        self._streams: set[asyncio.Task[None]] = set()
        self._closed = False

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Send the stream of one page, from the position of the page."""
        if self._closed or len(self._streams) >= MAX_STREAMS:
            return web.Response(status=503, headers={"Retry-After": "30"})
        # A browser that connects again names the last event that it has seen.
        position = request.headers.get("Last-Event-ID") or request.query.get("seen", "")
        stream = self._stream(request, request.query.get("watch", ""), position)
        response = web.StreamResponse(headers=_HEADERS)
        task = asyncio.create_task(self._send(request, response, stream), name="events")
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)
        try:
            with suppress(ConnectionError, TimeoutError):
                await asyncio.wait([task])
                if not task.cancelled():
                    task.result()
        finally:
            task.cancel()
        return response

    async def close(self) -> None:
        """End every stream, and take no more: a page that waits must not hold up a shutdown."""
        self._closed = True
        streams = list(self._streams)
        for task in streams:
            task.cancel()
        await asyncio.gather(*streams, return_exceptions=True)

    async def _send(
        self, request: web.Request, response: web.StreamResponse, stream: AsyncIterator[bytes]
    ) -> None:
        if accepts_gzip(request):
            response.headers["Content-Encoding"] = "gzip"
            stream = _gzipped(stream)
        try:
            await response.prepare(request)
            async for event in stream:
                async with asyncio.timeout(WRITE_TIMEOUT):
                    await response.write(event)
        except (TimeoutError, asyncio.CancelledError):
            # What is not read yet would be waited for, here or where the connections end.
            if request.transport is not None:
                request.transport.abort()
            raise

    async def _stream(
        self, request: web.Request, watched: str, position: str
    ) -> AsyncIterator[bytes]:
        yield b"retry: 3000\n\n"
        tr, feed = translator_for(request), self._feed
        seen = feed.number_of(position) if position else feed.number
        epoch, order, loop = feed.epoch, list[str](), asyncio.get_running_loop()
        if seen is None:
            yield self._begin_anew(watched)
            if watched == FLEET:
                return
            seen = feed.number
        quiet_since = loop.time() - ALIVE_EVERY
        while True:
            feed.refresh()
            event, pause = b"", 0.0
            if feed.number > seen:
                before, seen = seen, feed.number
                if watched == FLEET and feed.epoch != epoch:
                    yield self._begin_anew(watched)
                    return
                if watched == FLEET:
                    view = await self._fleet.view()
                    seen = view.number
                    update = await self._update(view, tr, before, order)
                    event, pause = _event("fleet", view.position, update), SHORTEST_PAUSE
                elif watched == ALL or watched.removeprefix("host:") in feed.since(before):
                    event, pause = _event("changed", feed.position(), ""), FETCH_PAUSE
            if not event and loop.time() - quiet_since >= ALIVE_EVERY:
                event = _ALIVE
            if event:
                yield event
                quiet_since = loop.time()
            await self._wait(seen, pause)

    async def _wait(self, seen: int, pause: float) -> None:
        """Wait `pause` seconds; without one, for the next change, no longer than LOOK_EVERY."""
        if pause:
            await asyncio.sleep(pause)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await self._feed.wait(seen)

    def _begin_anew(self, watched: str) -> bytes:
        """Return the event for a page to fetch anew: hosts came or went, or the exporter did."""
        position = self._feed.position()
        if watched == FLEET:
            return _event("fleet", position, {"reload": True})
        return _event("changed", position, "")

    async def _update(
        self, view: FleetView, tr: Translator, seen: int, order: list[str]
    ) -> dict[str, object]:
        """Return what changed after change `seen`; `order`, which the page knows, is kept up."""
        changed = self._feed.since(seen)
        rows = [row for row in view.rows if row.name in changed]
        headline = view.headline(tr).text
        update: dict[str, object] = {
            "rows": dict(await self._fleet.rows_html(rows, tr, view.now)),
            "summary": self._fleet.summary(view, tr),
            "headline": headline,
            "title": f"{headline} · {tr.text('site')}",
        }
        ranked = [row.name for row in view.by_rank]
        if ranked != order:
            update["order"] = order[:] = ranked
        return update


async def _gzipped(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield events as one gzip member, each of them whole as soon as it is read.

    A tenth or less of the bytes, for a small part of the time that making them takes; a stream's
    window takes some 40 KiB.
    """
    packer = isal_zlib.compressobj(1, wbits=31)
    async for event in events:
        yield packer.compress(event) + packer.flush(isal_zlib.Z_SYNC_FLUSH)
    yield packer.flush(isal_zlib.Z_FINISH)


def _event(name: str, position: str, data: object) -> bytes:
    # JSON has no line break of its own, which would end the event.
    text = json.dumps(data, ensure_ascii=False)
    return f"event: {name}\nid: {position}\ndata: {text}\n\n".encode("utf-8", "replace")

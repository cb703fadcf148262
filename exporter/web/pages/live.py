"""Server-sent events: rows of the fleet as they change, and a word to other pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from exporter.web.pages.board import Board
from exporter.web.pages.fleet import FleetView, headline_of, row_html, summary_html
from exporter.web.pages.render import Renderer, reader
from exporter.web.pages.words import Words

ALIVE_EVERY = 10.0
"""Seconds after which a page is told that there is nothing new: else it takes us for gone."""

SHORTEST_PAUSE = 1.0
"""Seconds between two events to one page: what changes meanwhile comes together."""

MOST_STREAMS = 200
"""Pages that are kept live at once; further ones are told to come back later."""

FLEET, ALL = "fleet", "all"
"""Watched by the fleet page, and by those that any change may concern; else a host's name, with
`host:` before it."""

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


class Live:
    """The streams that are open."""

    def __init__(self, board: Board, renderer: Renderer) -> None:
        self._board = board
        self._renderer = renderer
        self._streams: set[asyncio.Task[None]] = set()

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The stream of one page."""
        if len(self._streams) >= MOST_STREAMS:
            return web.Response(status=503, headers={"Retry-After": "30"})
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        words, watched = reader(request), request.query.get("watch", "")
        task = asyncio.create_task(self._send(response, words, watched), name="events")
        self._streams.add(task)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await task
        finally:
            task.cancel()
            self._streams.discard(task)
        return response

    async def close(self) -> None:
        """End every stream: a page that waits must not hold up a shutdown."""
        for task in self._streams:
            task.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)

    async def _send(self, response: web.StreamResponse, words: Words, watched: str) -> None:
        await response.write(b"retry: 3000\n\nevent: alive\ndata:\n\n")
        news = self._fleet(words) if watched == FLEET else self._others(watched)
        async for event in news:
            await response.write(event)
            await asyncio.sleep(SHORTEST_PAUSE)

    async def _numbers(self) -> AsyncIterator[tuple[int, int] | None]:
        """The change seen before and the one now; None when there was none for a while."""
        seen = self._board.number
        while True:
            try:
                async with asyncio.timeout(ALIVE_EVERY):
                    await self._board.wait(seen)
            except TimeoutError:
                yield None
            else:
                before, seen = seen, self._board.number
                yield before, seen

    async def _fleet(self, words: Words) -> AsyncIterator[bytes]:
        epoch = self._board.epoch
        async for numbers in self._numbers():
            if numbers is None:
                yield b"event: alive\ndata:\n\n"
            elif self._board.epoch != epoch:
                yield _event("fleet", {"reload": True})
            else:
                yield _event("fleet", self._news(words, numbers[0]))

    def _news(self, words: Words, seen: int) -> dict[str, object]:
        view = FleetView.of(self._board)
        changed = self._board.since(seen)
        headline = headline_of(view.totals, words, paused=view.paused)
        return {
            "rows": {
                row.name: row_html(self._renderer, row, words, view.now)
                for row in view.rows
                if row.name in changed
            },
            "order": [row.name for row in sorted(view.rows, key=lambda row: row.rank)],
            "summary": summary_html(self._renderer, view, words),
            "title": f"{headline.text} · {words.t('site')}",
        }

    async def _others(self, watched: str) -> AsyncIterator[bytes]:
        async for numbers in self._numbers():
            news = numbers is not None and (
                watched == ALL or watched.removeprefix("host:") in self._board.since(numbers[0])
            )
            yield b"event: changed\ndata:\n\n" if news else b"event: alive\ndata:\n\n"


def _event(name: str, data: object) -> bytes:
    # JSON has no line break of its own, which would end the event.
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()

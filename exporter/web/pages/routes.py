"""The routes of the status pages."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from aiohttp import web

from exporter.web.pages.board import Board
from exporter.web.pages.choice import Choice
from exporter.web.pages.fleet import FleetView, fleet_html
from exporter.web.pages.live import Live
from exporter.web.pages.render import Renderer, page, reader

STATIC = Path(__file__).parents[1] / "static"


class Pages:
    """What people look at."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._renderer = Renderer.made()
        self._live = Live(board, self._renderer)

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """The routes."""
        return [
            web.get("/", self.fleet),
            web.get("/events", self._live.events),
            web.static("/static", STATIC),
        ]

    async def close(self) -> None:
        """End what is kept live."""
        await self._live.close()

    async def fleet(self, request: web.Request) -> web.Response:
        """Every host."""
        view = FleetView.of(self.board)
        choice = Choice.of(request.query)
        return page(request, fleet_html(self._renderer, view, choice, reader(request)))

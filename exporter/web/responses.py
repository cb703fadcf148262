"""Responses in the forms that the routes give."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec
from aiohttp import web


def text_response(
    status: int, text: str, *, headers: Mapping[str, str] | None = None, close: bool = False
) -> web.Response:
    """Return a line of plain text; with `close` the connection ends with it."""
    response = web.Response(status=status, text=f"{text}\n", headers=headers)
    if close:
        response.force_close()
    return response


def json_response(value: object, *, status: int = 200) -> web.Response:
    """Return JSON that no cache may keep."""
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return web.Response(body=msgspec.json.encode(value), status=status, headers=headers)


def accepts_gzip(request: web.Request) -> bool:
    """Return whether the client takes a gzipped response."""
    return not {"gzip", "x-gzip"}.isdisjoint(_accepted(request, "Accept-Encoding"))


def accepts_openmetrics(request: web.Request) -> bool:
    """Return whether the client names OpenMetrics 1.0; every client reads the text format."""
    return "application/openmetrics-text" in _accepted(request, "Accept")


def _accepted(request: web.Request, header: str) -> Iterator[str]:
    """Yield what a header names, without what it refuses by a weight of 0."""
    for part in request.headers.get(header, "").replace(" ", "").lower().split(","):
        name, *parameters = part.split(";")
        if not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters):
            yield name

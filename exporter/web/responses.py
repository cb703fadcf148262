"""Responses in the forms that the routes give."""

from __future__ import annotations

import re

import msgspec
from aiohttp import web


def text_response(status: int, text: str) -> web.Response:
    """Return plain text."""
    return web.Response(status=status, text=text, headers={"X-Content-Type-Options": "nosniff"})


def json_response(value: object, *, status: int = 200) -> web.Response:
    """Return JSON that no cache may keep."""
    body = msgspec.json.encode(value)
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether the client takes a gzipped response."""
    codings = (part.replace(" ", "").lower() for part in accept_encoding.split(","))
    return any(
        name in {"gzip", "x-gzip"} and not re.fullmatch(r"q=0(\.0*)?", weight)
        for name, _, weight in (coding.partition(";") for coding in codings)
    )

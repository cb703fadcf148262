"""Rendering: jinja2 with escaping on, headers that keep everything else out, long lists."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from aiohttp import web
from isal import igzip
from jinja2 import Environment, PackageLoader, StrictUndefined

from exporter import __version__
from exporter.web.pages.charts import sparkline
from exporter.web.pages.rows import SPARK_SECONDS, Row
from exporter.web.pages.translator import Translator, language_of, translator
from exporter.web.responses import accepts_gzip

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    # Not no-referrer: with that a browser says of its own page's forms that they come from null.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
    "Vary": "Accept-Language, Accept-Encoding",
}
"""The headers of every page."""

_GZIP_FROM = 1400
"""Bytes: less fits into one packet as it is."""


class Renderer:
    """Makes HTML of the package's templates."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("exporter.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(version=__version__, sparkline=_sparkline)

    def html(self, template: str, tr: Translator, root: str, **values: object) -> str:
        """Return a template's HTML; `root` is the relative path to the fleet page, as ../."""
        values = {"watched": "", "seen": "", "here": "", "now": time.time()} | values
        return self._environment.get_template(template).render(values, tr=tr, root=root)

    def macro(self, template: str, name: str, *values: object) -> str:
        """Return the HTML of one macro of a template."""
        module = self._environment.get_template(template).module
        return str(getattr(module, name)(*values))


def _sparkline(row: Row, tr: Translator, now: float) -> tuple[str, str]:
    """Return the path of a row's small chart, and what it shows in words."""
    series = row.points
    known = [value for _, value in series if not math.isnan(value)]
    if not known:
        label = tr.text("spark_none", host=row.name)
    else:
        low, high = tr.number(min(known)), tr.number(max(known))
        label = tr.text("spark", host=row.name, low=low, high=high, now=tr.number(row.messages))
    begin = max(now - SPARK_SECONDS, series[0][0] if series else now)
    return sparkline(series, begin, now), label


def translator_for(request: web.Request) -> Translator:
    """Return the translator into the language that a request prefers."""
    return translator(language_of(request.headers.get("Accept-Language", "")))


def page(request: web.Request, html: str, *, status: int = 200) -> web.Response:
    """Return a response with a page, gzipped where the client takes that."""
    body = html.encode("utf-8", "replace")
    headers = dict(HEADERS)
    if len(body) > _GZIP_FROM and accepts_gzip(request):
        body = igzip.compress(body)
        headers["Content-Encoding"] = "gzip"
    return web.Response(
        body=body, status=status, content_type="text/html", charset="utf-8", headers=headers
    )


# --- long lists ----------------------------------------------------------------------------------

PER_PAGE = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Paged(Generic[T]):
    """One page of a list."""

    items: tuple[T, ...]
    total: int
    """Items on all pages together."""
    page: int
    """Counted from 1."""
    pages: int


def page_of(query: Mapping[str, str]) -> int:
    """Return the page that a query asks for; the first when it names none."""
    number = query.get("page", "1")
    return max(1, int(number)) if number.isascii() and number.isdigit() and len(number) < 7 else 1


def paged(items: Sequence[T], wanted: int) -> Paged[T]:
    """Return page `wanted` of the items, or the last one there is."""
    pages = max(1, math.ceil(len(items) / PER_PAGE))
    page = min(wanted, pages)
    return Paged(tuple(items[(page - 1) * PER_PAGE : page * PER_PAGE]), len(items), page, pages)

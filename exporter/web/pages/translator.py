"""The pages' texts, numbers and times in the reader's language. All texts are in texts.yaml."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from babel import Locale
from babel.numbers import format_compact_decimal
from markupsafe import Markup

from exporter.humanize import largest_units, size

LANGUAGES = ("en", "ru")
"""The first one is the default."""

UNKNOWN = "–"
"""Shown where nothing is known; never a zero."""


@cache
def texts() -> Mapping[str, Mapping[str, Any]]:
    """Return every text by key and language; a text with a count is a map of plural forms."""
    raw = files("exporter.web.pages").joinpath("texts.yaml").read_text(encoding="utf-8")
    loaded: Mapping[str, Mapping[str, Any]] = yaml.safe_load(raw)
    return loaded


def language_of(accept_language: str) -> str:
    """Return the best of LANGUAGES for an Accept-Language header."""
    weights: dict[str, float] = {}
    for part in accept_language[:1000].lower().replace(" ", "").split(","):
        tag, _, weight = part.partition(";q=")
        language = tag.partition("-")[0]
        with suppress(ValueError):
            weights[language] = max(float(weight or 1), weights.get(language, 0.0))
    wanted = [each for each in weights if each in LANGUAGES and weights[each] > 0]
    return max(wanted, key=weights.__getitem__, default=LANGUAGES[0])


class Translator:
    """One language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._locale = Locale.parse(language)
        # Formatting by the locale's patterns takes twenty times longer, and a page has thousands.
        symbols = self._locale.number_symbols["latn"]
        self._signs = str.maketrans({",": symbols["group"], ".": symbols["decimal"]})

    def text(self, key: str, **values: object) -> str:
        """Return the text of `key`, with `{names}` filled in; `n` chooses the plural form.

        Raises:
            KeyError: there is no such text.
        """
        text = texts()[key][self.language]
        if isinstance(text, dict):
            count = values["n"]
            form = self._locale.plural_form(abs(int(count))) if isinstance(count, int) else "other"
            text = text.get(form, text["other"])
        if not values:
            return str(text)
        filled = {k: self.number(v) if isinstance(v, int) else v for k, v in values.items()}
        if any(isinstance(value, Markup) for value in filled.values()):
            # The texts are the package's own, and what is filled in is escaped.
            return Markup(text).format_map(filled)  # noqa: S704
        return str(text).format_map(filled)

    def number(self, value: float | None) -> str:
        """Return `1,240`, or UNKNOWN."""
        if value is None or not math.isfinite(value):
            return UNKNOWN
        return f"{round(value):,}".translate(self._signs)

    def short(self, value: float | None) -> str:
        """Return `1.2K`, `5M`: a number where there is little room, or UNKNOWN."""
        if value is None or not math.isfinite(value):
            return UNKNOWN
        return str(format_compact_decimal(value, fraction_digits=1, locale=self._locale))

    def signed(self, value: float | None) -> str:
        """Return `+98`, `−12`, `0`, or UNKNOWN."""
        if value is None or not math.isfinite(value):
            return UNKNOWN
        sign = "+" if value > 0 else "−" if value < 0 else ""
        return f"{sign}{self.number(abs(value))}"

    def duration(self, seconds: float | None) -> str:
        """Return `3 d 4 h`, `5 min 12 s`, `40 ms`, `0 s`: the two largest units, or UNKNOWN."""
        if seconds is None or not math.isfinite(seconds):
            return UNKNOWN
        if 0 < seconds < 1:
            return f"{max(1, round(1000 * seconds))}\u00a0{self.text('unit_ms')}"
        return "\u00a0".join(
            f"{count}\u00a0{self.text(f'unit_{unit}')}" for count, unit in largest_units(seconds)
        )

    def size(self, count: float | None) -> str:
        """Return `512 B`, `2.9 MiB`, or UNKNOWN."""
        if count is None or not math.isfinite(count):
            return UNKNOWN
        number, unit = size(count).split()
        shown = f"{float(number):,g}".translate(self._signs)
        return f"{shown}\u00a0{self.text(f'unit_{unit}')}"

    def time(self, at: float | None) -> str:
        """Return a moment: UTC in the text, which a script turns into the reader's own time."""
        return _time_element(at, '<time datetime="{iso}" title="{utc}">{utc}</time>')

    def ago(self, at: float | None, now: float) -> str:
        """Return `12 s ago`, kept up by a script, with the exact moment on hover."""
        return Markup(self.filled_in(self.ago_later(at), now))  # noqa: S704 - escaped already

    def ago_later(self, at: float | None) -> str:
        """Return the same as `ago`, but leave the words to `filled_in`."""
        later = '<time class="ago" datetime="{iso}" title="{utc}">\x01{at}\x02</time>'
        return _time_element(at, later)

    def filled_in(self, html: str, now: float) -> str:
        """Return HTML with the words that `ago_later` left out."""
        return _LATER.sub(lambda found: self.since(float(found[1]), now), html)

    def since(self, at: float, now: float) -> str:
        """Return `12 s ago`."""
        return self.text("ago", duration=self.duration(now - at))


def utc_text(moment: datetime) -> str:
    """Return `2026-01-31 12:00:00 UTC`."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


_LATER = re.compile("\x01([-0-9.e+]+)\x02")


def _time_element(at: float | None, form: str) -> str:
    """Return Unix time in HTML; UNKNOWN where it is not known, or lies beyond every calendar."""
    if at is None:
        return UNKNOWN
    try:
        moment = datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return UNKNOWN
    iso = moment.isoformat(timespec="seconds")
    return Markup(form).format(iso=iso, utc=utc_text(moment), at=at)  # noqa: S704 - our own form


@cache
def translator(language: str) -> Translator:
    """Return the translator into a language, made once."""
    return Translator(language)

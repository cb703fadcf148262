"""When in the week rules may act."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, WithJsonSchema

from exporter.config.base import ONE_OR_MANY, Model, TimeZone

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _days(value: object) -> tuple[str, ...]:
    """Return `[mon-fri, sun]` as single days."""
    parts = value if isinstance(value, list | tuple) else [value]
    found: list[str] = []
    for part in parts:
        first, dash, last = str(part).partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError("must be days as mon, tue or mon-fri")
        at = DAYS.index(first)
        found.append(DAYS[at])
        while dash and DAYS[at] != last:
            at = (at + 1) % 7
            found.append(DAYS[at])
    return tuple(day for day in DAYS if day in found)


Days = Annotated[
    tuple[Day, ...],
    BeforeValidator(_days),
    Field(min_length=1),
    ONE_OR_MANY,
]
"""Days of the week, as `[mon-fri, sun]`."""

_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


def _time_of_day(value: object) -> time:
    match = _TIME_OF_DAY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a time in quotes, from "00:00" to "23:59"')
    return time(int(match[1]), int(match[2]))


TimeOfDay = Annotated[
    time,
    BeforeValidator(_time_of_day),
    WithJsonSchema({"type": "string", "pattern": f"^{_TIME_OF_DAY.pattern}$"}),
]


class Window(Model):
    """A time of the week in which rules may act."""

    days: Days = DAYS
    """Days on which the window begins."""
    start: TimeOfDay = Field(alias="from")
    """When it begins."""
    end: TimeOfDay = Field(alias="to")
    """When it ends; on the next day when that is not after `from`."""
    time_zone: TimeZone = "UTC"
    """IANA name of the zone that the times are of."""


def is_open(window: Window, now: float) -> bool:
    """Return whether a window is open at `now` (Unix time); from x to x lasts a day."""
    local = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(window.time_zone))
    clock = local.time().replace(tzinfo=None)
    today, yesterday = DAYS[local.weekday()], DAYS[(local - timedelta(days=1)).weekday()]
    if window.start < window.end:
        return today in window.days and window.start <= clock < window.end
    return (today in window.days and clock >= window.start) or (
        yesterday in window.days and clock < window.end
    )

"""One value of a row: ids, ages, sizes, frozen marks.

Every reader answers None for what the value does not say; none ever answers a default.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

MAX_AGE = 10 * 365 * 86400.0
"""Seconds. No mail server keeps a message this long: an age above is a clock's or a zero's."""

HALF_A_YEAR = timedelta(days=183)
"""A date without a year that comes within this time may be that of a panel whose clock is ahead;
no queue holds mail for as long as the half year that it would be old otherwise."""

CLOCK_SKEW = 60.0
"""Seconds by which a panel's clock may be ahead: an arrival that near in the future is now."""

MAX_SIZE = 2**50
"""Bytes. A size above is none."""

_REMEMBERED = 2**13
"""Texts whose meaning is remembered: lists say the same ages and sizes poll after poll."""

# --- ids -------------------------------------------------------------------------------------

EXIM_ID = r"[0-9A-Za-z]{6}-(?:[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{11}-[0-9A-Za-z]{4})"
"""Before Exim 4.97 and since."""

POSTFIX_ID = (
    r"(?:[0-9A-F]{6,21}"
    r"|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]{1,12})"
)
"""Short: microseconds and inode in hex. Long: seconds and microseconds without vowels, `z`,
the inode."""

is_exim_id = re.compile(EXIM_ID, re.ASCII).fullmatch

SPOOL_SUFFIX = r"(?:-[HDJ])?"
"""What stands behind an Exim id that is the name of a spool file. Exim 4.97 also prints the `-H`
behind ids of messages that an older Exim queued (its bug 3050)."""

HOLD_MARK = "!"
MARKS = f"*{HOLD_MARK}#"
"""What postqueue appends to ids: of an active message, of one on hold, and, since Postfix 3.5, of
one that is forced to expire: behind one of the two others, or alone."""

POSTFIX_MARKS = r"[*!]?#?"
"""What postqueue appends to one id (showq_compat.c)."""

_ID_WITH_SUFFIX = re.compile(
    rf"({EXIM_ID}){SPOOL_SUFFIX}|({POSTFIX_ID}){POSTFIX_MARKS}", re.ASCII
).fullmatch


def read_id(value: object) -> str | None:
    """Return a queue id without a mark of postqueue or the suffix of Exim's spool files.

    None for anything that has not the form of one. A number is none: a short Postfix id may
    have digits alone, but whoever made a number of it may have lost zeros before them.
    """
    match = _ID_WITH_SUFFIX(value.strip()) if isinstance(value, str) else None
    return None if match is None else match[1] or match[2]


# --- sizes -----------------------------------------------------------------------------------

_SIZE = re.compile(
    r"([0-9]{1,18}(?:\.[0-9]{1,6}|,[0-9]{1,2})?) ?([kmgtкмгт]?)"
    r"(i?b|б|bytes?|байта?|байтів|байт|字节)?",
    re.IGNORECASE,
)
_UNITS = {"": 1, "k": 2**10, "к": 2**10, "m": 2**20, "м": 2**20}
_UNITS |= {"g": 2**30, "г": 2**30, "t": 2**40, "т": 2**40}
_EXIM_WRAPPED = re.compile(r"\d{4,}M", re.ASCII)


def read_size(value: object) -> int | None:
    """Return bytes, from a number or from a text such as `512`, `2.9K`, `1,4 MB`; units are binary.

    None for negative sizes and for Exim's `1024M` and above: Exim counts in 32 bits, so that
    it prints those for messages of 2 GiB and more, whatever their size.
    """
    if isinstance(value, str):
        return _size_from_text(value.strip()) if len(value) <= _DATE_LENGTH else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= MAX_SIZE or value % 1:
        return None
    return int(value)


def has_size_unit(value: object) -> bool:
    """Return whether a text shows a size by its unit, so that it can be nothing else.

    Exim's units are capitals: `5M` is a size where `5m` is an age.
    """
    if not isinstance(value, str):
        return False
    match = _SIZE.fullmatch(value.strip())
    return match is not None and (match[3] is not None or match[2] in tuple("KMGT"))


@lru_cache(maxsize=_REMEMBERED)
def _size_from_text(text: str) -> int | None:
    match = _SIZE.fullmatch(text)
    if match is None or (_EXIM_WRAPPED.fullmatch(text) and int(text[:-1]) >= 1024):
        return None
    number, unit, word = match[1], match[2].lower(), match[3]
    if not unit and not number.isdigit() and word is None:
        return None
    size = round(float(number.replace(",", ".")) * _UNITS[unit])
    return size if size <= MAX_SIZE else None


# --- ages ------------------------------------------------------------------------------------

_SECONDS = {
    1: ("s", "sec", "secs", "second", "seconds", "с", "сек", "секунд", "секунды", "секунда", "秒"),
    60: (
        *("m", "min", "mins", "minute", "minutes", "мин", "минут", "минуты", "минута", "м"),
        *("хв", "хвилин", "хвилини", "хвилина", "分", "分钟"),
    ),
    3600: (
        *("h", "hr", "hrs", "hour", "hours", "ч", "час", "часа", "часов", "годин"),
        *("години", "година", "годину", "时", "小时"),
    ),
    86400: ("d", "day", "days", "д", "дн", "день", "дня", "дней", "днів", "дні", "天", "日"),
    604800: ("w", "week", "weeks", "нед", "неделя", "недели", "недель", "тиж", "周"),
}
_UNIT_SECONDS = {unit: seconds for seconds, units in _SECONDS.items() for unit in units}
_UNIT = "|".join(sorted(_UNIT_SECONDS, key=len, reverse=True))
_DURATION = re.compile(rf"(?:-?\d{{1,12}}\s?(?:{_UNIT})\.?,?\s*)+", re.ASCII)
_DURATION_PART = re.compile(rf"(\d{{1,12}})\s?({_UNIT})", re.ASCII)

_MONTHS = dict(
    zip(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
        range(1, 13),
        strict=True,
    )
)
_MONTH = "|".join(_MONTHS)
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.\d{1,9})?)?"
_ZONE = r"(?:\s*(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d))?(?:\s*\(\w{1,5}\))?"
_DATES = tuple(
    re.compile(pattern, re.ASCII | re.IGNORECASE)
    for pattern in (
        rf"(?P<year>\d{{4}})-(?P<month>\d\d)-(?P<day>\d\d)(?:T|\s)\s*{_TIME}{_ZONE}",
        rf"(?P<day>\d\d)\.(?P<month>\d\d)\.(?P<year>\d{{4}}),?\s+{_TIME}{_ZONE}",
        rf"(?:(?P<weekday>[a-z]{{3}}),?\s+)?(?P<name>{_MONTH})\s+(?P<day>\d{{1,2}})\s+{_TIME}{_ZONE}(?:\s+(?P<year>\d{{4}}))?",
        rf"(?:(?P<weekday>[a-z]{{3}}),?\s+)?(?P<day>\d{{1,2}})\s+(?P<name>{_MONTH})\s+(?P<year>\d{{4}}),?\s+{_TIME}{_ZONE}",
    )
)
_ENDS_IN_SECONDS = re.compile(r"(?<!\d)\d{1,2}:\d\d:\d\d\Z", re.ASCII)
_HOUR = re.compile(r"(?<!\d)\d{1,2}:\Z", re.ASCII)
_IN_HOUR = {f"{m:02d}:{s:02d}": 60 * m + s for m in range(60) for s in range(60)}
"""Seconds since the hour began, by the end of a date."""
_DATE_LENGTH = 60
_FIRST_EPOCH = 10**9
"""Unix time of 2001: a number below is no arrival of a message."""


@lru_cache(maxsize=_REMEMBERED)
def _duration(text: str) -> float | None:
    """Return seconds; -1 for an age that no message can have, None for what is none."""
    if not _DURATION.fullmatch(text):
        return None
    if "-" in text:
        return -1.0
    parts = _DURATION_PART.findall(text)
    age = plausible_age(float(sum(int(n) * _UNIT_SECONDS[unit] for n, unit in parts)), 0)
    return -1.0 if age is None else age


def is_duration(value: object) -> bool:
    """Return whether a text is an age with its unit (`25m`, also a senseless `-1666m`)."""
    return (
        isinstance(value, str)
        and len(value) <= _DATE_LENGTH
        and _DURATION.fullmatch(value.strip()) is not None
    )


def is_date(value: object) -> bool:
    """Return whether a text is a date with a time, with or without a zone."""
    return isinstance(value, str) and match_date(value) is not None


def as_number(value: object) -> float | None:
    """Return a number, or the number in a text; None for anything else or not finite."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < 10**18 else None
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    return None


_NUMBER = re.compile(r"[+-]?\d{1,18}(?:\.\d{1,9})?", re.ASCII)


def is_epoch(number: float, now: float) -> bool:
    """Return whether a number can only be a Unix time, in seconds or milliseconds."""
    last = now + MAX_AGE
    return _FIRST_EPOCH <= number <= last or _FIRST_EPOCH * 1000 <= number <= last * 1000


@dataclass(slots=True)
class AgeReader:
    """Reads ages against one moment; remembers hours that it has seen.

    A number that can only be a Unix time is one. Another bare number is an age in units of
    `bare_unit` seconds; None when nothing says the unit, and then it is no age.
    """

    now: float
    zone: tzinfo | None = None
    bare_unit: float | None = None
    _hours: dict[str, float | None] = field(default_factory=dict)

    def read(self, value: object) -> float | None:
        """Return seconds since arrival; None when the value does not show it."""
        text = value.strip() if isinstance(value, str) and len(value) <= _DATE_LENGTH else ""
        if text:
            length = _duration(text)
            if length is not None:
                return length if length >= 0 else None
        number = as_number(value)
        if number is not None:
            return self._from_number(number)
        arrival = self._arrival(text) if text else None
        return None if arrival is None else plausible_age(self.now - arrival)

    def read_dates(self, column: Sequence[str]) -> list[float] | None:
        """Return what `read` does for texts that are all dates ending in seconds, much faster.

        The dates of a large queue share their hours: an hour is looked up once. None when any
        of the texts needs `read`.
        """
        if not _ENDS_IN_SECONDS.search(column[0]):
            return None
        hours = [text[:-5] for text in column]
        for hour in set(hours) - self._hours.keys():
            self._hours[hour] = self._start_of_hour(hour)
        try:
            ages = [
                self.now - self._hours[hour] - _IN_HOUR[text[-5:]]  # type: ignore[operator]  # None is caught
                for hour, text in zip(hours, column, strict=True)
            ]
        except (TypeError, KeyError):
            return None
        return ages if min(ages) >= 0 and max(ages) <= MAX_AGE else None

    def _start_of_hour(self, hour: str) -> float | None:
        """Return when `… 08:` began; None when the clocks change within, or it is no date."""
        if not _HOUR.search(hour):
            return None
        first, last = self._arrival(hour + "00:00"), self._arrival(hour + "59:59")
        return first if first is not None and last == first + 3599 else None

    def _from_number(self, number: float) -> float | None:
        if is_epoch(number, self.now):
            arrival = number if number < _FIRST_EPOCH * 100 else number / 1000
            return plausible_age(self.now - arrival)
        if self.bare_unit is None:
            return None
        return plausible_age(number * self.bare_unit, 0)

    def _arrival(self, text: str) -> float | None:
        match = match_date(text)
        if match is None:
            return None
        zone = _zone(match["zone"]) if match["zone"] else self.zone
        if zone is None:
            return None
        if match["year"]:
            moment = _moment(match, int(match["year"]), zone)
        else:
            moment = self._without_year(match, zone)
        # An hour that a change of the clocks repeats or skips is no moment.
        if moment is None or moment.utcoffset() != moment.replace(fold=1).utcoffset():
            return None
        return moment.timestamp() if _is_weekday(match, moment) else None

    def _without_year(self, match: re.Match[str], zone: tzinfo) -> datetime | None:
        """Return the last such date; None where the next one may be meant by a clock ahead."""
        try:
            year = datetime.fromtimestamp(self.now, zone).year
            latest = datetime.fromtimestamp(self.now + CLOCK_SKEW, zone)
        except (ValueError, OverflowError, OSError):
            return None
        past = next_one = None
        for back in range(-1, 9):
            moment = _moment(match, year - back, zone)
            if moment is not None and moment <= latest:
                past = moment
                break
            next_one = moment or next_one
        named = match.groupdict().get("weekday") is not None
        soon = next_one is not None and next_one - latest < HALF_A_YEAR
        return None if soon and not named else past


def plausible_age(age: float, skew: float = CLOCK_SKEW) -> float | None:
    """Return the age if a message can have it; one at most `skew` in the future counts as 0."""
    return max(age, 0.0) if -skew <= age <= MAX_AGE else None


def match_date(text: str) -> re.Match[str] | None:
    """Return the parts of a date with a time; the `zone` is None where it names none."""
    if len(text) > _DATE_LENGTH:
        return None
    text = text.strip()
    return next((m for pattern in _DATES if (m := pattern.fullmatch(text))), None)


def _moment(match: re.Match[str], year: int, zone: tzinfo) -> datetime | None:
    """Return a date in a year; None where that year has no such date."""
    month = int(match["month"]) if "month" in match.re.groupindex else 0
    month = month or _MONTHS[match["name"].lower()]
    clock = int(match["hour"]), int(match["minute"]), int(match["second"] or 0)
    try:
        return datetime(year, month, int(match["day"]), *clock, tzinfo=zone)
    except (ValueError, OverflowError):
        return None


def _is_weekday(match: re.Match[str], moment: datetime) -> bool:
    """Return whether a date's day of the week, if it has one, is that of `moment`.

    If not, the date is of another year: of one to come, by a clock that is days ahead.
    """
    named: str | None = match.groupdict().get("weekday")
    return named is None or named.lower() == _WEEKDAYS[moment.weekday()]


def _zone(text: str) -> tzinfo | None:
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    if offset >= timedelta(hours=24):
        return None
    return timezone(-offset if text[0] == "-" else offset)


# --- frozen ----------------------------------------------------------------------------------

FROZEN_WORDS = (
    *("frozen", "freeze", "hold", "held", "on hold", "on-hold", "onhold"),
    *("заморожено", "заморожен", "заморожена", "замороженное", "замороженные", "заморожені"),
    *("заморожене", "заморожений", "удержано", "удержание", "на удержании", "утримано"),
    *("冻结", "已冻结", "被冻结", "暂停", "保留"),
)
_NOT_FROZEN = (
    *("", "-", "—", "active", "deferred", "deferral", "queued", "incoming", "waiting", "pending"),
    *("normal", "in queue", "queue", "sending", "delivering", "retry", "maildrop", "not frozen"),
    *("в очереди", "очередь", "ожидает", "ожидание", "ожидает отправки", "активно", "активен"),
    *("отложено", "отложен", "отправляется", "обычное", "не заморожено", "не заморожен"),
    *("у черзі", "в черзі", "очікує", "очікування", "відкладено", "не заморожене"),
    *("队列中", "等待", "等待中", "正常", "活动", "延迟", "未冻结", "排队", "排队中"),
)
_FLAGS = {"1": True, "true": True, "yes": True, "y": True, "да": True, "так": True, "是": True}
_FLAGS |= {"0": False, "false": False, "no": False, "n": False, "нет": False, "ні": False}
_FLAGS |= {"否": False}
_STATES = dict.fromkeys(FROZEN_WORDS, True) | dict.fromkeys(_NOT_FROZEN, False)
_TAG = re.compile(r"</?[a-zA-Z][^<>@]{0,500}>")


def read_frozen(value: object, *, flag: bool) -> bool | None:
    """Return whether a status means frozen or on hold; None for a word that is not known.

    `flag`: the column is one for this alone (`frozen: 1`), so that a number or a yes says it.
    """
    if isinstance(value, bool):
        return value if flag else None
    if isinstance(value, int):
        return bool(value) if flag and value in (0, 1) else None
    if not isinstance(value, str) or len(value) > 1000:
        return None
    word = state_word(value)
    if not word and ("*" in value or "<" in value):
        return None  # half of Exim's mark; tags without a word, as of a picture
    state = _STATES.get(word)
    return _FLAGS.get(word) if state is None and flag else state


def state_word(value: object) -> str:
    """Return a status as it is looked up: small letters, without tags and stars."""
    text = value if isinstance(value, str) else str(value)
    text = _TAG.sub(" ", text) if "<" in text else text
    return " ".join(text.replace("*", " ").lower().split())


def combine_states(given: Sequence[tuple[object, bool]]) -> bool | None:
    """Return the state of one message by several columns, each a value and whether it is a flag.

    One that says frozen outweighs those that do not speak of it, as a message that is frozen
    may also be in an `active` queue. A flag that denies it makes that unsure, and so does a word
    that is not known beside others. Columns without a value count for nothing.
    """
    filled = [(value, flag) for value, flag in given if value is not None and value != ""]
    flags = [read_frozen(value, flag=True) for value, flag in filled if flag]
    words = [read_frozen(value, flag=False) for value, flag in filled if not flag]
    if True in flags:
        return True
    if True in words:
        return None if False in flags else True
    if None in flags or None in words:
        return None
    return False if filled or any(value == "" for value, _ in given) else None

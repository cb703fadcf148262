"""Whether an Alertmanager's silence matches some labels: pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from exporter.alertmanager.sanitize import one_line


class Matcher(msgspec.Struct, frozen=True, rename="camel"):
    """One matcher of a silence, as API v2 tells it."""

    name: str
    value: str
    is_regex: bool
    is_equal: bool = True
    """Alertmanager before 0.22 does not tell it."""


class SilenceStatus(msgspec.Struct, frozen=True):
    """Whether a silence counts."""

    state: Literal["active", "pending", "expired"]


class Silence(msgspec.Struct, frozen=True, rename="camel"):
    """A silence, as API v2 tells it."""

    id: str
    status: SilenceStatus
    matchers: tuple[Matcher, ...]
    created_by: str = ""
    comment: str = ""

    def __str__(self) -> str:
        """Its id, author and comment, as far as they fit in a line."""
        author = f" by {one_line(self.created_by, 40)}" if self.created_by else ""
        comment = f": {one_line(self.comment, 120)}" if self.comment else ""
        return f"silence {one_line(self.id, 40)}{author}{comment}"


class UnclearSilenceError(Exception):
    """Whether a silence matches cannot be told; the text says which one, and why."""


def matching(silences: Iterable[Silence], labels: Mapping[str, str]) -> Silence | None:
    """The first active silence of which every matcher matches; None when there is none.

    Raises:
        UnclearSilenceError: none surely matches, but one may.
    """
    unclear: UnclearSilenceError | None = None
    tries = _Tries()
    for silence in silences:
        if silence.status.state != "active":
            continue
        try:
            if _matches(silence, labels, tries):
                return silence
        except UnclearSilenceError as error:
            unclear = unclear or error
    if unclear is not None:
        raise unclear
    return None


def _matches(silence: Silence, labels: Mapping[str, str], tries: _Tries) -> bool:
    if not silence.matchers:
        raise UnclearSilenceError(f"{silence} has no matchers.")
    unclear = ""
    # Plain ones first: most silences are of something else, and that is told for nothing.
    for matcher in sorted(silence.matchers, key=lambda matcher: matcher.is_regex):
        value = labels.get(matcher.name, "")
        if not matcher.is_regex:
            same = value == matcher.value
        elif why := _unclear(matcher.value, value, tries):
            unclear = f"{silence} has a regular expression that {why}."
            continue
        else:
            same = re.fullmatch(matcher.value, value, re.ASCII) is not None
        if same is not matcher.is_equal:
            return False  # whatever the others say
    if unclear:
        raise UnclearSilenceError(unclear)
    return True


_MOST_WAYS = 10**6
"""Ways to try for all silences of one answer together: a second or so at worst."""

_WAYS_TO_COMPILE = 100
"""What making ready a regular expression takes as well, and five more for each character."""


@dataclass(slots=True)
class _Tries:
    left: float = _MOST_WAYS

    def take(self, ways: float) -> bool:
        """Whether so many are left; then they are taken."""
        if ways > self.left:
            return False
        self.left -= ways
        return True


def _unclear(pattern: str, value: str, tries: _Tries) -> str:
    """Why it cannot be told here whether a regular expression of Go matches; "" when it can.

    Alertmanager's expressions match in linear time, Python's may take for ever.
    """
    if "[:" in pattern or "{," in pattern:
        return "Python reads otherwise than Alertmanager"
    if "(?" in pattern.replace("(?:", "") and not (pattern.isascii() and value.isascii()):
        return "Python may read otherwise than Alertmanager"
    ways = _ways(pattern, len(value)) + 5 * len(pattern) + _WAYS_TO_COMPILE
    if re.search(r"\)[*+{]", pattern) or not tries.take(ways):
        return "is too intricate to be tried here, or one of too many"
    try:
        re.compile(pattern, re.ASCII)
    except (re.error, FutureWarning, OverflowError, RecursionError):
        return "Python does not understand"
    return ""


def _ways(pattern: str, length: int) -> float:
    """An upper bound on how often a matcher that goes back may try, no group being repeated."""
    repeats = len(re.findall(r"[*+?{]", pattern.replace("(?:", "")))
    groups, choices = pattern.count("("), pattern.count("|")
    if repeats > 50 or len(pattern) > 10_000:
        return math.inf
    branches = (choices + 1) * ((choices + groups) / max(groups, 1)) ** min(groups, 300)
    return math.comb(length + repeats, repeats) * branches

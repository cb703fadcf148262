"""Whether an Alertmanager's silences match some labels. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from exporter.alertmanager.sanitize import one_line


class Matcher(msgspec.Struct, frozen=True, rename="camel"):
    """One matcher of a silence, as in API v2."""

    name: str
    value: str
    is_regex: bool
    is_equal: bool = True
    """Absent before Alertmanager 0.22."""


class SilenceStatus(msgspec.Struct, frozen=True):
    """The status of a silence, as in API v2."""

    state: Literal["active", "pending", "expired"]


class Silence(msgspec.Struct, frozen=True, rename="camel"):
    """A silence, as in API v2."""

    id: str
    status: SilenceStatus
    matchers: tuple[Matcher, ...]
    created_by: str = ""
    comment: str = ""

    def __str__(self) -> str:
        """Return its id, author and comment, as far as they fit in a line."""
        author = f" by {one_line(self.created_by, 40)}" if self.created_by else ""
        comment = f": {one_line(self.comment, 120)}" if self.comment else ""
        return f"silence {one_line(self.id, 40)}{author}{comment}"


class UnclearSilenceError(Exception):
    """It cannot be decided whether a silence matches; the text names the silence and the reason."""


def matching(silences: Iterable[Silence], labels: Mapping[str, str]) -> Silence | None:
    """Return the first active silence whose matchers all match; None when there is none.

    Takes a second for ten thousand regular expressions: call it in a thread.

    Raises:
        UnclearSilenceError: no silence surely matches, but one may.
    """
    unclear: UnclearSilenceError | None = None
    for silence in silences:
        if silence.status.state != "active":
            continue
        try:
            if _matches(silence, labels):
                return silence
        except UnclearSilenceError as error:
            unclear = unclear or error
    if unclear is not None:
        raise unclear
    return None


def _matches(silence: Silence, labels: Mapping[str, str]) -> bool:
    if not silence.matchers:
        raise UnclearSilenceError(f"{silence} has no matchers.")
    unclear = ""
    # Plain matchers first: they rule out most silences at no cost.
    for matcher in sorted(silence.matchers, key=lambda matcher: matcher.is_regex):
        value = labels.get(matcher.name, "")
        if not matcher.is_regex:
            same = value == matcher.value
        elif why := _unclear(matcher.value, value):
            unclear = f"{silence} has a regular expression that {why}."
            continue
        else:
            same = re.fullmatch(matcher.value, value, re.ASCII) is not None
        if same is not matcher.is_equal:
            return False  # whatever the other matchers say
    if unclear:
        raise UnclearSilenceError(unclear)
    return True


_LONGEST = 10_000
"""Characters of a regular expression: the names of some hundreds of hosts."""

_MOST_CHOICES = 5
"""Repeats and groups in a regular expression; no group may be repeated. Alertmanager's RE2 takes
linear time, but Python's `re` backtracks over each of them, and keeps other threads waiting until
the match ends. Silences are the operator's own: this only keeps a slip from stopping the daemon."""

_CHOICE = re.compile(r"[*+{(]|(?<![(*+}])\?")
_REPEATED_GROUP = re.compile(r"\)[*+{]")


def _unclear(pattern: str, value: str) -> str:
    """Return why Python cannot decide whether an expression of Go's RE2 matches; "" if it can."""
    if "[:" in pattern or "{," in pattern:
        return "Python reads otherwise than Alertmanager"
    if "(?" in pattern.replace("(?:", "") and not (pattern.isascii() and value.isascii()):
        return "Python may read otherwise than Alertmanager"
    choices = len(_CHOICE.findall(pattern))
    if len(pattern) > _LONGEST or choices > _MOST_CHOICES or _REPEATED_GROUP.search(pattern):
        return "is too intricate to be tried here"
    try:
        re.compile(pattern, re.ASCII)
    except (re.error, FutureWarning, OverflowError, RecursionError):
        return "Python does not understand"
    return ""

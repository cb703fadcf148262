"""Which messages a selector means. Pure: the same for rules and for the commands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from typing import Any

from exporter.config.selectors import Selector
from exporter.humanize import duration, size
from exporter.snapshot import Message

Test = Callable[[Message], bool]

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_KIB, _MIB = 2**10, 2**20


@dataclass(frozen=True, slots=True)
class Selection:
    """What a selector means of a list."""

    chosen: list[Message]
    """The messages that are meant, the oldest first; those of unknown age come last."""
    withheld: Mapping[str, frozenset[str]]
    """By id, the messages that may be meant, where it is not known since these fields are only
    guessed."""
    untold: Mapping[str, int] = field(default_factory=dict)
    """By field, how many more messages may be meant, where the panel does not show it."""


def sift(messages: Iterable[Message], selector: Selector, *, guesses: bool = False) -> Selection:
    """Return what is meant, and what may be.

    A message is meant when every criterion is known for it and holds: what the panel does not
    show of a message is no reason to act on it, and nor is a guess. What is done to a
    message is done by its id, so a guessed one is never meant.

    Args:
        messages: the list.
        selector: which of them.
        guesses: whether guesses count as known: to show messages, never to act on them.
    """
    tests = _tests(selector)
    chosen: list[Message] = []
    withheld: dict[str, frozenset[str]] = {}
    untold: Counter[str] = Counter()
    needed = fields_of(selector)
    for message in messages:
        doubtful = message.guessed and not guesses and needed & message.guessed
        if not doubtful:
            if all(test(message) for _, test in tests):
                chosen.append(message)
            elif all(test(message) or getattr(message, name) is None for name, test in tests):
                untold.update({name for name, _ in tests if getattr(message, name) is None})
        elif all(test(message) for name, test in tests if name not in doubtful):
            withheld[message.id] = doubtful
    chosen.sort(key=lambda message: (message.age is None, -(message.age or 0.0), message.id))
    return Selection(
        chosen if selector.limit is None else chosen[: selector.limit], withheld, dict(untold)
    )


def select(
    messages: Iterable[Message], selector: Selector, *, guesses: bool = False
) -> list[Message]:
    """Return the messages that are meant, as `sift` has them."""
    return sift(messages, selector, guesses=guesses).chosen


def fields_of(selector: Selector) -> frozenset[str]:
    """Return the fields of a message that must be known for sure where a selector chooses it.

    Which messages are the oldest is known by their ages alone.
    """
    by_age = selector.limit is not None
    return frozenset({"id", *(name for name, _ in _tests(selector)), *(["age"] if by_age else [])})


def describe(selector: Selector) -> str:
    """Return the criteria in words, for a plan's reason: `frozen, bounce, older than 1d`."""
    parts = [
        name if value else f"not {name}"
        for name, value in (("frozen", selector.frozen), ("bounce", selector.bounce))
        if value is not None
    ]
    bounds: tuple[tuple[str, Any, Callable[[Any], str]], ...] = (
        ("older than", selector.older_than, duration),
        ("younger than", selector.younger_than, duration),
        ("sender", selector.sender, str),
        ("recipient", selector.recipient, str),
        ("larger than", selector.larger_than, size),
    )
    parts += [f"{name} {words(value)}" for name, value, words in bounds if value is not None]
    if selector.everything:
        parts.append("everything")
    if selector.limit is not None:
        parts.append("the oldest" if selector.limit == 1 else f"the {selector.limit} oldest")
    return ", ".join(parts)


def _tests(selector: Selector) -> list[tuple[str, Test]]:
    """Return a test for each criterion that is given, and the field that it looks at."""
    tests: list[tuple[str, Test]] = []
    frozen, bounce = selector.frozen, selector.bounce
    if frozen is not None:
        tests.append(("frozen", lambda m: m.frozen is frozen))
    if bounce is not None:
        tests.append(("sender", lambda m: m.bounce is bounce))
    older, younger, larger = selector.older_than, selector.younger_than, selector.larger_than
    if older is not None:
        tests.append(("age", lambda m: m.age is not None and age_bounds(m.age)[0] > older))
    if younger is not None:
        tests.append(
            (
                "age",
                lambda m: m.age is not None and m.age < younger and age_bounds(m.age)[1] <= younger,
            )
        )
    if larger is not None:
        tests.append(("size", lambda m: m.size is not None and _least_size(m.size) > larger))
    if selector.sender is not None:
        sender = _glob(selector.sender)
        # A bounce has no sender that a pattern could name: `bounce` is for these.
        tests.append(("sender", lambda m: bool(m.sender) and bool(sender.match(m.sender or ""))))
    if selector.recipient is not None:
        tests.append(("recipients", _recipient_test(_glob(selector.recipient))))
    return tests


def age_bounds(age: float) -> tuple[float, float]:
    """Return the least age, in seconds, that the console may show so, and the first it may not.

    Exim prints whole minutes up to 90, then hours up to 72, then days, these two rounded to the
    nearest: `2h` may be 91 minutes, and `4d` 83 hours and a half.
    """
    if age >= 3 * _DAY and age % _DAY == 0:
        least, most = age - _DAY / 2 - _HOUR / 2, age + _DAY / 2 - _HOUR / 2
        return max(least, 3 * _DAY - _HOUR / 2), most
    if age >= 2 * _HOUR and age % _HOUR == 0:
        return age - _HOUR / 2, age + _HOUR / 2
    return age, age + _MINUTE if age % _MINUTE == 0 else age


def _least_size(size: int) -> float:
    """Return the least size, in bytes, of a message that Exim may print with this one.

    It prints tenths of a KiB below 10 KiB, whole ones below 1 MiB, then the same in MiB, each
    rounded to the nearest (string_format_size): `2.9K` may be 2919 bytes.
    """
    unit = _KIB if size <= _MIB else _MIB
    if unit <= size <= 10 * unit and size == round(round(10 * size / unit) * unit / 10):
        return size - unit / 20 - 0.5
    return size - unit / 2 if size > 10 * unit and size % unit == 0 else size


def _recipient_test(pattern: re.Pattern[str]) -> Test:
    """Demand that all waiting recipients match: what is done to a message is done to all."""

    def test(message: Message) -> bool:
        waiting = message.recipients
        return bool(waiting) and all(pattern.match(address) for address in waiting or ())

    return test


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern), re.IGNORECASE)

"""Which messages a selector means. Pure: the same for rules and for the commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import lru_cache

from exporter.config.selectors import Selector
from exporter.snapshot import Message
from exporter.text import duration, size

Test = Callable[[Message], bool]

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_KIB, _MIB = 2**10, 2**20


def select(messages: Iterable[Message], selector: Selector) -> list[Message]:
    """The messages that are meant, the oldest first; those of unknown age come last.

    A message is meant when every criterion is known for it and holds: what the panel did not
    tell of a message never speaks for acting on it.
    """
    tests = _tests(selector)
    chosen = [message for message in messages if all(test(message) for test in tests)]
    chosen.sort(key=lambda message: (message.age is None, -(message.age or 0.0), message.id))
    return chosen if selector.limit is None else chosen[: selector.limit]


def describe(selector: Selector) -> str:
    """The criteria in words, for a plan's reason: `frozen, bounce, older than 1d`."""
    parts = [
        name if value else f"not {name}"
        for name, value in (("frozen", selector.frozen), ("bounce", selector.bounce))
        if value is not None
    ]
    if selector.older_than is not None:
        parts.append(f"older than {duration(selector.older_than)}")
    if selector.younger_than is not None:
        parts.append(f"younger than {duration(selector.younger_than)}")
    if selector.sender is not None:
        parts.append(f"sender {selector.sender}")
    if selector.recipient is not None:
        parts.append(f"recipient {selector.recipient}")
    if selector.larger_than is not None:
        parts.append(f"larger than {size(selector.larger_than)}")
    if selector.everything:
        parts.append("everything")
    if selector.limit is not None:
        parts.append("the oldest" if selector.limit == 1 else f"the {selector.limit} oldest")
    return ", ".join(parts)


def _tests(selector: Selector) -> list[Test]:
    """One test for each criterion that is given."""
    tests: list[Test] = []
    frozen, bounce = selector.frozen, selector.bounce
    if frozen is not None:
        tests.append(lambda message: message.frozen is frozen)
    if bounce is not None:
        tests.append(lambda message: message.bounce is bounce)
    older, younger, larger = selector.older_than, selector.younger_than, selector.larger_than
    if older is not None:
        tests.append(lambda message: message.age is not None and _least(message.age) > older)
    if younger is not None:
        tests.append(
            lambda message: (
                message.age is not None and message.age < younger and _most(message.age) <= younger
            )
        )
    if larger is not None:
        tests.append(
            lambda message: message.size is not None and _least_size(message.size) > larger
        )
    if selector.sender is not None:
        tests.append(_sender_test(_glob(selector.sender)))
    if selector.recipient is not None:
        tests.append(_recipient_test(_glob(selector.recipient)))
    return tests


def _least(age: float) -> float:
    """The least age, in seconds, of a message of which the console may have told this one.

    Exim prints whole minutes up to 90, then hours up to 72, then days, these two rounded to the
    nearest: `2h` may be 91 minutes, and `4d` 83 hours and a half.
    """
    if age >= 3 * _DAY and age % _DAY == 0:
        return max(age - _DAY / 2 - _HOUR / 2, 3 * _DAY - _HOUR / 2)
    return age - _HOUR / 2 if age >= 2 * _HOUR and age % _HOUR == 0 else age


def _most(age: float) -> float:
    """The age, in seconds, of which such a message may be just short."""
    if age >= 3 * _DAY and age % _DAY == 0:
        return age + _DAY / 2 - _HOUR / 2
    if age >= 2 * _HOUR and age % _HOUR == 0:
        return age + _HOUR / 2
    return age + _MINUTE if age % _MINUTE == 0 else age


def _least_size(size: int) -> float:
    """The least size, in bytes, of a message of which Exim may have printed this one.

    It prints tenths of a KiB below 10 KiB, whole ones below 1 MiB, then the same in MiB, each
    rounded to the nearest (string_format_size): `2.9K` may be 2919 bytes.
    """
    unit = _KIB if size <= _MIB else _MIB
    if unit <= size <= 10 * unit and size == round(round(10 * size / unit) * unit / 10):
        return size - unit / 20 - 0.5
    return size - unit / 2 if size > 10 * unit and size % unit == 0 else size


def _sender_test(pattern: re.Pattern[str]) -> Test:
    # A bounce has no sender that a pattern could name: `bounce` is for these.
    return lambda message: bool(message.sender) and pattern.match(message.sender or "") is not None


def _recipient_test(pattern: re.Pattern[str]) -> Test:
    """All who still wait must match: whatever is done to a message is done to all of them."""

    def test(message: Message) -> bool:
        waiting = message.recipients
        return bool(waiting) and all(pattern.match(address) for address in waiting or ())

    return test


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern), re.IGNORECASE)

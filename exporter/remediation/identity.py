"""Whether two sightings of one queue id are of one message. Pure.

Postfix makes its short ids of the inode and uses them again once a message has gone: a message is
its id together with its sender, its size and the time of its arrival. What either sighting does
not show contradicts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from exporter.remediation.selection import age_bounds
from exporter.snapshot import Message

ARRIVAL_SLACK = 60.0
"""Seconds by which two sightings may show another time of arrival: a panel works its ages out at
some time between our question and its answer, and some show whole minutes only."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Messages as one list showed them."""

    at: float = 0.0
    """Unix time of the list."""
    messages: Mapping[str, Message] = field(default_factory=dict)
    """By id."""

    def holds(self, message: Message, at: float) -> bool:
        """Return whether a message of a list of Unix time `at` is one of these."""
        seen = self.messages.get(message.id)
        return (
            seen is not None
            and not other_message(seen, self.at, message, at)
            and not lost_sight(seen, message)
        )


def other_message(before: Message, then: float, after: Message, now: float) -> str:
    """Return why a message seen at Unix time `now` is not the one of `then`; "" when it can be."""
    if before.id != after.id:
        return "It has another id."
    if None not in {before.sender, after.sender} and before.sender != after.sender:
        return "It has another sender than before."
    if None not in {before.size, after.size} and before.size != after.size:
        return "It has another size than before."
    if before.age is not None and after.age is not None:
        first, last = _arrival(before.age, then)
        from_, to = _arrival(after.age, now)
        if from_ > last + ARRIVAL_SLACK or to < first - ARRIVAL_SLACK:
            return "It arrived at another time than the one before."
    return ""


def without_guesses(message: Message) -> Message:
    """Return the message without what is only guessed of it."""
    unknown: dict[str, Any] = dict.fromkeys(message.guessed & {"age", "size", "sender", "frozen"})
    return replace(message, **unknown) if unknown else message


def lost_sight(before: Message, after: Message) -> str:
    """Return why it is not known any more whether a message is the same; "" when it can.

    What made it this message and no other must still be shown of it, or nothing is done to it.
    """
    known = {name for name in ("sender", "size", "age") if getattr(before, name) is not None}
    missing = sorted(name for name in known if getattr(after, name) is None)
    return f"It does not show its {' and '.join(missing)} any more." if missing else ""


def change_of(before: Message, then: float, after: Message, now: float) -> str:
    """Return why a message is another one or in another state; "" when it can be the same."""
    other = other_message(before, then, after, now) or lost_sight(before, after)
    if other or None in {before.frozen, after.frozen} or before.frozen is after.frozen:
        return other
    return "It has frozen meanwhile." if after.frozen else "It was thawed meanwhile."


def _arrival(age: float, at: float) -> tuple[float, float]:
    """Return the first and last Unix time at which a message of an age at `at` can have come."""
    least, most = age_bounds(age)
    return at - most, at - least

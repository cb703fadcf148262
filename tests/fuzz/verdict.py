"""Holds what was decoded against the truth: right or unknown, never wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from exporter.config.selectors import Selector
from exporter.panel.decode import MessageTable
from exporter.remediation.selection import select
from exporter.snapshot import Message, QueueStats
from exporter.standin.console import exim_age
from tests.fuzz.shown import Shown
from tests.fuzz.truth import Letter

FIELDS = ("age", "size", "sender", "recipients", "delivered", "frozen")


class Wrong(NamedTuple):
    """Something that was decoded and is not so."""

    what: str
    """The field or figure."""
    sentence: str
    guessed: bool = False
    """It was marked as a guess."""


def wrongs(shown: Shown, table: MessageTable, stats: QueueStats) -> Iterator[Wrong]:
    """All that is wrong about a decoded list."""
    truth = {letter.id: letter for letter in shown.letters}
    messages = [*table.messages()]
    for message in messages:
        letter = truth.get(message.id)
        if letter is None:
            if not (shown.without_id or shown.cut):
                yield Wrong("id", f"no message has the id {message.id}", "id" in message.guessed)
        elif message.id in shown.contradicted:
            if (message.size, message.sender, message.recipients) != (None, None, None):
                yield Wrong("contradiction", f"one row's word is believed: {message}")
        elif message.id not in shown.cut:
            yield from _message(message, letter, shown.exact)
    if shown.separable and not shown.cut and table.listed > len(shown.letters):
        yield Wrong("listed", f"{table.listed} listed of {len(shown.letters)} messages")
    yield from _figures(messages, table, stats)
    if not shown.cut:
        yield from _selected(messages, truth)


def _message(message: Message, letter: Letter, exact: frozenset[str]) -> Iterator[Wrong]:
    for name in FIELDS:
        decoded = getattr(message, name)
        if decoded is None or (name == "delivered" and not decoded):
            continue
        if not letter.readable or not _is_right(name, decoded, letter, exact):
            right = None if not letter.readable else getattr(letter, name)
            read_as = "recipients" if name == "delivered" else name
            guessed = not message.guessed.isdisjoint({"id", read_as})
            yield Wrong(name, f"{letter.id}: {name} {decoded!r}, in truth {right!r}", guessed)


def _is_right(name: str, decoded: object, letter: Letter, exact: frozenset[str]) -> bool:
    right = getattr(letter, name)
    if name == "recipients":
        assert isinstance(decoded, tuple)
        return sorted(decoded) == sorted(right)
    if name == "delivered":
        assert isinstance(decoded, tuple)
        return {*decoded} <= {*right, *letter.generated}
    if decoded == right:
        return True
    if name in exact or name not in ("age", "size"):
        return False
    if name == "age":
        return decoded == _seconds(exim_age(letter.age))
    assert isinstance(decoded, int)
    return abs(decoded - letter.size) <= _precision(letter.size)


def _seconds(age: str) -> int:
    """What an age of Exim's says."""
    return int(age[:-1]) * {"m": 60, "h": 3600, "d": 86400}[age[-1]]


def _precision(size: int) -> float:
    """Bytes by which a size may differ from what Exim prints of it."""
    for unit in (2**10, 2**20):
        if size < 10 * unit:
            return 0.05 * unit + 1
        if size < 1024 * unit:
            break
    return unit / 2 + 1


def _figures(
    messages: Sequence[Message], table: MessageTable, stats: QueueStats
) -> Iterator[Wrong]:
    """The figures are those of what is decoded."""
    figures: dict[str, tuple[object, object]] = {
        "listed": (stats.listed, table.listed),
        "unparsed": (stats.unparsed, table.unparsed),
        "frozen": (stats.frozen, sum(m.frozen is True for m in messages)),
        "bounces": (stats.bounces, sum(m.sender == "" for m in messages)),
        "size_bytes": (stats.size_bytes, sum(m.size or 0 for m in messages)),
        "oldest_age": (stats.oldest_age, max((m.age or 0.0 for m in messages), default=0.0)),
    }
    for name, (decoded, right) in figures.items():
        if decoded is not None and decoded != right:
            yield Wrong(f"figure {name}", f"{name} {decoded!r}, of what is told {right!r}")


SELECTORS = tuple(
    Selector.model_validate(criteria)
    for criteria in (
        {"frozen": True},
        {"frozen": False},
        {"bounce": True},
        {"bounce": False},
        {"older_than": "1d"},
        {"older_than": "90m"},
        {"older_than": "2h"},
        {"older_than": "4d"},
        {"younger_than": "1h"},
        {"younger_than": "3h"},
        {"younger_than": "5d"},
        {"sender": "*@example.org"},
        {"sender": "bob*"},
        {"sender": "frozen@*"},
        {"recipient": "*@example.net"},
        {"recipient": "alice*"},
        {"larger_than": "10KiB"},
        {"larger_than": "1KiB"},
        {"larger_than": "2969B"},
        {"frozen": True, "bounce": True, "older_than": "1d"},
    )
)


_FIELD_OF = {
    "frozen": "frozen",
    "bounce": "sender",
    "older_than": "age",
    "younger_than": "age",
    "sender": "sender",
    "recipient": "recipients",
    "larger_than": "size",
}


def _selected(messages: Sequence[Message], truth: Mapping[str, Letter]) -> Iterator[Wrong]:
    """No selector chooses what it would not choose of the truth."""
    for selector in SELECTORS:
        for message in select(messages, selector):
            letter = truth.get(message.id)
            if letter is not None and not (letter.readable and _means(selector, letter)):
                criteria = selector.model_dump(exclude_defaults=True)
                # Who acts on what is selected refuses what is chosen by a guess.
                guessed = not message.guessed.isdisjoint({"id", *map(_FIELD_OF.get, criteria)})
                yield Wrong("selected", f"{criteria} chooses {letter.id}", guessed)


def _means(selector: Selector, letter: Letter) -> bool:
    """Whether the selector means the message as it is."""
    as_decoded = Message(
        letter.id,
        letter.age + 0.5,  # never a whole unit: what is known exactly has no rounding
        letter.size,
        letter.sender,
        letter.recipients,
        letter.delivered,
        letter.frozen,
    )
    return bool(select([as_decoded], selector))


def projection(found: Sequence[Wrong]) -> Counter[str]:
    """How often each thing was wrong."""
    return Counter(wrong.what for wrong in found)

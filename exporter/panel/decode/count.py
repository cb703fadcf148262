"""count_msg: the number of messages, wherever the panel put it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from exporter.panel.decode.envelope import PAYLOAD_KEYS, Reply, quote, unexpected

MAX_COUNT = 10**9
"""More messages than this no queue holds: such a number is something else."""

_MAX_DEPTH = 4
_NAMES = ("count", "count_msg", "total", "number", "messages", "num", "quantity", "количество")
_NUMBER = re.compile(r"(?<![\w.,:-])[+-]?\d{1,18}(?![\w.,:-]*\w)", re.ASCII)
_AT_END = re.compile(r"[:=：]\s*([+-]?\d{1,18})\s*[.!]?\s*\Z", re.ASCII)


def decode_count(reply: Reply) -> int:
    """How many messages the queue holds.

    The number is looked for in the payload, in further members that may hold it, and at the
    end of the text after a colon; a text inside the payload may hold it anywhere if it is the
    only number there.

    Raises:
        PanelError: `unexpected` when there is no number, when several disagree, or when it
            cannot be a count.
    """
    found = set(_in_value(reply.payload, _MAX_DEPTH))
    for key, value in reply.others.items():
        if key in _NAMES or key in PAYLOAD_KEYS:
            found |= set(_in_value(value, _MAX_DEPTH))
    at_end = _AT_END.search(reply.text[-100:])
    if at_end:
        found.add(int(at_end[1]))
    if len(found) > 1:
        numbers = ", ".join(str(number) for number in sorted(found)[:5])
        raise unexpected(
            f"The reply to {reply.operation.value} holds numbers that disagree: {numbers}."
            f"{quote(reply.text)}"
        )
    if not found:
        raise unexpected(
            f"The reply to {reply.operation.value} holds no number.{quote(reply.text)}"
        )
    count = found.pop()
    if not 0 <= count <= MAX_COUNT:
        raise unexpected(f"The number in the reply to {reply.operation.value} is no count: {count}")
    return count


def _in_value(value: object, depth: int) -> Iterator[int]:
    """The numbers that a value gives for the count; nothing where it is ambiguous."""
    if isinstance(value, bool) or value is None or depth == 0:
        return
    if isinstance(value, int):
        yield value
    elif isinstance(value, float) and value.is_integer():
        yield int(value)
    elif isinstance(value, str):
        yield from _in_text(value)
    elif isinstance(value, list) and len(value) == 1:
        yield from _in_value(value[0], depth - 1)
    elif isinstance(value, dict):
        yield from _in_mapping(value, depth)


def _in_mapping(value: dict[str, object], depth: int) -> Iterator[int]:
    named = [v for k, v in value.items() if k.strip().lower() in (*_NAMES, *PAYLOAD_KEYS)]
    if named:
        for inner in named:
            yield from _in_value(inner, depth - 1)
    elif len(value) == 1:
        yield from _in_value(next(iter(value.values())), depth - 1)


def _in_text(text: str) -> Iterator[int]:
    text = text[-1000:]
    at_end = _AT_END.search(text)
    if at_end:
        yield int(at_end[1])
        return
    numbers = _NUMBER.findall(text)
    if len(numbers) == 1:
        yield int(numbers[0])

"""Messages of a queue as lines for the terminal: one each, whatever their addresses hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import click
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from exporter.cli.terminal import plural, printable, width_of
from exporter.humanize import duration, integer, size
from exporter.snapshot import Message

SHOWN = 20
"""Messages of a plan that are shown unless all are asked for."""

_HEAD = ("ID", "AGE", "SIZE", "F", "SENDER", "RECIPIENT")
_HEADED = ("id", "age", "size", "frozen", "sender", "recipients")
"""The fields of a message below each."""
_FROZEN = {True: "F", False: "", None: "?"}

Row = tuple[str, str, str, str, str, str, str]
"""Id, age, size, mark, sender, first recipient, and how many more recipients there are."""


def message_lines(messages: Sequence[Message], width: int) -> Iterator[str]:
    """Yield a heading and a line for each message; nothing for no messages.

    A column that is only guessed for any message has a heading that ends with `?`.

    Not with rich, which takes a minute for a queue of 100,000.
    """
    if not messages:
        return
    guessed = frozenset[str]().union(*{message.guessed for message in messages})
    head = [title + "?" * (name in guessed) for title, name in zip(_HEAD, _HEADED, strict=True)]
    rows: list[Row] = [(*head, ""), *map(_row, messages)]  # type: ignore[list-item]  # six titles
    ids, ages, sizes, marks = (max(len(row[column]) for row in rows) for column in range(4))
    rest = width - (ids + ages + sizes + marks + len("          "))
    # Each of the two columns gets what the other does not need.
    recipients = max(cell_len(row[5]) + len(row[6]) for row in rows)
    senders = min(max(cell_len(row[4]) for row in rows), max(rest // 2, rest - recipients))
    for id_, age, size_, mark, sender, recipient, more in rows:
        to = _cut(recipient, rest - senders - len(more)) + more
        sent_by = set_cell_size(_cut(sender, senders), senders)
        start = f"{id_:{ids}}  {age:>{ages}}  {size_:>{sizes}}  {mark:{marks}}"
        yield f"{start}  {sent_by}  {to}".rstrip()


def _row(message: Message) -> Row:
    waiting = message.recipients
    return (
        message.id,
        "-" if message.age is None else duration(message.age),
        "-" if message.size is None else size(message.size),
        _FROZEN[message.frozen],
        "-" if message.sender is None else printable(message.sender) or "<>",
        "-" if waiting is None else printable(waiting[0]) if waiting else "(nobody waits)",
        f" +{len(waiting) - 1}" if waiting and len(waiting) > 1 else "",
    )


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


def echo_messages(
    messages: Sequence[Message], out: Console, *, most: int | None = None, indent: str = ""
) -> None:
    """Print messages, at most `most`, and how many more there are."""
    shown = messages if most is None or len(messages) <= most else messages[:most]
    for line in message_lines(shown, width_of(out) - len(indent)):
        click.echo(indent + line, file=out.file)
    if len(shown) < len(messages):
        rest = integer(len(messages) - len(shown))
        click.echo(f"{indent}and {rest} more; --all shows them.", file=out.file)


def totals(messages: Sequence[Message]) -> str:
    """Return `12 messages, 3 frozen, 5 bounces, 40.2 KiB, the oldest 3d 4h`."""
    parts = [plural(len(messages), "message")]
    parts += _counted((message.frozen for message in messages), "frozen", "frozen")
    parts += _counted((message.bounce for message in messages), "bounce", "bounces")
    sizes = [message.size for message in messages if message.size is not None]
    if sizes:
        parts.append(("at least " if len(sizes) < len(messages) else "") + size(sum(sizes)))
    ages = [message.age for message in messages if message.age is not None]
    if ages:
        parts.append(f"the oldest {duration(max(ages))}")
    return ", ".join(parts)


def _counted(values: Iterable[bool | None], one: str, many: str) -> list[str]:
    known = list(values)
    unknown = known.count(None)
    if unknown == len(known):
        return []
    count = known.count(True)
    note = f" (unknown of {integer(unknown)})" if unknown else ""
    return [f"{integer(count)} {one if count == 1 else many}{note}"]

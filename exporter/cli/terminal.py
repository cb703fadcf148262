"""The terminal: streams, widths, sentences, tables, JSON, progress and questions."""

from __future__ import annotations

import asyncio
import json
import sys
import termios
import textwrap
import time
from contextlib import suppress
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from exporter.humanize import integer

WIDTH = 80
"""Columns where the output is no terminal, and of a terminal at least."""


def console() -> Console:
    """Return standard output; colours only on a terminal, 80 columns when it is none."""
    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 80)


def errors() -> Console:
    """Return standard error."""
    return Console(stderr=True, highlight=False)


def width_of(out: Console) -> int:
    """Return the columns that a table may take."""
    return max(out.width, WIDTH) if out.is_terminal else WIDTH


def say(
    text: str, out: Console | None = None, indent: str = "", *, break_words: bool = False
) -> None:
    """Print sentences within the width of the terminal; by default on standard output.

    Words that are longer than a line stay whole, to be copied, unless `break_words` is set.
    """
    out = out or console()
    # A terminal that is narrower than a table would break lines in the middle of words.
    width = out.width if out.is_terminal else WIDTH
    width = max(1, width - len(indent))
    for line in textwrap.wrap(text, width, break_long_words=break_words, break_on_hyphens=False):
        click.echo(indent + printable(line), file=out.file)


def printable(text: str) -> str:
    """Return the text without what would steer the terminal: anybody may write an address."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


def plural(count: int, noun: str) -> str:
    """Return `1 message`, `1,240 messages`."""
    return f"{integer(count)} {noun}{'' if count == 1 else 's'}"


def local_time(at: float) -> str:
    """Return Unix time by this machine's clock."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def zone_note() -> str:
    """Return the sentence that names the time zone of `local_time`."""
    now = time.localtime()
    offset = time.strftime("%z", now)
    return f"Times are local: {now.tm_zone}, {offset[:3]}:{offset[3:]}."


def table(*, head: bool = True) -> Table:
    """Return a table without lines between its cells."""
    return Table(box=None, show_header=head, pad_edge=False, header_style="bold")


def progress_bar(words: str, total: int) -> Progress:
    """Return a bar on standard error that vanishes at the end; not shown if that is no terminal."""
    bar = Progress(
        *(TextColumn(words), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()),
        console=errors(),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    bar.add_task("", total=total)
    return bar


def print_json(value: Any) -> None:
    """Print `value` as indented JSON.

    What would steer the terminal, or cannot be encoded, is escaped: anybody may write an address.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if not text.replace("\n", "").isprintable():
        text = "".join(c if c == "\n" or c.isprintable() else _escaped(c) for c in text)
    click.echo(text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


# --- questions ----------------------------------------------------------------------------------


def need_a_terminal(*, yes: bool) -> None:
    """End the command when nobody can be asked and nobody has said yes beforehand.

    Raises:
        click.ClickException: there is no terminal, and no yes.
    """
    if not yes and not sys.stdin.isatty():
        raise click.ClickException(
            "There is no terminal to ask on, so that nothing was done. "
            "Say --yes to do it without being asked."
        )


async def ask(question: str) -> bool:
    """Ask on standard error, while tasks go on; return whether the answer is yes.

    To cancel it ends the question.
    """
    with suppress(OSError, termios.error):  # it is no terminal
        # A yes must come after what it confirms was seen.
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    click.echo(f"{question} [y/N] ", nl=False, err=True)
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    # Not in a thread, which Ctrl-C could not end, nor here: connections would go stale unseen.
    loop.add_reader(sys.stdin.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        click.echo(err=True)
    return answer.strip().lower() in {"y", "yes"}

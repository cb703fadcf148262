"""`journal`: what was done, its actor, its reason and its outcome."""

from __future__ import annotations

import math
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from exporter.cli.arguments import choose_hosts, config_option, format_option, load_or_exit
from exporter.cli.manual_action import SHORT_RUN
from exporter.cli.message_table import echo_messages
from exporter.cli.terminal import console, local_time, print_json, printable, width_of, zone_note
from exporter.config.models import Config
from exporter.config.units import parse_duration
from exporter.humanize import duration, integer
from exporter.journal import Entry, Journal, JournalError, JournalMissingError, Kind
from exporter.journal.records import ReplyRecord
from exporter.journal.view import entry_view, messages_view

DEFAULT_SINCE = "24h"

LONGEST_REPLY = 150
"""Characters of a reply that are shown among other entries; --run shows all."""

WITH_MESSAGES = (Kind.INTENT, Kind.APPROVAL_REQUESTED)
"""Kinds of entries with a list of messages."""


def since_seconds(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Return `24h` as seconds."""
    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command
@config_option
@click.option("--host", metavar="HOST", help="Of this host only.")
@click.option("--rule", metavar="RULE", help="Of this rule only.")
@click.option(
    "--since",
    metavar="TIME",
    callback=since_seconds,
    help=f"How far back, as 7d; {DEFAULT_SINCE} when not given, with --run all of it.",
)
@click.option("--run", metavar="RUN", help="Of one run only, every reply; its first 8 digits do.")
@click.option("--messages", is_flag=True, help="Show the messages of each plan, too.")
@format_option
def journal(
    config_file: Path,
    host: str | None,
    rule: str | None,
    since: float | None,
    run: str | None,
    *,
    as_json: bool,
    messages: bool,
) -> None:
    """Show what rules and people have done, why, and how it ended.

    Reads the file while the daemon writes it, and works without a daemon. The panel's replies
    to single messages are counted; --run or --format json show each.

    \b
    brainycp-exporter journal --config F
    brainycp-exporter journal --host mx1 --since 7d --messages --config F
    brainycp-exporter journal --run 3fa9b2c1 --config F
    """  # noqa: D301 - click's mark before lines that stay as they are
    config = load_or_exit(config_file).config
    try:
        with closing(Journal.open_to_read(config.state.path)) as book:
            run = None if run is None else whole_run(book, run)
            if since is None and run is None:
                since = parse_duration(DEFAULT_SINCE)
            begin = 0.0 if since is None else time.time() - since
            entries = book.entries(host=host, rule=rule, run=run, since=begin)
            with_plan = [entry for entry in entries if messages and entry.kind in WITH_MESSAGES]
            plans = {entry.id: book.messages(entry.id) for entry in with_plan}
            if as_json:
                print_json([_view(entry, plans) for entry in entries])
            elif entries:
                _print(entries, plans, console(), fold=run is None)
            else:
                click.echo(_nothing(book, config, host, rule, since))
    except JournalMissingError as error:
        if as_json:
            print_json([])
        click.echo(f"{error} Nothing was done, or it was moved away.", err=as_json)
    except JournalError as error:
        raise click.ClickException(str(error)) from None


def whole_run(book: Journal, beginning: str) -> str:
    """Return the run with a number that begins so.

    Raises:
        click.ClickException: there is none, or more than one.
        JournalError: the journal cannot be read.
    """
    # Every run has one of these; there are many more replies.
    entries = book.entries(kinds=[Kind.INTENT, Kind.APPROVAL_REQUESTED])
    found = list(dict.fromkeys(e.run for e in entries if beginning and e.run.startswith(beginning)))
    if not found:
        raise click.ClickException(f"There is no run {beginning!r} in the journal.")
    if len(found) > 1:
        several = ", ".join(found[:5])
        raise click.ClickException(f"{beginning!r} is the beginning of several runs: {several}.")
    return found[0]


def _view(entry: Entry, plans: dict[int, Any]) -> dict[str, Any]:
    plan = {"messages": messages_view(plans[entry.id])} if entry.id in plans else {}
    return entry_view(entry) | plan


def _nothing(
    book: Journal, config: Config, host: str | None, rule: str | None, since: float | None
) -> str:
    """Return what to print when there is no entry: with the age of an earlier one."""
    if host is not None and not book.entries(host=host, newest=1):
        choose_hosts(config, (host,))  # a name that was never anywhere is a mistake
    of = "".join(f" of {what} {name}" for what, name in (("host", host), ("rule", rule)) if name)
    earlier = book.entries(host=host, rule=rule, newest=1)
    if not earlier or since is None:
        return f"Nothing{of} in the journal."
    age = time.time() - earlier[0].at
    return (
        f"Nothing{of} within the last {duration(since)}. The last entry is {duration(age)} old; "
        f"--since {math.ceil(age / 86400)}d shows it."
    )


# --- the table ----------------------------------------------------------------------------------


def _print(entries: Sequence[Entry], plans: dict[int, Any], out: Console, *, fold: bool) -> None:
    width = width_of(out)
    rows = list(_folded(entries)) if fold else list(entries)
    hosts, actors = (max(len(of(entry)) for entry in rows) for of in (_host, _actor))
    click.echo(f"{zone_note()}\n")
    for entry in rows:
        head = f"{local_time(entry.at)}  {_host(entry):{hosts}}  {_actor(entry):{actors}}"
        for line in _wrapped(f"{head}  {_what(entry)}", width, indent=""):
            click.echo(line)
        for line in _wrapped(_text(entry), width, indent="    "):
            click.echo(line)
        echo_messages(plans.get(entry.id, ()), out, indent="    ")


def _folded(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yield the entries, with the replies of a run as one, in the place of the first of them."""
    replies: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.kind is Kind.REPLY:
            replies.setdefault(entry.run, []).append(entry)
    for entry in entries:
        if entry.kind is not Kind.REPLY:
            yield entry
            continue
        of_run = replies[entry.run]
        if len(of_run) == 1:
            # The reply to one request for all messages names each of them.
            yield replace(entry, text=textwrap.shorten(entry.text, LONGEST_REPLY, placeholder="…"))
        elif entry is of_run[0]:
            counts = Counter(reply.outcome for reply in of_run)
            summary = ", ".join(f"{integer(count)} {what}" for what, count in counts.most_common())
            text = f"{integer(len(of_run))} replies: {summary}."
            yield replace(entry, outcome="", text=text, detail={}, at=of_run[-1].at)


def _host(entry: Entry) -> str:
    return entry.host or "(all)"


def _actor(entry: Entry) -> str:
    """Return the rule and its requester, or the person of an action by hand."""
    if not entry.rule:
        return printable(entry.actor) or "-"
    return entry.rule if entry.actor in {"", "rule"} else f"{entry.rule} ({printable(entry.actor)})"


def _what(entry: Entry) -> str:
    words = entry.kind.value.replace("_", " ")
    if entry.kind is Kind.INTENT and entry.mode == "dry_run":
        words += " (dry run)"
    return "  ".join(filter(None, (f"{words} {entry.outcome}".strip(), entry.run[:SHORT_RUN])))


def _text(entry: Entry) -> str:
    message_id = ReplyRecord.of(entry).id
    text = " ".join(entry.text.split())
    return f"{message_id}: {text}" if message_id else text


def _wrapped(text: str, width: int, *, indent: str) -> list[str]:
    return textwrap.wrap(
        printable(text),
        width,
        initial_indent=indent,
        subsequent_indent=indent or "    ",
        break_on_hyphens=False,
    )

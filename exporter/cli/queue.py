"""`queue`: the panel's operations on its mail queue, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from exporter.cli.arguments import (
    acting_options,
    config_option,
    format_option,
    host_argument,
    the_host,
)
from exporter.cli.manual_action import notes_on, run_manual_action
from exporter.cli.message_table import echo_messages, totals
from exporter.cli.selectors import Chosen, selector_options
from exporter.cli.session import ask_host
from exporter.cli.terminal import console, print_json, say
from exporter.config.selectors import ALL_FROZEN_MAIL, EVERYTHING
from exporter.humanize import guess_words, integer
from exporter.journal.view import messages_view
from exporter.remediation.listing import ask_count
from exporter.remediation.manual import preview_of
from exporter.remediation.plan import ActionSpec
from exporter.snapshot import in_order


@click.group
def queue() -> None:
    """Look at a host's mail queue and act on it, by hand and without the daemon.

    \b
    brainycp-exporter queue count mx1 --config F
    brainycp-exporter queue list mx1 --frozen --older-than 1d --config F
    brainycp-exporter queue delete mx1 --frozen --bounce --config F

    What acts shows first what it would do, and asks. Everything is written into the journal,
    as the daemon does, and no two act on one host at once: while it asks, no rule does. The panel
    is asked to act on each message by its id, where not said otherwise; afterwards the queue is
    listed again to see what came of it.
    """  # noqa: D301 - click's mark before lines that stay as they are


@queue.command("count")
@host_argument
@config_option
@format_option
def count(name: str, config_file: Path, *, as_json: bool) -> None:
    """Print how many messages wait in a host's queue.

    \b
    brainycp-exporter queue count mx1 --config F
    """  # noqa: D301
    config, host = the_host(config_file, name)
    messages = ask_host(config, host, lambda context: ask_count(context.client))
    if as_json:
        print_json({"host": host.name, "messages": messages})
    else:
        click.echo(messages)


@queue.command("list")
@host_argument
@selector_options(none_is_all=True)
@config_option
@format_option
def list_(name: str, chosen: Chosen, config_file: Path, *, as_json: bool) -> None:
    """List the messages of a host's queue.

    The oldest first; without a selector all of them.

    \b
    brainycp-exporter queue list mx1 --config F
    brainycp-exporter queue list mx1 --sender "*@opened.example.com" --config F

    F marks frozen mail, ? that the panel does not tell, <> the sender of a bounce; +2 stands
    for two more recipients that wait. A column whose heading ends with ? is only guessed, of one
    message at least, and nothing acts on it: `diagnose` says how to confirm it.
    """  # noqa: D301
    config, host = the_host(config_file, name)
    # The action makes no difference: this one takes any selector.
    spec = ActionSpec("retry", chosen.selector)
    preview = ask_host(
        config, host, lambda context: preview_of(context, spec, chosen.only, guesses=True)
    )
    listing, messages = preview.listing, preview.plan.messages
    guessed = frozenset[str]().union(*{message.guessed for message in messages})
    assert listing is not None  # noqa: S101 - made for messages
    if as_json:
        doubt = {"guessed": list(in_order(guessed))} if guessed else {}
        print_json(
            {
                "host": host.name,
                "count": listing.count,
                "listed": listing.listed,
                "not_understood": listing.unparsed,
                "messages": messages_view(messages),
                "ids_not_in_the_queue": sorted(preview.absent),
                "ids_not_meant": sorted(preview.unmeant),
                **doubt,
            }
        )
        return
    echo_messages(messages, console())
    if messages:
        click.echo()
    everything = chosen == Chosen(EVERYTHING)
    of_all = "" if everything else f" Of {integer(listing.listed)} in the queue."
    click.echo(f"{totals(messages)}.{of_all}" if messages or of_all else "The queue is empty.")
    for note in notes_on(preview, host.name):
        say(note)
    if guessed:
        say(guess_words(host.name, guessed))


@queue.command("retry")
@host_argument
@selector_options(none_is_all=False)
@acting_options
def retry(name: str, chosen: Chosen, **how: Any) -> None:
    """Try to deliver messages now; asks first.

    Frozen ones are thawed by it.

    \b
    brainycp-exporter queue retry mx1 --recipient "*@example.net" --config F
    brainycp-exporter queue retry mx1 --id 1sAbCd-000001-2X --config F
    """  # noqa: D301
    run_manual_action(name, ActionSpec("retry", chosen.selector), chosen.only, **how)


@queue.command("delete")
@host_argument
@selector_options(none_is_all=False)
@acting_options
def delete(name: str, chosen: Chosen, **how: Any) -> None:
    """Delete messages for good; asks first.

    Nobody is notified: neither the sender nor the recipients.

    \b
    brainycp-exporter queue delete mx1 --frozen --older-than 1d --config F
    brainycp-exporter queue delete mx1 --id 1sAbCd-000001-2X --config F
    """  # noqa: D301
    run_manual_action(name, ActionSpec("delete", chosen.selector), chosen.only, **how)


@queue.command("purge-frozen")
@host_argument
@acting_options
def purge_frozen(name: str, **how: Any) -> None:
    """Delete all frozen mail for good; asks first.

    Whoever sent it. Goes message by message; takes the panel's own operation for all frozen mail
    only where no other mail is there that might freeze meanwhile, or by id would take long. To
    leave some out use `queue delete HOST --frozen ...`.

    \b
    brainycp-exporter queue purge-frozen mx1 --config F
    """  # noqa: D301
    run_manual_action(name, ActionSpec("purge_frozen", ALL_FROZEN_MAIL), **how)


@queue.command("purge-all")
@host_argument
@click.option("--force", is_flag=True, help="Also messages that a delivery holds just now.")
@acting_options
def purge_all(name: str, *, force: bool, **how: Any) -> None:
    """Empty the whole queue for good; asks first.

    The mail of real senders, what arrives until it is done and what was not understood go, too.

    \b
    brainycp-exporter queue purge-all mx1 --config F
    """  # noqa: D301
    run_manual_action(name, ActionSpec("purge_all", EVERYTHING, force), **how)

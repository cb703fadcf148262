"""What a person wants done to one host: shown, asked, done, and its outcome shown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from exporter.cli.arguments import the_host
from exporter.cli.message_table import SHOWN, echo_messages
from exporter.cli.session import Progressing, act, requester, session, settle_orphans
from exporter.cli.terminal import (
    ask,
    console,
    errors,
    need_a_terminal,
    plural,
    print_json,
    printable,
    say,
)
from exporter.config.models import Config, HostConfig
from exporter.config.remediation import ON_SERVICE
from exporter.humanize import integer, untold_words
from exporter.journal import Entry, Outcome
from exporter.journal.view import entry_view, messages_view
from exporter.remediation.acting import Hooks
from exporter.remediation.actions import RequestResult
from exporter.remediation.guards import Block
from exporter.remediation.manual import ManualResult, Preview, do_by_hand
from exporter.remediation.plan import ActionSpec, Plan

FAILURES = frozenset({"locked", "refused", "failed", "unknown"})
"""What a result may come to that the person should see message by message."""

SHORT_RUN = 8
"""Characters of a run's number that are shown; `journal --run` takes them."""


@dataclass(frozen=True, slots=True)
class ManualAction:
    """What is to be done, and how the person wants it."""

    spec: ActionSpec
    only: frozenset[str] | None = None
    """Of the messages that are meant these alone; None: all of them."""
    yes: bool = False
    """Not to be asked."""
    show_all: bool = False
    """Every message of the plan is shown."""
    as_json: bool = False


def run_manual_action(
    name: str,
    spec: ActionSpec,
    only: frozenset[str] | None = None,
    *,
    config_file: Path,
    **how: Any,
) -> None:
    """Do it on a host; the exit code is 0 when the outcome is ok, or there was nothing to do.

    It is 1 where all that may be meant is left out, since what it rests on is only guessed or not
    known: that nothing is known to be frozen does not say that nothing is. `how` the person wants
    it is as ManualAction has it.
    """
    config, host = the_host(config_file, name)
    wanted = ManualAction(spec, only, **how)
    if wanted.spec.action not in ON_SERVICE:
        need_a_terminal(yes=wanted.yes)

    def show(done: ManualResult, progress: Progressing) -> bool:
        if wanted.as_json:
            print_json(result_view(host.name, wanted, done, progress.results))
        else:
            _show(host.name, wanted, done, progress.results)
        listing = done.preview.listing
        is_known = listing is None or not listing.untold
        ended_well = is_known if done.outcome is None else done.outcome.outcome == Outcome.OK
        return ended_well and done.preview.block is None

    act(host.name, lambda progress: carry_out(config, host, wanted, progress), show)


async def carry_out(
    config: Config, host: HostConfig, wanted: ManualAction, progress: Progressing
) -> ManualResult:
    """Do it, and ask before unless that is not wanted."""
    spec = wanted.spec

    async def confirm(preview: Preview) -> bool:
        if spec.action in ON_SERVICE:
            return True
        return await confirm_plan(
            preview.plan,
            [*notes_on(preview, host.name), sentence(spec, preview.plan, host.name)],
            asks=not wanted.yes,
            as_json=wanted.as_json,
            show_all=wanted.show_all,
        )

    async with session(config, host, progress.ends) as context:
        await settle_orphans(context, config)
        return await do_by_hand(
            context,
            spec,
            requester=requester(),
            confirm=confirm,
            hooks=Hooks(on_begin=progress.begin, on_result=progress.on_result),
            only=wanted.only,
        )


# --- before -------------------------------------------------------------------------------------


async def confirm_plan(
    plan: Plan, notes: Sequence[str], *, asks: bool, as_json: bool, show_all: bool
) -> bool:
    """Show a plan with sentences about it; return whether to go on, which a person is asked.

    Beside JSON it is shown on standard error, and only to be asked about.
    """
    if asks or not as_json:
        unseen = as_json or (asks and not sys.stdout.isatty())
        out = errors() if unseen else console()
        show_plan(plan, out, show_all=show_all)
        for note in notes:
            say(note, out)
    return not asks or await ask("Go on?")


def show_plan(plan: Plan, out: Console, *, show_all: bool) -> None:
    """Print the messages of a plan, the first of many unless all are wanted."""
    echo_messages(plan.messages, out, most=None if show_all else SHOWN)
    if plan.messages:
        click.echo(file=out.file)


def notes_on(preview: Preview, host: str) -> list[str]:
    """Return what a person should know of a list beside its messages, a sentence each."""
    listing = preview.listing
    if listing is None:
        return []
    notes = []
    if listing.unparsed:
        notes.append(
            f"{plural(listing.unparsed, 'row')} of the list not understood, and in no selector: "
            f"`diagnose {host}` shows more."
        )
    if listing.count != listing.listed:
        why = (
            "mail came or went in between."
            if listing.is_whole
            else f"this is not the whole queue; `diagnose {host}` shows more."
        )
        notes.append(
            f"count_msg tells {plural(listing.count, 'message')}, list_msg lists "
            f"{integer(listing.listed)}: {why}"
        )
    if preview.absent:
        notes.append(f"Not in the queue: {', '.join(sorted(preview.absent))}.")
    if preview.withheld and preview.plan.messages:
        count = plural(len(preview.withheld), "message")
        notes.append(f"Left out, though they may be meant: {count}. {preview.doubt}")
    if listing.untold:
        notes.append(untold_words(host, listing.untold))
    if preview.unmeant:
        ids = ", ".join(sorted(preview.unmeant))
        notes.append(f"In the queue, but not what the other options say: {ids}.")
    return notes


def sentence(spec: ActionSpec, plan: Plan, host: str) -> str:
    """Return what will be done, to be confirmed."""
    messages = plural(len(plan.messages), "message")
    match spec.action:
        case "service_on" | "service_off":
            return f"{host}: about to {spec.describe(plan)}."
        case "retry":
            return f"{host}: about to retry {messages} ({plan.reason}), each by its id."
        case "purge_all":
            also = ["whatever arrives until it is done"]
            unread = plan.listing.unparsed
            also += [f"{plural(unread, 'row')} not understood"] if unread else []
            also += ["what a delivery holds"] if spec.force else []
            return (
                f"{host}: about to empty the whole queue for good: {messages}, and with them "
                f"{' and '.join(also)}."
            )
        case _:
            how = "by one request for all frozen mail" if plan.as_a_whole else "each by its id"
            return f"{host}: about to delete {messages} for good ({plan.reason}), {how}."


# --- afterwards ---------------------------------------------------------------------------------


def result_view(
    host: str, wanted: ManualAction, done: ManualResult, results: Sequence[RequestResult]
) -> dict[str, Any]:
    """Return what came of it as plain values."""
    preview = done.preview
    view: dict[str, Any] = {"host": host, "action": wanted.spec.action}
    if wanted.spec.service:
        view["service"] = wanted.spec.service
    else:
        view["plan"] = plan_view(preview.plan)
        view["ids_not_in_the_queue"] = sorted(preview.absent)
        view["ids_not_meant"] = sorted(preview.unmeant)
        if preview.withheld:
            view["ids_only_guessed"] = sorted(preview.withheld)
        if preview.withheld or preview.block is not None:
            view["block"] = preview.block and block_view(preview.block)
        view["failures"] = failures_view(results)
    view["outcome"] = done.outcome and entry_view(done.outcome)
    return view


def block_view(block: Block) -> dict[str, Any]:
    """Return what held it back as plain values."""
    return {"guard": block.guard.value, "reason": block.reason, "until": block.until}


def plan_view(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain values."""
    return {
        "reason": plan.reason,
        "as_a_whole": plan.as_a_whole,
        "not_understood": plan.listing.unparsed,
        "messages": messages_view(plan.messages),
    }


def failures_view(results: Sequence[RequestResult]) -> list[dict[str, str]]:
    """Return the requests with which it did not go well; without an id one for the whole queue."""
    return [
        {"id": result.message_id, "what": result.what, "text": result.text}
        for result in results
        if result.what in FAILURES
    ]


def _show(
    host: str, wanted: ManualAction, done: ManualResult, results: Sequence[RequestResult]
) -> None:
    block = done.preview.block
    if block is None and done.outcome is not None:
        show_failures(results, show_all=wanted.show_all)
        show_outcome(done.outcome)
        return
    for note in notes_on(done.preview, host):
        say(note)
    if block is None:
        say(f"{host}: nothing to do, {_emptiness(wanted, done.preview)}.")
        return
    what = wanted.spec.action.replace("_", "-")
    say(f"{what} on {host} is held back by {block.guard}: {printable(block.reason)}")


def _emptiness(wanted: ManualAction, preview: Preview) -> str:
    listing = preview.listing
    if listing is None or not listing.listed:
        return "the queue is empty"
    if wanted.only is not None:
        return "none of these messages is meant and there"
    known = "known to be " if listing.untold else ""
    return f"no message of {integer(listing.listed)} is {known}{preview.plan.reason}"


def show_failures(results: Sequence[RequestResult], *, show_all: bool) -> None:
    """Print the messages with which it did not go well, and why."""
    failures = [result for result in results if result.what in FAILURES and result.message_id]
    shown = failures if show_all else failures[:SHOWN]
    for result in shown:
        what = "no answer" if result.what == "unknown" else result.what
        text = f": {printable(result.text)}" if result.text else ""
        click.echo(f"  {result.message_id}  {what}{text}")
    if len(shown) < len(failures):
        click.echo(f"  and {integer(len(failures) - len(shown))} more; the journal names them.")


def show_outcome(entry: Entry) -> None:
    """Print how it ended, and where more of it stands."""
    how = "" if entry.outcome == Outcome.OK else f" [{entry.outcome}]"
    say(f"{entry.host}: {printable(entry.text)}{how}")
    click.echo(f"In the journal as run {entry.run[:SHORT_RUN]}.")

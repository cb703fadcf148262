"""What a person wants done to one host: shown, asked, done, and its outcome shown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console

from exporter.cli.message_table import SHOWN, echo_messages
from exporter.cli.session import INTERRUPTED, Progressing, at_work, requester, session
from exporter.cli.terminal import (
    ask_beside_tasks,
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
    output_format: str = "table"


def run_manual_action(config: Config, host: HostConfig, manual_action: ManualAction) -> None:
    """Do it; the exit code is 0 when the outcome is ok, or there was nothing to do.

    It is 1 where all that may be meant is left out, since what it rests on is only guessed.
    """
    if manual_action.spec.action not in ON_SERVICE:
        need_a_terminal(yes=manual_action.yes)
    progress = Progressing()
    done = at_work(host.name, progress, lambda: _carry_out(config, host, manual_action, progress))
    if manual_action.output_format == "json":
        print_json(_view(host.name, manual_action, done, progress.results))
    else:
        _tell(host.name, manual_action, done, progress.results)
    if progress.interrupted:
        raise SystemExit(INTERRUPTED)
    ended_well = done.outcome is None or done.outcome.outcome == Outcome.OK
    if done.preview.block is not None or not ended_well:
        raise SystemExit(1)


async def _carry_out(
    config: Config, host: HostConfig, manual_action: ManualAction, progress: Progressing
) -> ManualResult:
    spec, as_json = manual_action.spec, manual_action.output_format == "json"
    out = place_of_plan(as_json=as_json, asks=not manual_action.yes)

    async def confirm(preview: Preview) -> bool:
        if spec.action in ON_SERVICE:
            return True
        plan = preview.plan
        if not (manual_action.yes and as_json):
            show_plan(plan, out, show_all=manual_action.show_all)
            for note in (*notes_on(preview, host.name), sentence(spec, plan, host.name)):
                say(note, out)
        return manual_action.yes or await ask_beside_tasks("Go on?")

    async with session(config, host, progress.ends) as opened:
        await opened.close_orphans()
        return await do_by_hand(
            opened.context,
            spec,
            requester=requester(),
            confirm=confirm,
            hooks=Hooks(on_begin=progress.begin, on_result=progress.on_result),
            only=manual_action.only,
        )


def place_of_plan(*, as_json: bool, asks: bool) -> Console:
    """Where a plan is shown: beside JSON on standard error, and where the person sees it."""
    unseen = asks and not sys.stdout.isatty()
    return errors() if as_json or unseen else console()


# --- before -------------------------------------------------------------------------------------


def show_plan(plan: Plan, out: Console, *, show_all: bool) -> None:
    """The messages of a plan, the first of many unless all are wanted."""
    echo_messages(plan.messages, out, most=None if show_all else SHOWN)
    if plan.messages:
        click.echo(file=out.file)


def notes_on(preview: Preview, host: str) -> list[str]:
    """What a person should know of a list beside its messages, a sentence each."""
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
    """What will be done, to be said yes to."""
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


def _view(
    host: str, manual_action: ManualAction, done: ManualResult, results: Sequence[RequestResult]
) -> dict[str, Any]:
    preview, plan = done.preview, done.preview.plan
    view: dict[str, Any] = {"host": host, "action": manual_action.spec.action}
    if manual_action.spec.service:
        view["service"] = manual_action.spec.service
    else:
        view["plan"] = plan_view(plan)
        view["ids_not_in_the_queue"] = sorted(preview.absent)
        view["ids_not_meant"] = sorted(preview.unmeant)
        if preview.withheld:
            view["ids_only_guessed"] = sorted(preview.withheld)
        if preview.withheld or preview.block is not None:
            view["block"] = block_view(preview.block)
        view["failures"] = failures_view(results)
    view["outcome"] = None if done.outcome is None else entry_view(done.outcome)
    return view


def block_view(block: Block | None) -> dict[str, Any] | None:
    """What held it back as plain values."""
    if block is None:
        return None
    return {"guard": block.guard.value, "reason": block.reason, "until": block.until}


def plan_view(plan: Plan) -> dict[str, Any]:
    """A plan as plain values."""
    return {
        "reason": plan.reason,
        "as_a_whole": plan.as_a_whole,
        "not_understood": plan.listing.unparsed,
        "messages": messages_view(plan.messages),
    }


def failures_view(results: Sequence[RequestResult]) -> list[dict[str, str]]:
    """The requests with which it did not go well; without an id one for the whole queue."""
    return [
        {"id": result.message_id, "what": result.what, "text": result.text}
        for result in results
        if result.what in FAILURES
    ]


def _tell(
    host: str, manual_action: ManualAction, done: ManualResult, results: Sequence[RequestResult]
) -> None:
    block = done.preview.block
    if block is not None:
        for note in notes_on(done.preview, host):
            say(note)
        what = manual_action.spec.action.replace("_", "-")
        say(f"{what} on {host} is held back by {block.guard}: {printable(block.reason)}")
        return
    if done.outcome is None:
        nothing = f"{host}: nothing to do, {_emptiness(manual_action, done.preview)}."
        for note in (*notes_on(done.preview, host), nothing):
            say(note)
        return
    tell_failures(results, show_all=manual_action.show_all)
    tell_outcome(done.outcome)


def _emptiness(manual_action: ManualAction, preview: Preview) -> str:
    listing = preview.listing
    if listing is None or not listing.listed:
        return "the queue is empty"
    if manual_action.only is not None:
        return "none of these messages is meant and there"
    known = "known to be " if listing.untold else ""
    return f"no message of {integer(listing.listed)} is {known}{preview.plan.reason}"


def tell_failures(results: Sequence[RequestResult], *, show_all: bool) -> None:
    """The messages with which it did not go well, and why."""
    failures = [result for result in results if result.what in FAILURES and result.message_id]
    shown = failures if show_all else failures[:SHOWN]
    for result in shown:
        what = "no answer" if result.what == "unknown" else result.what
        text = f": {printable(result.text)}" if result.text else ""
        click.echo(f"  {result.message_id}  {what}{text}")
    if len(shown) < len(failures):
        click.echo(f"  and {integer(len(failures) - len(shown))} more; the journal names them.")


def tell_outcome(entry: Entry) -> None:
    """How it ended, and where more of it stands."""
    how = "" if entry.outcome == Outcome.OK else f" [{entry.outcome}]"
    say(f"{entry.host}: {printable(entry.text)}{how}")
    click.echo(f"In the journal as run {entry.run[:SHORT_RUN]}.")

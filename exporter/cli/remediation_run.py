"""`remediation run`: one rule on one host, now, because a person wants it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from exporter.cli.arguments import (
    all_option,
    config_option,
    format_option,
    host_argument,
    load_or_exit,
    rule_argument,
    rule_on_host,
    yes_option,
)
from exporter.cli.manual_action import (
    block_view,
    failures_view,
    place_of_plan,
    plan_view,
    sentence,
    show_plan,
    tell_failures,
    tell_outcome,
)
from exporter.cli.session import INTERRUPTED, Progressing, Session, at_work, requester, session
from exporter.cli.terminal import (
    ask_beside_tasks,
    local_time,
    need_a_terminal,
    print_json,
    printable,
    say,
)
from exporter.config.models import Config, HostConfig
from exporter.config.remediation import RemediationRule
from exporter.journal import WELL, Actor, JournalError
from exporter.journal.entries import Guard
from exporter.journal.view import entry_view
from exporter.remediation.acting import Hooks
from exporter.remediation.execution import ExecutionResult, execute_rule
from exporter.remediation.guard_inputs import GuardInputs, read_inputs
from exporter.remediation.guards import Block, effective_mode
from exporter.remediation.plan import ActionSpec, Plan
from exporter.remediation.requests import Request, blocked_entry


@dataclass(frozen=True, slots=True)
class _Options:
    """What the person wants, and how."""

    config: Config
    rule: RemediationRule
    host: HostConfig
    dry_run: bool
    """As the person or the config's mode has it."""
    yes: bool
    show_all: bool
    as_json: bool


@click.command("run")
@rule_argument
@host_argument
@click.option("--dry-run", is_flag=True, help="Everything but the act, whatever the mode.")
@yes_option
@all_option
@config_option
@format_option
def run(
    rule_name: str,
    name: str,
    config_file: Path,
    output_format: str,
    *,
    dry_run: bool,
    yes: bool,
    show_all: bool,
) -> None:
    """Let one rule act on one host now; asks first.

    It need not have tripped, but its `when` must hold now. Every guard holds but the storm brake
    and `approval`, since you see the plan. A dry run counts for cooldown and limits as an action
    does. Exit code 1 when a guard holds it back, or the outcome is not good.

    \b
    brainycp-exporter remediation run purge-frozen-storm mx1 --dry-run --config F
    """  # noqa: D301 - click's mark before lines that stay as they are
    config = load_or_exit(config_file).config
    rule, host = rule_on_host(config, rule_name, name)
    dry = dry_run or effective_mode(config.remediation) != "enforce"
    if not dry:
        need_a_terminal(yes=yes)
    options = _Options(config, rule, host, dry, yes, show_all, output_format == "json")
    progress = Progressing()
    result = at_work(host.name, progress, lambda: _carry_out(options, progress))
    if options.as_json:
        print_json(_view(options, result, progress))
    else:
        _tell(options, result, progress)
    if progress.interrupted:
        raise SystemExit(INTERRUPTED)
    outcome = result.outcome.outcome if result.outcome is not None else ""
    if outcome not in WELL:
        raise SystemExit(1)


async def _carry_out(options: _Options, progress: Progressing) -> ExecutionResult:
    spec, asks = ActionSpec.of(options.rule), not (options.yes or options.dry_run)
    request = Request(Actor.PERSON, requester(), dry_run=options.dry_run)

    async def confirm(plan: Plan) -> bool:
        if asks or not options.as_json:
            out = place_of_plan(as_json=options.as_json, asks=asks)
            show_plan(plan, out, show_all=options.show_all)
            words = sentence(spec, plan, options.host.name)
            say(f"{words} It is a dry run: nothing is done." if options.dry_run else words, out)
        return not asks or await ask_beside_tasks("Go on?")

    hooks = Hooks(confirm, on_result=progress.on_result)
    if not options.dry_run:
        hooks = replace(hooks, on_begin=progress.begin)

    async with session(options.config, options.host, progress.ends) as opened:

        async def inputs() -> GuardInputs:
            return await read_inputs(
                opened.context.journal,
                options.config.remediation,
                options.host,
                options.rule,
                GuardInputs(time.time(), len(options.config.hosts), actor=Actor.PERSON),
            )

        # A journal that fails is for the run to tell.
        with suppress(JournalError):
            await opened.close_orphans()
        result = await execute_rule(
            opened.context,
            options.config.remediation,
            options.rule,
            request,
            inputs,
            hooks,
        )
        if result.block is not None:
            await _note(opened, options, request, result.block)
        return result


async def _note(opened: Session, options: _Options, request: Request, block: Block) -> None:
    """Write down what held it back, as the daemon does."""
    if block.guard is not Guard.JOURNAL:
        entry = blocked_entry(options.host, options.rule, request, block)
        await opened.context.journal.do(lambda journal: journal.add(entry))


def _view(options: _Options, result: ExecutionResult, progress: Progressing) -> dict[str, Any]:
    block, plan = result.block, result.plan
    return {
        "host": options.host.name,
        "rule": options.rule.name,
        "dry_run": options.dry_run,
        "block": block_view(block),
        "plan": None if plan is None else plan_view(plan),
        "failures": failures_view(progress.results),
        "outcome": None if result.outcome is None else entry_view(result.outcome),
    }


def _tell(options: _Options, result: ExecutionResult, progress: Progressing) -> None:
    tell_failures(progress.results, show_all=options.show_all)
    if result.outcome is not None:
        tell_outcome(result.outcome)
    block = result.block
    if block is None:
        return
    where = f"{options.rule.name} on {options.host.name}"
    if block.guard is Guard.JOURNAL and progress.acting:
        # It may have begun: what is not known must not sound as if nothing had been done.
        say(
            f"{where} could not be written down to its end: {block.reason} The next action on "
            "this host finds out by listing what was done.",
        )
        return
    until = f" It may act from {local_time(block.until)} on." if block.until is not None else ""
    say(f"{where} is held back by {block.guard}: {printable(block.reason)}{until}")

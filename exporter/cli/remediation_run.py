"""`remediation run`: one rule on one host, now, because a person wants it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from exporter.cli.arguments import (
    acting_options,
    load_or_exit,
    rule_on_host,
    rule_on_host_arguments,
)
from exporter.cli.manual_action import (
    block_view,
    confirm_plan,
    failures_view,
    plan_view,
    sentence,
    show_failures,
    show_outcome,
)
from exporter.cli.session import Progressing, act, requester, session, settle_orphans
from exporter.cli.terminal import local_time, need_a_terminal, print_json, printable, say
from exporter.config.models import Config, HostConfig
from exporter.config.remediation import RemediationRule
from exporter.journal import WELL, Actor, JournalError
from exporter.journal.entries import Guard
from exporter.journal.view import entry_view
from exporter.remediation.acting import Hooks
from exporter.remediation.context import HostContext
from exporter.remediation.execution import ExecutionResult, execute_rule
from exporter.remediation.guard_inputs import GuardInputs, read_inputs
from exporter.remediation.guards import Block, effective_mode
from exporter.remediation.plan import ActionSpec, Plan
from exporter.remediation.requests import Request, blocked_entry


@click.command("run")
@rule_on_host_arguments
@click.option("--dry-run", is_flag=True, help="Everything but the act, whatever the mode.")
@acting_options
def run(
    rule_name: str,
    name: str,
    config_file: Path,
    *,
    as_json: bool,
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
    dry_run = dry_run or effective_mode(config.remediation) != "enforce"
    if not dry_run:
        need_a_terminal(yes=yes)
    spec = ActionSpec.of(rule)

    async def confirm(plan: Plan) -> bool:
        words = sentence(spec, plan, host.name)
        return await confirm_plan(
            plan,
            [f"{words} It is a dry run: nothing is done." if dry_run else words],
            asks=not (yes or dry_run),
            as_json=as_json,
            show_all=show_all,
        )

    async def work(progress: Progressing) -> ExecutionResult:
        hooks = Hooks(confirm, on_result=progress.on_result)
        if not dry_run:
            hooks = replace(hooks, on_begin=progress.begin)
        request = Request(Actor.PERSON, requester(), dry_run=dry_run)
        async with session(config, host, progress.ends) as context:
            return await _carry_out(context, config, host, rule, request, hooks)

    def show(result: ExecutionResult, progress: Progressing) -> bool:
        block, outcome = result.block, result.outcome
        if as_json:
            view = {"host": host.name, "rule": rule.name, "dry_run": dry_run}
            print_json(view | _view(result, progress))
        else:
            show_failures(progress.results, show_all=show_all)
            if outcome is not None:
                show_outcome(outcome)
            if block is not None:
                say(f"{rule.name} on {host.name} {_held_back(block, progress)}")
        return outcome is not None and outcome.outcome in WELL

    act(host.name, work, show)


async def _carry_out(
    context: HostContext,
    config: Config,
    host: HostConfig,
    rule: RemediationRule,
    request: Request,
    hooks: Hooks,
) -> ExecutionResult:
    section = config.remediation

    async def inputs() -> GuardInputs:
        known = GuardInputs(time.time(), len(config.hosts), actor=Actor.PERSON)
        return await read_inputs(context.journal, section, host, rule, known)

    # A journal that fails is for the run to report.
    with suppress(JournalError):
        await settle_orphans(context, config)
    result = await execute_rule(context, section, rule, request, inputs, hooks)
    block = result.block
    if block is not None and block.guard is not Guard.JOURNAL:
        # As the daemon does.
        entry = blocked_entry(host, rule, request, block)
        await context.journal.do(lambda journal: journal.add(entry))
    return result


def _view(result: ExecutionResult, progress: Progressing) -> dict[str, Any]:
    return {
        "block": result.block and block_view(result.block),
        "plan": result.plan and plan_view(result.plan),
        "failures": failures_view(progress.results),
        "outcome": result.outcome and entry_view(result.outcome),
    }


def _held_back(block: Block, progress: Progressing) -> str:
    if block.guard is Guard.JOURNAL and progress.acting:
        # It may have begun: what is not known must not sound as if nothing had been done.
        return (
            f"could not be written down to its end: {block.reason} The next action on "
            "this host finds out by listing what was done."
        )
    until = f" It may act from {local_time(block.until)} on." if block.until is not None else ""
    return f"is held back by {block.guard}: {printable(block.reason)}{until}"

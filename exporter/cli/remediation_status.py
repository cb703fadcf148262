"""`remediation status`: every rule on every host, from the config and the journal alone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from exporter.cli.journal import local_time, zone_note
from exporter.cli.mail import plural, printable
from exporter.cli.poll import choose_hosts
from exporter.cli.rules import rule_on_host, rules_on_hosts, the_rule
from exporter.cli.terminal import config_option, console, format_option, load_or_exit, print_json
from exporter.config.files import file_exists
from exporter.config.models import Config, HostConfig
from exporter.config.remediation import RemediationConfig, RemediationRule
from exporter.config.windows import is_open
from exporter.humanize import duration
from exporter.journal import (
    WELL,
    Entry,
    FleetFacts,
    Journal,
    JournalError,
    JournalMissingError,
    Kind,
    RuleFacts,
)
from exporter.journal.entries import Guard
from exporter.journal.projection import is_bad_news
from exporter.journal.subjects import concerns
from exporter.remediation.approvals import request_of
from exporter.remediation.guards import cooldown_until, effective_mode
from exporter.remediation.recovery import Lost, lost_facts

_MODES = {
    "off": "nothing acts",
    "dry_run": "everything but the act",
    "enforce": "rules act",
}

BLOCK_SHOWN = 86400.0
"""Seconds for which a block is shown; it is written down only when it begins."""

_TOLD_OTHERWISE = frozenset(
    guard.value
    for guard in (
        *(Guard.MODE, Guard.PAUSE, Guard.WINDOW, Guard.STOPPED),
        *(Guard.APPROVAL, Guard.COOLDOWN, Guard.MAX_PER_DAY),
    )
)
"""Guards whose word can be worked out anew from the journal and the config."""


@dataclass(frozen=True, slots=True)
class RuleOnHost:
    """One rule on one host as the journal knows it."""

    rule: RemediationRule
    host: str
    facts: RuleFacts
    last: Entry | None = None
    """Its last outcome."""
    waiting: int = 0
    """Messages that it asks a person to approve."""
    unsettled: bool = False
    """It has begun, and has no outcome: it is at it, or was cut off."""
    block: Entry | None = None
    """What held it back since it last acted, where the rest does not tell; it may have passed."""

    def cooldown_until(self, now: float) -> float | None:
        """Unix time until which it may not act again; None when it may."""
        return cooldown_until(self.rule, self.facts.last_begun, now)


@dataclass(frozen=True, slots=True)
class RuleStatus:
    """All of them, and what holds for the whole fleet."""

    fleet: FleetFacts
    rules: tuple[RuleOnHost, ...]
    by_hand: tuple[Entry, ...] = ()
    """Intents of persons without an outcome."""
    has_journal: bool = True
    lost: tuple[Lost, ...] = ()
    """What held rules back, or let them act, that are not in the config by that name."""


def read_standing(
    config: Config, rules: Sequence[tuple[RemediationRule, HostConfig]]
) -> RuleStatus:
    """What the journal tells of rules, each on a host.

    Raises:
        JournalError: it cannot be read.
    """
    try:
        journal = Journal.open_to_read(config.state.path)
    except JournalMissingError:
        nothing = RuleFacts()
        untold = tuple(RuleOnHost(rule, host.name, nothing) for rule, host in rules)
        return RuleStatus(FleetFacts(0, ""), untold, has_journal=False)
    try:
        unsettled = [left.intent for left in journal.unsettled()]
        return RuleStatus(
            journal.fleet_facts(),
            tuple(_read(journal, rule, host, unsettled) for rule, host in rules),
            tuple(intent for intent in unsettled if not intent.rule),
            lost=tuple(lost_facts(journal, config, time.time())),
        )
    finally:
        journal.close()


def _read(
    journal: Journal, rule: RemediationRule, host: HostConfig, unsettled: Sequence[Entry]
) -> RuleOnHost:
    facts = journal.rule_facts(host.name, rule.name, host.panel)
    last = journal.newest(host.name, rule.name, host.panel, Kind.OUTCOME)
    request = request_of(journal, rule.name, facts)
    planned = request.detail.get("planned") if request else None
    return RuleOnHost(
        rule,
        host.name,
        facts,
        last,
        planned if isinstance(planned, int) else 0,
        any(
            intent.rule == rule.name and concerns(intent, host.name, host.panel)
            for intent in unsettled
        ),
        _block(journal, rule, host, facts),
    )


def _block(
    journal: Journal, rule: RemediationRule, host: HostConfig, facts: RuleFacts
) -> Entry | None:
    """The block that was written down last, unless it is old, or the rule has acted since."""
    block = journal.newest(host.name, rule.name, host.panel, Kind.BLOCKED)
    if block is None or block.outcome in _TOLD_OTHERWISE:
        return None
    age, begun = time.time() - block.at, facts.last_begun
    if age > BLOCK_SHOWN or (begun is not None and begun > block.at):
        return None
    return block


@click.command("status")
@config_option
@click.option("--rule", "rule_name", metavar="RULE", help="This rule, on every host.")
@click.option("--host", "name", metavar="HOST", help="This host, every rule.")
@click.option("--all", "show_all", is_flag=True, help="Every rule on every host.")
@format_option
def status(
    config_file: Path,
    rule_name: str | None,
    name: str | None,
    output_format: str,
    *,
    show_all: bool,
) -> None:
    """Show how each rule stands on each host.

    Where a rule is idle, its hosts are only counted, unless the rule or the host is named:
    nothing holds it back there, and if its last action failed that was more than a day ago.
    JSON has every one. Reads the config and the journal; needs no daemon and asks no panel.

    \b
    brainycp-exporter remediation status --config F
    brainycp-exporter remediation status --host mx1 --config F
    """  # noqa: D301 - click's mark before lines that stay as they are
    config = load_or_exit(config_file).config
    rules = _chosen(config, rule_name, name)
    try:
        standing = read_standing(config, rules)
    except JournalError as error:
        raise click.ClickException(f"Nothing acts: {error}") from None
    now = time.time()
    if output_format == "json":
        print_json(_view(config, standing, now))
        return
    for line in _fleet_lines(config, standing, now):
        click.echo(line)
    everything = show_all or rule_name is not None or name is not None
    shown = [row for row in standing.rules if everything or not _is_idle(row, now)]
    if shown:
        console().print(_table(shown, now))
        click.echo(f"\n{zone_note()}")
    if not everything:
        for line in _idle_lines(config, standing, shown):
            click.echo(line)


def _chosen(
    config: Config, rule_name: str | None, name: str | None
) -> list[tuple[RemediationRule, HostConfig]]:
    """The rules that are asked for, with their hosts; all where none is named."""
    if rule_name is not None and name is not None:
        return [rule_on_host(config, rule_name, name)]
    if rule_name is not None:
        the_rule(config, rule_name)
    if name is not None:
        choose_hosts(config, (name,))
    return [
        (rule, host)
        for rule, host in rules_on_hosts(config)
        if rule_name in {None, rule.name} and name in {None, host.name}
    ]


# --- the fleet ----------------------------------------------------------------------------------


def _paused(config: RemediationConfig, fleet: FleetFacts) -> str:
    """Why nothing acts by a person's will; "" when that is not so."""
    exists = file_exists(config.pause_file)
    if exists is None:
        return f"It cannot be known whether the pause file {config.pause_file} exists."
    return f"The pause file {config.pause_file} exists." if exists else fleet.paused


def _windows_open(config: RemediationConfig, now: float) -> bool:
    return not config.windows or any(is_open(window, now) for window in config.windows)


def _fleet_lines(config: Config, standing: RuleStatus, now: float) -> Iterator[str]:
    section, fleet = config.remediation, standing.fleet
    if not section.rules:
        yield "The config has no remediation rules; config.example.yaml explains them."
    mode = effective_mode(section)
    yield f"mode:      {mode} ({_MODES[mode]})"
    yield f"paused:    {printable(_paused(section, fleet)) or 'no'}"
    if section.windows:
        yield f"windows:   {'open now' if _windows_open(section, now) else 'closed now'}"
    limit = section.limits.actions_per_hour
    yield f"this hour: {fleet.begun_this_hour} of {plural(limit, 'action')} over the fleet"
    yield f"journal:   {config.state.path}"
    if not standing.has_journal:
        yield "           not there yet: nothing was ever done"
    for intent in standing.by_hand:
        yield (
            f"{intent.host}: {intent.action} by {printable(intent.actor)} has no outcome yet: it "
            "is under way, or was cut off and is settled by the next action there."
        )
    for lost in standing.lost:
        yield printable(f"lost:      {lost}")
    yield ""


# --- the rules ----------------------------------------------------------------------------------


def _is_idle(row: RuleOnHost, now: float) -> bool:
    """Whether there is nothing to tell of a rule on a host."""
    last = row.last
    failed = last is not None and is_bad_news(last.outcome, last.at, now)
    return not failed and not any(_notes(row, now))


def _idle_lines(config: Config, standing: RuleStatus, shown: Sequence[RuleOnHost]) -> Iterator[str]:
    """On how many hosts each rule is idle."""
    idle = Counter(row.rule.name for row in standing.rules)
    idle.subtract(row.rule.name for row in shown)
    if shown:
        yield ""
    for rule in config.remediation.rules:
        if rule.name not in idle:
            yield f"{rule.name}: is for no host of the config."
        elif idle[rule.name]:
            yield f"{rule.name}: idle on {plural(idle[rule.name], 'host')}."
    if idle.total():
        yield "--all shows each; --rule RULE and --host HOST all of one."


def _table(rows: Sequence[RuleOnHost], now: float) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("RULE", overflow="fold")
    table.add_column("HOST", overflow="fold")
    table.add_column("LAST", overflow="fold")
    table.add_column("TODAY", justify="right", no_wrap=True)
    table.add_column("NOW", overflow="fold")
    for row in rows:
        last = "never"
        if row.last is not None:
            last = f"{row.last.outcome}, {duration(now - row.last.at)} ago"
        table.add_row(
            row.rule.name,
            row.host,
            Text(last, style=_style(row.last)),
            f"{row.facts.begun_today}/{row.rule.max_per_day}",
            Text(" ".join(_notes(row, now)) or "-"),
        )
    return table


def _style(last: Entry | None) -> str:
    if last is None:
        return ""
    return "green" if last.outcome in WELL else "red"


def _notes(row: RuleOnHost, now: float) -> Iterator[str]:
    facts = row.facts
    if row.unsettled:
        yield "Under way, or cut off."
    if facts.stopped:
        yield printable(facts.stopped)
    match facts.approval:
        case "requested":
            what = f" of {plural(row.waiting, 'message')}" if row.waiting else ""
            yield f"Waits for approval{what} since {local_time(facts.approval_at)}."
        case "approved":
            yield f"Approved at {local_time(facts.approval_at)}."
        case "rejected":
            yield f"Rejected at {local_time(facts.approval_at)}."
        case _:
            pass
    until = row.cooldown_until(now)
    if until is not None:
        yield f"Cooldown until {local_time(until)}."
    if facts.begun_today >= row.rule.max_per_day:
        yield "No more today."
    if row.block is not None:
        ago = duration(now - row.block.at)
        yield f"Held back {ago} ago by {row.block.outcome}: {printable(row.block.text)}"


def _view(config: Config, standing: RuleStatus, now: float) -> dict[str, Any]:
    section = config.remediation
    return {
        "mode": effective_mode(section),
        "paused": _paused(section, standing.fleet) or None,
        "windows_open": _windows_open(section, now),
        "actions_this_hour": standing.fleet.begun_this_hour,
        "actions_per_hour": section.limits.actions_per_hour,
        "journal": str(config.state.path),
        "lost": [
            {
                "rule": lost.rule,
                "host": lost.host,
                "panel": lost.panel or None,
                "what": lost.what,
                "why": lost.why,
            }
            for lost in standing.lost
        ],
        "rules": [_rule_view(row, now) for row in standing.rules],
    }


def _rule_view(row: RuleOnHost, now: float) -> dict[str, Any]:
    return {
        "rule": row.rule.name,
        "host": row.host,
        "action": row.rule.action,
        "last_outcome": row.last.outcome if row.last else None,
        "last_at": _iso(row.last.at if row.last else None),
        "acted_today": row.facts.begun_today,
        "max_per_day": row.rule.max_per_day,
        "cooldown_until": _iso(row.cooldown_until(now)),
        "stopped": row.facts.stopped or None,
        "approval": row.facts.approval or None,
        "messages_to_approve": row.waiting if row.facts.approval == "requested" else None,
        "unsettled": row.unsettled,
        "held_back": None
        if row.block is None
        else {"guard": row.block.outcome, "reason": row.block.text, "at": _iso(row.block.at)},
    }


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")

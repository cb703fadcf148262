"""`remediation status`: every rule on every host, from the config and the journal alone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from exporter.cli.arguments import (
    choose_hosts,
    config_option,
    format_option,
    load_or_exit,
    rule_on_host,
    the_rule,
)
from exporter.cli.terminal import (
    console,
    local_time,
    plural,
    print_json,
    printable,
    table,
    zone_note,
)
from exporter.config.file_watch import file_exists
from exporter.config.models import Config, HostConfig
from exporter.config.remediation import RemediationConfig, RemediationRule
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
from exporter.journal.entries import concerns
from exporter.journal.records import RequestRecord
from exporter.remediation.approvals import request_of
from exporter.remediation.guards import effective_mode
from exporter.remediation.recovery import Lost, lost_facts
from exporter.remediation.rule_status import RuleStatus, held_back_by

_MODES = {
    "off": "nothing acts",
    "dry_run": "everything but the act",
    "enforce": "rules act",
}


@dataclass(frozen=True, slots=True)
class JournalStatus:
    """The status of rules on hosts, and what holds for the whole fleet, as the journal knows it."""

    fleet: FleetFacts
    rules: tuple[RuleStatus, ...]
    by_hand: tuple[Entry, ...] = ()
    """Intents of persons without an outcome."""
    has_journal: bool = True
    lost: tuple[Lost, ...] = ()
    """What held rules back, or made them act, that are not in the config by that name."""


def read_status(
    config: Config, rules: Sequence[tuple[RemediationRule, HostConfig]], now: float
) -> JournalStatus:
    """Return what the journal knows of rules, each on a host, at Unix time `now`.

    Raises:
        JournalError: it cannot be read.
    """
    try:
        journal = Journal.open_to_read(config.state.path)
    except JournalMissingError:
        never = tuple(RuleStatus(host.name, rule, now, RuleFacts()) for rule, host in rules)
        return JournalStatus(FleetFacts(0, ""), never, has_journal=False)
    with closing(journal):
        unsettled = [left.intent for left in journal.unsettled()]

        def status_of(rule: RemediationRule, host: HostConfig) -> RuleStatus:
            key = (host.name, rule.name, host.panel)
            facts = journal.rule_facts(*key)
            newest = partial(journal.projection().newest, *key)
            last = newest(Kind.OUTCOME)
            request = request_of(journal, rule.name, facts)
            return RuleStatus(
                host.name,
                rule,
                now,
                facts,
                last=None if last is None else (last.at, last.outcome),
                messages=(request and RequestRecord.of(request).planned) or 0,
                held_back=held_back_by(newest(Kind.BLOCKED), facts, now),
                unsettled=any(
                    intent.rule == rule.name and concerns(intent, host.name, host.panel)
                    for intent in unsettled
                ),
            )

        return JournalStatus(
            journal.fleet_facts(),
            tuple(status_of(rule, host) for rule, host in rules),
            tuple(intent for intent in unsettled if not intent.rule),
            lost=tuple(lost_facts(journal, config, now)),
        )


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
    *,
    as_json: bool,
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
    now = time.time()
    try:
        found = read_status(config, rules, now)
    except JournalError as error:
        raise click.ClickException(f"Nothing acts: {error}") from None
    if as_json:
        print_json(_view(config, found, now))
        return
    for line in _fleet_lines(config, found, now):
        click.echo(line)
    everything = show_all or rule_name is not None or name is not None
    shown = [status for status in found.rules if everything or not status.is_idle]
    if shown:
        console().print(_table(shown))
        click.echo(f"\n{zone_note()}")
    if not everything:
        for line in _idle_lines(config, found, shown):
            click.echo(line)


def _chosen(
    config: Config, rule_name: str | None, name: str | None
) -> list[tuple[RemediationRule, HostConfig]]:
    if rule_name is not None and name is not None:
        return [rule_on_host(config, rule_name, name)]
    if rule_name is not None:
        the_rule(config, rule_name)
    if name is not None:
        choose_hosts(config, (name,))
    return [
        (rule, host)
        for rule in config.remediation.rules
        for host in config.hosts
        if rule.hosts.matches(host.name, host.labels)
        if rule_name in {None, rule.name} and name in {None, host.name}
    ]


# --- the fleet ----------------------------------------------------------------------------------


def _paused(config: RemediationConfig, fleet: FleetFacts) -> str:
    """Return why nothing acts by a person's will; "" when that is not so."""
    exists = file_exists(config.pause_file)
    if exists is None:
        return f"It cannot be known whether the pause file {config.pause_file} exists."
    return f"The pause file {config.pause_file} exists." if exists else fleet.paused


def _fleet_lines(config: Config, found: JournalStatus, now: float) -> Iterator[str]:
    section, fleet = config.remediation, found.fleet
    if not section.rules:
        yield "The config has no remediation rules; config.example.yaml explains them."
    mode = effective_mode(section)
    yield f"mode:      {mode} ({_MODES[mode]})"
    yield f"paused:    {printable(_paused(section, fleet)) or 'no'}"
    if section.windows:
        yield f"windows:   {'open now' if section.in_a_window(now) else 'closed now'}"
    limit = section.limits.actions_per_hour
    yield f"this hour: {fleet.begun_this_hour} of {plural(limit, 'action')} over the fleet"
    yield f"journal:   {config.state.path}"
    if not found.has_journal:
        yield "           not there yet: nothing was ever done"
    for intent in found.by_hand:
        yield (
            f"{intent.host}: {intent.action} by {printable(intent.actor)} has no outcome yet: it "
            "is under way, or was cut off and is settled by the next action there."
        )
    for lost in found.lost:
        yield printable(f"lost:      {lost}")
    yield ""


# --- the rules ----------------------------------------------------------------------------------


def _idle_lines(config: Config, found: JournalStatus, shown: Sequence[RuleStatus]) -> Iterator[str]:
    idle = Counter(status.rule.name for status in found.rules)
    idle.subtract(status.rule.name for status in shown)
    if shown:
        yield ""
    for rule in config.remediation.rules:
        if rule.name not in idle:
            yield f"{rule.name}: is for no host of the config."
        elif idle[rule.name]:
            yield f"{rule.name}: idle on {plural(idle[rule.name], 'host')}."
    if idle.total():
        yield "--all shows each; --rule RULE and --host HOST all of one."


def _table(shown: Sequence[RuleStatus]) -> Table:
    rows = table()
    for name in ("RULE", "HOST", "LAST"):
        rows.add_column(name, overflow="fold")
    rows.add_column("TODAY", justify="right", no_wrap=True)
    rows.add_column("NOW", overflow="fold")
    for status in shown:
        last = Text("never")
        if status.last is not None:
            at, outcome = status.last
            style = "green" if outcome in WELL else "red"
            last = Text(f"{outcome}, {duration(status.now - at)} ago", style=style)
        rows.add_row(
            status.rule.name,
            status.host,
            last,
            f"{status.facts.begun_today}/{status.rule.max_per_day}",
            Text(" ".join(_notes(status)) or "-"),
        )
    return rows


def _notes(status: RuleStatus) -> Iterator[str]:
    facts, held_back = status.facts, status.held_back
    if status.unsettled:
        yield "Under way, or cut off."
    if facts.stopped:
        yield printable(facts.stopped)
    match facts.approval:
        case "requested":
            what = f" of {plural(status.messages, 'message')}" if status.messages else ""
            yield f"Waits for approval{what} since {local_time(facts.approval_at)}."
        case "approved" | "rejected":
            yield f"{facts.approval.capitalize()} at {local_time(facts.approval_at)}."
    if status.cooldown_until is not None:
        yield f"Cooldown until {local_time(status.cooldown_until)}."
    if status.no_more_today:
        yield "No more today."
    if held_back is not None and held_back.at is not None:
        ago = duration(status.now - held_back.at)
        yield f"Held back {ago} ago by {held_back.guard}: {printable(held_back.reason)}"


# --- JSON ---------------------------------------------------------------------------------------


def _view(config: Config, found: JournalStatus, now: float) -> dict[str, Any]:
    section = config.remediation
    return {
        "mode": effective_mode(section),
        "paused": _paused(section, found.fleet) or None,
        "windows_open": section.in_a_window(now),
        "actions_this_hour": found.fleet.begun_this_hour,
        "actions_per_hour": section.limits.actions_per_hour,
        "journal": str(config.state.path),
        "lost": [asdict(lost) | {"panel": lost.panel or None} for lost in found.lost],
        "rules": [_rule_view(status) for status in found.rules],
    }


def _rule_view(status: RuleStatus) -> dict[str, Any]:
    last_at, last_outcome = status.last or (None, None)
    facts, held_back = status.facts, status.held_back
    return {
        "rule": status.rule.name,
        "host": status.host,
        "action": status.rule.action,
        "last_outcome": last_outcome,
        "last_at": _iso(last_at),
        "acted_today": facts.begun_today,
        "max_per_day": status.rule.max_per_day,
        "cooldown_until": _iso(status.cooldown_until),
        "stopped": facts.stopped or None,
        "approval": facts.approval or None,
        "messages_to_approve": status.messages if facts.approval == "requested" else None,
        "unsettled": status.unsettled,
        "held_back": held_back
        and {"guard": held_back.guard, "reason": held_back.reason, "at": _iso(held_back.at)},
    }


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")

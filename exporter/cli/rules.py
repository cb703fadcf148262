"""What the commands about rules share: which rule and host, who asks, and the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import click

from exporter.cli.poll import choose_hosts
from exporter.cli.session import requester
from exporter.config.fleet import concerns
from exporter.config.models import Config, HostConfig
from exporter.config.remediation import RemediationRule
from exporter.journal import Actor, Journal, JournalError

T = TypeVar("T")

rule_argument = click.argument("rule_name", metavar="RULE")


def rules_on_hosts(config: Config) -> Iterator[tuple[RemediationRule, HostConfig]]:
    """Every rule with every host that it is for."""
    for rule in config.remediation.rules:
        for host in config.hosts:
            if concerns(rule.hosts, host.name, host.labels):
                yield rule, host


def the_rule(config: Config, name: str) -> RemediationRule:
    """The rule of this name.

    Raises:
        click.BadParameter: there is none.
    """
    rule = config.remediation.rule(name)
    if rule is None:
        known = ", ".join(rule.name for rule in config.remediation.rules)
        told = f"it has {known}" if known else "it has no remediation rules"
        raise click.BadParameter(f"no rule {name} in the config; {told}")
    return rule


def rule_on_host(
    config: Config, rule_name: str, host_name: str
) -> tuple[RemediationRule, HostConfig]:
    """The rule of this name, and the host of that one, which it is for.

    Raises:
        click.BadParameter: there is no such rule or host, or the rule is not for it.
    """
    rule = the_rule(config, rule_name)
    (host,) = choose_hosts(config, (host_name,))
    if not concerns(rule.hosts, host.name, host.labels):
        raise click.BadParameter(f"rule {rule_name} is not for host {host_name}: see its `hosts`")
    return rule, host


def signature() -> str:
    """Who asks, as the journal names him."""
    return f"{Actor.PERSON}:{requester()}"


def in_journal(path: Path, work: Callable[[Journal], T]) -> T:
    """`work` with the journal open to write; a journal that fails ends the command."""
    try:
        journal = Journal.open(path)
        try:
            return work(journal)
        finally:
            journal.close()
    except JournalError as error:
        raise click.ClickException(f"Nothing was written down. {error}") from None


def from_journal(config: Config, work: Callable[[Journal], T]) -> T:
    """`work` with the journal open to read; without a journal, or when it fails, the end."""
    try:
        journal = Journal.open_to_read(config.state.path)
        try:
            return work(journal)
        finally:
            journal.close()
    except JournalError as error:
        raise click.ClickException(str(error)) from None

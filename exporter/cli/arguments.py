"""Options and arguments that commands share, and the hosts and rules that they name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from exporter.config.errors import ConfigError
from exporter.config.loading import LoadedConfig, load_config
from exporter.config.models import Config, HostConfig
from exporter.config.remediation import RemediationRule

C = TypeVar("C", bound=Callable[..., Any])

CONFIG_ERROR = 2


def together(*options: Callable[[C], C]) -> Callable[[C], C]:
    """Return one decorator that gives a command several options, in their order."""

    def decorate(command: C) -> C:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The YAML config; config.example.yaml explains every key.",
)
host_argument = click.argument("name", metavar="HOST")
format_option = click.option(
    "--format",
    "as_json",
    type=click.Choice(["table", "json"]),
    callback=lambda _, __, form: form == "json",
    default="table",
    show_default=True,
    help="A table for people or JSON for scripts.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask; for scripts.")
all_option = click.option(
    "--all", "show_all", is_flag=True, help="Show every message of the plan, not just the first 20."
)
acting_options = together(yes_option, all_option, config_option, format_option)
rule_argument = click.argument("rule_name", metavar="RULE")
rule_on_host_arguments = together(rule_argument, host_argument)


def load_or_exit(file: Path) -> LoadedConfig:
    """Return the config; if it has mistakes, print every one and end with exit code 2."""
    try:
        return load_config(file)
    except ConfigError as error:
        exit_on_config_error(error)


def exit_on_config_error(error: ConfigError) -> NoReturn:
    """Print every problem to standard error, then end with exit code 2."""
    for problem in error.problems:
        click.echo(str(problem), err=True)
    count = len(error.problems)
    click.echo(f"{count} {'mistake' if count == 1 else 'mistakes'} in the config.", err=True)
    raise SystemExit(CONFIG_ERROR)


def choose_hosts(config: Config, names: tuple[str, ...]) -> list[HostConfig]:
    """Return the hosts called `names`; all when there are none.

    Raises:
        click.BadParameter: for a name that is not in the config.
    """
    by_name = {host.name: host for host in config.hosts}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        known = ", ".join(list(by_name)[:10]) + (", …" if len(by_name) > 10 else "")
        raise click.BadParameter(f"no host {', '.join(unknown)} in the config; it has {known}")
    return [by_name[name] for name in dict.fromkeys(names)] if names else list(config.hosts)


def the_host(config_file: Path, name: str) -> tuple[Config, HostConfig]:
    """Return the config and the host of this name in it."""
    config = load_or_exit(config_file).config
    (host,) = choose_hosts(config, (name,))
    return config, host


def the_rule(config: Config, name: str) -> RemediationRule:
    """Return the rule of this name.

    Raises:
        click.BadParameter: there is none.
    """
    rule = config.remediation.rule(name)
    if rule is None:
        known = ", ".join(rule.name for rule in config.remediation.rules)
        others = f"it has {known}" if known else "it has no remediation rules"
        raise click.BadParameter(f"no rule {name} in the config; {others}")
    return rule


def rule_on_host(
    config: Config, rule_name: str, host_name: str
) -> tuple[RemediationRule, HostConfig]:
    """Return a rule and a host by their names.

    Raises:
        click.BadParameter: there is no such rule or host, or the rule is not for the host.
    """
    rule = the_rule(config, rule_name)
    (host,) = choose_hosts(config, (host_name,))
    if not rule.hosts.matches(host.name, host.labels):
        raise click.BadParameter(f"rule {rule_name} is not for host {host_name}: see its `hosts`")
    return rule, host

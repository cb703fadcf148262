"""`service`: clamav and spamassassin of a host, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from exporter.cli.arguments import config_option, format_option, host_argument, the_host, together
from exporter.cli.manual_action import run_manual_action
from exporter.cli.session import ask_host
from exporter.cli.terminal import print_json
from exporter.remediation.actions import service_state
from exporter.remediation.plan import ActionSpec
from exporter.snapshot import SERVICES

service_argument = click.argument(
    "which", metavar="|".join(SERVICES), type=click.Choice(list(SERVICES))
)
service_options = together(host_argument, service_argument, config_option, format_option)


@click.group
def service() -> None:
    """See whether a host's clamav or spamassassin runs; switch it on or off.

    \b
    brainycp-exporter service status mx1 clamav --config F
    brainycp-exporter service on mx1 clamav --config F

    Switching is written into the journal, as the daemon does, and no two act on one host at
    once. No daemon is needed.
    """  # noqa: D301 - click's mark before lines that stay as they are


@service.command("status")
@service_options
def status(name: str, which: str, config_file: Path, *, as_json: bool) -> None:
    """Print whether a mail service runs. Exit code 0 when it does, 1 when not or not known.

    \b
    brainycp-exporter service status mx1 spamassassin --config F
    """  # noqa: D301
    config, host = the_host(config_file, name)
    state = ask_host(config, host, lambda context: service_state(context.client, which))
    if as_json:
        known = {"running": state.running, "installed": state.installed}
        print_json({"host": host.name, "service": which, **known})
    else:
        click.echo(f"{host.name}: {which} {state.words}.")
    if not state.running:
        raise SystemExit(1)


@service.command("on")
@service_options
def on(name: str, which: str, **how: Any) -> None:
    """Start a mail service, and look whether it runs then.

    \b
    brainycp-exporter service on mx1 clamav --config F
    """  # noqa: D301
    run_manual_action(name, ActionSpec("service_on", service=which), **how)


@service.command("off")
@service_options
def off(name: str, which: str, **how: Any) -> None:
    """Stop a mail service, and look whether it is stopped then.

    \b
    brainycp-exporter service off mx1 spamassassin --config F
    """  # noqa: D301
    run_manual_action(name, ActionSpec("service_off", service=which), **how)

"""`alerts`: firing, pending and resolved alerts."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from exporter.alerting.evaluator import AlertEvaluator
from exporter.alerting.service import ALERTS
from exporter.alerting.view import alerts_view
from exporter.cli.arguments import choose_hosts, config_option, format_option, load_or_exit
from exporter.cli.terminal import console, local_time, plural, print_json, printable, say, zone_note
from exporter.config.models import Config
from exporter.journal import Journal, JournalError, JournalMissingError

SHOWN_RESOLVED = 20
"""Resolved alerts in the table; --format json has all that are kept."""

_STYLES = {"critical": "bold red", "warning": "yellow", "info": "cyan"}


@click.command
@config_option
@click.option("--host", metavar="HOST", help="Of this host only.")
@format_option
def alerts(config_file: Path, host: str | None, *, as_json: bool) -> None:
    """List the daemon's own alerts: firing, pending and resolved within a week.

    Reads what the daemon has kept, and works while it runs or not. Exit code 0, whether anything
    fires or not.
    """
    config = load_or_exit(config_file).config
    if host is not None:
        choose_hosts(config, (host,))
    try:
        known = read_alerts(config)
    except JournalError as error:
        raise click.ClickException(str(error)) from None
    shown = [a for a in known or () if host in {None, a["labels"].get("host")}]
    if as_json:
        print_json(shown)
    elif known is None:
        click.echo(f"No daemon has kept any alert in {config.state.path} yet.")
    else:
        _print(shown, console())


def read_alerts(config: Config) -> list[dict[str, Any]] | None:
    """Return the config's alerts by the state file; None when there is no such file.

    Raises:
        JournalError: it cannot be read.
    """
    try:
        with closing(Journal.open_to_read(config.state.path)) as journal:
            saved = journal.states(ALERTS)
    except JournalMissingError:
        return None
    evaluator = AlertEvaluator()
    evaluator.restore(value for value in saved.values() if isinstance(value, dict))
    evaluator.apply_config(config, time.time())
    return alerts_view(evaluator)


def _print(shown: list[dict[str, Any]], out: Console) -> None:
    counts = Counter(alert["state"] for alert in shown)
    say(
        f"{plural(counts['firing'], 'alert')} firing, {counts['pending']} pending, "
        f"{counts['resolved']} resolved within a week. {zone_note()}",
        out,
    )
    click.echo()
    resolved = 0
    for alert in shown:
        resolved += alert["state"] == "resolved"
        if alert["state"] != "resolved" or resolved <= SHOWN_RESOLVED:
            _print_one(alert, out)
    if resolved > SHOWN_RESOLVED:
        click.echo(f"and {resolved - SHOWN_RESOLVED} resolved earlier; --format json shows them")


def _print_one(alert: dict[str, Any], out: Console) -> None:
    labels = alert["labels"]
    severity = labels.get("severity", "")
    since = _local(alert["since"])
    until = f" to {_local(alert['resolved_at'])}" if "resolved_at" in alert else ""
    of = "".join(f" {labels[name]}" for name in ("service", "collector") if name in labels)
    style = _STYLES.get(severity, "") if alert["state"] == "firing" else "dim"
    head = Text.assemble(
        (f"{alert['state']:8}", style),
        f"  {printable(severity):8}  {printable(labels['alertname'])}{printable(of)} on "
        f"{printable(labels['host'])}, {'since' if not until else 'from'} {since}{until}",
    )
    out.print(head, overflow="fold")
    summary = printable(" ".join(str(alert["annotations"].get("summary", "")).split()))
    say(summary, out, "    ", break_words=True)


def _local(iso: str) -> str:
    return local_time(datetime.fromisoformat(iso).timestamp())

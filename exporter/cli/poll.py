"""`poll`: one poll now, printed."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from exporter.cli.arguments import choose_hosts, config_option, format_option, load_or_exit
from exporter.cli.terminal import console, print_json
from exporter.fleet.store import HostRecord
from exporter.fleet.view import host_view, problems, state_of
from exporter.humanize import duration, integer
from exporter.polling.oneshot import poll_hosts
from exporter.snapshot import (
    SERVICES,
    ServiceState,
)

_STYLES = {"up": "green", "partial": "yellow", "down": "red"}


@click.command
@click.argument("names", metavar="[HOST]...", nargs=-1)
@config_option
@format_option
def poll(names: tuple[str, ...], config_file: Path, output_format: str) -> None:
    """Poll every host of the config, or those named, once; print what they said.

    No daemon is needed and none is disturbed. Exit code 0 when every host is up,
    1 when some are not.
    """
    config = load_or_exit(config_file).config
    hosts = choose_hosts(config, names)
    progress = Progress(
        TextColumn("polling"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with progress:
        task = progress.add_task("", total=len(hosts))
        records = uvloop.run(poll_hosts(config, hosts, lambda _: progress.advance(task)))
    if output_format == "json":
        print_json([host_view(record, _polled_at(record)) for record in records])
    else:
        _print_table(records)
    if not all(state_of(record) == "up" for record in records):
        raise SystemExit(1)


def _polled_at(record: HostRecord) -> float:
    """What one poll found does not go stale while another host keeps us waiting."""
    return record.latest.at if record.latest else 0.0


def _print_table(records: list[HostRecord]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("HOST", overflow="fold")
    table.add_column("STATE")
    for name in ("QUEUE", "FROZEN", "OLDEST"):
        table.add_column(name, justify="right")
    for service in SERVICES:
        table.add_column(service.upper())
    for record in records:
        table.add_row(*_row(record, _polled_at(record)))
    out = console()
    out.print(table)
    for record in records:
        for line in problems(record):
            out.print(Text.assemble((record.host.name, "bold"), f": {line}"))


def _row(record: HostRecord, now: float) -> list[str | Text]:
    state = state_of(record)
    queue = record.queue(now)
    stats = queue.stats if queue else None
    figures = [
        "-" if queue is None else integer(queue.messages),
        "-" if stats is None or stats.frozen is None else integer(stats.frozen),
        "-" if stats is None or stats.oldest_age is None else duration(stats.oldest_age),
    ]
    return [
        record.host.name,
        Text(state, style=_STYLES.get(state, "")),
        *figures,
        *(_service(record.service(name, now)) for name in SERVICES),
    ]


def _service(state: ServiceState | None) -> str | Text:
    if state is None:
        return "-"
    if not state.installed:
        return "not installed"
    return "up" if state.running else Text("stopped", style="yellow")

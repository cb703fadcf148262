"""`poll`: one poll now, printed."""

from __future__ import annotations

from pathlib import Path

import click
import uvloop
from rich.text import Text

from exporter.cli.arguments import choose_hosts, config_option, format_option, load_or_exit
from exporter.cli.terminal import console, print_json, progress_bar, table
from exporter.fleet.store import HostRecord
from exporter.fleet.view import host_view, problems, state_of
from exporter.humanize import duration, integer
from exporter.polling.oneshot import poll_hosts
from exporter.snapshot import SERVICES, ServiceState

_STYLES = {"up": "green", "partial": "yellow", "down": "red"}


@click.command
@click.argument("names", metavar="[HOST]...", nargs=-1)
@config_option
@format_option
def poll(names: tuple[str, ...], config_file: Path, *, as_json: bool) -> None:
    """Poll every host of the config, or those named, once; print what they said.

    No daemon is needed and none is disturbed. Exit code 0 when every host is up,
    1 when some are not.
    """
    config = load_or_exit(config_file).config
    hosts = choose_hosts(config, names)
    with progress_bar("polling", len(hosts)) as bar:
        records = uvloop.run(poll_hosts(config, hosts, lambda _: bar.advance(bar.task_ids[0])))
    if as_json:
        print_json([host_view(record, _polled_at(record)) for record in records])
    else:
        _print_table(records)
    if not all(state_of(record) == "up" for record in records):
        raise SystemExit(1)


def _polled_at(record: HostRecord) -> float:
    """Return the time of a host's poll: it does not go stale while another host is slow."""
    return record.latest.at if record.latest else 0.0


def _print_table(records: list[HostRecord]) -> None:
    shown = table()
    shown.add_column("HOST", overflow="fold")
    shown.add_column("STATE")
    for name in ("QUEUE", "FROZEN", "OLDEST"):
        shown.add_column(name, justify="right")
    for service in SERVICES:
        shown.add_column(service.upper())
    for record in records:
        shown.add_row(*_row(record, _polled_at(record)))
    out = console()
    out.print(shown)
    for record in records:
        for line in problems(record):
            out.print(Text.assemble((record.host.name, "bold"), f": {line}"))


def _row(record: HostRecord, now: float) -> list[str | Text]:
    state = state_of(record)
    queue = record.queue(now)
    stats = queue.stats if queue else None
    return [
        record.host.name,
        Text(state, style=_STYLES.get(state, "")),
        "-" if queue is None else integer(queue.messages),
        "-" if stats is None or stats.frozen is None else integer(stats.frozen),
        "-" if stats is None or stats.oldest_age is None else duration(stats.oldest_age),
        *(_service(record.service(name, now)) for name in SERVICES),
    ]


def _service(state: ServiceState | None) -> str | Text:
    if state is None:
        return "-"
    if not state.installed:
        return "not installed"
    return "up" if state.running else Text("stopped", style="yellow")

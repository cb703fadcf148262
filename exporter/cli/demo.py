"""`demo`: a fleet of stand-in panels on loopback and the daemon over it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import uvloop
import yaml
from rich.text import Text

from exporter.cli.terminal import console, table
from exporter.config.models import split_address
from exporter.daemon import Daemon
from exporter.standin.fleet import DemoHost, demo_fleet, exim_backend
from exporter.standin.queue import BackendMissingError
from exporter.web.server.sockets import ListenError


def _address(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        split_address(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return value


@click.command
@click.option("--hosts", type=click.IntRange(6, 1000), default=8, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="End by itself.")
@click.option(
    "--listen",
    metavar="ADDRESS:PORT",
    default="127.0.0.1:9897",
    show_default=True,
    callback=_address,
    help="Where the daemon listens.",
)
@click.option(
    "--backend",
    type=click.Choice(["memory", "exim"]),
    default="memory",
    show_default=True,
    help="Simulated mail queues, or real Exim spools (needs exim4 and a checkout).",
)
def demo(hosts: int, seconds: float | None, listen: str, backend: str) -> None:
    """Run a fleet of stand-in panels on loopback, and the daemon over it.

    Nothing outside this machine is asked. The queues live: mail arrives, leaves, freezes and
    ages. Ends with Ctrl-C, or by itself after --seconds.
    """
    try:
        uvloop.run(_demo(hosts, seconds, listen, backend))
    except (BackendMissingError, ListenError) as error:
        raise click.ClickException(str(error)) from None


async def _demo(hosts: int, seconds: float | None, listen: str, backend: str) -> None:
    with tempfile.TemporaryDirectory(prefix="brainycp-demo-") as folder:
        chosen = exim_backend() if backend == "exim" else None
        async with demo_fleet(hosts, backend=chosen) as fleet:
            file = _write_config(Path(folder), demo_config(fleet.hosts, listen))
            daemon = Daemon(file, on_listening=lambda urls: _introduce(fleet.hosts, urls, file))
            if seconds is not None:
                asyncio.get_running_loop().call_later(seconds, daemon.stop)
            await daemon.run()


def _write_config(folder: Path, config: dict[str, Any]) -> Path:
    file = folder / "config.yaml"  # it holds passwords; the folder is this user's alone
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return file


def demo_config(hosts: Sequence[DemoHost], listen: str) -> dict[str, Any]:
    """Return the daemon's config for a fleet of stand-in panels."""
    config: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("demo.yaml").read_text())
    return config | {"hosts": [host.config() for host in hosts], "web": {"listen": listen}}


def _program() -> str:
    """Return this command as it was called, so that printed commands can be copied."""
    called = Path(sys.argv[0])
    return f"{sys.executable} -m exporter" if called.suffix == ".py" else str(called)


def _introduce(hosts: Sequence[DemoHost], urls: list[str], file: Path) -> None:
    """Print the pages, the hosts and commands to try; called once the daemon listens."""
    out = console()
    base = urls[0]
    out.print(f"\n[bold]{len(hosts)} stand-in panels, polled every 10s.[/bold] Open:\n")
    pages = table(head=False)
    for path, what in (
        ("/", "status page"),
        ("/metrics", "what Prometheus scrapes"),
        (f"/probe?target={hosts[0].name}", "one host, polled now"),
        ("/alerts", "the daemon's own alerts"),
        ("/journal", "what the rules have done"),
        ("/remediation", "the rules, as they stand"),
    ):
        pages.add_row(f"  {base}{path}", what)
    out.print(pages)
    out.print("\nThe cast:\n")
    cast = table(head=False)
    for host in hosts[:12]:
        cast.add_row(f"  {host.name}", host.story)
    out.print(cast)
    if len(hosts) > 12:
        out.print(f"  and {len(hosts) - 12} more")
    out.print(
        "\nWithin a minute a rule purges the storm, and another asks whether it may start clamav."
    )
    out.print("In another terminal, while this runs:\n")
    program = _program()
    stopped = next((h.name for h in hosts if h.story == "clamav stopped"), hosts[0].name)
    for command in (
        "poll",
        f"diagnose {hosts[0].name}",
        "alerts",
        "journal",
        "remediation status",
        f"remediation approve start-clamav {stopped}",
    ):
        out.print(Text(f"  {program} {command} --config {file}"), soft_wrap=True)
    out.print("\nCtrl-C ends it. What follows is the daemon's log.\n")

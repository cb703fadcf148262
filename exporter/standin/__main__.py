"""`python -m exporter.standin`: a fleet of stand-in panels, and the daemon's config for it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

import click
import uvloop
import yaml

from exporter.standin.fleet import DemoFleet, DemoHost, load_backend
from exporter.standin.panel import KEEPALIVE
from exporter.standin.queue import BackendMissingError


def config_text(hosts: Sequence[DemoHost]) -> str:
    """A config of the daemon that polls these hosts."""
    entries = [host.config() for host in hosts]
    return yaml.safe_dump({"hosts": entries}, sort_keys=False, allow_unicode=True)


async def _serve(fleet: DemoFleet) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with fleet:
        click.echo(config_text(fleet.hosts))
        await stop.wait()


@click.command()
@click.option("--hosts", default=8, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--backend", default="memory", type=click.Choice(["memory", "exim"]))
@click.option("--tls", is_flag=True, help="Serve all panels over https, not just one.")
@click.option("--delay", default=0.0, type=click.FloatRange(0), help="Seconds each call takes.")
@click.option("--single-port", is_flag=True, help="Plain hosts only, host i under /h<i>.")
@click.option(
    "--keepalive",
    default=KEEPALIVE,
    show_default=True,
    type=click.FloatRange(0),
    help="Seconds for which the single port keeps an idle connection open.",
)
@click.option("--calm", is_flag=True, help="With a single port: no queue is busy.")
@click.option("--still", is_flag=True, help="Let no queue change by itself.")
def main(
    *,
    hosts: int,
    backend: str,
    tls: bool,
    delay: float,
    single_port: bool,
    keepalive: float,
    calm: bool,
    still: bool,
) -> None:
    """Run stand-in panels on loopback and print the daemon's config for them.

    They run until SIGINT or SIGTERM.
    """
    try:
        fleet = DemoFleet(
            hosts,
            backend=load_backend(backend),
            tls=tls,
            delay=delay,
            live=not still,
            single_port=single_port,
            keepalive=keepalive,
            calm=calm,
        )
        uvloop.run(_serve(fleet))
    except BackendMissingError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()

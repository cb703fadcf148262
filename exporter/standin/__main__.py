"""`python -m exporter.standin`: a fleet of stand-in panels, and the daemon's config for it."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AbstractAsyncContextManager

import click
import uvloop
import yaml

from exporter.standin.fleet import DemoFleet, demo_fleet


async def _serve(fleet: AbstractAsyncContextManager[DemoFleet]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with fleet as served:
        config = {"hosts": [host.config() for host in served.hosts]}
        click.echo(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        await stop.wait()


@click.command()
@click.option("--hosts", default=8, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--tls", is_flag=True, help="Serve all panels over https, not just one.")
@click.option("--delay", default=0.0, type=click.FloatRange(0), help="Seconds each call takes.")
@click.option("--single-port", is_flag=True, help="Plain hosts only, host i under /h<i>.")
@click.option("--calm", is_flag=True, help="With a single port: no queue is busy.")
@click.option("--still", is_flag=True, help="Let no queue change with time.")
def main(
    *, hosts: int, tls: bool, delay: float, single_port: bool, calm: bool, still: bool
) -> None:
    """Run stand-in panels on loopback and print the daemon's config for them.

    They run until SIGINT or SIGTERM.
    """
    fleet = demo_fleet(
        hosts, tls=tls, delay=delay, live=not still, single_port=single_port, calm=calm
    )
    uvloop.run(_serve(fleet))


if __name__ == "__main__":
    main()

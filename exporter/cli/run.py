"""`run`: the daemon."""

from __future__ import annotations

import gc
from pathlib import Path

import click
import uvloop

from exporter.cli.arguments import config_option, exit_on_config_error
from exporter.config.errors import ConfigError
from exporter.daemon import Daemon
from exporter.web.server.sockets import ListenError


@click.command
@config_option
def run(config_file: Path) -> None:
    """Run the daemon: poll the panels and serve /metrics until SIGTERM or Ctrl-C.

    SIGHUP or POST /-/reload reads the config anew. Logs go to standard error.
    """

    async def daemon() -> None:
        # Imported modules stay for good, and polls leave few cycles behind: the collector
        # skips the former and can run less often for the latter.
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        await Daemon(config_file).run()

    try:
        uvloop.run(daemon())
    except ConfigError as error:
        exit_on_config_error(error)
    except ListenError as error:
        raise SystemExit(f"brainycp-exporter: {error}") from None

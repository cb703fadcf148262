"""`check-config`: everything `run` would check before it polls."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.cli.terminal import exit_on_config_error
from exporter.config.document import ConfigError
from exporter.config.schema import schema_text
from exporter.startup import load_everything


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the config for editors.")
def check_config(file: Path | None, *, schema: bool) -> None:
    """Check a config: prints every mistake with its path and line.

    Reads the hosts_files, the secrets' files and the web config too, as `run` does
    before it polls. No panel is asked. Exit code 0 when all is well, 2 when not.
    """
    if schema:
        click.echo(schema_text(), nl=False)
        return
    if file is None:
        raise click.UsageError("Missing argument 'FILE'.")
    try:
        usable = load_everything(file)
    except ConfigError as error:
        exit_on_config_error(error)
    for warning in usable.loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    count = len(usable.loaded.config.hosts)
    click.echo(f"{file}: good, {count} {'host' if count == 1 else 'hosts'}.")

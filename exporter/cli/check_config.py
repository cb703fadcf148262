"""`check-config`: everything `run` would check before it polls."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import click

from exporter.cli.arguments import exit_on_config_error
from exporter.cli.terminal import printable
from exporter.config.errors import ConfigError
from exporter.config.models import Config
from exporter.config.schema import schema_text
from exporter.journal import Journal, JournalError, JournalMissingError
from exporter.remediation.recovery import lost_facts
from exporter.startup import load_everything


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the config for editors.")
def check_config(file: Path | None, *, schema: bool) -> None:
    """Check a config: prints every mistake with its path and line.

    Reads the hosts_files, the secrets' files and the web config too, as `run` does
    before it polls. No panel is asked. Exit code 0 when all is well, 2 when not.
    Where there is a journal it warns of stops, approvals and cooldowns that a rule or
    a host loses by another name or url.
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
    for words in _of_the_journal(usable.loaded.config):
        click.echo(f"warning: {file}: {words}", err=True)
    count = len(usable.loaded.config.hosts)
    click.echo(f"{file}: good, {count} {'host' if count == 1 else 'hosts'}.")


def _of_the_journal(config: Config) -> list[str]:
    """Return warnings about journal entries that no longer apply to a rule or host."""
    try:
        with closing(Journal.open_to_read(config.state.path)) as journal:
            return [printable(str(lost)) for lost in lost_facts(journal, config, time.time())]
    except JournalMissingError:
        return []
    except JournalError as error:
        return [f"the journal cannot be read, so that nothing would act. {error}"]

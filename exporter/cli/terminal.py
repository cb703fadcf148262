"""What every command needs of the terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from exporter.config.errors import ConfigError
from exporter.config.loading import LoadedConfig, load_config

CONFIG_ERROR = 2

config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The YAML config; config.example.yaml explains every key.",
)
host_argument = click.argument("name", metavar="HOST")
format_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table for people or JSON for scripts.",
)


def console() -> Console:
    """Standard output; colours only on a terminal, 80 columns when it is none."""
    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 80)


def print_json(value: Any) -> None:
    """`value` as indented JSON on standard output.

    What would steer the terminal, or cannot be encoded, is escaped: anybody may write an address.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if not text.replace("\n", "").isprintable():
        text = "".join(c if c == "\n" or c.isprintable() else _escaped(c) for c in text)
    click.echo(text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def load_or_exit(file: Path) -> LoadedConfig:
    """The config, or every mistake in it on standard error and exit code 2."""
    try:
        return load_config(file)
    except ConfigError as error:
        exit_on_config_error(error)


def exit_on_config_error(error: ConfigError) -> NoReturn:
    """Print every problem, then end with exit code 2."""
    for problem in error.problems:
        click.echo(str(problem), err=True)
    count = len(error.problems)
    click.echo(f"{count} {'mistake' if count == 1 else 'mistakes'} in the config.", err=True)
    raise SystemExit(CONFIG_ERROR)

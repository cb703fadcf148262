"""The command line is quick where it says only what it is: commands are loaded when called."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from exporter.cli import COMMANDS, load, main

HEAVY = (
    *("aiohttp", "jinja2", "msgspec", "prometheus_client", "pydantic", "rich", "structlog"),
    *("asyncio", "cryptography", "sqlite3", "uvloop", "yaml", "yarl", "exporter.config"),
)


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_what_the_program_is_loads_nothing_of_what_it_does(option: str) -> None:
    script = (
        "import sys\n"
        "from exporter.__main__ import main\n"
        f"sys.argv[1:] = [{option!r}]\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n"
        f"    print('loaded', *sorted(set({HEAVY}) & set(sys.modules)), end.code or 0)\n"
    )
    # Coverage loads modules of its own into every process that these name.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=env
    )
    assert done.stdout.splitlines()[-1] == "loaded 0"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_of_a_command_what_its_help_says(name: str) -> None:
    command = load(name)
    assert command.name == name
    assert command.get_short_help_str(200) == COMMANDS[name]
    assert main.commands[name].get_short_help_str() == command.get_short_help_str()


@pytest.mark.skipif(not hasattr(click, "NoSuchCommand"), reason="Click looks for it since 8.4")
def test_a_misspelt_command_is_named_with_the_one_that_is_like_it() -> None:
    result = CliRunner().invoke(main, ["jurnal"])
    assert result.exit_code == 2
    assert "journal" in result.stderr

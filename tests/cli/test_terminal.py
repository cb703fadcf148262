"""What the terminal gets: the same values in JSON, no steering, lines that fit."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from exporter.cli.terminal import print_json, say, width_of
from tests.cli.shell import command


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2J",
        "\x9b2J and \x7f",
        "user\u202emoc.elpmaxe@",
        "a\U000e0001b",
        "почта@пример.рф 😀",
        "lone \ud800 surrogate",
    ],
)
def test_what_would_steer_the_terminal_is_escaped(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    print_json([{"sender": text}])
    shown = capsys.readouterr().out
    assert json.loads(shown) == [{"sender": text}]
    assert shown.replace("\n", "").isprintable()


def test_letters_of_any_language_stay_readable(capsys: pytest.CaptureFixture[str]) -> None:
    print_json("почта@пример.рф")
    assert "почта@пример.рф" in capsys.readouterr().out


def test_sentences_keep_to_a_narrow_terminal_and_tables_do_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "The panel refused the login, as far as anybody can tell, on all of the hosts."
    for width, longest in ((40, 40), (200, 77)):
        say(text, Console(width=width, force_terminal=True))
        lines = capsys.readouterr().out.splitlines()
        assert " ".join(lines) == text
        assert longest - 9 < max(map(len, lines)) <= longest
    assert width_of(Console(width=40, force_terminal=True)) == 80


def test_a_full_disk_ends_a_command_with_a_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("--help"), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.stderr == "Error: The output cannot be written: No space left on device.\n"
    assert done.returncode == 1

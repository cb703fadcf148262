"""JSON on a terminal: the same values, and nothing that steers it."""

from __future__ import annotations

import json

import pytest

from exporter.cli.terminal import print_json


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

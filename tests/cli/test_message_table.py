"""Messages as lines: what is reported, what is not, and what does not fit."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from exporter.cli.message_table import echo_messages, message_lines, totals
from exporter.cli.terminal import printable
from exporter.snapshot import Message
from tests.builders import message

UNTOLD = Message("1sAbCd-0000000001a-2Xyz")
LONG = message(
    "1sAbCd-000002-2X",
    sender=f"{'s' * 70}@example.com",
    recipients=(f"{'r' * 70}@example.net", *["c@example.org"] * 11),
    size=10**12,
    age=400 * 86400.0,
)
SOME = "(unknown of 1)"
WIDE = message("1sAbCd-000003-2X", sender="почта@пример.рф", recipients=("受信者" * 20,))


def test_what_the_panel_does_not_report_is_a_dash() -> None:
    (_, line) = message_lines([UNTOLD], 80)
    assert line.split() == [UNTOLD.id, "-", "-", "?", "-", "-"]


def test_a_message_for_which_nobody_waits() -> None:
    (_, line) = message_lines([message(recipients=())], 80)
    assert line.endswith("(nobody waits)")


@pytest.mark.parametrize("width", [80, 120])
def test_every_line_fits(width: int) -> None:
    lines = list(message_lines([UNTOLD, LONG, WIDE, message()], width))
    assert max(map(cell_len, lines)) == width
    assert lines[2].endswith("… +11")
    assert lines[3].endswith("…")


def test_what_one_column_does_not_need_the_other_has() -> None:
    long = "r" * 40 + "@example.net"
    (_, line) = message_lines([message(sender="", recipients=(long,))], 100)
    assert line.endswith(f"<>      {long}")


def test_no_messages_have_no_heading() -> None:
    assert list(message_lines([], 80)) == []


def test_addresses_do_not_steer_the_terminal() -> None:
    evil = message(sender="\x1b[31mann\udcff@example.com", recipients=("\x07bob@example.net\n",))
    (_, line) = message_lines([evil], 80)
    assert line.isprintable()
    assert printable("ann@example.com") == "ann@example.com"


def test_the_first_of_many_are_shown() -> None:
    text = io.StringIO()
    messages = [message(f"1sAbCd-{n:06d}-2X") for n in range(30)]
    echo_messages(messages, Console(file=text), most=20)
    lines = text.getvalue().splitlines()
    assert len(lines) == 22
    assert lines[-1] == "and 10 more; --all shows them."


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "0 messages"),
        ([message()], "1 message, 0 frozen, 0 bounces, 2.0 KiB, the oldest 1d"),
        ([UNTOLD], "1 message"),
        (
            [UNTOLD, message(frozen=True, sender="")],
            f"2 messages, 1 frozen {SOME}, 1 bounce {SOME}, at least 2.0 KiB, the oldest 1d",
        ),
    ],
)
def test_totals_say_what_they_do_not_cover(messages: list[Message], words: str) -> None:
    assert totals(messages) == words

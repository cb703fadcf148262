from __future__ import annotations

import pytest

from exporter.standin import console
from exporter.standin.queue import QueuedMessage

BOUNCE = QueuedMessage(
    "1kXpJb-0004Uv-7Q", 90_000, 252, "", ("postmaster@example.com",), frozen=True
)
PARTLY = QueuedMessage(
    "1kXpJc-0004Uv-7R", 7200, 3000, "list@example.org", ("x@ok.test", "y@b.test"), ("x@ok.test",)
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0m"),
        (59, "0m"),
        (90 * 60 + 59, "90m"),
        (91 * 60, "2h"),
        (25 * 3600, "25h"),
        (72 * 3600 + 1799, "72h"),
        (72 * 3600 + 1800, "3d"),
        (200 * 86400, "200d"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert console.exim_age(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, ""),
        (1023, "1023"),
        (1024, "1.0K"),
        (10 * 1024, "10K"),
        (1024 * 1024, "1.0M"),
        (10 * 1024**2, "10M"),
        (2 * 1024**3, "2048M"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert console.exim_size(size) == text


def test_exim_listing() -> None:
    assert console.exim_listing([BOUNCE, PARTLY]) == (
        "25h   252 1kXpJb-0004Uv-7Q <> *** frozen ***\n"
        "          postmaster@example.com\n"
        "\n"
        " 2h  2.9K 1kXpJc-0004Uv-7R <list@example.org>\n"
        "        D x@ok.test\n"
        "          y@b.test\n"
        "\n"
    )


def test_postfix_listing() -> None:
    held = QueuedMessage("3F2A91C0B4", 60, 100, "", ("a@b.test",), frozen=True)
    other = QueuedMessage(
        "3F2A91C0B5", 0, 2000, "s@c.test", ("x@ok.test", "y@b.test"), ("x@ok.test",)
    )
    now = 1_795_487_323.0  # Tue Nov 24 02:28:43 2026 UTC
    text = console.postfix_listing([held, other], now)
    assert text == (
        "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
        "3F2A91C0B4!     100 Tue Nov 24 02:27:43  MAILER-DAEMON\n"
        "                (connect to mail.example[192.0.2.25]:25: Connection timed out)\n"
        "                                         a@b.test\n"
        "\n"
        "3F2A91C0B5     2000 Tue Nov 24 02:28:43  s@c.test\n"
        "                (connect to mail.example[192.0.2.25]:25: Connection timed out)\n"
        "                                         y@b.test\n"
        "\n"
        "-- 3 Kbytes in 2 Requests.\n"
    )
    assert console.postfix_listing([held], now).endswith("-- 1 Kbytes in 1 Request.\n")
    assert console.postfix_listing([], now) == "Mail queue is empty\n"


def test_postsuper() -> None:
    assert console.postfix_removed([]) == ""
    assert (
        console.postfix_removed(["A1"]) == "postsuper: A1: removed\npostsuper: Deleted: 1 message\n"
    )
    assert console.postfix_removed(["A1", "B2"]).endswith("postsuper: Deleted: 2 messages\n")

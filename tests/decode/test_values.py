from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from exporter.panel.decode import values
from exporter.panel.decode.addresses import read_recipients, read_sender

NOW = 1_795_489_200.0
"""2026-11-24 03:00:00 UTC."""
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")


@pytest.mark.parametrize(
    ("value", "age"),
    [
        ("25m", 1500.0),
        ("2d 3h", 183600.0),
        ("1h30m", 5400.0),
        ("5 minutes", 300.0),
        ("3 часа", 10800.0),
        ("2 天", 172800.0),
        ("1w", 604800.0),
        ("-5m", None),
        ("5M", None),
        ("m", None),
        ("90", None),
        (True, None),
        ("9" * 400, None),
        (float("nan"), None),
        (["25m"], None),
        ("1795487700", 1500.0),
        (1795487700.5, 1499.5),
        (1795487700000, 1500.0),
        ("2026-11-24T02:35:00Z", 1500.0),
        ("Tue, 24 Nov 2026 05:35:00 +0300 (MSK)", 1500.0),
        ("2026-11-24 02:35:00 +99:99", None),
        ("2026-13-40 02:35:00", None),
        ("2026-11-24 25:00:00", None),
        ("11/24/2026 02:35:00", None),
        ("Feb 29 00:00:00", None),
        ("2026-11-24 02:35", 1500.0),
        ("Nov 24 02:35:00 2026", 1500.0),
        ("Nov 24 02:35:00 2005", None),
    ],
)
def test_ages(value: object, age: float | None) -> None:
    reader = values.AgeReader(NOW, UTC)
    if value == "Feb 29 00:00:00":  # of 2024: the last year that had one
        assert reader.read(value) == pytest.approx(86400 * 999, rel=0.01)
        return
    assert reader.read(value) == age


def test_hours_that_the_clocks_repeat_or_skip_tell_nothing() -> None:
    zone = ZoneInfo("Europe/Berlin")
    reader = values.AgeReader(NOW, zone)
    assert reader.read("2026-10-25 02:30:00") is None
    assert reader.read("2026-03-29 02:30:00") is None
    assert reader.read("2026-10-25 03:30:00") == NOW - 1792895400


def test_a_column_of_dates_is_read_as_each_of_them() -> None:
    dates = ["2026-10-04 01:59:59", "2026-10-04 02:45:10", "2026-11-23 08:41:02"]
    for zone in (UTC, ZoneInfo("Europe/Moscow"), LORD_HOWE):
        one_by_one = [values.AgeReader(NOW, zone).read(date) for date in dates]
        at_once = values.AgeReader(NOW, zone).read_dates(dates)
        assert at_once is None or at_once == one_by_one
    assert values.AgeReader(NOW, UTC).read_dates(dates) is not None
    assert values.AgeReader(NOW, None).read_dates(dates) is None
    assert values.AgeReader(NOW, UTC).read_dates(["2026-11-24 04:00:00"]) is None
    assert values.AgeReader(NOW, UTC).read_dates([dates[0], "soon"]) is None


def test_a_moment_beyond_the_calendar_is_unknown() -> None:
    assert values.AgeReader(1e18, UTC).read("Nov 24 02:35:00") is None


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("512", 512),
        ("2.9K", 2970),
        ("1,4 МБ", 1468006),
        ("12 bytes", 12),
        ("3GiB", 3 * 2**30),
        ("1023M", 1023 * 2**20),
        ("1024M", None),
        ("-1", None),
        ("1.5", None),
        ("1,024K", None),
        ("99999999T", None),
        ("big", None),
        (512.0, 512),
        (512.5, None),
        (float("inf"), None),
        (float("nan"), None),
        (True, None),
        (-1, None),
        (2**60, None),
        (None, None),
    ],
)
def test_sizes(value: object, size: int | None) -> None:
    assert values.read_size(value) == size


@pytest.mark.parametrize(
    ("value", "id_"),
    [
        (" 1kXpJb-0004Uv-7Q\n", "1kXpJb-0004Uv-7Q"),
        ("1kXpJb-0004Uv-7Q!", None),
        ("1kXpJb_0004Uv_7Q", None),
        ("1kXpJb-0004Uv-7Q x", None),
        ("3F2A91C0B4*", "3F2A91C0B4"),
        ("3f2a91c0b4", None),
        ("3F2A9", None),
        ("3Pt2mN2VXxznjll", "3Pt2mN2VXxznjll"),
        ("3Pt2mN2VXxznjvwx", "3Pt2mN2VXxznjvwx"),
        ("Message", None),
        (123456, None),
    ],
)
def test_ids(value: object, id_: str | None) -> None:
    assert values.read_id(value) == id_


@pytest.mark.parametrize(
    ("value", "flag", "frozen"),
    [
        ("*** frozen ***", False, True),
        (" FROZEN ", False, True),
        ("", False, False),
        ("not frozen", False, False),
        ("1", False, None),
        ("1", True, True),
        (0, True, False),
        (1795487700, True, None),
        (True, False, None),
        (True, True, True),
        (None, True, None),
        ("x" * 2000, True, None),
        (["frozen"], True, None),
    ],
)
def test_states(value: object, flag: bool, frozen: bool | None) -> None:
    assert values.read_frozen(value, flag=flag) is frozen


@pytest.mark.parametrize(
    ("value", "sender"),
    [
        ("<a@b.example>", "a@b.example"),
        ('"Ivan" <a@b.example>', "a@b.example"),
        (["a@b.example"], "a@b.example"),
        ({"address": "a@b.example"}, "a@b.example"),
        ({"name": "Ivan"}, None),
        ("< >", ""),
        ("mailer-daemon", ""),
        ("root", "root"),
        ("-", None),
        ("<a b>", None),
        ("two words", None),
        (7, None),
        ("x" * 2000, None),
    ],
)
def test_senders(value: object, sender: str | None) -> None:
    assert read_sender(value) == sender


@pytest.mark.parametrize(
    ("value", "decoded"),
    [
        ("a@b.example, <c@d.example>", (("a@b.example", "c@d.example"), ())),
        ({"a@b.example": "busy"}, (("a@b.example",), ())),
        ({"0": "a@b.example", "2": "D c@d.example"}, (("a@b.example",), ("c@d.example",))),
        ({"address": "a@b.example"}, (("a@b.example",), ())),
        ({"x": "y"}, None),
        ([{"address": "a@b.example"}, {"x": "y"}], None),
        ([["a@b.example"]], None),
        ([], ((), ())),
        ("", None),
        ("D", None),
        ("root", (("root",), ())),
        ('a@b.example "', None),
        ("a@b.example (host said: 450 busy)", (("a@b.example",), ())),
        ("a@b.example…", None),
        ('["a@b.example"]', None),
        ('["a@b.example", "c@d.example"]', None),
        ("a@[192.0.2.1], b@[IPv6:2001:db8::1]", (("a@[192.0.2.1]", "b@[IPv6:2001:db8::1]"), ())),
        ("{a@b.example}", None),
        ("a@b.example (ещё 3)", None),
        (7, None),
    ],
)
def test_recipients(value: object, decoded: object) -> None:
    assert read_recipients(value) == decoded


@pytest.mark.parametrize(
    ("text", "age"),
    [
        # NOW is a Friday, 15 January 2027, 08:00 UTC.
        ("Jan 15 07:59:00", 60),
        ("Jan 15 08:00:30", 0),  # a clock a little ahead
        # What would be in the future, with or without its weekday.
        ("Jan 15 08:05:00", None),
        ("Jan 15 23:00:00", None),
        ("Jan 17 08:00:00", None),
        ("Sun Jan 17 08:00:00", None),
        ("Jun 15 08:00:00", None),
        ("Tue Jun 15 08:00:00", None),
        # Of the year before, as everybody can see, or as its weekday says.
        ("Dec 31 08:00:00", 15 * 86400),
        ("Thu Dec 31 08:00:00", 15 * 86400),
        ("Aug 15 08:00:00", 153 * 86400),
        ("Mon Jun 15 08:00:00", 214 * 86400),
    ],
)
def test_a_date_without_a_year_that_would_be_in_the_future_is_unknown(
    text: str, age: float | None
) -> None:
    assert values.AgeReader(1_800_000_000.0, UTC).read(text) == age

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.alerting.message import MAX_BODY, body, title
from exporter.alertmanager.alert import Alert, Notification

T = 1_800_000_000.0
CONTEXT = """queue_frozen_messages > 200: 1,240, for 12m.
Queue: 1,302 messages, 95 % frozen, 92 % bounces, 4.2 MiB, oldest 3d 4h.
Last remediation: purge-frozen-storm: ok, 2h ago."""


def make(
    host: str = "mx1", *, resolved: bool = False, description: str = CONTEXT, **labels: str
) -> Alert:
    return Alert(
        {"alertname": "MailQueueFrozen", "host": host, "severity": "warning", **labels},
        {"summary": f"{host}: 1,240 frozen messages", "description": description},
        since=T,
        fired_at=T + 600,
        resolved_at=T + 7500 if resolved else None,
        url=f"http://127.0.0.1:9897/hosts/{host}",
    )


def several(*alerts: Alert) -> Notification:
    return Notification("MailQueueFrozen", alerts)


def test_titles() -> None:
    three = several(make("mx1"), make("mx7"), make("mx9"), make("mx2", resolved=True))
    assert title(three) == "[FIRING:3] MailQueueFrozen: mx1, mx7, mx9"
    ended = several(make("mx1", resolved=True), make("mx2", resolved=True))
    assert title(ended) == "[RESOLVED] MailQueueFrozen: mx1, mx2"
    twice = several(make(service="clamav"), make(service="spamassassin"))
    assert title(twice) == "[FIRING:2] MailQueueFrozen: mx1"
    many = title(several(*(make(f"mx{i}.example.com") for i in range(500))))
    assert many == (
        "[FIRING:500] MailQueueFrozen: mx0.example.com, mx1.example.com, mx2.example.com, "
        "mx3.example.com, mx4.example.com, mx5.example.com, mx6.example.com and 493 more"
    )
    assert title(several(make(""))) == "[FIRING:1] MailQueueFrozen"


def test_a_body_shows_each_host_in_its_order() -> None:
    assert body(several(make("mx7"), make("mx1", description=""), make("mx2", resolved=True))) == (
        "mx7: 1,240 frozen messages (warning)\n"
        "queue_frozen_messages > 200: 1,240, for 12m.\n"
        "Queue: 1,302 messages, 95 % frozen, 92 % bounces, 4.2 MiB, oldest 3d 4h.\n"
        "Last remediation: purge-frozen-storm: ok, 2h ago.\n"
        "http://127.0.0.1:9897/hosts/mx7\n"
        "\n"
        "mx1: 1,240 frozen messages (warning)\n"
        "http://127.0.0.1:9897/hosts/mx1\n"
        "\n"
        "Resolved after 2h 5m: mx2: 1,240 frozen messages"
    )


def test_a_summary_without_the_host_is_shown_with_it() -> None:
    labels = {"alertname": "Own", "host": "mx1"}
    alert = Alert(labels, {"summary": "too many"}, since=T, fired_at=T)
    assert body(Notification("Own", (alert,))) == "mx1: too many"
    bare = Alert(labels, {}, since=T, fired_at=T)
    assert body(Notification("Own", (bare,))) == "mx1"


def test_those_that_do_not_fit_are_counted() -> None:
    short = body(several(*(make(f"mx{i}", description="") for i in range(57))))
    assert short.count("frozen messages") == 20
    assert "\n\nand 37 more: mx20, mx21, mx22" in short
    assert short.endswith("and 17 more")  # of those 37 only so many are named
    long = body(several(*(make(f"mx{i}", description=CONTEXT * 2) for i in range(57))))
    shown = long.count("frozen messages (warning)")
    assert 5 < shown < 20
    assert f"and {57 - shown} more: mx{shown}, " in long


def test_what_is_resolved_leaves_room_for_what_fires() -> None:
    fires = [make(f"mx{i}") for i in range(20)]
    ended = [make(f"old{i}", resolved=True) for i in range(300)]
    text = body(several(*fires, *ended))
    assert text.count("(warning)") >= 8
    assert "Resolved after 2h 5m: old0: " in text
    assert text.count("Resolved") >= 5
    shown = text.count("Resolved")
    assert f"and {300 - shown} more: old{shown}, " in text


def test_hostile_text_does_nothing() -> None:
    evil = (
        "mx1\n[RESOLVED] all is well\r\x1b[2J\u202egnp.exe\u200b\u2028\x00 @everyone <!here> <@U1>"
    )
    notification = several(make(evil, description=evil))
    line = "mx1 [RESOLVED] all is well [2Jgnp.exe everyone !here> @U1>"
    assert title(notification) == f"[FIRING:1] MailQueueFrozen: {line}"
    text = body(notification)
    assert text.startswith(f"{line}: 1,240 frozen messages (warning)\n")
    for character in text:
        assert character == "\n" or unicodedata.category(character)[0] != "C"


ANY_TEXT = st.text(max_size=60) | st.builds(
    "".join, st.lists(st.sampled_from(["\n", "😀" * 200, "x" * 500, "\u202e", " ", "a: "]))
)
ALERTS = st.builds(
    lambda host, summary, description, name, resolved, severity: Alert(
        {"alertname": name, "host": host, "severity": severity},
        {"summary": summary, "description": description},
        since=T,
        fired_at=T,
        resolved_at=T if resolved else None,
        url=f"http://x/{host}",
    ),
    ANY_TEXT,
    ANY_TEXT,
    ANY_TEXT,
    ANY_TEXT,
    st.booleans(),
    ANY_TEXT,
)


@given(st.lists(ALERTS, min_size=1, max_size=40), ANY_TEXT)
@example([make("😀" * 5000, description="😀\n" * 5000) for _ in range(40)], "😀" * 999)
def test_whatever_there_is_it_fits_and_is_plain(alerts: list[Alert], group: str) -> None:
    notification = Notification(group, tuple(alerts))
    head, text = title(notification), body(notification)
    assert len(text.encode("utf-16-le")) / 2 <= MAX_BODY
    assert len(head) <= 400
    assert "\n" not in head
    for character in head + text:
        assert character == "\n" or unicodedata.category(character) not in {
            "Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp",
        }  # fmt: skip


@pytest.mark.parametrize("count", [1, 19, 20, 21, 500])
def test_none_is_lost_without_a_word(count: int) -> None:
    text = body(several(*(make(f"mx{i}", description="") for i in range(count))))
    shown = text.count("(warning)")
    left = int(text.split("\n\nand ")[1].split()[0]) if "\n\nand " in text else 0
    assert shown + left == count

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.panel.decode import (
    ListOptions,
    decode_queue,
    decode_queue_update,
    decode_reply,
    queue_stats,
)
from exporter.panel.errors import PanelError
from exporter.panel.protocol import Operation
from exporter.snapshot import Message, Mta
from tests.decode import rendering, strategies
from tests.decode.invariants import check_reply, check_stats
from tests.examples import examples

NOW = rendering.NOW
_zones = st.sampled_from([None, UTC, ZoneInfo("Europe/Moscow"), ZoneInfo("Australia/Lord_Howe")])
_fields = st.none() | st.dictionaries(
    st.sampled_from(["id", "age", "size", "sender", "recipients", "frozen"]),
    st.integers(0, 8) | st.sampled_from(["id", "time", "to", "0"]),
    max_size=4,
)


@given(st.binary(max_size=300), _zones)
def test_only_panel_errors_escape_from_any_bytes(body: bytes, zone: ZoneInfo | None) -> None:
    check_reply(body, NOW, None, zone)


@settings(max_examples=examples(400), deadline=None)
@given(strategies.values, _fields, _zones)
def test_only_panel_errors_escape_from_any_payload(
    value: object, fields: dict[str, str | int] | None, zone: ZoneInfo | None
) -> None:
    check_reply(json.dumps({"error": 0, "detail": value}).encode(), NOW, fields, zone)
    check_reply(json.dumps(value).encode(), NOW, fields, zone)


@settings(max_examples=examples(400), deadline=None)
@given(strategies.rows, _fields, _zones, st.floats(0, 4e9))
def test_only_panel_errors_escape_from_any_rows(
    rows: list[object], fields: dict[str, str | int] | None, zone: ZoneInfo | None, now: float
) -> None:
    check_reply(json.dumps({"error": 0, "detail": rows}).encode(), now, fields, zone)


def _by_id(messages: list[Message]) -> list[Message]:
    return sorted(messages, key=lambda message: message.id)


def _round_trip(shape: str, render: rendering.Render, messages: list[Message]) -> None:
    if shape not in rendering.TELLS_DELIVERED:
        messages = [replace(message, delivered=()) for message in messages]
    body = rendering.reply(render(messages))
    if shape in rendering.BARE_NULL and not any(message.sender for message in messages):
        # Empty senders alone may be what is left of others.
        messages = [replace(message, sender=None) for message in messages]
    table = decode_queue(body, ListOptions(NOW, time_zone=UTC))
    assert table.unparsed == 0, (shape, table.samples)
    decoded = [replace(message, guessed=frozenset()) for message in table.messages()]
    assert _by_id(decoded) == _by_id(messages), (shape, table.shape)
    guessed = rendering.GUESSED.get(shape, frozenset())
    if shape in rendering.BARE_IDS and table.mta is Mta.POSTFIX:
        guessed |= {"id"}
    assert set(table.guessed) == {guessed}, shape
    check_stats(queue_stats(table), len(messages))


@settings(deadline=None)
@given(strategies.messages(strategies.exim_ids, delivered=True))
def test_an_exim_queue_is_the_same_in_every_shape(messages: list[Message]) -> None:
    for shape, render in rendering.EXIM.items():
        _round_trip(shape, render, messages)


@settings(deadline=None)
@given(strategies.messages(strategies.postfix_ids, delivered=False))
def test_a_postfix_queue_is_the_same_in_every_shape(messages: list[Message]) -> None:
    for shape, render in rendering.POSTFIX.items():
        _round_trip(shape, render, messages)


@pytest.mark.parametrize("shape", [*rendering.EXIM])
def test_a_large_list_is_read_as_small_ones_are(shape: str) -> None:
    """Over several chunks, with repeated ids, rows of another kind and rows not strictly JSON."""
    messages = [
        Message(
            f"1kXp{n % 10}b-{n:06d}-7Q",
            age=60.0 * (n % 90),
            size=100 + n,
            sender="" if n % 7 == 0 else f"s{n}@d{n % 20}.example.org",
            recipients=tuple(f"r{i}@e{i}.example.com" for i in range(1 + n % 3)),
            frozen=n % 5 == 0,
        )
        for n in range(5000)
    ]
    _round_trip(shape, rendering.EXIM[shape], messages)


def test_odd_rows_of_a_large_list_do_not_spoil_the_others() -> None:
    good = rendering.objects(
        [
            Message(f"1kXpJb-{n:06d}-7Q", 60.0, 100, "a@b.example", ("c@d.example",))
            for n in range(5000)
        ]
    )
    good[2500] = {"queue_id": "1kXpJb-999999-7Q", "size": "7K"}
    good[100] = ["3h", "1kXpJb-999998-7Q", "a@b.example", "c@d.example", "1K", "", ""]
    good[4000] = 17
    good[4500] |= {"subject": "@@"}
    good[4600] |= {"subject": "\ud800"}
    good[300] |= {"msg_id": good[299]["msg_id"]}
    body = rendering.reply(good).replace(b"@@", b"\xff")
    table = decode_queue(body, ListOptions(NOW))
    assert table.listed == 5000
    assert table.unparsed == 2
    decoded = {m.id: m for m in table.messages()}
    assert decoded["1kXpJb-999999-7Q"].size == 7168
    assert decoded["1kXpJb-999998-7Q"].age == 10800.0
    assert decoded["1kXpJb-004500-7Q"].recipients == ("c@d.example",)
    assert len(table.samples) == 2


def test_many_forms_of_rows_are_bounded() -> None:
    rows = [{"queue_id": f"1kXpJb-{n:06d}-7Q"} | {f"k{n}": 1} for n in range(60)]
    rows += [{"id": "1kXpJb-999999-7Q"}] * 70
    table = decode_queue(rendering.reply(rows), ListOptions(NOW))
    assert table.listed == 130
    assert 1 <= len(table) < 61


def _hostile() -> dict[str, Callable[[int], bytes]]:
    quote = b'"'

    def detail(text: bytes) -> bytes:
        return b'{"error":0,"detail":"' + text + b'"}'

    return {
        "braces": lambda n: b"{" * n,
        "object starts": lambda n: b'{"a":' * (n // 5),
        "array starts": lambda n: b'{"error":0,"detail":' + b"[" * n,
        "spaces": lambda n: b" " * n + b"{",
        "spaces in text": lambda n: detail(b" " * n),
        "digits": lambda n: b'{"error":0,"detail":' + b"9" * n + b"}",
        "quotes": lambda n: detail(b"\\" + quote) if n < 2 else detail(b'\\"' * (n // 2)),
        "brackets": lambda n: detail(b"<" * n),
        "parentheses": lambda n: detail(b"(" * n),
        "addresses": lambda n: detail(b"a@" * (n // 2)),
        "entities": lambda n: detail(b"&lt;" * (n // 4)),
        "tabs": lambda n: detail(b"\\t" * (n // 2)),
        "lines": lambda n: detail(b"x\\n" * (n // 3)),
        "headers": lambda n: detail(b"25m 2.9K 1kXpJb-0004Uv-7Q <a@b> \\n" * (n // 35)),
        "half headers": lambda n: detail(b" 25m  2.9K 1kXpJb-0004Uv-7Q <" + b"a" * n),
        "half recipients of Postfix": lambda n: detail(
            b"4AA0000001      512 Mon Nov  6 10:00:01  a@b.com\\n" + b"@" * n + b"(\\n"
        ),
        "recipients of Exim": lambda n: detail(
            b" 25m  2.9K 1kXpJb-0004Uv-7Q <a@b.com>\\n" + b"  1a&b@c.ru\\n" * (n // 13)
        ),
        "comments behind recipients": lambda n: detail(
            b" 25m  2.9K 1kXpJb-0004Uv-7Q <a@b.com>\\n  u@v.com " + b"(x" * (n // 2)
        ),
        "negations": lambda n: detail(b"not " * (n // 4)),
        "colons": lambda n: detail(b"::" * (n // 2)),
        "dots": lambda n: detail(b"a." * (n // 2)),
        "dashes": lambda n: detail(b"-" * n),
        "long sender": lambda n: (
            b'{"error":0,"detail":[{"id":"1kXpJb-0004Uv-7Q","sender":"'
            + b"a(" * (n // 2)
            + b')"}]}'
        ),
        "long recipients": lambda n: (
            b'{"error":0,"detail":[{"id":"1kXpJb-0004Uv-7Q","to":"'
            + b"a@b.ru " * (n // 7)
            + b'"}]}'
        ),
        "many keys": lambda n: (
            b'{"error":0,"detail":[{' + b",".join(b'"k%d":1' % i for i in range(n // 8)) + b"}]}"
        ),
        "many members": lambda n: (
            b'{"error":0,' + b",".join(b'"k%d":1' % i for i in range(n // 8)) + b"}"
        ),
        "nulls": lambda n: b'{"error":0,"detail":[' + b"null," * (n // 5) + b"null]}",
    }


def _everything(body: bytes) -> None:
    for operation in (Operation.COUNT, Operation.CLAMAV):
        with suppress(PanelError):
            decode_reply(body, operation)
    check_reply(body, NOW, None, UTC)


def _seconds(body: bytes) -> float:
    started = time.process_time()
    _everything(body)
    return time.process_time() - started


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*_hostile()])
def test_time_is_linear_in_size(kind: str) -> None:
    """Eight times the input: quadratic work would take 64 times as long."""
    make = _hostile()[kind]
    size = 12_500
    short, long = make(size), make(8 * size)
    limit = 24 * max(min(_seconds(short) for _ in range(3)), 0.002)
    assert any(_seconds(long) < limit for _ in range(3))


def test_linear_for_many_messages() -> None:
    def update(count: int) -> float:
        messages = [
            Message(f"1kXpJb-{n:06d}-7Q", 60.0, 100, f"s{n}@d.example", (f"r{n}@e.example",))
            for n in range(count)
        ]
        body = rendering.reply(rendering.exim_text(messages))
        started = time.process_time()
        decode_queue_update(body, ListOptions(NOW), previous_ids=b"")
        return time.process_time() - started

    limit = 24 * max(min(update(2000) for _ in range(3)), 0.002)
    assert any(update(16000) < limit for _ in range(3))

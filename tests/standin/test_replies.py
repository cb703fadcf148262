from __future__ import annotations

import json
from typing import Any

import pytest

from exporter.panel.protocol import Operation
from exporter.standin import replies
from exporter.standin.console import DEFER_REASON
from exporter.standin.queue import QueuedMessage
from exporter.standin.replies import CountStyle, ListShape, Reply, ReplyStyle

FROZEN = QueuedMessage(
    "1kXpJb-0004Uv-7Q", 90_000, 3000, "", ("postmaster@example.com",), frozen=True
)
PARTLY = QueuedMessage(
    "1kXpJc-0004Uv-7R", 60, 264, "l@example.org", ("x@ok.test", "y@b.test"), ("x@ok.test",)
)
NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        (
            "objects",
            [
                {
                    "id": "1kXpJb-0004Uv-7Q",
                    "time": "25h",
                    "size": "2.9K",
                    "sender": "<>",
                    "recipients": ["postmaster@example.com"],
                    "status": "Заморожено",
                },
                {
                    "id": "1kXpJc-0004Uv-7R",
                    "time": "1m",
                    "size": "264",
                    "sender": "l@example.org",
                    "recipients": ["x@ok.test", "y@b.test"],
                    "status": "В очереди",
                },
            ],
        ),
        (
            "page_arrays",
            [
                ["25h", "1kXpJb-0004Uv-7Q", "<>", "postmaster@example.com", "2.9K", "Заморожено"],
                [
                    *("1m", "1kXpJc-0004Uv-7R", "<l@example.org>", "x@ok.test, y@b.test"),
                    *("264", "В очереди"),
                ],
            ],
        ),
        (
            "exim_arrays",
            [
                ["25h", "2.9K", "1kXpJb-0004Uv-7Q", "<> *** frozen ***", "postmaster@example.com"],
                ["1m", "264", "1kXpJc-0004Uv-7R", "<l@example.org>", "x@ok.test y@b.test"],
            ],
        ),
        (
            "postqueue_json",
            [
                {
                    "queue_name": "hold",
                    "queue_id": "1kXpJb-0004Uv-7Q",
                    "arrival_time": 1_699_910_000,
                    "message_size": 3000,
                    "forced_expire": False,
                    "sender": "MAILER-DAEMON",
                    "recipients": [
                        {"address": "postmaster@example.com", "delay_reason": DEFER_REASON}
                    ],
                },
                {
                    "queue_name": "deferred",
                    "queue_id": "1kXpJc-0004Uv-7R",
                    "arrival_time": 1_699_999_940,
                    "message_size": 264,
                    "forced_expire": False,
                    "sender": "l@example.org",
                    "recipients": [{"address": "y@b.test", "delay_reason": DEFER_REASON}],
                },
            ],
        ),
    ],
)
def test_shapes_made_from_messages(shape: ListShape, rows: object) -> None:
    payload = replies.list_payload(shape, [FROZEN, PARTLY], now=NOW, language="ru")
    assert payload == rows


@pytest.mark.parametrize(
    ("shape", "payload"),
    [("console_text", "a\n b\n"), ("console_lines", ["a", " b"]), ("postqueue_text", "a\n b\n")],
)
def test_shapes_made_from_the_console(shape: ListShape, payload: object) -> None:
    assert shape in replies.CONSOLE_SHAPES
    assert replies.console_payload(shape, "a\n b\n") == payload


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("detail_int", Reply(0, "Number of messages", 7)),
        ("detail_text", Reply(0, "Number of messages", "7")),
        ("list", Reply(0, "Number of messages", [7])),
        ("sentence", Reply(0, "Number of messages: 7")),
    ],
)
def test_counts(style: CountStyle, expected: Reply) -> None:
    assert replies.count_reply(style, 7, "en") == expected
    assert replies.count_reply(style, 7, "ru").text.startswith("Количество сообщений")


def decoded(style: ReplyStyle, reply: Reply) -> Any:
    return json.loads(replies.encode_reply(style, reply))


def test_envelopes() -> None:
    reply = Reply(0, "Да", [1], "mess")
    assert decoded(ReplyStyle(), reply) == {"error": 0, "mess": "Да", "detail": [1]}
    assert decoded(ReplyStyle(envelope="public", code_as_text=True), reply) == {
        "code": "0",
        "message": "Да",
        "data": [1],
    }
    assert decoded(ReplyStyle(), Reply(101, "x")) == {"error": 101, "message": "x"}


def test_letters_mark_and_warning() -> None:
    reply = Reply(0, "Да")
    assert rb"\u0414\u0430" in replies.encode_reply(ReplyStyle(), reply)
    plain = replies.encode_reply(ReplyStyle(ascii_only=False, bom=True, php_warning=True), reply)
    assert plain.startswith(b"\xef\xbb\xbf<br />\n<b>Warning</b>")
    assert plain.endswith('{"error": 0, "message": "Да"}'.encode())


def test_bytes_that_are_no_utf8_leave_as_they_came() -> None:
    sender = b"\xd0\xff@example.org".decode("utf-8", "surrogateescape")
    body = replies.encode_reply(ReplyStyle(ascii_only=False), Reply(0, "", [sender]))
    assert b"\xd0\xff@example.org" in body


@pytest.mark.parametrize(
    ("operation", "code", "key", "russian"),
    [
        (Operation.LIST, 100, "mess", "Список почтовой очереди пуст"),
        (Operation.CONTROL, 101, "mess", "Отсутствует id письма"),
        (
            Operation.CONTROL,
            102,
            "mess",
            "Отсутствует или неправильно указан сервер отправки писем",
        ),
        (Operation.COUNT, 400, "message", "К сожалению, модуль вам не доступен"),
    ],
)
def test_refusals_are_the_vendors(operation: Operation, code: int, key: str, russian: str) -> None:
    reply = replies.refusal(operation, code, "ru")
    assert (reply.code, reply.text_key, reply.text) == (code, key, russian)
    assert replies.refusal(operation, code, "en").text.isascii()

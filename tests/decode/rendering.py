"""Known messages rendered into every shape that the decoders know: for round trips."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from exporter.snapshot import Message

NOW = 1_795_489_200.0
"""2026-11-24 03:00:00 UTC."""

Render = Callable[[Sequence[Message]], Any]


def rounded_age(seconds: float) -> int:
    """The age that Exim's text for it tells, in seconds."""
    minutes = int(seconds // 60)
    if minutes <= 90:
        return 60 * minutes
    hours = (minutes + 30) // 60
    return 3600 * hours if hours <= 72 else 86400 * ((hours + 12) // 24)


def _age_text(message: Message) -> str:
    assert message.age is not None
    age = int(message.age)
    if age <= 90 * 60:
        return f"{age // 60}m"
    return f"{age // 3600}h" if age <= 72 * 3600 else f"{age // 86400}d"


def _arrival(message: Message) -> int:
    assert message.age is not None
    return int(NOW - message.age)


def _to(message: Message) -> tuple[str, ...]:
    assert message.recipients is not None
    return message.recipients


def objects(messages: Sequence[Message]) -> Any:
    return [
        {
            "time": _age_text(m),
            "msg_id": m.id,
            "from": m.sender,
            "to": [*_to(m)],
            "size": str(m.size),
            "status": "frozen" if m.frozen else "",
            "subject": "<b>1kXpJb-0004Uv-7Q</b> a@b.example",
        }
        for m in messages
    ]


def numbered_objects(messages: Sequence[Message]) -> Any:
    return {str(2 * number): row for number, row in enumerate(objects(messages))}


def keyed_objects(messages: Sequence[Message]) -> Any:
    rows = zip(messages, objects(messages), strict=True)
    return {m.id: {k: v for k, v in row.items() if k != "msg_id"} for m, row in rows}


def russian_objects(messages: Sequence[Message]) -> Any:
    return [
        {
            "Дата": _arrival(m),
            "ID письма": m.id,
            "Отправитель": f"&lt;{html.escape(m.sender or '')}&gt;",
            "Получатели": ", ".join(_to(m)),
            "Размер": m.size,
            "Статус": "Заморожено" if m.frozen else "В очереди",
        }
        for m in messages
    ]


def page_arrays(messages: Sequence[Message]) -> Any:
    return [
        [
            _age_text(m),
            m.id,
            m.sender or "<>",
            "\n".join(_to(m)),
            f"{m.size} B",
            "frozen" if m.frozen else "active",
            "<a href='#'>x</a>",
        ]
        for m in messages
    ]


def exim_text(messages: Sequence[Message]) -> Any:
    return "\n".join(exim_lines(messages))


def exim_lines(messages: Sequence[Message]) -> Any:
    lines = []
    for m in messages:
        mark = " *** frozen ***" if m.frozen else ""
        lines += [f"{_age_text(m):>3} {m.size:>5} {m.id} <{m.sender}>{mark}"]
        lines += [f"        D {address}" for address in m.delivered]
        lines += [f"          {address}" for address in _to(m)]
        lines += [""]
    return lines


def exim_html(messages: Sequence[Message]) -> Any:
    return html.escape(exim_text(messages)).replace("\n", "<br />\n")


def postfix_text(messages: Sequence[Message]) -> Any:
    lines = ["-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"]
    for number, m in enumerate(messages):
        date = datetime.fromtimestamp(_arrival(m), UTC).strftime("%a %b %e %H:%M:%S")
        mark = "!" if m.frozen else " *"[number % 2]
        lines += [f"{m.id}{mark} {m.size:8} {date}  {m.sender or 'MAILER-DAEMON'}"]
        for address in _to(m):
            lines += ["(host mx.example.org[192.0.2.1] said: 450 <a@b.example> busy)"] * (
                number % 2
            )
            lines += [f"{'':41}{address}"]
        lines += [""]
    return "\n".join([*lines, f"-- 5 Kbytes in {len(messages)} Requests."])


def postfix_objects(messages: Sequence[Message]) -> Any:
    return [
        {
            "queue_name": "hold" if m.frozen else "deferred",
            "queue_id": m.id,
            "arrival_time": _arrival(m),
            "message_size": m.size,
            "forced_expire": False,
            "sender": m.sender or "MAILER-DAEMON",
            "recipients": [{"address": a, "delay_reason": "timed out"} for a in _to(m)],
        }
        for m in messages
    ]


EITHER: Mapping[str, Render] = {
    "objects": objects,
    "numbered objects": numbered_objects,
    "keyed objects": keyed_objects,
    "russian objects": russian_objects,
    "page arrays": page_arrays,
}
EXIM: Mapping[str, Render] = {
    **EITHER,
    "exim text": exim_text,
    "exim lines": exim_lines,
    "exim html": exim_html,
}
POSTFIX: Mapping[str, Render] = {
    **EITHER,
    "postfix text": postfix_text,
    "postfix objects": postfix_objects,
}
GUESSED = {"page arrays": frozenset({"age", "sender", "recipients", "size", "frozen"})}
"""What is only guessed, where ids are those of Exim."""
BARE_IDS = {"page arrays", "keyed objects"}
"""Where nothing but their form tells ids."""
TELLS_DELIVERED = {"exim text", "exim lines", "exim html"}


def reply(detail: Any) -> bytes:
    return json.dumps({"error": 0, "mess": "ok", "detail": detail}).encode()


BARE_NULL = {
    name for name, render in EXIM.items() if render in {objects, numbered_objects, keyed_objects}
}
"""Shapes whose null sender is an empty text."""

"""Known counts and states of services in the words of every language pack, with noise around."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from exporter.panel.decode import decode_count_reply, decode_service_reply
from exporter.panel.errors import PanelError
from exporter.panel.protocol import Operation
from exporter.snapshot import ServiceState
from tests.fuzz.verdict import Wrong

Truth = int | Literal["on", "off", "not installed", "unknown"]
"""A queue's messages, or a service's state."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, and what is so."""

    operation: Operation
    truth: Truth
    body: bytes


# --- count_msg --------------------------------------------------------------------------------

_SENTENCES = (
    *("Количество сообщений в очереди: {}", "Number of messages in queue: {}", "{} messages"),
    *("Кількість повідомлень у черзі: {}", "队列中的邮件数量: {}", "Number of messages: {}"),
    *("Количество сообщений: {}", "Messages in queue: {}", "Total: {}", "There are {} messages"),
    *("В очереди {} сообщений", "У черзі {} повідомлень", "队列中有{}封邮件", "邮件数量：{}"),
    *(
        "-- 14 Kbytes in {} Requests.",
        "-- 3 Kbytes in {} Request.",
        "-- 9999 Kbytes in {} Requests.",
    ),
    *("{}", "{}\n", " {} ", "<b>{}</b>", "queue: {}", "{}.", "count={}"),
)
_OTHERS = (
    *("frozen: {}", "{} frozen", "Frozen messages: {}", "заморожено: {}", "冻结 {}", "{} bounces"),
    *("size {} KB", "{} Kbytes", "error {}", "code {}", "exit status {}", "line {}", "pid {}"),
    *("2026-11-30 12:00:{}", "1kXpJb-0004Uv-{}", "port {}", "postqueue: warning: line {}: x"),
    *(
        "{}%",
        "load average: {}",
        "more than {}",
        ">{}",
        "{}+",
        "about {}",
        "limit {}",
        "deleted {}",
    ),
    *("PHP Warning:  x in /a.php on line {}", "удалено {}", "older than {} days", "users: {}"),
)
_OTHER_KEYS = (
    *("frozen", "size", "pid", "errno", "limit", "time", "page", "bounces", "deferred", "code_msg"),
    *("max", "uid", "active", "hold", "per_page", "version"),
)


def _count(pick: random.Random) -> Answer:
    number = pick.choice((0, 0, 1, 2, 7, 30, 91, 1234, 12345678))
    other = pick.choice((0, 1, 3, 5, 41))
    sentence = pick.choice(_SENTENCES).format(number)
    noise = pick.choice(_OTHERS).format(other)
    payloads: Sequence[Callable[[], Any]] = (
        lambda: number,
        lambda: str(number),
        lambda: [number],
        lambda: [str(number), ""],
        lambda: sentence,
        lambda: [sentence],
        lambda: {"count": number},
        lambda: {"count": str(number), pick.choice(_OTHER_KEYS): other},
        lambda: {pick.choice(_OTHER_KEYS): other, "total": number},
        lambda: f"{noise}\n{sentence}",
        lambda: f"{sentence}\n{noise}",
        lambda: f"{sentence} {noise}",
        lambda: f"{sentence}, {noise}",
        lambda: f"{sentence}<br>{noise}",
        lambda: [noise, sentence],
        lambda: [sentence, noise],
        lambda: noise,
        lambda: [noise],
        lambda: "Mail queue is empty" if number == 0 else noise,
        lambda: f"{noise}\nMail queue is empty" if number == 0 else None,
        lambda: None,
        lambda: "",
        list,
        lambda: [number, other],
        lambda: {pick.choice(_OTHER_KEYS): other},
        lambda: f"{number} {other}",
        lambda: f"{number}/{other}",
        lambda: f"{number:,}".replace(",", pick.choice((" ", ",", ".", "\xa0", "'"))),
    )
    text = pick.choice(("Number of messages", "Количество сообщений", None, "", sentence, noise))
    reply: dict[str, Any] = {"error": pick.choice((0, "0")), "mess": text}
    if pick.random() < 0.9:
        reply[pick.choice(("detail", "data", "array", "count_msg", "count"))] = pick.choice(
            payloads
        )()
    if pick.random() < 0.15:
        reply[pick.choice(_OTHER_KEYS)] = other
    return Answer(Operation.COUNT, number, _body(reply, pick))


# --- services ---------------------------------------------------------------------------------

_STATES: Mapping[Truth, Sequence[str]] = {
    "on": (
        *(
            "Включен",
            "Запущен",
            "Работает",
            "Увімкнено",
            "Запущено",
            "启用",
            "启动",
            "Enabled",
            "On",
        ),
        *(
            "Started",
            "Running",
            "Active",
            "已启用",
            "已启动",
            "运行中",
            "Працює",
            "active (running)",
        ),
        *(
            "Active: active (running) since Mon",
            "1",
            "true",
            "enabled",
            "Сервис запущен",
            "正在运行",
        ),
        *("Включено", "服务正在运行", "is running", "Сервіс запущений", "active", "up", "online"),
    ),
    "off": (
        *("Отключен", "Остановлен", "Вимкнено", "Зупинено", "禁用", "停止", "Disabled", "Off"),
        *("Stopped", "停用", "关闭", "已停止", "已禁用", "Не працює", "Не запущен", "не работает"),
        *("服务没有运行", "not running", "inactive", "Сервіс не запущений", "服务未启动", "未运行"),
        *(
            "Active: inactive (dead)",
            "inactive (dead)",
            "0",
            "false",
            "not active",
            "is not running",
        ),
        *(
            "не включен",
            "не увімкнено",
            "未启用",
            "没有启动",
            "Выключен",
            "isn't running",
            "failed",
        ),
        *(
            "Запуск завершился с ошибкой",
            "start failed",
            "not enabled",
            "не запущено",
            "is stopped",
        ),
        *("Не активен", "не активний", "Сервис не запущен", "没有运行", "未激活", "nicht running"),
    ),
    "not installed": (
        *("Сервіс не встановлено", "Не встановлено", "服务未安装", "未安装", "not installed"),
        *("Не установлен", "Сервис не установлен", "Не установлено", "Service is not installed"),
        *("package spamassassin is not installed", "clamav is not installed", "没有安装"),
        *("Unit clamd.service could not be found.", "Not Installed"),
    ),
    "unknown": (
        *("недоступний", "недоступен", "不可用", "not available", "Статус", "Status", "状态", "?"),
        *("unknown", "неизвестно", "未知", "N/A", "-", "Команда выполнена", "installed", "已安装"),
        *("установлен", "встановлено", "包", "starting", "запускается", "正在启动中", "activating"),
        *("not stopped", "не остановлен", "не отключен", "will be enabled", "was running", "null"),
        *("enable", "включить", "启用?", "running or stopped", "Enabled Disabled", "error", "2"),
    ),
}
_LABELS = (
    *("{}", "{}", "{}", "{}", "Status: {}", "Статус: {}", "状态: {}", "<b>{}</b>", " {} \n", "{}."),
    *("ClamAV: {}", "clamd {}", "spamd is {}", "Сервис {}", "服务{}", "* {} *", "{}!", "[{}]"),
    *("{} (pid 1234)", "<span class='on'>{}</span>", "<font color=green>{}</font>", "\n\n{}"),
    *("clamav-daemon.service - x\n   Loaded: loaded (/lib/x; enabled)\n   Active: {}", "● {}"),
)
_LOUD = ("Enabled", "Включен", "启用", "已启用", "Running", "Команда выполнена", "Статус", None, "")
"""What stands beside a status: it never tells on or off."""


def _service(pick: random.Random) -> Answer:
    truth: Truth = pick.choice((*_STATES, "on", "off"))
    word = pick.choice(_STATES[truth])
    if pick.random() < 0.2:
        word = pick.choice((word.upper(), word.lower(), word.capitalize()))
    label = pick.choice(_LABELS)
    text = word if "ctive:" in label and "ctive" in word.lower() else label.format(word)
    payloads: Sequence[Callable[[], Any]] = (
        lambda: text,
        lambda: text,
        lambda: text,
        lambda: [text],
        lambda: {"status": text},
        lambda: {"state": text, "pid": 1, "version": "1.2"},
        lambda: text.split("\n"),
        lambda: {"status": text, "message": "Enabled"},
        lambda: {"running": text, "enabled": "1"},
    )
    payload = pick.choice(payloads)()
    if pick.random() < 0.12:
        truth, payload = "unknown", pick.choice((None, "", [], {}, " ", "null", ["", ""], [None]))
    reply: dict[str, Any] = {"error": 0, "mess": pick.choice(_LOUD)}
    if payload is not None or pick.random() < 0.5:
        reply[pick.choice(("detail", "data", "array"))] = payload
    if truth == "unknown" and pick.random() < 0.3:
        reply["message"] = "启用"
    return Answer(
        pick.choice((Operation.CLAMAV, Operation.SPAMASSASSIN)), truth, _body(reply, pick)
    )


def _body(reply: dict[str, Any], pick: random.Random) -> bytes:
    before = pick.choice(("", "", "", "\n\n", "\ufeff", "<br />\n<b>Warning</b>: x in y<br />\n"))
    return before.encode() + json.dumps(reply, ensure_ascii=pick.random() < 0.5).encode()


def make_answer(salt: str) -> Answer:
    """A reply about a count or a service."""
    pick = random.Random(salt)
    return pick.choice((_count, _service))(pick)


def check_answer(answer: Answer) -> Iterator[Wrong]:
    """What is wrong about what is decoded of it."""
    name = answer.operation.value
    try:
        if answer.operation is Operation.COUNT:
            count = decode_count_reply(answer.body)
            if count not in (None, answer.truth):
                yield Wrong(name, f"told {count!r}, in truth {answer.truth!r}")
            return
        decoded = state_of(decode_service_reply(answer.body, answer.operation))
    except PanelError:
        return
    if decoded != answer.truth:
        yield Wrong(f"{name} {answer.truth}", f"told {decoded!r}, in truth {answer.truth!r}")


def state_of(value: ServiceState) -> str:
    """The decoder's answer in the words used here."""
    if not value.installed:
        return "not installed"
    return "on" if value.running else "off"

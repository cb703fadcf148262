"""The replies of a stand-in panel, in several of the shapes that a real one might use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from exporter.config.panel_api import Language
from exporter.panel.protocol import Operation
from exporter.standin.console import DEFER_REASON, exim_age, exim_size
from exporter.standin.queue import QueuedMessage

ListShape = Literal[
    "objects",
    "page_arrays",
    "exim_arrays",
    "console_text",
    "console_lines",
    "postqueue_json",
    "postqueue_text",
]
"""How list_msg shows messages: objects with text values, arrays in the order of the panel's
page (Time, Message ID, Senders, Recipients, Size, Status) or in that of `exim -bp`, the MTA's
console as one text or as its lines, objects of `postqueue -j`, the text of `postqueue -p`."""

CONSOLE_SHAPES: frozenset[ListShape] = frozenset(
    {"console_text", "console_lines", "postqueue_text"}
)
"""Shapes made from the MTA's console rather than from messages."""

CountStyle = Literal["detail_int", "detail_text", "sentence", "list"]
"""Where count_msg has its number: in the payload as a number, as a text of digits, at the end
of the reply's sentence, or in a list of one."""

EnvelopeStyle = Literal["seed", "public"]
"""The keys of a reply: error, mess or message, detail, as the vendor's page has them; or code,
message, data, as public clients read them."""


@dataclass(frozen=True, slots=True)
class ReplyStyle:
    """How one panel answers."""

    shape: ListShape = "objects"
    count: CountStyle = "detail_int"
    envelope: EnvelopeStyle = "seed"
    code_as_text: bool = False
    """The code is sent as a string of digits."""
    ascii_only: bool = True
    """Other letters are escaped, as PHP does without a flag."""
    bom: bool = False
    """A byte order mark comes first."""
    php_warning: bool = False
    """A warning that PHP printed comes before the JSON."""
    content_type: str = "text/html"
    """PHP's default, unless a script sets another."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the panel before it is put in a style."""

    code: int
    text: str
    payload: object = None
    """None: the reply has no payload."""
    text_key: str = "message"
    """`mess` or `message`: the vendor's page has one or the other, by operation."""


_PHP_WARNING = (
    "<br />\n<b>Warning</b>:  Undefined array key 3 in "
    "<b>/usr/local/brainycp/api/mailserver.php</b> on line <b>212</b><br />\n"
)


def encode_reply(style: ReplyStyle, reply: Reply) -> bytes:
    """Return the body of an HTTP response."""
    code = str(reply.code) if style.code_as_text else reply.code
    public = style.envelope == "public"
    fields: dict[str, object] = {
        "code" if public else "error": code,
        "message" if public else reply.text_key: reply.text,
    }
    if reply.payload is not None:
        fields["data" if public else "detail"] = reply.payload
    body = json.dumps(fields, ensure_ascii=style.ascii_only)
    warning = _PHP_WARNING if style.php_warning else ""
    mark = "\ufeff" if style.bom else ""
    # Surrogates stand for bytes of a sender's name that are no UTF-8: they leave as they came.
    return (mark + warning + body).encode("utf-8", "surrogateescape")


def list_payload(
    shape: ListShape, messages: Sequence[QueuedMessage], *, now: float, language: Language
) -> object:
    """Return the payload of list_msg for the shapes that are made from messages.

    `now` is the Unix time to which the messages' ages are relative.
    """
    if shape == "objects":
        return [_object(message, language) for message in messages]
    if shape == "page_arrays":
        return [_page_row(message, language) for message in messages]
    if shape == "exim_arrays":
        return [_exim_row(message) for message in messages]
    return [_postqueue_object(message, now) for message in messages]


def console_payload(shape: ListShape, console: str) -> object:
    """Return the payload of list_msg for the shapes of CONSOLE_SHAPES."""
    return console.splitlines() if shape == "console_lines" else console


_STATUS: dict[Language, tuple[str, str]] = {
    "en": ("In queue", "Frozen"),
    "ru": ("В очереди", "Заморожено"),
}


def _object(message: QueuedMessage, language: Language) -> dict[str, object]:
    return {
        "id": message.id,
        "time": exim_age(message.age),
        "size": exim_size(message.size),
        "sender": message.sender or "<>",
        "recipients": list(message.recipients),
        "status": _STATUS[language][message.frozen],
    }


def _page_row(message: QueuedMessage, language: Language) -> list[str]:
    return [
        exim_age(message.age),
        message.id,
        f"<{message.sender}>",
        ", ".join(message.recipients),
        exim_size(message.size),
        _STATUS[language][message.frozen],
    ]


def _exim_row(message: QueuedMessage) -> list[str]:
    frozen = " *** frozen ***" if message.frozen else ""
    return [
        exim_age(message.age),
        exim_size(message.size),
        message.id,
        f"<{message.sender}>{frozen}",
        " ".join(message.recipients),
    ]


def _postqueue_object(message: QueuedMessage, now: float) -> dict[str, object]:
    return {
        "queue_name": "hold" if message.frozen else "deferred",
        "queue_id": message.id,
        "arrival_time": int(now - message.age),
        "message_size": message.size,
        "forced_expire": False,
        "sender": message.sender or "MAILER-DAEMON",
        "recipients": [
            {"address": address, "delay_reason": DEFER_REASON}
            for address in message.recipients
            if address not in message.delivered
        ],
    }


_COUNT_TEXT: dict[Language, str] = {"en": "Number of messages", "ru": "Количество сообщений"}


def count_reply(style: CountStyle, count: int, language: Language) -> Reply:
    """Return the answer to count_msg."""
    text = _COUNT_TEXT[language]
    if style == "sentence":
        return Reply(0, f"{text}: {count}")
    payloads = {"detail_int": count, "detail_text": str(count), "list": [count]}
    return Reply(0, text, payloads[style])


_RUNNING: dict[Language, str] = {"en": "Running", "ru": "Запущен"}
_STOPPED: dict[Language, str] = {"en": "Stopped", "ru": "Остановлен"}
NOT_INSTALLED: dict[Language, str] = {"en": "Not installed", "ru": "Не установлен"}
"""Of a service that the panel's installer left out."""
START_FAILED: dict[Language, str] = {"en": "start failed", "ru": "Запуск завершился с ошибкой"}
"""Of a service that was switched on and does not run."""


def service_word(language: Language, *, running: bool) -> str:
    """Return the panel's word for the state of a service."""
    return (_RUNNING if running else _STOPPED)[language]


_WRONG_COMMAND = ("mess", "Wrong command", "Неправильная команда")
_SERVICE_DONE = ("mess", "Command completed", "Команда выполнена")

_TEXTS: dict[tuple[Operation | None, int], tuple[str, str, str]] = {
    (None, 400): (
        "message",
        "Unfortunately, the module is not available to you",
        "К сожалению, модуль вам не доступен",
    ),
    (Operation.LIST, 0): ("mess", "Mail queue list", "Список почтовой очереди"),
    (Operation.LIST, 100): ("mess", "The mail queue is empty", "Список почтовой очереди пуст"),
    (Operation.CONTROL, 0): ("mess", "Request completed", "Запрос выполнен"),
    (Operation.CONTROL, 100): ("mess", "Wrong value of command", "Не правильное значение command"),
    (Operation.CONTROL, 101): ("mess", "The message id is missing", "Отсутствует id письма"),
    (Operation.CONTROL, 102): (
        "mess",
        "The mail server is missing or wrong",
        "Отсутствует или неправильно указан сервер отправки писем",
    ),
    (Operation.DELETE_FROZEN, 0): ("message", "Request completed", "Запрос выполнен"),
    (Operation.DELETE_FROZEN, 100): (
        "message",
        "The mail server does not support deletion of frozen messages",
        "Почтовый сервер не поддерживает удаление замороженных писем",
    ),
    (Operation.DELETE_ALL, 0): ("message", "Request completed", "Запрос выполнен"),
    (Operation.DELETE_ALL, 100): (
        "message",
        "The mail server does not support forced deletion",
        "Почтовый сервер не поддерживает принудительное удаление",
    ),
    (Operation.CLAMAV, 0): _SERVICE_DONE,
    (Operation.CLAMAV, 100): _WRONG_COMMAND,
    (Operation.SPAMASSASSIN, 0): _SERVICE_DONE,
    (Operation.SPAMASSASSIN, 100): _WRONG_COMMAND,
}
"""By operation (None: any) and code: the key of the text, as the vendor's page has it, and the
text in English and Russian."""


def refusal(operation: Operation, code: int, language: Language) -> Reply:
    """Return the answer with one of the vendor's other codes for this operation."""
    key, english, russian = _TEXTS.get((operation, code)) or _TEXTS[None, code]
    return Reply(code, english if language == "en" else russian, text_key=key)


def done(operation: Operation, payload: object, language: Language) -> Reply:
    """Return the answer to an operation, other than count_msg, that went well."""
    return replace(refusal(operation, 0, language), payload=payload)

"""count_msg: the number of messages, wherever the panel put it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from exporter.panel.decode.console import says_nothing_there
from exporter.panel.decode.envelope import (
    CODE_KEYS,
    PAYLOAD_KEYS,
    Reply,
    decode_reply,
    quote,
    unexpected,
)
from exporter.panel.errors import PanelError
from exporter.panel.protocol import Operation

MAX_COUNT = 10**9
"""More messages than this no queue holds: such a number is something else."""

_MAX_DEPTH = 4
_MAX_TEXT = 200
_NAMES = (
    *("count", "count_msg", "total", "number", "messages", "num", "quantity", "n"),
    *("message_count", "messages_count", "количество", "кількість", "数量"),
)
_BARE = re.compile(r"\s*(-?\d{1,18})\s*[.!]?\s*", re.ASCII)
_PLAIN_TAG = re.compile(r"</?(?:b|strong|i|em|span|p|div|br) ?/?>")
_ONE_NUMBER = re.compile(
    r"(?P<before>\D*(?:[\s:=]|[\u4e00-\u9fff]))(?P<last>\d{1,18})"
    r"|(?P<first>\d{1,18})(?P<after>(?:\s|[\u4e00-\u9fff])\D*)"
)
"""The only number of a text, at its end or start; only Chinese words may touch it."""
_WORD = re.compile(r"[^\W\d_]+")
_CLOSING = re.compile(
    r"\s*-- ?\d+ [KMG]?i?bytes in (\d{1,9}) requests?\.?\s*|\s*total requests: ?(\d{1,9})\s*",
    re.ASCII | re.IGNORECASE,
)
"""The last line of mailq, by Postfix and by Sendmail."""

# A sentence counts only when it is made of these words: any other may turn its sense.
_NAMING = re.compile(
    r"number|count|total|messages|e?mails?|queued?"
    r"|количество|всего|сообщени[йяе]|писем|письма|очеред[ьи]"
    r"|кількість|усього|всього|повідомлен(?:ь|ня)|лист(?:и|ів|а)|черг[аи]|черзі"
    r"|[当前中的里有共封个条数]*+(?:邮件|消息|队列|数量|总数)(?>(?:邮件|消息|队列|数量|总数|[中的里有共封个条数])*)"
)
_FILLER = re.compile(
    r"of|in|the|is|are|there|message|currently|now"
    r"|в|во|у|на|почтовой|почтовых|почты|сейчас|сообщение|письмо|поштовій|поштових|пошти|зараз"
    r"|[中的里有共封个条]{1,4}"
)
_DOUBT = re.compile(
    r"(?<!no )error|warning|fail|could not|couldn't|cannot|can't|unable|denied|refused|timeout"
    r"|ошибк|не удалось|невозможно|помилк|не вдалося|错误|失败|无法"
    r"|frozen|заморо|冻结"
)


def decode_count_reply(body: bytes) -> int | None:
    """Return the number of messages by a reply to count_msg; None for an empty text.

    That is what awk makes of "Mail queue is empty": beside an empty list it is 0, and beside
    anything else it is no count.

    Raises:
        PanelError: as `decode_reply` and `decode_count`.
    """
    reply = decode_reply(body, Operation.COUNT)
    try:
        return decode_count(reply)
    except PanelError:
        if _is_blank(reply):
            return None
        raise


def no_count() -> PanelError:
    """Return the error for a count that is the empty text beside a list that is not empty."""
    return unexpected(
        "The number in the reply to count_msg is an empty text, which it is for an empty queue; "
        "but list_msg answers no empty list."
    )


def _is_blank(reply: Reply) -> bool:
    payload = reply.payload
    if isinstance(payload, list) and payload and all(isinstance(line, str) for line in payload):
        payload = "\n".join(payload)
    if not isinstance(payload, str) or payload.strip():
        return False
    # Whatever else might hold a number, or a doubt about it, must be silent as well.
    names = {*_NAMES, *PAYLOAD_KEYS}
    return not any(name in names for name in reply.others) and not any(map(str.isdigit, reply.text))


def decode_count(reply: Reply) -> int:
    """Return how many messages the queue holds.

    The number is looked for in the payload, in further members that may hold it, and in the
    panel's sentence. A text holds it when it is nothing but a number, or a sentence of known
    words about messages or the queue with the number at its start or end.

    Raises:
        PanelError: `unexpected` when there is no number, when several disagree, when it cannot
            be a count, or when a text beside it speaks of a failure or of frozen messages.
    """
    found = set(_in_value(reply.payload, _MAX_DEPTH))
    for key, value in reply.others.items():
        if key in _NAMES or key in PAYLOAD_KEYS:
            found |= set(_in_value(value, _MAX_DEPTH))
    found |= set(_in_sentence(reply.text))
    if len(found) > 1:
        numbers = ", ".join(map(_shown, sorted(found)[:5]))
        raise unexpected(
            f"The reply to {reply.operation.value} holds numbers that disagree: {numbers}."
            f"{quote(reply.text)}"
        )
    if not found:
        raise unexpected(
            f"The reply to {reply.operation.value} holds no number.{quote(reply.text)}"
        )
    count = found.pop()
    if not 0 <= count <= MAX_COUNT:
        raise unexpected(
            f"The number in the reply to {reply.operation.value} is no count: {_shown(count)}"
        )
    return count


def _shown(number: int) -> str:
    """Return a number for a message, however long it is."""
    if abs(number) < 10**18:
        return str(number)
    return f"{number:.1e}" if abs(number) < 10**300 else "huge"


def _in_value(value: object, depth: int) -> Iterator[int]:
    """Yield the numbers that a value gives for the count; nothing where it is ambiguous."""
    if isinstance(value, bool) or value is None or depth == 0:
        return
    if isinstance(value, int):
        yield value
    elif isinstance(value, float) and value.is_integer():
        yield int(value)
    elif isinstance(value, str):
        yield from _in_text(value)
    elif isinstance(value, list):
        # Lines of a command; the last may be what stands behind its line break.
        filled = [line for line in value if not isinstance(line, str) or line.strip()]
        if len(filled) == 1:
            yield from _in_value(filled[0], depth - 1)
    elif isinstance(value, dict):
        yield from _in_mapping(value, depth)


def _in_mapping(value: dict[str, object], depth: int) -> Iterator[int]:
    lower = {key.strip().lower(): inner for key, inner in value.items()}
    if any(lower.get(key) not in (None, 0, "0", "", [], {}) for key in CODE_KEYS):
        return
    for key, inner in lower.items():
        if key in _NAMES or key in PAYLOAD_KEYS:
            yield from _in_value(inner, depth - 1)


def _in_text(text: str) -> Iterator[int]:
    short = _PLAIN_TAG.sub(" ", text) if len(text) <= _MAX_TEXT else ""
    bare = _BARE.fullmatch(short) or _CLOSING.fullmatch(short)
    if bare:
        yield int(next(filter(None, bare.groups())))
    elif says_nothing_there(text):
        yield 0
    else:
        yield from _in_sentence(text)


def _in_sentence(text: str) -> Iterator[int]:
    """Yield the number of a known sentence.

    Raises:
        PanelError: when the text speaks of a failure or of frozen messages: whatever number
            stands in the reply, it may not be the count.
    """
    text = unicodedata.normalize("NFKC", text[: 10 * _MAX_TEXT]).lower().replace("’", "'")
    if _DOUBT.search(text):
        raise unexpected(f"The reply to count_msg speaks of something else.{quote(text)}")
    text = _PLAIN_TAG.sub(" ", text).strip().rstrip(".! ")
    if len(text) > _MAX_TEXT:
        return
    match = _ONE_NUMBER.fullmatch(text)
    if match is None:
        return
    around = match["before"] or match["after"]
    if _WORD.sub("", around).strip(" \t\r\n:="):
        return
    words = _WORD.findall(around)
    others = [word for word in words if not _NAMING.fullmatch(word)]
    if len(others) < len(words) and all(map(_FILLER.fullmatch, others)):
        yield int(match["last"] or match["first"])

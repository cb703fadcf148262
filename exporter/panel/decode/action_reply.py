"""Decodes the replies to actions: the console's words, as Exim and Postfix print them."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from exporter.panel.decode.anonymise import safe_text
from exporter.panel.decode.envelope import decode_reply
from exporter.panel.protocol import Operation


class Said(StrEnum):
    """What a reply claims. Only a second list shows what is true."""

    REMOVED = "removed"
    """The message is gone by this command."""
    GONE = "gone"
    """It was not there any more; no failure."""
    LOCKED = "locked"
    """A delivery holds it, so that nothing was done."""
    REFUSED = "refused"
    """The console reports an error."""
    DONE = "done"
    """A success without words that are understood; `exim -M` says nothing whatever happens."""


class ActionReply(NamedTuple):
    """A reply whose code is one of success."""

    said: Said
    text: str
    """The console's words, shortened and safe to keep; they may hold addresses and ids."""


# The first that is found counts: Exim says "has been removed or did not exist" of an id that
# is not there.
_WORDS: tuple[tuple[Said, re.Pattern[str]], ...] = (
    (
        Said.GONE,
        re.compile(
            r"d(?:id|oes) not exist|no such (?:message|file)|not found|не существует|не найден"
            r"|не існує|不存在",
            re.IGNORECASE,
        ),
    ),
    (
        Said.LOCKED,
        re.compile(r"is locked|locked by|заблокирован|заблоковано|已锁定", re.IGNORECASE),
    ),
    (
        Said.REFUSED,
        re.compile(
            r"permission denied|fatal:|\berror\b|\bfailed\b|cannot |can't |couldn't |malformed"
            r"|not permitted|ошибка|не удалось|помилка|失败|错误",
            re.IGNORECASE,
        ),
    ),
    (
        Said.REMOVED,
        re.compile(
            r"has been removed|\bremoved\b|\bdeleted\b|удал[её]н|видален|已删除", re.IGNORECASE
        ),
    ),
)

_LONGEST = 500


def decode_action_reply(body: bytes, operation: Operation) -> ActionReply:
    """Return what the reply to an operation that changes something claims.

    Raises:
        PanelError: as `decode_reply`: the panel refused, or its answer is none.
    """
    reply = decode_reply(body, operation)
    text = console_words(reply.payload)
    said = next((said for said, words in _WORDS if words.search(text)), Said.DONE)
    return ActionReply(said, safe_text(text, limit=_LONGEST))


def console_words(payload: object) -> str:
    """Return the console's text: one text, or lines of it."""
    if isinstance(payload, str):
        return payload
    if not isinstance(payload, list | dict):
        return ""
    lines = payload.values() if isinstance(payload, dict) else payload
    return "\n".join(line for line in lines if isinstance(line, str))

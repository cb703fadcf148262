"""Senders, recipients and their domains."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, cast

NULL_SENDER = ""

_SPACES = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""What `\\s` matches in a text, written out: a class of characters is then one look-up."""

SIMPLE_ADDRESS = rf"[^{_SPACES}<>\"(),;:&@\\\[\]]++@[A-Za-z0-9._-]++(?<!\.\.)"
"""An address without anything that needs care, with exactly one `@`: nearly all of them.

One that ends in dots is what a page shows of a longer one, or of several."""

_MAX_ADDRESS = 1000
_SIMPLE_ADDRESS = re.compile(SIMPLE_ADDRESS)
_QUOTED = r'"(?>(?:[^"\\]|\\.){0,200})"'
_ADDRESS = re.compile(rf"(?>(?:{_QUOTED}|[^\s<>\"(),;])+)")
_PARTS = re.compile(r"[^\[\]{}@]+(?>(?:@(?:\[[^\[\]@]+\]|[^\[\]{}@]*+))*)")
"""Outside quotes brackets stand around a host's address behind the `@` and nowhere else: a list of
JSON in a text is no address."""
_BRACKETED = re.compile(rf"[^<>]{{0,200}}<((?>(?:{_QUOTED}|[^<>\"]){{0,{_MAX_ADDRESS}}}))>")
_TOKEN = re.compile(rf"(?>(?:{_QUOTED}|[^\s,;\"]){{1,{_MAX_ADDRESS}}})|\"")
_QUOTED_PART = re.compile(_QUOTED)
_PARENTHESIS = re.compile(rf"{_QUOTED}|[()]")
_ANY_PARENTHESIS = re.compile(r"[()]")
_BREAK = re.compile(r"<br\s{0,5}/?>", re.IGNORECASE)
_DELIVERED_MARKS = ("D", "+D")
"""Before addresses that are delivered: of Exim's list, and of those that `-bpa` adds to it."""
_MORE = re.compile(
    r"\(\s{0,9}(?>(?:[^\W\d]{1,9}\s{0,9}){0,2})\+?\s{0,9}\d{1,9}(?:\s{0,9}[^\W\d]{1,20}){0,2}\s{0,9}\)"
    r"|\(\s{0,9}(?:(?:and|и|та|і|還有|还有)\s{0,9})?"
    r"(?:more|others?|etc|ещ[её]|други[ех]|др|інші|ще|其他|等|[.…+]{1,3})\s{0,9}\.?\s{0,9}\)",
    re.IGNORECASE,
)
"""`(+3)`, `(and 3 more)`, `(...)`: recipients that are not named. A reason has more words, or a
colon."""
UNKNOWN_WORDS = frozenset(
    {
        *("-", "—", "null", "none", "n/a", "unknown", "undefined", "0"),
        *("нет", "неизвестно", "немає", "невідомо", "无", "未知"),
    }
)
"""What is shown where there is no address: no user of the server."""
_NULL_WORDS = frozenset({"", "<>", "mailer-daemon", "<mailer-daemon>", '""', "<<>>"})
_ADDRESS_KEYS = ("address", "email", "recipient", "rcpt", "to", "addr", "mail")
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#039;", "'"), ("&#39;", "'"))

Recipients = tuple[tuple[str, ...], tuple[str, ...]]
"""Those that wait, and those already delivered to."""


class RecipientColumn(NamedTuple):
    """The recipients of many rows; few rows have delivered ones."""

    waiting: list[str] | list[tuple[str, ...] | None]
    """Texts when every row has exactly one."""
    delivered: dict[int, tuple[str, ...]]
    """By row."""


def read_sender(value: object) -> str | None:
    """Return the envelope sender without brackets, "" for the null sender; None when unknown."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        value = _address_of(value)
    if not isinstance(value, str):
        return None
    if _SIMPLE_ADDRESS.fullmatch(value):
        return value
    text = unescape(value).strip()
    if text.lower() in _NULL_WORDS:
        return NULL_SENDER
    if text.endswith(")") and "(" in text:
        # Exim names the login of a submitter that may not choose the sender: `<x@y> (www-data)`.
        text = text[: text.rindex("(")].rstrip()
    match = _BRACKETED.fullmatch(text)
    if match:
        return NULL_SENDER if not match[1].strip() else _plain_address(match[1].strip())
    return _plain_address(text)


_FROZEN_MARK = re.compile(r"\s*\*\*\* frozen \*\*\*\s*\Z")


def split_frozen_mark(value: object) -> tuple[object, bool]:
    """Split a sender as `exim -bp` prints it from the mark behind it; return if it was there.

    A sender that holds such a mark itself, in quotes, does not end with it.
    """
    if not isinstance(value, str) or not value.rstrip().endswith("***"):
        return value, False
    mark = _FROZEN_MARK.search(value)
    return (value, False) if mark is None else (value[: mark.start()], True)


def read_recipients(value: object) -> Recipients | None:
    """Return recipients that wait and that are delivered; None when unknown.

    A text or list that holds anything but addresses is unknown: some of them might be lost.
    """
    if isinstance(value, str):
        return _recipients_from_text(value)
    if isinstance(value, dict):
        address = _address_of(value)
        if address is not None:
            value = [address]
        elif value and all("@" in str(key) for key in value):
            value = list(value)
        elif all(str(key).isdecimal() for key in value):
            value = list(value.values())
        else:
            return None
    if not isinstance(value, list | tuple):
        return None
    waiting: list[str] = []
    delivered: list[str] = []
    for item in value:
        decoded = _address_of(item) if isinstance(item, dict) else item
        one = _recipients_from_text(decoded) if isinstance(decoded, str) else None
        if one is None:
            return None
        waiting += one[0]
        delivered += one[1]
    return tuple(waiting), tuple(delivered)


def is_address_like(value: object) -> bool:
    """Return whether a value is a sender or recipients and can hardly be anything else."""
    if isinstance(value, str):
        text = unescape(value).strip()
        if text.lower() in _NULL_WORDS:
            return text != ""
        return "@" in text and (read_sender(text) is not None or read_recipients(text) is not None)
    if isinstance(value, dict):
        return is_address_like(_address_of(value))
    return isinstance(value, list) and bool(value) and all(map(is_address_like, value[:50]))


def is_null_sender(value: object) -> bool:
    """Return whether a value is a written-out null sender (`<>`, `MAILER-DAEMON`)."""
    return isinstance(value, str) and value != "" and read_sender(value) == NULL_SENDER


def is_many(value: object) -> bool:
    """Return whether a value can only be recipients: a list, several, or a delivered one."""
    if isinstance(value, list):
        return True
    decoded = read_recipients(value) if isinstance(value, str) else None
    return decoded is not None and len(decoded[0]) + 2 * len(decoded[1]) > 1


def unescape(text: str) -> str:
    """Turn back the HTML entities that PHP's htmlspecialchars writes."""
    if "&" not in text:
        return text
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    return text.replace("&amp;", "&")


def _address_of(item: Mapping[str, object]) -> str | None:
    for key in _ADDRESS_KEYS:
        value = item.get(key)
        if isinstance(value, str):
            return value
    return None


def _plain_address(text: str) -> str | None:
    if text.lower() in UNKNOWN_WORDS or len(text) > _MAX_ADDRESS or text.endswith(("..", "…")):
        return None
    if text.count("@") > 1 and '"' not in text:
        return None  # several with a sign between them that an address may hold, too
    if not _ADDRESS.fullmatch(text) or not _PARTS.fullmatch(without_quoted(text)):
        return None
    return text


def without_quoted(text: str) -> str:
    """Empty the quotes of a text: what they hold is part of an address."""
    return _QUOTED_PART.sub('""', text) if '"' in text else text


def has_open_quote(text: str) -> bool:
    """Return whether a quote is not closed within the text."""
    return '"' in text and '"' in _QUOTED_PART.sub("", text)


def _recipients_from_text(value: str) -> Recipients | None:
    text = unescape(value)
    if "<" in text:
        text = _BREAK.sub("\n", text)
    bare = _without_reasons(text) if "(" in text else text
    if bare is None:
        return None
    waiting: list[str] = []
    delivered: list[str] = []
    mark = False
    for word in _TOKEN.findall(bare):
        if word in _DELIVERED_MARKS and not mark:
            mark = True
            continue
        address = word[1:-1] if word[0] == "<" and word[-1] == ">" else word
        if _plain_address(address) is None:
            return None
        (delivered if mark else waiting).append(address)
        mark = False
    everything = waiting + delivered
    # One bare word may be a local user; among several it is prose.
    if mark or not everything or (len(everything) > 1 and not all("@" in a for a in everything)):
        return None
    return tuple(waiting), tuple(delivered)


def _without_reasons(text: str) -> str | None:
    """Return a text without what stands in parentheses outside quotes: why messages wait.

    None where they do not match, or where a line has several of them: the words inside come from
    other servers, so that a part of one might stand between two for an address. None also where
    one says that there are more recipients.
    """
    lines = [_without_reason(line) for line in text.split("\n")]
    return None if None in lines else "\n".join(filter(None, lines))


def _without_reason(line: str) -> str | None:
    start, end = _next_parenthesis(line, 0), -1
    if start < 0:
        return line
    depth = 0
    # Quotes inside are another server's words, and need not match.
    for match in _ANY_PARENTHESIS.finditer(line, start):
        depth += 1 if match[0] == "(" else -1
        if depth <= 0:
            end = match.end()
            break
    if depth or _next_parenthesis(line, end) >= 0 or _MORE.fullmatch(line, start, end):
        return None
    return f"{line[:start]} {line[end:]}"


def _next_parenthesis(line: str, start: int) -> int:
    """Return where the next one outside quotes stands; -1 for none."""
    found = (match for match in _PARENTHESIS.finditer(line, start) if match[0] in ("(", ")"))
    return next((match.start() for match in found), -1)


# --- whole columns -----------------------------------------------------------------------------

_SIMPLE_LINES = re.compile(rf"(?>(?:{SIMPLE_ADDRESS}\n)*)")
_SENDER_LINES = re.compile(rf"(?>(?:(?:{SIMPLE_ADDRESS}|<{SIMPLE_ADDRESS}>|<>|MAILER-DAEMON)?\n)*)")


def read_senders(column: Sequence[object]) -> list[str | None]:
    """Return what `read_sender` does for every value; all at once where they are plain."""
    text = joined_lines(column)
    if text is None or not _SENDER_LINES.fullmatch(text):
        return [read_sender(value) for value in column]
    senders: list[str | None] = [*cast("Sequence[str]", column)]
    if "<" in text:
        senders = [*text.replace("<", "").replace(">", "").split("\n")]
        senders.pop()
    if "MAILER-DAEMON\n" in text:
        senders = [NULL_SENDER if sender == "MAILER-DAEMON" else sender for sender in senders]
    return senders


def read_recipient_column(column: Sequence[object]) -> RecipientColumn:
    """Return what `read_recipients` does for every value; all at once where they are plain."""
    single = _single(column)
    text = joined_lines(single)
    if text is not None and _SIMPLE_LINES.fullmatch(text):
        return RecipientColumn([*cast("Sequence[str]", single)], {})
    plain = _plain_lists(column)
    if plain is not None:
        return RecipientColumn(plain, {})
    waiting: list[tuple[str, ...] | None] = []
    delivered: dict[int, tuple[str, ...]] = {}
    for row, value in enumerate(column):
        if isinstance(value, str) and _SIMPLE_ADDRESS.fullmatch(value):
            waiting.append((value,))
            continue
        decoded = read_recipients(value)
        waiting.append(None if decoded is None else decoded[0])
        if decoded is not None and decoded[1]:
            delivered[row] = decoded[1]
    return RecipientColumn(waiting, delivered)


def _single(column: Sequence[object]) -> Sequence[object]:
    """Return the only address of each value where all are lists of one, else the column itself."""
    if not column or not isinstance(column[0], list):
        return column
    lists = cast("Sequence[list[Any]]", column)
    try:
        if set(map(len, lists)) != {1}:
            return column
        if isinstance(lists[0][0], dict):
            return [value[0]["address"] for value in lists]
        return [value[0] for value in lists]
    except (TypeError, KeyError):
        return column


def _plain_lists(column: Sequence[object]) -> list[tuple[str, ...] | None] | None:
    """Return the addresses of each value if all are plain and each value has one."""
    tokens: Sequence[list[str]]
    try:
        kinds = set(map(type, column))
        if kinds == {str}:
            tokens = [value.replace(",", " ").split() for value in cast("Sequence[str]", column)]
        elif kinds == {list}:
            tokens = _address_lists(cast("Sequence[list[object]]", column))
        else:
            return None
        text = "\n".join(chain.from_iterable(tokens)) + "\n"
    except (TypeError, KeyError):
        return None
    if not all(tokens) or text.count("\n") != sum(map(len, tokens)):
        return None
    return [tuple(addresses) for addresses in tokens] if _SIMPLE_LINES.fullmatch(text) else None


def _address_lists(column: Sequence[list[object]]) -> Sequence[list[str]]:
    """Return the lists themselves, or what `postqueue -j` names `address` in their objects."""
    if column and column[0] and isinstance(column[0][0], dict):
        objects = cast("Sequence[list[dict[str, str]]]", column)
        return [[item["address"] for item in value] for value in objects]
    return cast("Sequence[list[str]]", column)


def joined_lines(column: Sequence[object]) -> str | None:
    """Return the values as lines; None when not all are texts of one line."""
    try:
        text = "\n".join(cast("Sequence[str]", column)) + "\n"
    except TypeError:
        return None
    return text if text.count("\n") == len(column) else None

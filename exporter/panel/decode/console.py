"""Console text of `exim -bp`, `mailq` and `postqueue -p`, as one text or as lines.

Nearly every message of a large queue has one plain form: those are cut out with one regular
expression, column by column. What is left between them (corrupt rows, quoted senders, odd
lines) is read line by line by the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import StringIO
from itertools import compress
from typing import Any

from exporter.panel.decode.addresses import (
    SIMPLE_ADDRESS,
    read_recipients,
    read_sender,
    read_senders,
    unescape,
)
from exporter.panel.decode.values import (
    ACTIVE_MARK,
    EXIM_ID,
    FROZEN_WORDS,
    HOLD_MARK,
    POSTFIX_ID,
    read_frozen,
)

CHUNK = 2**17
"""Characters cut at a time: bounds the memory that the pieces take."""

MAX_ODD_LINES = 3

_WEEKDAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_DATE = rf"{_WEEKDAY} [A-Z][a-z]{{2}} [ \d]?\d \d\d:\d\d:\d\d"
_NO_STATE = "".join(rf"(?!{word}\))" for word in FROZEN_WORDS if word.isascii())
_EXIM_MESSAGE = re.compile(
    rf"^ {{0,3}}+(\d++[smhdw]) {{1,8}}+(?:([\d.]++[KMG]?+) )?+({EXIM_ID})"
    rf" <((?:{SIMPLE_ADDRESS})?+)>(?: \({_NO_STATE}[a-z0-9_.-]++\))?+( \*\*\* frozen \*\*\*)?+\n"
    rf"((?: *+(?:D )?{SIMPLE_ADDRESS}\n)++)(?:\n|(?= {{0,3}}\d++[smhdw] )|\Z)",
    re.MULTILINE | re.ASCII,
)
"""Possessive, and with nothing in it that would need a second look at the columns."""
# A reason may stand before the recipients; with several reasons the line reader takes over.
_POSTFIX_MESSAGE = re.compile(
    rf"^({POSTFIX_ID}[*!]?) +(\d+) ({_DATE})  ?([^\s()]+)\n(?:[ \t]*\([^\n]*\)[ \t]*\n)?"
    r"((?:(?:[ \t]+[^\s(][^\n]*|[^\s<>()][^\s<>()@]*+@[^\s<>()]++)\n)++)(?![ \t(])\n?",
    re.MULTILINE | re.ASCII,
)

_EXIM_HEADER = re.compile(
    rf"\s*(?:(-?\d+[smhdw])\s+)?(?:(-?\d[\d.]*[KMG]?)\s+)?({EXIM_ID})(?:\s+(<.*))?", re.ASCII
)
_POSTFIX_HEADER = re.compile(rf"\s*({POSTFIX_ID}[*!]?)\s+(-?\d+)\s+({_DATE})\s+(\S.*)", re.ASCII)
_HEADER = re.compile(
    rf"^[ \t]*(?:(?:-?\d+[smhdw][ \t]+)?(?:-?\d[\d.]*[KMG]?[ \t]+)?({EXIM_ID})[ \t]*(?:<|$)"
    rf"|{POSTFIX_ID}[*!]?[ \t]+-?\d+[ \t]+{_WEEKDAY}[ \t])",
    re.MULTILINE | re.ASCII,
)
_NOT_A_ROW = re.compile(
    r"-+\s?Queue ID.*|-- \d+ [KMG]?i?[Bb]ytes in \d+ Requests?\.?"
    r"|(?:Your )?[Mm]ail queue is empty\.?"
)
_CORRUPT = re.compile(r"\*\*\* spool .*\*\*\*")
_REASON = re.compile(r"\(.*\)")
_INNER = re.compile(r"\(([^()]{1,40})\)")
_FIRST_STATE_WORD = re.compile(r"\*|(?<!\S)(?!D\s)[^\s@]++(?!\S)")
"""Where the addresses of a line end: what follows has no `@`, or a star of Exim's mark."""
_EXIM_SENDER = re.compile(
    r"(<(?:\"(?:[^\"\\]|\\.)*+\"|[^<>\"])*+>)(?: \(([^()]*)\))?"
    r"(\s+\*\*\* frozen \*\*\*)?(?:\s+(.*))?"
)

_MARKS = ACTIVE_MARK + HOLD_MARK

_MARKUP_WITHIN = 2**16
"""Characters within which a text that was made for a page shows it."""
_MARKUP = re.compile(r"<(?:/|br\W|pre\W|t[dhr]\W)", re.IGNORECASE)
_BREAK = re.compile(r"<br\s{0,5}/?>\n?|</(?:tr|p|div|li)>\n?", re.IGNORECASE)
_CELL = re.compile(r"</t[dh]>\s{0,50}<t[dh][^<>]{0,200}>", re.IGNORECASE)
_MAYBE_TAG = re.compile(r"<[/a-zA-Z]{1,6}+[\s/>]")
"""What every tag of the two above begins with: quicker to find that there is none."""
_TAG = re.compile(
    r"</?(?:pre|code|table|tbody|thead|tr|td|th|div|p|span|b|i|ul|li|font|tt)(?:\s[^<>]{0,200})?>",
    re.IGNORECASE,
)


@dataclass(slots=True)
class ConsoleRows:
    """The messages of a text as columns."""

    ids: list[str] = field(default_factory=list)
    """Valid, without a mark."""
    ages: list[object] = field(default_factory=list)
    sizes: list[object] = field(default_factory=list)
    senders: list[str | None] = field(default_factory=list)
    """As `read_sender` tells them."""
    recipients: list[object] = field(default_factory=list)
    frozen: list[bool | None] = field(default_factory=list)
    odd: int = 0
    """Lines that belong to no message."""
    odd_lines: list[str] = field(default_factory=list)
    """The first of them."""

    def add_odd(self, line: str) -> None:
        """Count in a line that belongs to no message."""
        self.odd += 1
        if self.odd <= MAX_ODD_LINES:
            self.odd_lines.append(line)


def plain_text(text: str) -> str:
    """The text without what a PHP panel may have added to show it on a page."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\xa0" in text:
        text = text.replace("\xa0", " ")
    if _MAYBE_TAG.search(text):
        text = _TAG.sub("", _BREAK.sub("\n", _CELL.sub("\t", text)))
    if "&" in text:
        text = unescape(text.replace("&nbsp;", " "))
    return text


def is_console(text: str) -> bool:
    """Whether a text holds a message of `exim -bp` or `postqueue -p`, or says there is none.

    Neither command prints tabs: lines with them are a table that only looks alike.
    """
    header = _HEADER.search(text)
    if header is not None:
        return "\t" not in header[0].strip()
    return all(_NOT_A_ROW.fullmatch(line.strip()) for line in StringIO(text) if not line.isspace())


def read_console(text: str) -> Iterator[ConsoleRows]:
    """The messages of a text, in pieces."""
    start = 0
    while start < len(text):
        # A piece ends where a message begins.
        following = _HEADER.search(text, start + CHUNK) if start + CHUNK < len(text) else None
        end = following.start() if following else len(text)
        yield _read_piece(text[start:end] + ("\n" if end == len(text) else ""))
        start = end


def _read_piece(text: str) -> ConsoleRows:
    rows = ConsoleRows()
    header = _HEADER.search(text)
    if header is not None and header[1]:
        parts = _EXIM_MESSAGE.split(text)
        rows.ages, rows.sizes, rows.ids = parts[1::7], parts[2::7], parts[3::7]
        rows.senders, rows.recipients = parts[4::7], [*map(str.strip, parts[6::7])]
        rows.frozen = [mark is not None for mark in parts[5::7]]
        gaps = parts[0::7]
    else:
        parts = _POSTFIX_MESSAGE.split(text)
        marked, rows.sizes, rows.ages = parts[1::6], parts[2::6], parts[3::6]
        rows.ids = [id_.rstrip(_MARKS) for id_ in marked]
        rows.senders, rows.recipients = read_senders(parts[4::6]), [*map(str.strip, parts[5::6])]
        rows.frozen = [id_.endswith(HOLD_MARK) for id_ in marked]
        gaps = parts[0::6]
    for gap in compress(gaps, map(str.strip, gaps)):
        _read_lines(StringIO(gap), rows)
    return rows


def _read_lines(lines: Iterable[str], rows: ConsoleRows) -> None:
    """Append the messages of some lines, and the lines that belong to none."""
    waiting: list[str] | None = None
    exim = False
    for line in lines:
        stripped = line.strip()
        if not stripped:
            waiting = None
        elif header := _EXIM_HEADER.fullmatch(line.rstrip()):
            waiting = []
            exim = True
            _append_exim(header, waiting, rows)
        elif header := _POSTFIX_HEADER.fullmatch(line.rstrip()):
            waiting = []
            exim = False
            _append_postfix(header, waiting, rows)
        elif _CORRUPT.fullmatch(stripped) and waiting is not None:
            # The spool file could not be read: nothing but the id is sure.
            rows.ages[-1] = rows.sizes[-1] = rows.senders[-1] = rows.recipients[-1] = None
            rows.frozen[-1] = waiting = None
        elif waiting is not None and _REASON.fullmatch(stripped):
            _read_reason(stripped, rows, exim=exim)
        elif waiting is not None and exim and _may_follow_exim(line):
            _append_waiting(stripped, waiting, rows)
        elif waiting is not None and (line[0] in " \t" or "@" in stripped):
            waiting.append(stripped)
        else:
            _read_odd(stripped, waiting, rows)


def _read_odd(text: str, waiting: list[str] | None, rows: ConsoleRows) -> None:
    """Count in a line that is read as nothing; below a message it may be one more recipient."""
    if _NOT_A_ROW.fullmatch(text):
        return
    rows.add_odd(text)
    if waiting is not None:
        rows.recipients[-1] = None


def _append_exim(header: re.Match[str], waiting: list[str], rows: ConsoleRows) -> None:
    age, size, message_id, rest = header.groups()
    if rest is None:
        _append(rows, (message_id, age, size, None, None, None))
        return
    # A quoted sender may hold the mark, too: only behind the closing bracket it is one.
    sender = _EXIM_SENDER.fullmatch(rest.rstrip())
    if sender is None:
        _append(rows, (message_id, age, size, None, waiting, None))
        return
    # `(frozen)` may be a user of that name, or a panel's way to write the mark: that is not known.
    login_like_mark = sender[2] is not None and read_frozen(sender[2], flag=False) is True
    frozen = True if sender[3] else None if login_like_mark else False
    _append(rows, (message_id, age, size, read_sender(sender[1]), waiting, frozen))
    if sender[4]:
        _append_waiting(sender[4], waiting, rows)


def _append_postfix(header: re.Match[str], waiting: list[str], rows: ConsoleRows) -> None:
    marked, size, date, sender = header.groups()
    id_, on_hold = marked.rstrip(_MARKS), marked.endswith(HOLD_MARK)
    _append(rows, (id_, date, size, read_sender(sender), waiting, on_hold))


def _read_reason(text: str, rows: ConsoleRows, *, exim: bool) -> None:
    """Postfix tells in parentheses why a message waits; under Exim it may be a panel's mark."""
    if exim and read_frozen(text[1:-1], flag=False):
        rows.frozen[-1] = True


def _may_follow_exim(line: str) -> bool:
    """Whether a line belongs to the message above it: recipients, or a mark on its own."""
    return line[0] in " \t*" or "@" in line or read_frozen(line, flag=False) is True


def _append_waiting(text: str, waiting: list[str], rows: ConsoleRows) -> None:
    """Take the recipients of the last message; what else is written there may be its mark.

    Exim writes one exact mark at one exact place. A panel that writes it otherwise is believed
    where it names a frozen message; any other words leave open whether it is one.
    """
    if any(read_frozen(inner, flag=False) for inner in _INNER.findall(text)):
        rows.frozen[-1] = rows.frozen[-1] or None  # a mark, or somebody's comment
    told = read_recipients(text)
    if told is not None and all(map(_is_plain, (*told[0], *told[1]))):
        waiting.append(text)
        return
    words = _FIRST_STATE_WORD.search(text)
    state = words and read_frozen(text[words.start() :], flag=False)
    addresses = text[: words.start()].strip() if words else ""
    rows.frozen[-1] = True if state or rows.frozen[-1] else None
    if state is None and ("@" in text or "*" not in text):
        rows.recipients[-1] = None  # some of them might be lost
    elif addresses:
        waiting.append(addresses)


def _is_plain(address: str) -> bool:
    return "@" in address and "*" not in address.rpartition("@")[2]


def _append(rows: ConsoleRows, row: tuple[object, ...]) -> None:
    columns: tuple[list[Any], ...] = (
        *(rows.ids, rows.ages, rows.sizes, rows.senders, rows.recipients, rows.frozen),
    )
    for column, value in zip(columns, row, strict=True):
        column.append(value)

"""Console text of `exim -bp`, `mailq` and `postqueue -p`, as one text or as lines.

Nearly every message of a large queue has one plain form: those are cut out with one regular
expression, column by column. What is left between them (corrupt rows, quoted senders, odd
lines) is read line by line by the same rules.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from io import StringIO
from itertools import pairwise

from exporter.panel.decode.addresses import (
    SIMPLE_ADDRESS,
    has_open_quote,
    read_recipients,
    read_sender,
    read_senders,
    unescape,
    without_quoted,
)
from exporter.panel.decode.values import (
    EXIM_ID,
    FROZEN_WORDS,
    HOLD_MARK,
    MARKS,
    POSTFIX_ID,
    POSTFIX_MARKS,
    SPOOL_SUFFIX,
    read_frozen,
)

CHUNK = 2**17
"""Characters cut at a time: bounds the memory that the pieces take."""

MAX_ODD_LINES = 3

_TWO_MESSAGES = 80
"""Characters below which a line cannot hold the headers of two messages."""

_BEFORE_HEADER = 8
"""Characters up to which a line can be indented before its header."""

_WEEKDAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_DATE = rf"{_WEEKDAY} [A-Z][a-z]{{2}} [ \d]?\d \d\d:\d\d:\d\d"
_NO_STATE = "".join(rf"(?!{word}\))" for word in FROZEN_WORDS if word.isascii())
_AGE = r"\d{1,2}+[smhw]|\d{1,5}+d"
"""How Exim writes ages: up to 90 minutes, then up to 72 hours, then days (`queue.c`,
`queue_list`). More digits are those of a number that stands right before."""
_EXIM_AGE = re.compile(_AGE, re.ASCII)
_EXIM_MESSAGE = re.compile(
    rf"^ {{0,3}}+({_AGE}) {{1,8}}+(?>(?:([\d.]++[KMG]?+) )?)({EXIM_ID}){SPOOL_SUFFIX}"
    rf" <((?>(?:{SIMPLE_ADDRESS})?))>(?>(?: \({_NO_STATE}[a-z0-9_.-]++\))?)"
    r"(?>( \*\*\* frozen \*\*\*)?)\n"
    rf"((?>(?: *+(?:\+?D )?{SIMPLE_ADDRESS}\n)+))(?:\n|(?= {{0,3}}\d++[smhdw] )|\Z)",
    re.MULTILINE | re.ASCII,
)
"""Atomic, and with nothing in it that would need a second look at the columns. Groups are never
possessive: before CPython 3.11.5 such a group may lose what it has matched (gh-106052)."""
_PLAIN_LOCAL = r"[^\t-\r\x1c-\x20()\"<>@]"
# A reason may stand before the recipients; with several reasons the line reader takes over.
_POSTFIX_MESSAGE = re.compile(
    rf"^({POSTFIX_ID}{POSTFIX_MARKS}) +(\d+) ({_DATE})  ?"
    rf"({_PLAIN_LOCAL}++@{_PLAIN_LOCAL}++|MAILER-DAEMON)\n"
    r"(?:[ \t]*\([^\n]*\)[ \t]*\n)?"
    rf"((?>(?:[ \t]++{_PLAIN_LOCAL}++@{_PLAIN_LOCAL}++\n)+)"
    rf"|(?>(?:{_PLAIN_LOCAL}++@{_PLAIN_LOCAL}++\n)+))"
    rf"(?:\n|(?={POSTFIX_ID}{POSTFIX_MARKS} +\d+ {_WEEKDAY} )|\Z)",
    re.MULTILINE | re.ASCII,
)

_EXIM_HEADER = re.compile(
    rf"\s*(?:(-?\d+[smhdw])\s+)?(?:(-?\d[\d.]*[KMG]?)\s+)?({EXIM_ID}){SPOOL_SUFFIX}(?:\s+(\S.*))?",
    re.ASCII,
)
_POSTFIX_HEADER = re.compile(
    rf"\s*({POSTFIX_ID}{POSTFIX_MARKS})\s+(-?\d+)\s+({_DATE})\s+(\S.*)", re.ASCII
)
_HEADER = re.compile(
    rf"^[ \t]*(?:(-?\d+[smhdw][ \t]+)?(?:-?\d[\d.]*[KMG]?[ \t]+)?({EXIM_ID}){SPOOL_SUFFIX}"
    r"(?(1)(?=\s|\Z)|[ \t]*(?:(?=<)|$))"
    rf"|{POSTFIX_ID}{POSTFIX_MARKS}[ \t]+-?\d+[ \t]+{_WEEKDAY}[ \t])",
    re.MULTILINE | re.ASCII,
)
"""Where a message begins; what comes behind an Exim id matters only where no age is before it."""

_MAYBE_HEADER = re.compile(
    r"-?\d+[smhdw]\s+\S.*"
    r"|(?:.*[^\w@.+=-])?[0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4}[^\s\w@]?[^\s@]{0,3}(?:\s.*)?"
    r"|[0-9A-Za-z]{6,25}[^\s\w@]{0,3}\s+-?\d+[KMG]?\s.*"
    rf"|.*{_WEEKDAY}\s+[A-Z][a-z]{{2}}\s+\d{{1,2}}\s+\d\d:\d\d.*",
    re.ASCII,
)
"""A line that is read as nothing, but must be the header of a message in a form not known."""

_ADDRESS_OR_REASON = re.compile(r"(?:\+?D\s+)?[\"(]").match

_ADDRESS_FIRST = re.compile(r"(?:\+?D\s+)?(?:\"|[^\s<]*@)")

_PLAIN_LINE = re.compile(rf"{SIMPLE_ADDRESS}|\([^()]*(?:\([^()]*\)[^()]*)*\)")
"""An address or a reason: nothing else to look for, and nearly all lines below a header."""

_HALF_HEADER = re.compile(r"-?\d+[smhdw](?:\s+-?\d[\d.]*[KMG]?)?", re.ASCII)

_EXIM_WITHIN = re.compile(
    r"(?:(?<=\s)(?<!\d[smhdw]\s)(-?\d{1,4}[smhdw])\s+(?:-?\d[\d.]*[KMG]?\s+)?)?"
    rf"{EXIM_ID}{SPOOL_SUFFIX}\s+<",
    re.ASCII,
)
_POSTFIX_WITHIN = re.compile(
    rf"(?:(?<=\s)({POSTFIX_ID}{POSTFIX_MARKS})\s+)?(?<=\s)-?\d+\s+{_DATE}\s", re.ASCII
)
"""Headers in the middle of a line, of a list that has lost its line breaks. Without the group
they touch what is before them, so that it is not known where one ends and the other begins."""

HEADING = "-Queue ID-"
"""How the heading of mailq begins."""
_HEADING = re.compile(r"-Queue ID-+ +-+Size-+ +-+Arrival Time-+ +-+Sender/Recipient-+")
_CLOSING = re.compile(r"-- \d+ [KMG]?i?[Bb]ytes in (\d{1,9}) Requests?\.?\s*\Z")
_NO_MESSAGE = re.compile(
    r"[-=_ ]+|-+\s?Queue ID[-\s\w/]*|[-\sA-Z/]*-{3}|-- \d+ [KMG]?i?[Bb]ytes in \d+ Requests?\.?"
    r"|(?:/\S*/)?(?:exim\d?|post[a-z]+(?:/[a-z]+)?|mailq|sendmail|showq|sudo|su|(?:ba|da)?sh|php)"
    r"(?:\[\d+\])?: .*"
    r"|[\w./-]+(?:\[\d+\])?: (?:warning|fatal|error): .*"
    r"|(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (?:\[\d+\] )?)?"
    r"(?:php )?(?:fatal error|warning|notice|deprecated|error): .*"
    r"|suggested action: .*|log: [a-z ]+",
    re.IGNORECASE | re.ASCII,
)
"""Headings, what closes a list, and warnings of the commands, of their logs and their shell."""
_WARNING = re.compile(r"[^-=_\s].*")

FROZEN_MARK = "*** frozen ***"
"""Exim's own, behind the sender of a message."""

_CORRUPT = re.compile(r"\*\*\* spool [^*]*\*\*\*(\s+\*\*\* frozen \*\*\*)?")
_REASON = re.compile(r"\(.*\)")
_INNER = re.compile(r"\(([^()]{1,40})\)")
_FIRST_STATE_WORD = re.compile(r"\*|(?<!\S)(?!\+?D\s)[^\s@]++(?!\S)")
"""Where the addresses of a line end: what follows has no `@`, or a star of Exim's mark."""
_EXIM_SENDER = re.compile(
    r"(<(?>(?:\"(?>(?:[^\"\\]|\\.)*)\"|[^<>\"])*)>)(?: \(([^()]*)\))?"
    r"(\s+\*\*\* frozen \*\*\*)?(?:\s+(.*))?"
)
_BARE_SENDER = re.compile(
    r"((?>(?:\"(?>(?:[^\"\\]|\\.)*)\"|[^\s<>\"()*@])+)@[^\s<>\"()@]++)?"
    r"(\s*(?<!\S)\*\*\* frozen \*\*\*)?"
)

_BREAK = re.compile(r"<br\s{0,5}/?>\n?|</(?:tr|p|div|li)>\n?", re.IGNORECASE)
_MAYBE_TAG = re.compile(r"<[/a-zA-Z]{1,6}+[\s/>]")
"""What every tag of these begins with: quicker to find that there is none."""
_TAG = re.compile(
    r"</?(?:pre|code|table|tbody|thead|tr|td|th|div|p|span|b|i|ul|li|font|tt|a|strong|em|small)"
    r"(?:\s[^<>]{0,200})?>",
    re.IGNORECASE,
)
_TABLE_CELL = re.compile(r"<t[dh](?:\s[^<>]{0,200})?>", re.IGNORECASE)
_TABLE_ROW = re.compile(r"</?tr(?:\s[^<>]{0,200})?>", re.IGNORECASE)
_CELL_END = re.compile(r"</t[dh]>.*", re.IGNORECASE | re.DOTALL)
_SPAN = re.compile(r"<t[dh]\s[^<>]{0,200}(?:col|row)span", re.IGNORECASE)
_DATA_CELL = re.compile(r"<td[\s>]", re.IGNORECASE)
_LONE_BREAK = re.compile(r"(?<!\n)<br\s{0,5}/?>(?!\s{0,5}(?:\n|$))", re.IGNORECASE)
"""A break that neither follows a line break nor is followed by one."""
_IN_CELL = re.compile(r"<br\s{0,5}/?>\n?|</(?:p|div|li)>\n?(?=.)", re.IGNORECASE | re.DOTALL)
_DATA = re.compile(r"[\d@<>*]")


_LONGEST_SENTENCE = 200
_ANY_TAG = re.compile(r"</?[a-zA-Z][^<>@]{0,200}>")

# What says that there are no messages: `postqueue -p` and mailq; the panel's text of list_msg's
# code 100; what its page shows.
_NOTHING = re.compile(
    r"(?:your |the )?(?:mail |message )?(?:queue|queue list|list) is empty"
    r"|(?:there are )?no (?:messages|mails?|emails?) in (?:the )?(?:mail )?queue"
    r"|(?:список )?(?:почтов(?:ой|ая) )?(?:очередь|очереди)(?: сообщений)? пуста?"
    r"|(?:в очереди )?нет (?:сообщений|писем)(?: в (?:почтовой )?очереди)?"
    r"|(?:сообщений|писем) в (?:почтовой )?очереди нет"
    r"|(?:список )?(?:поштов(?:ої|а) )?(?:черг[аи])(?: повідомлень)? "
    r"(?:порожн(?:я|ій)|пуст(?:а|ий))"
    r"|(?:[ву] черзі )?немає (?:повідомлень|листів)(?: [ву] (?:поштовій )?черзі)?"
    r"|(?:повідомлень|листів) [ву] (?:поштовій )?черзі немає"
    r"|(?:当前)?(?:邮件|消息)?(?:队列|列表|队列列表)(?:是|为)?空的?"
    r"|(?:当前)?(?:邮件)?(?:队列|队列中|队列里)?(?:没有|无)(?:任何)?(?:邮件|消息|信息)"
)


@dataclass(slots=True)
class ConsoleRows:
    """The messages of a text as columns."""

    ids: list[str] = field(default_factory=list)
    """Valid, without a mark."""
    ages: list[object] = field(default_factory=list)
    sizes: list[object] = field(default_factory=list)
    senders: list[str | None] = field(default_factory=list)
    """As `read_sender` returns them."""
    recipients: list[object] = field(default_factory=list)
    frozen: list[bool | None] = field(default_factory=list)
    worded: set[int] = field(default_factory=set)
    """Positions of the messages that are called frozen by words which Exim does not write."""
    odd: int = 0
    """Messages that are not understood."""
    odd_lines: list[str] = field(default_factory=list)
    """The first lines of the first of them."""

    def append(
        self,
        message_id: str,
        age: str | None,
        size: str | None,
        sender: str | None,
        recipients: list[str] | None,
        frozen: bool | None,  # noqa: FBT001 - one value of a row
    ) -> None:
        """Append a message."""
        self.ids.append(message_id)
        self.ages.append(age)
        self.sizes.append(size)
        self.senders.append(sender)
        self.recipients.append(recipients)
        self.frozen.append(frozen)

    def add_odd(self, line: str, messages: int = 1) -> None:
        """Count a message that is not understood, or several on one line."""
        self.odd += messages
        if len(self.odd_lines) < MAX_ODD_LINES:
            self.odd_lines.append(line)


def plain_text(text: str) -> str:
    """Return a text without what a PHP panel may have added to show it on a page.

    A heading or a closing line of mailq that has lost its line break gets it back.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\xa0" in text:
        text = text.replace("\xa0", " ")
    if _MAYBE_TAG.search(text):
        text = _TAG.sub("", _BREAK.sub("\n", text))
    if "&" in text:
        text = unescape(text.replace("&nbsp;", " "))
    if HEADING in text and not all(_is_line(m) for m in _HEADING.finditer(text)):
        text = _HEADING.sub("\n", text)
    closing = _CLOSING.search(text, max(0, len(text) - 100))
    if closing is None or _is_line(closing):
        return text
    return f"{text[: closing.start()]}\n{closing[0]}"


def tabbed_rows(text: str) -> list[str] | None:
    """Return the lines of a text whose cells are separated by tabs; None where they are not known.

    Beside line breaks a break of HTML is one inside a cell, and stays one. Where it is the only
    one it may end a row, but then all rows are of one length.
    """
    marked = _LONE_BREAK.sub("\v", text.replace("\r\n", "\n"))
    lines = [line for line in plain_text(marked).split("\n") if line.strip(" ")]
    if len(lines) == 1 and "\v" in lines[0]:
        lines = lines[0].split("\v")
        if len({line.count("\t") for line in lines}) > 1:
            return None
    return [line.replace("\v", "\n") for line in lines]


def _is_line(match: re.Match[str]) -> bool:
    text, (start, end) = match.string, match.span()
    return {text[start - 1 : start], text[end : end + 1]} <= {"", "\n"}


def is_console(text: str, *, bare: bool = True) -> bool:
    """Return whether a text holds a message of `exim -bp` or `postqueue -p`.

    Neither command prints tabs: lines with them are a table that only looks alike. So are lines
    without brackets around the sender, unless `bare`.
    """
    header = _HEADER.search(text)
    if header is None:
        return False
    end = text.find("\n", header.end())
    if "\t" in text[header.start() : len(text) if end < 0 else end].lstrip():
        return False
    if bare or not header[2]:
        return True
    rest = text[header.end() : header.end() + 9].split("\n", 1)[0].strip()
    return not rest or rest.startswith("<")


def closing_count(text: str) -> int:
    """Return the number of messages in the closing line of mailq; 0 without one."""
    closing = _CLOSING.search(text, max(0, len(text) - 100))
    return 0 if closing is None else int(closing[1])


def says_nothing_there(text: str) -> bool:
    """Return whether a text says that the queue holds no message; an empty one says nothing."""
    if len(text) > _LONGEST_SENTENCE:
        return False
    plain = unicodedata.normalize("NFKC", _ANY_TAG.sub(" ", text)).lower()
    return _NOTHING.fullmatch(" ".join(plain.split()).strip(" .!。")) is not None


def is_no_message(line: str) -> bool:
    """Return whether a line, without blanks around it, is known to be none of a message."""
    return _NO_MESSAGE.fullmatch(line) is not None or says_nothing_there(line)


def unread_messages(text: str) -> list[str]:
    """Return the first lines of what must be messages in a text that is not understood.

    They are separated by blank lines, or by lines that are indented further than the first. A
    text that holds only warnings says nothing of messages, and counts as one.
    """
    if says_nothing_there(text):
        return []
    lines = [line for line in text.split("\n") if not is_no_message(line.strip())]
    filled = [line for line in lines if line.strip()]
    if not filled:
        filled = [line for line in text.split("\n") if line.strip(" ")]
        nothing = any(map(says_nothing_there, filled))
        warnings = [line for line in filled if _WARNING.match(line.strip())]
        return [] if nothing else warnings[:1]
    firsts = [
        line for before, line in pairwise(["", *lines]) if line.strip() and not before.strip()
    ]
    if len(firsts) > 1:
        return firsts
    deepest = len(filled[0]) - len(filled[0].lstrip()) + 2
    shallow = [line for line in filled if len(line) - len(line.lstrip()) <= deepest]
    return [line for line in shallow if not _goes_on(line.strip())] or filled[:1]


def _goes_on(line: str) -> bool:
    """Return whether a line can only be one of a message whose header is above it."""
    own = _REASON.fullmatch(line) or _CORRUPT.fullmatch(line)
    return own is not None or ("@" in line and read_recipients(line) is not None)


# --- tables for a page -----------------------------------------------------------------------


def is_table(text: str) -> bool:
    """Return whether a text is made of the cells of an HTML table."""
    return "<" in text and _TABLE_CELL.search(text) is not None


def read_table(text: str) -> tuple[list[str], list[list[str]]]:
    """Return the headings of an HTML table, and the cells of its rows; breaks in a cell are lines.

    Headings that do not stand for one column each, or that are not the same throughout, are left
    out: of several tables each may have its own.
    """
    headings: list[list[str]] = []
    rows: list[list[str]] = []
    lone: list[str] | None = None
    spans, first = False, True
    for row in _TABLE_ROW.split(text):
        cells = [*map(_cell_text, _TABLE_CELL.split(row)[1:])]
        if not any(cells):
            continue
        is_data = _DATA_CELL.search(row) is not None
        nothing = sum(map(bool, cells)) == 1 and all(
            is_no_message(line.strip()) for line in "".join(cells).split("\n")
        )
        if not is_data or (first and not nothing and is_heading_row(cells)):
            headings.append(cells)
            spans = spans or _SPAN.search(row) is not None
            lone = cells if is_data else lone
        else:
            lone = None
            rows += [] if nothing else [cells]
        first = first and not is_data
    if lone is not None:
        return [], [lone]  # it may be a message that is not understood
    one = bool(headings) and not spans and all(each == headings[0] for each in headings)
    return headings[0] if one else [], rows


def is_heading_row(cells: Sequence[str]) -> bool:
    """Return whether the first row of a table names its columns: messages hold a digit."""
    return len(cells) > 1 and not any(map(_DATA.search, cells))


def _cell_text(cell: str) -> str:
    text = _IN_CELL.sub("\n", _CELL_END.sub("", cell))
    text = unescape(_TAG.sub("", text).replace("&nbsp;", " ")).strip()
    # Of a picture the name or the style says what it means.
    return cell.strip() if not text and "=" in cell else text


# --- console text ----------------------------------------------------------------------------


def read_console(text: str) -> Iterator[ConsoleRows]:
    """Yield the messages of a text, in pieces."""
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
    is_exim = header is not None and header[2] is not None
    pattern = _EXIM_MESSAGE if is_exim else _POSTFIX_MESSAGE
    parts, width = pattern.split(text), pattern.groups + 1
    gaps, *columns = (parts[number::width] for number in range(width))
    if is_exim:
        rows.ages, rows.sizes, rows.ids, rows.senders, marks, recipients = columns
        rows.frozen = [mark is not None for mark in marks]
    else:
        marked, rows.sizes, rows.ages, senders, recipients = columns
        rows.ids = [id_.rstrip(MARKS) for id_ in marked]
        rows.senders, rows.frozen = read_senders(senders), [HOLD_MARK in id_ for id_ in marked]
    rows.recipients = [*map(str.strip, recipients)]
    reader = _LineReader(rows)
    for number, gap in enumerate(gaps):
        if gap and not gap.isspace():
            reader.read(StringIO(gap), above=number - 1)
    return rows


class _Below(Enum):
    """What the lines below belong to."""

    NOTHING = "nothing"
    """No message: a blank line was the last."""
    MESSAGE = "message"
    LOST = "lost"
    """A message that is not understood, and is counted."""
    ADDRESSES = "addresses"
    """Addresses without a header."""


class _LineReader:
    """Appends the messages of some lines to `rows`, and counts those that are not understood."""

    def __init__(self, rows: ConsoleRows) -> None:
        self._rows = rows
        self._below = _Below.NOTHING
        self._above: int | None = None
        """The last message; None when there is none, or when it is not understood."""
        self._first = True
        """Whether no message came before, understood or not."""
        self._waiting: list[str] = []
        self._exim = False
        self._bare = False
        """Whether the open message's sender stood without brackets."""
        self._broken = False
        """Whether a line of the message was broken in two, so that others may be words of it."""
        self._indented = False
        """Whether the last recipient was indented."""
        self._half = ""
        """The first half of a header that was broken before its id."""

    def read(self, lines: Iterable[str], *, above: int) -> None:
        """Read lines; `above` is the message that ended right before them, -1 for none."""
        self._above, self._first = (None, True) if above < 0 else (above, False)
        for line in lines:
            for part in self._parts(line):
                self._read_line(part)
        self._end()

    def _parts(self, line: str) -> Sequence[str]:
        """Cut a line that holds several messages into one part for each."""
        if len(line) < _TWO_MESSAGES or self._broken or _is_one(line):
            return (line,)
        for pattern, unsure in ((_EXIM_WITHIN, '"'), (_POSTFIX_WITHIN, '"(')):
            found = [*pattern.finditer(f" {line}")]
            starts = [match.start() for match in found if match.start() > _BEFORE_HEADER]
            if not starts:
                continue
            if all(match[1] for match in found) and not any(sign in line for sign in unsure):
                cuts = [0, *(start - 1 for start in starts), len(line)]
                return [part for a, b in pairwise(cuts) if (part := line[a:b]).strip()]
            # Where one ends, and which message the headers belong to, is not known.
            if self._below is _Below.MESSAGE:
                self._rows.recipients[-1] = None
            self._end()
            self._lose(line.strip(), 1 if any(sign in line for sign in unsure) else len(found))
            return ()
        return (line,)

    def _read_line(self, line: str) -> None:
        stripped = line.strip()
        if not stripped:
            self._end()
        elif self._below is _Below.MESSAGE and not self._broken and _PLAIN_LINE.fullmatch(stripped):
            self._read_below(line, stripped)
        elif self._broken or is_no_message(stripped) or self._read_header(line):
            pass
        elif _HALF_HEADER.fullmatch(stripped):
            self._end()
            self._half = stripped
        elif stripped[0] != "(" and _MAYBE_HEADER.fullmatch(_before_open_quote(stripped)):
            if self._below is _Below.MESSAGE and _ADDRESS_FIRST.match(stripped):
                self._rows.recipients[-1] = None  # the last of them is glued to the next message
            self._end()
            self._lose(stripped)
        elif _is_broken(stripped):
            self._break(stripped)
        elif self._below is _Below.MESSAGE:
            self._read_below(line, stripped)
        elif self._below is not _Below.LOST:
            self._read_orphan(stripped)

    def _read_header(self, line: str) -> bool:
        if "\t" in line.strip():
            return False  # a row of a table
        header = _EXIM_HEADER.fullmatch(line.rstrip())
        # Without an age before an Exim id, only a sender in brackets may follow it.
        exim = header is not None and bool(header[1] or (header[4] or "<")[0] == "<")
        header = header if exim else _POSTFIX_HEADER.fullmatch(line.rstrip())
        if header is None:
            return False
        self._half = ""
        self._end()
        self._below, self._exim, self._waiting = _Below.MESSAGE, exim, []
        self._bare, self._first = False, False
        (self._append_exim if exim else self._append_postfix)(header)
        return True

    def _lose(self, line: str, messages: int = 1) -> None:
        self._rows.add_odd(line, messages)
        self._below, self._above, self._first = _Below.LOST, None, False

    def _end(self) -> None:
        """Close the open message, if one is open."""
        rows = self._rows
        if self._below is _Below.MESSAGE:
            self._above = len(rows.ids) - 1
            # Its recipients may stand behind a blank line that somebody put there.
            if not self._waiting:
                rows.recipients[-1] = None
                rows.senders[-1] = None if self._bare else rows.senders[-1]
        elif self._half:
            self._lose(self._half)
        self._below, self._broken, self._half = _Below.NOTHING, False, ""

    def _break(self, stripped: str) -> None:
        """Take a line with half of an address or of a reason.

        Up to the next blank line nothing is read: it may be the words of other servers.
        """
        rows = self._rows
        if self._below is _Below.MESSAGE:
            rows.recipients[-1] = None
            rows.frozen[-1] = rows.frozen[-1] or (None if self._exim else False)
        elif self._below is _Below.NOTHING and (self._first or not _ADDRESS_OR_REASON(stripped)):
            self._lose(stripped)
        elif self._above is not None:
            rows.recipients[self._above] = None
        self._broken = True

    def _read_orphan(self, stripped: str) -> None:
        """Take a line below no message; addresses may be recipients of the message before."""
        rows, above = self._rows, self._above
        addresses = "@" in stripped and read_recipients(stripped) is not None
        mark = above is not None and stripped.startswith("***")
        if mark or ((addresses or _REASON.fullmatch(stripped)) and not self._first):
            self._below = _Below.ADDRESSES
            if above is not None:
                rows.recipients[above] = None
                rows.frozen[above] = None if mark else rows.frozen[above]
        elif self._below is _Below.NOTHING or self._first:
            self._lose(stripped)

    # --- the lines of one message ----------------------------------------------------------

    def _append_exim(self, header: re.Match[str]) -> None:
        age, size, message_id, rest = header.groups()
        size = size if age else None  # Exim writes both, or neither
        age = age if age and _EXIM_AGE.fullmatch(age) else None
        sender: str | None = None
        frozen: bool | None = None
        match, beyond = None, ""
        if rest is None:
            # Without a sender none of Exim's lines below says anything about it.
            self._below, self._above = _Below.LOST, None
        elif rest[0] != "<":
            # Without brackets an address is the sender only if recipients follow below, and a
            # mark that is missing says nothing: the line is not as Exim writes it.
            self._bare, self._broken = True, has_open_quote(rest)
            match = _BARE_SENDER.fullmatch(rest.rstrip())
            if match is not None:
                sender = read_sender(match[1])
                frozen = True if match[2] else None
        elif match := _EXIM_SENDER.fullmatch(rest.rstrip()):
            # A quoted sender may hold the mark, too: only behind the closing bracket it is one.
            address, login, mark, beyond = match.groups()
            # `(frozen)` may be a user of that name, or a panel's way to write the mark. Nor is
            # it known by a line that goes on as none of Exim's does.
            unsure = beyond or read_frozen(login, flag=False)
            frozen = True if mark else None if unsure else False
            # Beside words that Exim does not write it may be any address.
            sender = read_sender(address) if not beyond or _continues(beyond) else None
        else:
            self._broken = ">" not in without_quoted(rest)
        recipients = None if match is None else self._waiting
        self._rows.append(message_id, age, size, sender, recipients, frozen)
        if beyond:
            self._append_waiting(beyond)

    def _append_postfix(self, header: re.Match[str]) -> None:
        marked, size, date, rest = header.groups()
        id_, on_hold = marked.rstrip(MARKS), HOLD_MARK in marked
        decoded: str | None = rest.strip()
        sender, *recipients = rest.split()
        if recipients and '"' not in rest:
            # A line that holds the message whole.
            plain = "(" not in rest and all("@" in address for address in recipients)
            decoded = sender if plain else None
            self._waiting += recipients if plain else []
        if has_open_quote(rest):
            decoded, self._broken = None, True
        read = read_sender(decoded) if decoded else None
        if read and "@" not in read:
            read = None  # its end is on the next line
        self._rows.append(id_, date, size, read, self._waiting, on_hold)

    def _read_below(self, line: str, stripped: str) -> None:
        corrupt = _CORRUPT.fullmatch(stripped)
        if corrupt:
            self._read_corrupt(frozen=corrupt[1] is not None)
        elif _REASON.fullmatch(stripped):
            # Postfix says so why a message waits; under Exim it may be a panel's mark.
            if self._exim and read_frozen(stripped[1:-1], flag=False):
                self._call_frozen(stripped)
        elif self._exim:
            self._read_below_exim(line, stripped)
        else:
            self._read_below_postfix(stripped, indented=line[0] in " \t")

    def _read_below_postfix(self, stripped: str, *, indented: bool) -> None:
        """Take recipients: Postfix writes all with their domain, and indents them alike."""
        decoded = read_recipients(stripped)
        if decoded is not None and all(
            "@" in address[1:-1] for address in (*decoded[0], *decoded[1])
        ):
            if self._waiting and indented is not self._indented:
                self._rows.recipients[-1] = self._rows.senders[-1] = None
            self._indented = indented
            self._waiting.append(stripped)
            return
        if not self._waiting:
            self._rows.senders[-1] = None  # that line may be its end
        self._rows.recipients[-1] = None

    def _read_below_exim(self, line: str, stripped: str) -> None:
        if self._bare and not line.startswith("  "):
            # Not as Exim indents recipients: the address above may be one of them.
            self._rows.senders[-1] = self._rows.recipients[-1] = None
        if line[0] in " \t*" or "@" in line or read_frozen(line, flag=False) is True:
            self._append_waiting(stripped)
        else:
            self._rows.recipients[-1] = None  # one of them, or a word that is not known
            self._rows.frozen[-1] = self._rows.frozen[-1] or None

    def _read_corrupt(self, *, frozen: bool) -> None:
        """Take the mark of a damaged spool file: its envelope was read if there is a sender."""
        rows = self._rows
        rows.sizes[-1] = None
        if rows.senders[-1] is not None and not self._bare:
            rows.frozen[-1] = frozen or rows.frozen[-1]
            return
        rows.ages[-1] = rows.senders[-1] = rows.recipients[-1] = None
        rows.frozen[-1] = None

    def _call_frozen(self, text: str) -> None:
        """Take a message for frozen by what a panel writes of it: a guess, but for Exim's mark."""
        rows = self._rows
        if not rows.frozen[-1] and FROZEN_MARK not in text:
            rows.worded.add(len(rows.ids) - 1)
        rows.frozen[-1] = True

    def _append_waiting(self, text: str) -> None:
        """Take the recipients of a message; what else is written there may be its mark.

        Exim writes one exact mark at one exact place. A panel that writes it otherwise is
        believed where it names a frozen message; any other words leave open whether it is one.
        """
        rows = self._rows
        if any(read_frozen(inner, flag=False) for inner in _INNER.findall(without_quoted(text))):
            rows.frozen[-1] = rows.frozen[-1] or None  # a mark, or somebody's comment
        decoded = read_recipients(text)
        if decoded is not None and all(map(_is_plain, (*decoded[0], *decoded[1]))):
            self._waiting.append(text)
            return
        words = _FIRST_STATE_WORD.search(text)
        state = words and read_frozen(text[words.start() :], flag=False)
        addresses = text[: words.start()].strip() if words else ""
        if state:
            self._call_frozen(text)
        else:
            rows.frozen[-1] = rows.frozen[-1] or None
        if state is None and ("@" in text or "*" not in text):
            rows.recipients[-1] = None  # some of them might be lost
        elif addresses:
            self._waiting.append(addresses)


def _is_broken(stripped: str) -> bool:
    """Return whether quotes or the parentheses of a reason are open at the end of a line."""
    if stripped[0] == "(":
        return not _REASON.fullmatch(stripped)
    return has_open_quote(stripped)


def _before_open_quote(line: str) -> str:
    """Return a line without what its quotes hold, also where they are not closed."""
    plain = without_quoted(line)
    return plain if not has_open_quote(line) else plain.replace('""', "").partition('"')[0]


def _is_one(line: str) -> bool:
    """Return whether a line can be read whole: any further header is part of an address then."""
    if line.lstrip()[:1] in ("(", '"') or read_recipients(line) is not None:
        return True
    header = _EXIM_HEADER.fullmatch(line.rstrip())
    if header is not None:
        sender = _EXIM_SENDER.fullmatch((header[4] or "").rstrip())
        return sender is not None and not sender[4]
    header = _POSTFIX_HEADER.fullmatch(line.rstrip())
    return header is not None and read_sender(header[4]) is not None


def _continues(rest: str) -> bool:
    """Return whether a text may stand behind a sender: recipients, a state or a mark."""
    if "*" in rest or "(" in rest:
        return True
    decoded = read_recipients(rest) if "@" in rest else read_frozen(rest, flag=False)
    return decoded is not None


def _is_plain(address: str) -> bool:
    return "@" in address and "*" not in address.rpartition("@")[2]

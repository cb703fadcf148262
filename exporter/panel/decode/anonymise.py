"""Replies that may be shown and sent on: addresses, domains, ids, IPs and secrets replaced.

Placeholders keep the shape of what they stand for, so that a saved reply decodes as the real
one did, and are stable within one text or reply: the same address gets the same placeholder.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from exporter.panel.decode.addresses import UNKNOWN_WORDS
from exporter.panel.decode.console import says_nothing_there
from exporter.panel.decode.lenient_json import PARSE_ERRORS, embedded_objects
from exporter.panel.decode.values import (
    EXIM_ID,
    POSTFIX_ID,
    POSTFIX_MARKS,
    SPOOL_SUFFIX,
    as_number,
    has_size_unit,
    is_date,
    is_duration,
    read_frozen,
    read_id,
)
from exporter.panel.redaction import written_forms

MAX_SAMPLE = 200
"""Characters of a sample."""

_EXCERPT = 16 * MAX_SAMPLE
"""Characters and items of a value that a sample is made from."""

_REMOVED = "<secret>"
"""Stands where a secret stood."""
_T = TypeVar("_T")

_TEXT_KEYS = frozenset({"mess", "message", "msg"})
_FILE_TYPES = ("php", "service", "conf", "cfg", "log", "sock", "socket", "txt", "html", "js", "sh")

_TOKEN = re.compile(r"""(?:[^\s<>"'(),;\[\]{}|\\=&]|&(?!(?:lt|gt|amp|quot|nbsp|#\d{1,4});))+""")
"""A word with all that may belong to an address; what HTML escapes is no part of it."""
_QUOTED_LOCAL = re.compile(r'"(?>(?:[^"\\\n]|\\.){0,200})"(?=@)')
_EXIM = re.compile(rf"(?<![\w-]){EXIM_ID}(?={SPOOL_SUFFIX}(?![\w-]))", re.ASCII)
_POSTFIX = re.compile(rf"{POSTFIX_ID}(?={POSTFIX_MARKS}\Z)", re.ASCII)
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\w)", re.ASCII)
_IPV6 = re.compile(
    r"(?<![\w:])(?=[0-9A-Fa-f:]*(?:::|(?::[0-9A-Fa-f]+){4}))[0-9A-Fa-f:]{3,45}(?![\w:])"
)
_DOMAIN = re.compile(r"(?<![\w-])[\w-]++(?>(?:\.[\w-]++)+)")
_DIGITS = re.compile(r"\d{7,}")
_HOME = re.compile(r"/home/[^/\s\"'<>]+")
_TAG = re.compile(r"<[a-zA-Z/!][^<>@]{0,500}>")
_WORD = re.compile(r"[^\W\d_]+")

_GLUED_HEADING = re.compile(r"-+Sender/Recipient-+(?=\w)")

_WORDS = """
    a actions active address after amp an and api arrival as at bounce br by bytes cannot code
    colspan connect connection console could count d daemon data dead deferred delivery denied
    disabled div does domain down empty enabled error exim exist failed fatal for format found
    from frozen g get greylisted gt h has hold host id in inactive installed is k kbytes kib li
    local lost lt m mail mailbox mailer mailq main max message messages missing mx name nbsp
    network no not of off on or out permission php postfix postqueue pre queue queued quot read
    recipient refused rejected request requests routing running s sbin sender sendmail server
    service showq size smtp span spool started status stopped strong system table tbody td
    suggested action log temporarily th the thead there time timed
    timeout to too total tr ul unavailable unknown
    others other more etc unreachable unrouteable user usr w warning was with yes
    mon tue wed thu fri sat sun jan feb mar apr may jun jul aug sep oct nov dec gmt utc
    не установлен установлена установлено встановлено сервис сервіс служба в у нет сообщений
    писем немає повідомлень листів очереди очередь черзі черга список пуст пуста почтовой
    ещё еще другие других інші ще почтовая почты поштовій поштової поштова порожня порожній
    age date recipient recipients sender senders time
    время возраст дата отправитель отправители получатель получатели размер статус состояние
    вік час відправник відправники отримувач отримувачі розмір стан
"""
_KNOWN_WORDS = UNKNOWN_WORDS.union(_WORDS.split())
"""Words of mail servers and panels: what they say is needed, and names nobody."""


def anonymise(text: str) -> str:
    """Replace addresses, domains, ids, IPs and long numbers in a text."""
    return _Placeholders().text(text)


def safe_text(text: str, *, limit: int = 160) -> str:
    """Return a panel's sentence fit to log: short, anonymised, no markup or control characters."""
    text = _TAG.sub(" ", html.unescape(text[: 20 * limit]))
    text = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return _shorten(anonymise(" ".join(text.split())), limit)


def anonymise_value(value: object) -> str:
    """Return a row as a short text to log: shapes stay, whatever may be personal goes."""
    try:
        shown = _Placeholders().value(_Excerpt().of(value), "")
        text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    except PARSE_ERRORS:
        text = "(a deeply nested value)"
    text = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in text[: 2 * MAX_SAMPLE])
    return _shorten(text, MAX_SAMPLE)


class _Excerpt:
    """The beginning of a value: enough for a sample, however large the value is."""

    def __init__(self) -> None:
        self._room = _EXCERPT

    def of(self, value: object) -> object:
        """Return the value without the items and the ends of texts for which there is no room."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {self._text(str(k)): self.of(v) for k, v in self._items(value.items())}
        if isinstance(value, list | tuple):
            return [self.of(item) for item in self._items(value)]
        return value

    def _items(self, items: Iterable[_T]) -> Iterator[_T]:
        for item in items:
            if self._room <= 0:
                return
            self._room -= 1
            yield item

    def _text(self, text: str) -> str:
        excerpt = text[: max(0, min(self._room, 4 * MAX_SAMPLE))]
        self._room -= len(excerpt)
        if len(excerpt) == len(text):
            return text
        # The word that is cut may be half an address, which nothing would recognise.
        return excerpt[: 1 + max(map(excerpt.rfind, " ,;\t\n"))] + "…"


def anonymise_reply(body: bytes, secrets: Sequence[str] = ()) -> str:
    """Return a reply to send on: structure and types stay, what names a person or machine goes.

    The panel's own sentences stay readable; other free text is masked letter by letter, words
    of mail servers and service states excepted. `secrets` are replaced wherever they stand,
    also as written in URLs and HTML.
    """
    text = body.decode("utf-8-sig", "replace")
    placeholders = _Placeholders(secrets)
    found = next(embedded_objects(text), None)
    if found is None:
        return placeholders.text(text)
    try:
        value = placeholders.value(found.value, "")
        shown = json.dumps(value, ensure_ascii=False)
    except PARSE_ERRORS:
        return placeholders.masked(text)
    shown = shown.encode("utf-8", "replace").decode()
    before, after = text[: found.start], text[found.end :]
    return placeholders.text(before) + shown + placeholders.text(after)


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


_PLACEHOLDER_WORDS = ("user", "domain", "quoted", "aAaAa", "BBBBBBBBBz")


class _Placeholders:
    """Hands out placeholders, the same for the same original."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._given: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        written = written_forms(secrets)
        self._secrets = re.compile("|".join(map(re.escape, written))) if written else None

    def value(self, value: object, key: str) -> object:
        """Anonymise a JSON value: structure, numbers, states, ages, sizes and dates stay."""
        if isinstance(value, dict):
            return {self._key(str(k)): self.value(v, str(k).lower()) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item, "") for item in value]
        if isinstance(value, str):
            return self._string(value, key)
        if isinstance(value, int | float) and self._is_secret(str(value)):
            return _REMOVED
        return value

    def _string(self, value: str, key: str) -> str:
        if key in _TEXT_KEYS:
            return self.text(value)
        if "id" in key and value.isascii() and value.isalpha() and read_id(value) is not None:
            # A word under a key for ids may be one, by chance without a digit.
            return _POSTFIX.sub(self._postfix_id, value.strip(), count=1)
        if '{"' in value:
            return "\n".join(map(self._json_line, value.split("\n")))
        harmless = is_duration(value) or has_size_unit(value) or is_date(value)
        harmless = harmless or self._is_figure(value) or read_frozen(value, flag=True) is not None
        harmless = harmless or says_nothing_there(value)
        return value if harmless and not self._is_secret(value) else self.masked(value)

    def _json_line(self, line: str) -> str:
        """Anonymise a line that may hold JSON: its keys stay, as in JSON itself."""
        shown, end = "", 0
        for found in embedded_objects(line):
            safe = json.dumps(self.value(found.value, ""), ensure_ascii=False)
            shown += self.masked(line[end : found.start]) + safe
            end = found.end
        return shown + self.masked(line[end:])

    def text(self, text: str) -> str:
        """Anonymise a text whose words may stay."""
        if self._secrets:
            text = self._secrets.sub(_REMOVED, text)
        text = _HOME.sub("/home/user", _QUOTED_LOCAL.sub("quoted", text))
        text = _IPV6.sub(self._ipv6, text)
        return _TOKEN.sub(self._token, text)

    def masked(self, text: str) -> str:
        """Keep only known words and placeholders of a text; other letters become x."""
        masked = _WORD.sub(_mask, self.text(text).replace(_REMOVED, "\0"))
        return masked.replace("\0", _REMOVED)

    def _key(self, key: str) -> str:
        shown = self.text(key)
        return shown if shown != key or len(key) <= 40 else self.masked(key)

    def _is_secret(self, text: str) -> bool:
        return self._secrets is not None and self._secrets.search(text) is not None

    @staticmethod
    def _is_figure(text: str) -> bool:
        """Return whether a text is an age, a size or a Unix time, not a telephone number."""
        number = as_number(text)
        return number is not None and (abs(number) < 10**7 or 10**9 <= number < 2 * 10**9)

    def _token(self, match: re.Match[str]) -> str:
        token = match[0]
        glued = _GLUED_HEADING.match(token)
        if glued is not None:
            return glued[0] + _TOKEN.sub(self._token, token[glued.end() :])
        if "@" in token:
            return self._address(token)
        if _POSTFIX.match(token) and any(map(str.isalpha, token)) and any(map(str.isdigit, token)):
            return _POSTFIX.sub(self._postfix_id, token, count=1)
        token = _EXIM.sub(self._exim_id, token)
        token = _IPV4.sub(self._ipv4, token)
        token = _DOMAIN.sub(self._domain_match, token)
        return _DIGITS.sub(self._digits, token)

    def _address(self, token: str) -> str:
        local, _, domain = token.rpartition("@")
        user = self._number("user", local, "user{}")
        return f"{user}@{self._domain(domain)}" if domain else f"{user}@"

    def _domain(self, name: str) -> str:
        core = name.rstrip(".:!?")
        return self._number("domain", core.lower(), "domain{}") + name[len(core) :]

    def _domain_match(self, match: re.Match[str]) -> str:
        last = match[0].rpartition(".")[2]
        is_domain = len(last) > 1 and last[0].isalpha() and last.lower() not in _FILE_TYPES
        return self._domain(match[0]) if is_domain else match[0]

    def _exim_id(self, match: re.Match[str]) -> str:
        middle = len(match[0].split("-")[1])
        ends = "00" if middle == 6 else "0000"
        return self._number("exim", match[0], f"1aAaAa-{{:0{middle}d}}-{ends}")

    def _postfix_id(self, match: re.Match[str]) -> str:
        length = len(match[0])
        if re.fullmatch("[0-9A-F]+", match[0]):
            return self._number("postfix", match[0], f"A{{:0{length - 1}d}}")
        return self._number("postfix", match[0], f"4BBBBBBBBBz{{:0{length - 11}d}}")

    def _ipv4(self, match: re.Match[str]) -> str:
        return self._number("ipv4", match[0], "192.0.2.{}")

    def _ipv6(self, match: re.Match[str]) -> str:
        return self._number("ipv6", match[0].lower(), "2001:db8::{}")

    def _digits(self, match: re.Match[str]) -> str:
        return self._number("digits", match[0], f"{{:0{len(match[0])}d}}")

    def _number(self, kind: str, original: str, form: str) -> str:
        if (kind, original) not in self._given:
            self._counts[kind] = number = self._counts.get(kind, 0) + 1
            self._given[kind, original] = form.format(number)
        return self._given[kind, original]


def _mask(match: re.Match[str]) -> str:
    word = match[0]
    known = word.lower() in _KNOWN_WORDS or word in _PLACEHOLDER_WORDS
    if known or read_frozen(word, flag=True) is not None:
        return word
    return "".join("X" if letter.isupper() else "x" for letter in word)

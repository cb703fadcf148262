"""JSON inside a text: what PHP's exec gives of `postqueue -j`, or a list that was encoded twice."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec

from exporter.panel.decode.console import is_no_message
from exporter.panel.decode.lenient_json import PARSE_ERRORS, encode

_raws = msgspec.json.Decoder(list[msgspec.Raw])
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_value = msgspec.json.Decoder(msgspec.Raw)
_lenient = json.JSONDecoder(strict=False)

_UNREADABLE = msgspec.Raw(b"null")
"""A row that is refused and counted."""


def json_rows(text: str) -> msgspec.Raw | list[msgspec.Raw] | None:
    """The list or object that a text is, or the objects that its lines are; None for no JSON.

    A line that is no object is a row that cannot be read, but for warnings of the command.
    """
    start = _first_line(text)
    if start is None or text[start] not in "{[":
        return None
    try:
        encoded = text[start:].strip().encode()
        _value.decode(encoded)
    except PARSE_ERRORS:
        pass
    else:
        is_list = encoded.startswith(b"[")
        return msgspec.Raw(encoded) if is_list else [msgspec.Raw(encoded)]
    return _rows([line for line in text[start:].split("\n") if line.strip()])


def _first_line(text: str) -> int | None:
    """Where the first line begins that is no warning; None for a text of nothing else."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end].strip()
        if line and not is_no_message(line):
            return start + len(text[start:end]) - len(text[start:end].lstrip())
        start = end + 1
    return None


def _rows(lines: list[str]) -> list[msgspec.Raw] | None:
    if not lines[0].lstrip().startswith("{"):
        return None
    try:
        rows = _raws.decode(f"[{','.join(lines)}]".encode())
    except PARSE_ERRORS:
        pass
    else:
        return rows
    found = [row for line in lines for row in _objects(line)]
    return found if any(row is not _UNREADABLE for row in found) else None


def _objects(line: str) -> Iterator[msgspec.Raw]:
    """The objects of a line; there are several where line breaks were lost."""
    position = 0
    while line[position:].strip() or not position:
        position += len(line[position:]) - len(line[position:].lstrip())
        try:
            value, position = _lenient.raw_decode(line, position)
            if not isinstance(value, dict):
                raise TypeError  # noqa: TRY301
            yield encode(value)
        except (*PARSE_ERRORS, TypeError):
            if not is_no_message(line.strip()):
                yield _UNREADABLE
            return

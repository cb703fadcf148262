"""Finds the JSON object in a PHP panel's reply, whatever stands around or inside it.

A strict parse is tried first and costs little: members stay undecoded slices of the body. The
tolerant parse, which builds every value, serves only bodies that are not strictly JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import msgspec

MAX_STARTS = 16
"""Places at which an object is looked for: a hostile body costs at most so many passes."""

_OBJECT_START = re.compile(r'\{\s*+["}]')
_OBJECT_START_BYTES = re.compile(rb'\{\s*+["}]')
_BOM = b"\xef\xbb\xbf"

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_anything = msgspec.json.Decoder(object)

# UnicodeDecodeError is a ValueError, as all of msgspec's and json's own errors are.
PARSE_ERRORS = (ValueError, RecursionError, OverflowError)

Members = Mapping[str, msgspec.Raw]


class Embedded(NamedTuple):
    """A JSON object and where it stands in a text."""

    value: dict[str, object]
    start: int
    end: int


def find_object(body: bytes, wanted: Callable[[Members], bool]) -> Members | None:
    """Return the members of the first JSON object in `body` for which `wanted` holds.

    Tolerates a byte order mark, text around the object, invalid UTF-8, lone surrogates, raw
    control characters, NaN and numbers of any length. None when there is no such object.
    """
    for candidate in _strict_candidates(body):
        try:
            members = _members.decode(candidate)
        except PARSE_ERRORS:
            continue
        if wanted(members):
            return members
    for found in embedded_objects(body.decode("utf-8", "replace")):
        try:
            members = {
                key.encode("utf-8", "replace").decode(): encode(value)
                for key, value in found.value.items()
            }
        except PARSE_ERRORS:
            continue
        if wanted(members):
            return members
    return None


def embedded_objects(text: str) -> Iterator[Embedded]:
    """Yield objects in `text` at the first MAX_STARTS places, none inside another."""
    position = 0
    for _ in range(MAX_STARTS):
        match = _OBJECT_START.search(text, position)
        if match is None:
            return
        start = match.start()
        try:
            value, end = _TOLERANT.raw_decode(text, start)
        except PARSE_ERRORS:
            position = start + 1
            continue
        yield Embedded(value, start, end)
        position = end


def is_json(body: bytes) -> bool:
    """Return whether the body as a whole is JSON of any kind."""
    try:
        _TOLERANT.decode(body.decode("utf-8-sig", "replace"))
    except PARSE_ERRORS:
        return False
    return True


def decode_value(raw: msgspec.Raw | bytes) -> object:
    """Return the value of one member or row, read strictly if possible, else tolerantly.

    Raises:
        ValueError: when it cannot be read at all (nested too deeply, say).
    """
    try:
        return _anything.decode(raw)
    except PARSE_ERRORS:
        pass
    try:
        return _TOLERANT.decode(bytes(raw).decode("utf-8", "replace"))
    except PARSE_ERRORS as error:
        raise ValueError("not readable as JSON") from error


def readable_value(raw: msgspec.Raw) -> object:
    """Return the value of one member or row; None when it cannot be read at all."""
    try:
        return decode_value(raw)
    except ValueError:
        return None


def encode(value: object) -> msgspec.Raw:
    """Return strict JSON of a value that the tolerant parse gave."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, check_circular=False)
    return msgspec.Raw(text.encode("utf-8", "replace"))


def _strict_candidates(body: bytes) -> Iterator[memoryview]:
    whole = memoryview(body)[len(_BOM) if body.startswith(_BOM) else 0 :]
    yield whole
    # Warnings before the object, HTML after it: the object ends at the last brace unless that
    # HTML holds one, too.
    end = body.rfind(b"}") + 1
    starts = _OBJECT_START_BYTES.finditer(body, 0, end)
    for _, match in zip(range(2), starts, strict=False):
        yield memoryview(body)[match.start() : end]


def _integer(digits: str) -> int | None:
    # Python refuses to convert very long ones, and no figure of a mail queue is one.
    return int(digits) if len(digits) <= 20 else None


def _real(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


_TOLERANT = json.JSONDecoder(
    strict=False, parse_int=_integer, parse_float=_real, parse_constant=lambda _: None
)

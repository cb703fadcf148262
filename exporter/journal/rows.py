"""Entries and messages as the rows of the journal's tables, and back. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from exporter.journal.clock import LARGEST_INTEGER
from exporter.journal.entries import Entry, Kind
from exporter.journal.file import DamagedError
from exporter.snapshot import Message, PanelId

ENTRY_COLUMNS = (
    "id, at, kind, run, host, rule, action, mode, actor, outcome, text, detail, "
    "panel_url, panel_pin"
)
MESSAGE_COLUMNS = "message_id, age, size, sender, recipients, frozen"


def encodable(text: str) -> str:
    """Return the text with its lone surrogates escaped: no reply of a panel keeps an entry out."""
    return text.encode("utf-8", "backslashreplace").decode()


def state_of(row: Sequence[Any]) -> tuple[str, Any]:
    """Return a state's key and value; raises DamagedError."""
    key, text = row
    try:
        return key, json.loads(text)
    except ValueError as error:
        raise DamagedError("a state is no JSON") from error


def checksum_of(entry: Sequence[object], messages: Iterable[Sequence[object]]) -> str:
    """Return the checksum of an entry's ENTRY_COLUMNS and the MESSAGE_COLUMNS of its messages.

    Against damage, not against forgery: BLAKE2 with 8 bytes takes a microsecond a row, which is
    less than SQLite takes to fetch it, and unlike a CRC of 4 bytes misses none of a fleet's
    millions of rows.
    """
    hashed = blake2b(repr(tuple(entry)).encode("utf-8", "surrogatepass"), digest_size=8)
    for row in messages:
        hashed.update(repr(tuple(row)).encode("utf-8", "surrogatepass"))
    return hashed.hexdigest()


def message_row(message: Message) -> tuple[object, ...]:
    """Return the MESSAGE_COLUMNS of a message, just as SQLite gives them back."""
    return (
        message.id,
        None if message.age is None or math.isnan(message.age) else float(message.age),
        None if message.size is None else min(message.size, LARGEST_INTEGER),
        None if message.sender is None else encodable(message.sender),
        None if message.recipients is None else json.dumps([*map(encodable, message.recipients)]),
        None if message.frozen is None else int(message.frozen),
    )


def entry_of(row: Sequence[Any]) -> Entry:
    """Return the entry of a row of ENTRY_COLUMNS; raises DamagedError."""
    number, at, kind, run, host, rule, action, mode, actor, outcome, text, detail, *panel = row
    texts = (kind, run, host, rule, action, mode, actor, outcome, text, detail, *panel)
    sound = isinstance(at, float) and set(map(type, texts)) == {str}
    try:
        return Entry(
            kind=Kind(kind),
            run=run,
            host=host,
            rule=rule,
            action=action,
            mode=mode,
            actor=actor,
            outcome=outcome,
            text=text,
            detail={**_decoded(detail if sound else "")},
            at=at,
            id=number,
            panel=PanelId(*panel),
        )
    except (TypeError, ValueError, RecursionError):
        # Not the error, which quotes what it stumbled on: addresses, or worse.
        raise DamagedError(f"entry {number} cannot be read") from None


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)  # in a third of the time
    except msgspec.DecodeError:
        return json.loads(text)  # which knows NaN and lone surrogates, as it writes them


def readable_entry(row: Sequence[Any]) -> Entry | None:
    """Return the same of a row with its texts as bytes; None of one that cannot be read."""
    try:
        return entry_of([v.decode() if isinstance(v, bytes) else v for v in row])
    except (DamagedError, UnicodeDecodeError):
        return None


def message_of(row: Sequence[Any]) -> Message:
    """Return the message of a row of MESSAGE_COLUMNS; raises DamagedError."""
    message_id, age, size, sender, recipients, frozen = row
    sound = isinstance(message_id, str) and isinstance(sender, str | None)
    recipients = recipients if sound else ""
    try:
        return Message(
            message_id,
            age,
            size,
            sender,
            None if recipients is None else tuple(json.loads(recipients)),
            frozen=None if frozen is None else bool(frozen),
        )
    except (TypeError, ValueError, RecursionError):
        raise DamagedError("a message of an entry cannot be read") from None

"""Entries and messages as the rows of the journal's tables, and back. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from exporter.journal.entries import Entry, Kind
from exporter.journal.file import DamagedError
from exporter.snapshot import Message, PanelId

ENTRY_COLUMNS = (
    "id, at, kind, run, host, rule, action, mode, actor, outcome, text, detail, "
    "panel_url, panel_pin"
)
MESSAGE_COLUMNS = "message_id, age, size, sender, recipients, frozen"

LARGEST_INTEGER = 2**63 - 1
"""The largest that SQLite holds."""


def encodable(text: str) -> str:
    """The text with its lone surrogates escaped: no reply of a panel keeps an entry out."""
    return text.encode("utf-8", "backslashreplace").decode()


def state_of(row: Sequence[Any]) -> tuple[str, Any]:
    """A state's key and value; raises DamagedError."""
    key, text = row
    try:
        return key, json.loads(text)
    except ValueError as error:
        raise DamagedError(f"a state is no JSON: {error}") from None


def message_row(message: Message) -> tuple[object, ...]:
    """The MESSAGE_COLUMNS of a message."""
    return (
        message.id,
        message.age,
        None if message.size is None else min(message.size, LARGEST_INTEGER),
        None if message.sender is None else encodable(message.sender),
        None if message.recipients is None else json.dumps([*map(encodable, message.recipients)]),
        message.frozen,
    )


def entry_of(row: Sequence[Any]) -> Entry:
    """The entry of a row of ENTRY_COLUMNS; raises DamagedError."""
    number, at, kind, run, host, rule, action, mode, actor, outcome, text, detail, *panel = row
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
            detail={**json.loads(detail)},
            at=at,
            id=number,
            panel=PanelId(*panel),
        )
    except (TypeError, ValueError) as error:
        raise DamagedError(f"entry {number}: {error}") from None


def message_of(row: Sequence[Any]) -> Message:
    """The message of a row of MESSAGE_COLUMNS; raises DamagedError."""
    message_id, age, size, sender, recipients, frozen = row
    try:
        return Message(
            message_id,
            age,
            size,
            sender,
            None if recipients is None else tuple(json.loads(recipients)),
            frozen=None if frozen is None else bool(frozen),
        )
    except (TypeError, ValueError) as error:
        raise DamagedError(f"message {message_id}: {error}") from None

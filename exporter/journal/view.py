"""The journal's entries as plain values: the same for the page, the JSON API and the commands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from exporter.journal.entries import Entry
from exporter.snapshot import Message, in_order


def entry_view(entry: Entry) -> dict[str, Any]:
    """Return an entry; what it does not have is left out."""
    view: dict[str, Any] = {
        "id": entry.id,
        "at": datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds"),
        "kind": entry.kind.value,
    }
    for name in ("run", "host", "rule", "action", "mode", "actor", "outcome", "text"):
        value = getattr(entry, name)
        if value:
            view[name] = value
    if entry.detail:
        view["detail"] = dict(entry.detail)
    return view


def message_view(message: Message) -> dict[str, Any]:
    """Return a message; null where the panel did not report a value. `guessed` names guesses."""
    view: dict[str, Any] = {
        "id": message.id,
        "age_seconds": message.age,
        "size_bytes": message.size,
        "sender": message.sender,
        "recipients": None if message.recipients is None else list(message.recipients),
        "delivered": list(message.delivered),
        "frozen": message.frozen,
    }
    if message.guessed:
        view["guessed"] = list(in_order(message.guessed))
    return view


def messages_view(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return several of them."""
    return [message_view(message) for message in messages]

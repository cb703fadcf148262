"""Mail addresses as a page shows them: whole, or without what stands before the @."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from exporter.snapshot import Message

LONGEST = 200
"""Characters of an address that are shown."""

Shown = Callable[[str], str]


def shown_whole(address: str) -> str:
    """An address, cut where it is absurdly long."""
    return address if len(address) <= LONGEST else f"{address[:LONGEST]}…"


def masked(address: str) -> str:
    """`ann@example.com` as `a…@example.com`; what is no address is not shown at all."""
    local, at, domain = address.rpartition("@")
    if not at or not local:
        return "…"
    return shown_whole(f"{local[:1]}…@{domain}")


def masking(*, mask: bool) -> Shown:
    """How addresses are shown."""
    return masked if mask else shown_whole


def masked_message(message: Message) -> Message:
    """A message with its addresses masked; what it says of bounces and unknowns stays."""
    recipients = message.recipients
    return replace(
        message,
        sender=masked(message.sender) if message.sender else message.sender,
        recipients=None if recipients is None else tuple(map(masked, recipients)),
    )

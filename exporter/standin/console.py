"""Writes queue listings as the consoles of Exim and Postfix do."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from exporter.standin.queue import QueuedMessage

DEFER_REASON = "connect to mail.example[192.0.2.25]:25: Connection timed out"
"""Why the simulated Postfix could not deliver."""


def exim_listing(messages: Iterable[QueuedMessage]) -> str:
    """Return what `exim -bp` prints for these messages; nothing for none."""
    return "".join(_exim_entry(message) for message in messages)


def _exim_entry(message: QueuedMessage) -> str:
    frozen = " *** frozen ***" if message.frozen else ""
    head = (
        f"{exim_age(message.age):>3} {exim_size(message.size):>5}"
        f" {message.id} <{message.sender}>{frozen}\n"
    )
    marks = ("D" if address in message.delivered else " " for address in message.recipients)
    lines = (f"        {mark} {a}\n" for mark, a in zip(marks, message.recipients, strict=True))
    return head + "".join(lines) + "\n"


def exim_age(seconds: float) -> str:
    """Return Exim's age: minutes up to 90m, hours up to 72h, then days; the nearest of each."""
    minutes = int(seconds // 60)
    if minutes <= 90:
        return f"{minutes}m"
    hours = (minutes + 30) // 60
    return f"{hours}h" if hours <= 72 else f"{(hours + 12) // 24}d"


def exim_size(size: int) -> str:
    """Return Exim's size: bytes, then K or M with one decimal below ten; nothing for zero."""
    if size < 1024:
        return str(size) if size else ""
    for unit, letter in ((1024, "K"), (1024 * 1024, "M")):
        if size < 10 * unit:
            return f"{size / unit:.1f}{letter}"
        if size < 1024 * unit:
            return f"{(size + unit // 2) // unit}{letter}"
    return f"{(size + 512 * 1024) // (1024 * 1024)}M"


def postfix_listing(messages: Sequence[QueuedMessage], now: float) -> str:
    """Return what `postqueue -p` prints at Unix time `now` where the time zone is UTC."""
    if not messages:
        return "Mail queue is empty\n"
    head = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
    kbytes = (sum(message.size for message in messages) + 1023) // 1024
    plural = "" if len(messages) == 1 else "s"
    entries = "\n".join(_postfix_entry(message, now) for message in messages)
    return f"{head}{entries}\n-- {kbytes} Kbytes in {len(messages)} Request{plural}.\n"


def _postfix_entry(message: QueuedMessage, now: float) -> str:
    arrived = time.asctime(time.gmtime(now - message.age))[:20]
    mark = "!" if message.frozen else ""
    sender = message.sender or "MAILER-DAEMON"
    reason = f"{f'({DEFER_REASON})':>78}\n"
    waiting = (f"{'':41}{a}\n" for a in message.recipients if a not in message.delivered)
    return f"{message.id + mark:<11} {message.size:>7} {arrived} {sender}\n{reason}" + "".join(
        waiting
    )


def exim_removed(message_id: str) -> str:
    """Return what `exim -Mrm` prints when it removed the message."""
    return f"Message {message_id} has been removed\n"


def exim_absent(message_id: str) -> str:
    """Return what `exim -Mrm` prints for a message that is not in the queue."""
    return (
        f"Spool data file for {message_id} does not exist\n"
        "Continuing, to ensure all files removed\n"
        f"Spool read error for {message_id}-H: No such file or directory\n"
        "Continuing to ensure all files removed\n"
        f"Message {message_id} has been removed or did not exist\n"
    )


def exim_malformed(message_id: str, option: str) -> str:
    """Return what Exim prints for something that is no message id."""
    return f"exim: malformed message id {message_id} after {option} option\n"


def exim_locked(message_id: str) -> str:
    """Return what `exim -Mrm` prints for a message in the middle of a delivery."""
    return f"Message {message_id} is locked\n"


EXIM_NO_IDS = "exim: no message ids given after -Mrm option\n"
"""What `exim -Mrm` prints when nothing was selected."""


def postfix_removed(ids: Sequence[str]) -> str:
    """Return what `postsuper -d` prints when it removed these."""
    lines = "".join(f"postsuper: {message_id}: removed\n" for message_id in ids)
    plural = "" if len(ids) == 1 else "s"
    return f"{lines}postsuper: Deleted: {len(ids)} message{plural}\n" if ids else ""

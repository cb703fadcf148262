"""Known queues as the consoles of Exim and Postfix print them, line by line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from exporter.standin.console import exim_age, exim_size
from tests.fuzz.truth import NOW, Letter


@dataclass(frozen=True, slots=True)
class Console:
    """How a console prints."""

    listing: int = 0
    """Exim: 0 as `-bp`, 1 as `-bpu` (who waits alone), 2 as `-bpa` (with addresses made from
    others)."""
    suffix: bool = False
    """Exim 4.97: with `-H` behind ids of the older form."""
    long_columns: bool = False
    """Postfix: enable_long_queue_ids."""
    reasons: bool = True
    """Postfix: whether any recipient has a reason yet."""


Block = list[str]
"""The lines of one message, without the blank one behind it."""


def blocks(letters: Sequence[Letter], console: Console) -> list[Block]:
    """The lines of each message."""
    return [
        _exim(letter, console) if letter.is_exim else _postfix(letter, console)
        for letter in letters
    ]


def _exim(letter: Letter, console: Console) -> Block:
    suffix = "-H" if console.suffix and len(letter.id) == 16 else ""
    size = _exim_size(letter.size) if letter.readable else ""
    age = f"{exim_age(letter.age):>3} " if letter.readable else ""
    line = f"{age}{size:>5} {letter.id}{suffix}"
    if letter.readable:
        line += f" <{letter.sender}>" + f" ({letter.login})" * bool(letter.login)
    lines = []
    if letter.fault:
        lines.append(line)
        line = "    *** spool format error: size=707 ***"
        if letter.fault == "read":
            line = "    *** spool read error: Permission denied ***"
    if not letter.readable:
        return [*lines, line]
    lines.append(line + " *** frozen ***" * letter.frozen)
    if console.listing != 1:
        lines += [f"        D {address}" for address in letter.delivered]
    lines += [f"          {address}" for address in letter.recipients]
    if console.listing == 2:
        lines += [f"       +D {address}" for address in letter.generated]
    return lines


def _exim_size(size: int) -> str:
    """Exim counts in 32 bits, with a sign."""
    wrapped = (size + 2**31) % 2**32 - 2**31
    return exim_size(wrapped) if wrapped >= 0 else str(wrapped)


def postfix_id(letter: Letter) -> str:
    """The id with what postqueue appends."""
    return letter.id + "!" * letter.frozen + "*" * letter.active + "#" * letter.expires


def postfix_date(letter: Letter) -> str:
    """As C's asctime of UTC."""
    return time.asctime(time.gmtime(NOW - letter.age))


def _postfix(letter: Letter, console: Console) -> Block:
    sender = letter.sender or "MAILER-DAEMON"
    date = postfix_date(letter)
    if console.long_columns:
        lines = [f"{postfix_id(letter):<17} {letter.size:>8} {date[:19]:>19} {sender}"]
        indent = f"{'':17} {'':8} {'':19} "
    else:
        lines = [f"{postfix_id(letter):<11} {letter.size:>7} {date[:20]:>20} {sender}"]
        indent = f"{'':11} {'':7} {'':20} "
    said = ""
    for address, reason in zip(letter.recipients, letter.reasons, strict=False):
        if console.reasons and reason != said:
            said = reason
            lines.append(
                f"{'':{max(0, 76 - len(reason or 'reason unavailable'))}}"
                f"({reason or 'reason unavailable'})"
            )
        lines.append(indent + address)
    return lines


def heading(console: Console) -> str:
    """What postqueue prints above."""
    if console.long_columns:
        return "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------"
    return "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"


def footer(letters: Sequence[Letter]) -> str:
    """What postqueue prints below."""
    kbytes = sum(letter.size for letter in letters) // 1024
    return f"-- {kbytes} Kbytes in {len(letters)} Request{'s' * (len(letters) != 1)}."

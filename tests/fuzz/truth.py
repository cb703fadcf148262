"""Queues of which everything is known, in every way that Exim and Postfix have mail.

What may stand in a queue is from Exim's `queue_list` (queue.c) and Postfix's `showq_compat.c`.
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from typing import Literal

NOW = 1_796_040_000.0
"""2026-11-30 12:00:00 UTC, a Monday."""

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BASE51 = "0123456789BCDFGHJKLMNPQRSTVWXYbcdfghjklmnpqrstvwxy"
_HEX = "0123456789ABCDEF"

Ids = Literal["exim", "exim-long", "postfix", "postfix-long"]
KINDS: tuple[Ids, ...] = ("exim", "exim-long", "postfix", "postfix-long")

Fault = Literal["", "header", "format", "read"]
"""Exim: the message's header lines are damaged, so that its envelope alone is read; or nothing is
known but its id, because its spool file makes no sense or cannot be opened."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message as it is."""

    id: str
    age: int
    """Seconds."""
    size: int
    """Bytes."""
    sender: str
    recipients: tuple[str, ...]
    """Those that wait."""
    delivered: tuple[str, ...] = ()
    generated: tuple[str, ...] = ()
    """Delivered addresses that were made from others: Exim's `+D`."""
    frozen: bool = False
    """Frozen, or on hold."""
    active: bool = False
    """In Postfix's active queue."""
    expires: bool = False
    """Postfix was told to let it expire."""
    login: str = ""
    """Exim: who submitted it and was not trusted to choose the sender."""
    reasons: tuple[str, ...] = ()
    """Postfix: why each recipient waits."""
    fault: Fault = ""

    @property
    def readable(self) -> bool:
        """Whether anything but the id can be known."""
        return self.fault in ("", "header")

    @property
    def is_exim(self) -> bool:
        """By the id's form."""
        return "-" in self.id


def queue(pick: random.Random, most: int = 7) -> list[Letter]:
    """A queue of one mail server; nothing in it twice."""
    return _queue(pick.choice(KINDS), pick, pick.choice((1, 1, 2, 2, 3, 3, 4, 5, most)))


def long_queue(pick: random.Random, count: int, *, exim: bool) -> list[Letter]:
    """A queue of about so many messages, of Exim or of Postfix."""
    kinds = [kind for kind in KINDS if kind.startswith("exim") is exim]
    return _queue(pick.choice(kinds), pick, count)


def _queue(kind: Ids, pick: random.Random, count: int) -> list[Letter]:
    letters: dict[str, Letter] = {}
    usual = [_address(pick) for _ in range(3)]
    for _ in range(count):
        letter = _letter(kind, pick, usual)
        letters[letter.id] = letter
    return [*letters.values()]


def _letter(kind: Ids, pick: random.Random, usual: list[str]) -> Letter:
    exim = kind.startswith("exim")
    everyone: dict[str, None] = {}
    for _ in range(pick.choice((1, 1, 1, 2, 2, 3, 4))):
        everyone[pick.choice(usual) if pick.random() < 0.4 else _address(pick)] = None
    to = [*everyone]
    gone = sum(pick.random() < 0.25 for _ in to) if exim else 0
    if gone == len(to) and pick.random() < 0.7:
        gone -= 1
    sender = "" if pick.random() < 0.3 else pick.choice(usual)
    if pick.random() < 0.3 and sender:
        sender = _address(pick)
    frozen = pick.random() < 0.35
    fault: Fault = ""
    if exim and pick.random() < 0.06:
        fault = pick.choice(("header", "format", "read"))
    return Letter(
        _id(kind, pick),
        _age(pick),
        _size(pick),
        sender,
        tuple(to[gone:]),
        tuple(to[:gone]),
        tuple(_address(pick) for _ in range(exim and pick.random() < 0.15)),
        frozen,
        active=not exim and not frozen and pick.random() < 0.3,
        expires=not exim and pick.random() < 0.15,
        login=pick.choice(_LOGINS) if exim and pick.random() < 0.12 else "",
        reasons=tuple(pick.choice(REASONS) for _ in to) if not exim else (),
        fault=fault,
    )


def _id(kind: Ids, pick: random.Random) -> str:
    def text(letters: str, length: int) -> str:
        return "".join(pick.choices(letters, k=length))

    if kind == "exim" or (kind == "exim-long" and pick.random() < 0.3):
        return f"1{text(_BASE62, 5)}-{text(_BASE62, 6)}-{text(_BASE62, 2)}"
    if kind == "exim-long":
        return f"1{text(_BASE62, 5)}-{text(_BASE62, 11)}-{text(_BASE62, 4)}"
    if kind == "postfix-long":
        return f"4{text(_BASE51, 9)}z{text(_BASE51, pick.randint(1, 6))}"
    odd = pick.random()
    if odd < 0.15:
        return text("0123456789", pick.randint(8, 11))
    if odd < 0.2:
        return text("ABCDEF", pick.randint(8, 11))
    return text(_HEX, pick.randint(8, 12))


def _age(pick: random.Random) -> int:
    unit = pick.choice((1, 60, 3600, 86400, 86400))
    age = unit * pick.randint(0, 40) + pick.randrange(unit)
    if pick.random() < 0.02:
        return -pick.randint(300, 9999)  # the clock was set back
    return pick.choice((age, age, unit * pick.randint(0, 99), 0))


def _size(pick: random.Random) -> int:
    if pick.random() < 0.02:
        return pick.choice((2**30, 2**31, 3 * 2**30 + 7, 2**32 - 1, 5 * 2**30 + 2**20))
    return (
        pick.choice((0, 1, 512, 1023, 1024, 10239, 10240, 7 * 2**20))
        if (pick.random() < 0.2)
        else int(10 ** pick.uniform(1.5, 7.6))
    )


_LOCALS = (
    *("alice", "bob", "carol", "dave", "erin", "info", "no-reply", "r&d", "o'brien", "a.b+c"),
    *(
        "D",
        "frozen",
        "deferred",
        "active",
        "12345",
        "25m",
        "2.9K",
        "a=b",
        "a/b",
        "#1",
        "MAILER-DAEMON",
    ),
    *("1kXpJb-0004Uv-7Q", "3F2A91C0B4", "bounce-12=bob=example.net", "a%b", "x!y", "иван", "*"),
    *('"a b"', '"a (b) c"', '"x> *** frozen ***"', '"a@b"', '"a, b"', '"q\\"q"', '"(frozen)"'),
    "prvs=1234abcd=very.long.local-part.of.a.verp.address.made.by.some.mailing.list",
)
_DOMAINS = (
    *("example.org", "example.net", "example.com", "mail.example.org", "xn--e1aybc.example"),
    *("EXAMPLE.org", "a-b.example.co.uk", "[192.0.2.1]", "localhost", "пример.example"),
    "a-very-long-name-of-a-host.in-a-long-domain.somewhere.example",
)
_LOGINS = ("www-data", "root", "apache", "frozen", "user1")

REASONS = (
    "",
    "connect to mx.example.net[192.0.2.1]:25: Connection timed out",
    (
        "host mx.example.net[192.0.2.5] said: 450 4.7.1 <bob@example.net>: Recipient address"
        " rejected: Greylisted (in reply to RCPT TO command)"
    ),
    "host mx[192.0.2.5] said: 451 (a (nested (reason)) here) try again (in reply to DATA command)",
    "host mx[192.0.2.5] said: 452 too many (((( open, one ) closed",
    (
        "delivery temporarily suspended: lost connection with mx.example.net[192.0.2.9] while"
        " receiving the initial server greeting"
    ),
    "mail for example.net loops back to myself",
    "frozen",
    "deferred transport",
    "host mx said: 450 *** frozen ***",
    "host mx said: see <https://example.org/a?b=c@d.example> (1kXpJb-0004Uv-7Q)",
)


def _address(pick: random.Random) -> str:
    easy = pick.random() < 0.6
    local = pick.choice(_LOCALS[:7] if easy else _LOCALS)
    if easy and pick.random() < 0.5:
        local += str(pick.randint(1, 99))
    return f"{local}@{pick.choice(_DOMAINS[:4] if easy else _DOMAINS)}"

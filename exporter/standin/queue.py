"""What a stand-in panel needs of a mail queue, whether simulated or a real Exim's."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal, Protocol

Mta = Literal["exim", "postfix"]

IdStyle = Literal["exim", "exim_long", "postfix"]
"""`exim_long` is the form since Exim 4.97."""


class QueueError(Exception):
    """A queue failed to do what was asked of it; the next attempt may succeed."""


class BackendMissingError(Exception):
    """What a kind of queue needs is not there."""


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """One message that waits in a queue."""

    id: str
    age: float
    """Seconds since it arrived."""
    size: int
    """Bytes, as the MTA counts them."""
    sender: str
    """Envelope sender; "" for a bounce."""
    recipients: tuple[str, ...]
    """Every envelope recipient, in order, delivered or not."""
    delivered: tuple[str, ...] = ()
    """Those of `recipients` that already got the message."""
    frozen: bool = False
    """Frozen (Exim) or on hold (Postfix)."""


class MailQueue(Protocol):
    """A mail queue as a panel sees it: by what the MTA's commands print.

    Each action returns the console text of the command that does it.
    """

    @property
    def mta(self) -> Mta:
        """The mail server of the queue."""

    @property
    def now(self) -> float:
        """The Unix time to which the messages' ages are relative."""

    @property
    def revision(self) -> Hashable | None:
        """Equal as long as nothing a listing shows has changed; None when that is not known."""

    async def count(self) -> int:
        """Return how many messages wait: `exim -bpc`."""

    async def console(self) -> str:
        """Return what `exim -bp` or `postqueue -p` prints."""

    async def messages(self) -> list[QueuedMessage]:
        """Return the messages, oldest first."""

    async def delete(self, message_id: str) -> str:
        """Remove one message: `exim -Mrm`."""

    async def retry(self, message_id: str) -> str:
        """Try to deliver one message now: `exim -M`, which prints nothing."""

    async def delete_frozen(self) -> str:
        """Remove every frozen message."""

    async def delete_all(self, *, force: bool) -> str:
        """Remove every message; with `force` also those that are locked by a delivery."""

    async def step(self, seconds: float) -> None:
        """Let `seconds` pass."""


_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def queue_id(style: IdStyle, arrived: float, serial: int) -> str:
    """Return an id for the `serial`-th message, which arrived at Unix time `arrived`.

    Exim's holds the time, the process and a fraction of a second; Postfix's the microsecond
    and the inode. The serial stands for process and inode, so that no two ids are equal.
    """
    if style == "postfix":
        return f"{int(arrived * 1e6) % 10**6:05X}{0x40000 + serial:X}"
    process, fraction = (11, 4) if style == "exim_long" else (6, 2)
    # Exim counts the fraction up to half a second in its smallest unit, so it never is large.
    return "-".join(
        (
            _base62(int(arrived), 6),
            _base62(serial, process),
            _base62(serial * 7 % 1000, fraction),
        )
    )


def _base62(number: int, width: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits.rjust(width, "0")

"""What a stand-in panel needs of a mail queue, whether simulated or a real Exim's."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal, Protocol

Mta = Literal["exim", "postfix"]


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
        """Whose queue it is."""

    @property
    def now(self) -> float:
        """The Unix time to which the messages' ages are relative."""

    @property
    def revision(self) -> Hashable | None:
        """Equal as long as nothing a listing shows has changed; None when that is not known."""

    async def count(self) -> int:
        """How many messages wait: `exim -bpc`."""

    async def console(self) -> str:
        """What `exim -bp` or `postqueue -p` prints."""

    async def messages(self) -> list[QueuedMessage]:
        """The messages, oldest first."""

    async def delete(self, message_id: str) -> str:
        """Remove one message: `exim -Mrm`."""

    async def retry(self, message_id: str) -> str:
        """Try to deliver one message now: `exim -M`. Says nothing, whatever comes of it."""

    async def delete_frozen(self) -> str:
        """Remove every frozen message."""

    async def delete_all(self, *, force: bool) -> str:
        """Remove every message; with `force` also those that are locked by a delivery."""

    async def step(self, seconds: float) -> None:
        """Let the queue live on for `seconds`."""

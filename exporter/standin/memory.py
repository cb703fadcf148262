"""A simulated mail queue in memory."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from exporter.standin import console
from exporter.standin.queue import IdStyle, Mta, QueuedMessage
from exporter.standin.traffic import Mail, Profile, Traffic

_EXIM_ID = re.compile(
    r"[0-9A-Za-z]{6}-(?:[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{11}-[0-9A-Za-z]{4})"
)


class MemoryQueue:
    """A queue that changes by its profile; time passes only by `step`.

    Equal arguments give equal histories. `started` is the Unix time at which it begins,
    the present by default.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        seed: int = 1,
        started: float | None = None,
        ids: IdStyle = "exim",
    ) -> None:
        self.mta: Mta = "postfix" if ids == "postfix" else "exim"
        self.locked: set[str] = set()
        """Ids of messages that a delivery holds: they can be removed only by force."""
        now = time.time() if started is None else started
        self._traffic = Traffic(profile, seed=seed, now=now, ids=ids)
        self._actions = 0

    @property
    def now(self) -> float:
        """The simulated Unix time."""
        return self._traffic.now

    @property
    def revision(self) -> tuple[float, int]:
        """Changes when time passes or an action is done."""
        return self._traffic.now, self._actions

    async def count(self) -> int:
        """Return how many messages wait."""
        return len(self._traffic.messages)

    async def console(self) -> str:
        """Return what `exim -bp` or `postqueue -p` would print."""
        messages = await self.messages()
        if self.mta == "postfix":
            return console.postfix_listing(messages, self._traffic.now)
        return console.exim_listing(messages)

    async def messages(self) -> list[QueuedMessage]:
        """Return the messages, oldest first."""
        now = self._traffic.now
        return [
            QueuedMessage(
                id=mail.id,
                age=now - mail.arrived,
                size=mail.size,
                sender=mail.sender,
                recipients=mail.recipients,
                delivered=mail.delivered,
                frozen=mail.frozen,
            )
            for mail in self._traffic.messages.values()
        ]

    def put(self, messages: Iterable[QueuedMessage]) -> None:
        """Add messages to the end of the queue, whatever their age."""
        for m in messages:
            arrived = self.now - m.age
            self._traffic.messages[m.id] = Mail(
                m.id, arrived, m.size, m.sender, m.recipients, m.delivered, m.frozen
            )
        self._actions += 1

    async def delete(self, message_id: str) -> str:
        """Remove one message."""
        return self._remove([message_id])

    async def retry(self, message_id: str) -> str:
        """Try to deliver one message now; a locked one is passed over in silence."""
        if self.mta == "exim" and not _EXIM_ID.fullmatch(message_id):
            return console.exim_malformed(message_id, "-M")
        if message_id not in self.locked:
            self._actions += 1
            self._traffic.attempt(message_id)
        return ""

    async def delete_frozen(self) -> str:
        """Remove every frozen message."""
        return self._remove([m.id for m in self._traffic.messages.values() if m.frozen])

    async def delete_all(self, *, force: bool) -> str:
        """Remove every message; with `force` also the locked ones."""
        if force:
            self.locked.clear()
        return self._remove(list(self._traffic.messages))

    async def step(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._traffic.step(seconds)

    def _remove(self, ids: Iterable[str]) -> str:
        self._actions += 1
        if self.mta == "postfix":
            return console.postfix_removed([i for i in ids if self._traffic.remove(i)])
        return "".join(self._exim_remove(i) for i in ids) or console.EXIM_NO_IDS

    def _exim_remove(self, message_id: str) -> str:
        if not _EXIM_ID.fullmatch(message_id):
            return console.exim_malformed(message_id, "-Mrm")
        if message_id in self.locked:
            return console.exim_locked(message_id)
        if self._traffic.remove(message_id):
            return console.exim_removed(message_id)
        return console.exim_absent(message_id)

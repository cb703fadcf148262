"""A model of the mail that goes through a server: deterministic, in whole seconds, bounded.

Mail arrives at a rate; each message is tried, delivered, tried again later, or frozen when it
is a bounce that nobody takes. A frozen one is given up after a while, which is what keeps
every queue bounded: in the long run it holds (rate of arrival) x (time of stay) messages.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from exporter.standin.queue import IdStyle, queue_id


@dataclass(frozen=True, slots=True)
class Profile:
    """How much mail there is and what becomes of it. Times are in seconds."""

    initial: int
    """Messages in the queue at the start."""
    oldest: float
    """Age of the oldest of them."""
    per_second: float
    """Messages that arrive each second."""
    bounces: float
    """Share of them that are bounces which freeze."""
    success: float
    """Chance that one attempt delivers to one recipient."""
    retry_after: float
    """Mean time between two attempts."""
    frozen_for: float
    """Mean time after which a frozen message is given up."""
    cycle: float = 0
    """Length of a cycle of failing and recovering; 0 for none."""
    blocked: float = 0
    """Time from the start of each cycle in which nothing can be delivered."""


CALM = Profile(12, 7200, 0.2, 0.02, 0.7, 30, 1200)
BUSY = Profile(160, 3600, 4, 0.01, 0.6, 25, 600)
GROWING = Profile(40, 900, 2, 0.02, 0.8, 45, 600, cycle=1200, blocked=900)
STORM = Profile(3000, 250_000, 5, 0.97, 0.7, 30, 1200)
EMPTY = Profile(0, 0, 0, 0, 1, 30, 600)


@dataclass(slots=True)
class Mail:
    """One message in the model."""

    id: str
    arrived: float
    """Unix time."""
    size: int
    sender: str
    recipients: tuple[str, ...]
    delivered: tuple[str, ...] = ()
    frozen: bool = False
    due: float = 0
    """When something happens to it next, Unix time."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a message in a step."""

    kind: Literal["arrived", "delivered", "frozen", "gone"]
    """`delivered`: to `recipient`, others still wait; `gone`: it left the queue."""
    mail: Mail
    recipient: str = ""


_LOCAL_DOMAINS = ("shop.example", "blog.example.org", "news.test", "crm.example.net")
_REMOTE_DOMAINS = (
    *("mail.example", "inbox.example.net", "post.test", "big.example.com", "uni.example.org"),
    *("bank.example", "club.test", "old.example.com", "isp.example", "office.example.net"),
    *("box.test", "letters.example.org"),
)
_PEOPLE = ("anna", "boris", "clara", "dmitri", "elena", "felix", "galina", "henry", "irina", "jan")
_SERVICES = ("order", "noreply", "news", "www-data", "info", "billing")


class Traffic:
    """The messages of one queue and what happens to them over time.

    Two with equal arguments go through the same history, however their time is cut up.
    """

    def __init__(self, profile: Profile, *, seed: int, now: float, ids: IdStyle = "exim") -> None:
        self.messages: dict[str, Mail] = {}
        """By id, in order of arrival."""
        self.now = now
        """The model's clock, Unix time."""
        self._profile = profile
        self._started = now
        self._ids = ids
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret comes of it
        self._serial = 1000 + self._random.randrange(50_000)
        self._agenda: list[tuple[float, str]] = []
        self._arriving = 0.0
        self._unspent = 0.0
        self._fill()

    def step(self, seconds: float) -> list[Change]:
        """Let `seconds` pass; return what happened in the whole seconds that are over by now."""
        changes: list[Change] = []
        self._unspent += seconds
        while self._unspent >= 1:
            self._unspent -= 1
            changes += self._tick()
        return changes

    def attempt(self, message_id: str) -> list[Change]:
        """Try to deliver a message now, as a retry by hand does."""
        mail = self.messages.get(message_id)
        if mail is None:
            return []
        mail.frozen = False
        return list(self._try(mail))

    def remove(self, message_id: str) -> bool:
        """Take a message out of the queue; return whether it was there."""
        return self.messages.pop(message_id, None) is not None

    def rename(self, mail: Mail, new_id: str) -> None:
        """Give a message another id, the one by which a real queue knows it."""
        waits = self.remove(mail.id)
        mail.id = new_id
        if waits:
            self.messages[new_id] = mail
            heapq.heappush(self._agenda, (mail.due, new_id))

    def _fill(self) -> None:
        profile, chance = self._profile, self._random.random
        # Squared, so that most are young, as in a queue where most mail leaves soon.
        ages = sorted(
            (profile.oldest * chance() ** 2 for _ in range(profile.initial)), reverse=True
        )
        for age in ages:
            mail = self._arrive(self.now - age)
            mail.frozen = not mail.sender
            stay = profile.frozen_for if mail.frozen else profile.retry_after
            self._plan(mail, self.now + stay * chance())

    def _tick(self) -> Iterator[Change]:
        self.now += 1
        self._arriving += self._profile.per_second
        while self._arriving >= 1:
            self._arriving -= 1
            mail = self._arrive(self.now)
            self._plan(mail, self.now + 1 + self._random.random() * 4)
            yield Change("arrived", mail)
        while self._agenda and self._agenda[0][0] <= self.now:
            due, message_id = heapq.heappop(self._agenda)
            known = self.messages.get(message_id)
            if known is None or known.due != due:
                continue  # removed, or something else came first
            yield from self._gone(known) if known.frozen else self._try(known)

    def _try(self, mail: Mail) -> Iterator[Change]:
        profile = self._profile
        if not mail.sender:
            mail.frozen = True
            self._plan(mail, self.now + self._about(profile.frozen_for))
            yield Change("frozen", mail)
            return
        if not self._blocked():
            for address in mail.recipients:
                if address not in mail.delivered and self._random.random() < profile.success:
                    mail.delivered += (address,)
                    yield Change("delivered", mail, address)
        if len(mail.delivered) == len(mail.recipients):
            yield from self._gone(mail)
        else:
            self._plan(mail, self.now + self._about(profile.retry_after))

    def _gone(self, mail: Mail) -> Iterator[Change]:
        self.remove(mail.id)
        yield Change("gone", mail)

    def _blocked(self) -> bool:
        cycle = self._profile.cycle
        return cycle > 0 and (self.now - self._started) % cycle < self._profile.blocked

    def _about(self, seconds: float) -> float:
        return seconds * (0.5 + self._random.random())

    def _plan(self, mail: Mail, due: float) -> None:
        mail.due = due
        heapq.heappush(self._agenda, (due, mail.id))

    def _arrive(self, at: float) -> Mail:
        pick, chance = self._random.choice, self._random.random
        self._serial += 1
        message_id = queue_id(self._ids, at, self._serial)
        size = int(700 * 2 ** (12 * chance() ** 3))
        if chance() < self._profile.bounces:
            recipient = f"{pick(_SERVICES)}{self._serial % 97}@{pick(_REMOTE_DOMAINS)}"
            mail = Mail(message_id, at, size, "", (recipient,))
        else:
            sender = f"{pick(_SERVICES)}@{pick(_LOCAL_DOMAINS)}"
            how_many = 1 if chance() < 0.8 else 2 + int(chance() * 2)
            people = self._random.sample(_PEOPLE, how_many)
            recipients = tuple(f"{person}@{pick(_REMOTE_DOMAINS)}" for person in people)
            mail = Mail(message_id, at, size, sender, recipients)
        self.messages[message_id] = mail
        return mail

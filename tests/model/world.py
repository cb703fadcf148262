"""What the model of remediation acts on: panels in memory, a clock, and a journal in a file.

Everything happens on one thread and in no time, so that a run can be repeated exactly.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from exporter.config.models import HostConfig
from exporter.journal import Journal, JournalError
from exporter.journal.thread import JournalThread
from exporter.panel.client import PanelClient, PanelReply
from exporter.panel.errors import NotSentError, PanelError
from exporter.panel.in_flight import Before
from exporter.panel.protocol import MessageCommand, Operation, ServiceCommand
from exporter.snapshot import PanelId, Reason
from exporter.standin import console
from exporter.standin.queue import QueuedMessage
from exporter.standin.replies import (
    Reply,
    ReplyStyle,
    count_reply,
    done,
    encode_reply,
    list_payload,
    refusal,
    service_word,
)
from tests.builders import NOW

T = TypeVar("T")

RUN: ContextVar[object] = ContextVar("RUN", default=None)
"""What the task at hand works for: one consideration of a host, or one command."""

BEFALL = (
    *("terminated", "mode off", "rule leaves", "rule renamed", "files lost", "paused"),
    *("re-pointed", "swapped", "re-pinned", "renamed", "removed", "labelled", "doubled"),
    *("jumps ahead", "jumps back"),
)
"""What may befall the daemon at any step of its own."""

MEDDLES = ("thaws", "freezes", "reuses", "leaves")
"""What may happen to a queue right after it was looked at, or changed."""

CHANGES = (
    *("carried out", "locked", "says done", "takes more", "slow"),
    *("refused", "unsupported", "login refused", "unreached"),
    *("lost", "lost before", "killed before", "killed after"),
    *BEFALL,
    *MEDDLES,
)
"""What may come of a request that changes something."""

LOOKS = ("told", "unreached", "garbled", "short", "without rows", "killed", *BEFALL, *MEDDLES)
"""What may come of asking for the queue."""

STRIKES = ("killed before", "killed after", "refused", *BEFALL)
"""What may come of a call to the journal."""

SLOW = 20.0
"""Seconds that a slow answer takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail(QueuedMessage):
    """A message in a queue; its age is that of when it was shown."""

    arrived: float
    """Monotonic time."""

    @property
    def identity(self) -> tuple[str, str, int, float]:
        """What makes it this message and no other."""
        return self.id, self.sender, self.size, self.arrived


class Watch(Protocol):
    """Sees everything, and holds it against the rules."""

    def will_change(
        self,
        server: Server,
        operation: Operation,
        command: MessageCommand | ServiceCommand | None,
        message_id: str | None,
    ) -> None:
        """A request that changes something comes in."""

    def has_changed(self, server: Server, ids: set[str]) -> None:
        """These messages left a queue by the request at hand."""

    def has_looked(self) -> None:
        """A run has asked its panel for something: what it knew before may not be so any more."""

    def before_journal(self) -> None:
        """A run reads or writes the journal."""

    def after_journal(self, journal: Journal) -> None:
        """It has."""

    def not_written(self) -> None:
        """It could not."""


@dataclass
class World:
    """Time, and what befalls everybody."""

    folder: Path
    now: float = NOW
    """Unix time, by a clock that may be set."""
    passed: float = 1000.0
    """Seconds, which setting the clock does not change."""
    ahead: float = 0.0
    """By which the clock is ahead of the panels'."""
    pace: float = 0.0
    """Seconds that a request takes which changes something."""
    watch: Watch = field(init=False)
    connection: sqlite3.Connection = field(init=False)
    """Of the daemon's journal, as it was opened last."""
    died: asyncio.Event = field(default_factory=asyncio.Event)
    """The process was killed: whatever waits now never goes on."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """The process was told to end: SIGTERM."""
    strike: tuple[int, str] | None = None
    """After so many calls to the journal, what befalls the next."""
    journal_broken: bool = False
    seen: Callable[[str], None] = lambda _: None
    """Told what has happened, for who counts it."""
    befalls: Callable[[str, Server | None], None] = lambda *_: None
    """Lets one of BEFALL happen to the daemon, over a request to a panel."""
    turn: int = 0
    """Which message is meddled with, and how, differs from one time to the next."""

    @property
    def pause_file(self) -> Path:
        return self.folder / "pause"

    def clock(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.passed

    def passes(self, seconds: float) -> None:
        """Time passes for everybody."""
        self.now += seconds
        self.passed += seconds

    def jumps(self, seconds: float, *, panels: bool = False) -> None:
        """The clock is set; with `panels` theirs are, too."""
        self.now += seconds
        self.ahead += 0.0 if panels else seconds

    async def sleep(self, seconds: float) -> None:
        self.passes(seconds)
        await asyncio.sleep(0)

    async def die(self) -> None:
        self.seen("killed")
        self.died.set()
        await asyncio.Event().wait()


@dataclass(slots=True)
class _Shown:
    count: int | None = None
    messages: tuple[Mail, ...] | None = None
    at: float = 0.0
    """Monotonic time."""


_NOTHING = _Shown()


class Server:
    """What answers at an address, with its queue: the stand-in's replies without a network."""

    def __init__(self, panel: PanelId, world: World) -> None:
        self.panel = panel
        self._world = world
        self._style = ReplyStyle()
        self.queue: dict[str, Mail] = {}
        self.running = True
        """Whether clamav runs."""
        self.changes: deque[str] = deque()
        """Of CHANGES, one for each request to come; then all are carried out."""
        self.looks: deque[str] = deque()
        """Of LOOKS, likewise."""
        self._look = "told"
        self._shown: dict[object, _Shown] = {}
        """By run, what was told of the queue the last time."""

    @property
    def skew(self) -> float:
        """Seconds by which its clock is ahead of ours."""
        return -self._world.ahead

    @property
    def shown(self) -> _Shown:
        """What the run at hand was told."""
        return self._shown.get(RUN.get(), _NOTHING)

    @property
    def counted(self) -> int | None:
        """What the run at hand was told by count_msg; None when it was not."""
        return self.shown.count

    @property
    def served(self) -> tuple[Mail, ...] | None:
        """What it was told by list_msg."""
        return self.shown.messages

    def forget(self) -> None:
        """The run at hand was told nothing yet."""
        self._shown.pop(RUN.get(), None)

    def mails(self) -> tuple[Mail, ...]:
        """The queue, each with its age now."""
        return tuple(replace(m, age=self._world.passed - m.arrived) for m in self.queue.values())

    def put(self, id_: str, *, age: float, size: int, sender: str, frozen: bool = False) -> None:
        """A message comes that is so old already."""
        self.queue[id_] = Mail(
            id=id_,
            age=age,
            size=size,
            sender=sender,
            recipients=("carl@example.net",),
            frozen=frozen,
            arrived=self._world.passed - age,
        )

    async def request(
        self,
        operation: Operation,
        message_id: str | None,
        command: MessageCommand | ServiceCommand | None,
    ) -> bytes:
        await asyncio.sleep(0)
        match operation:
            case Operation.COUNT:
                body = await self._count()
            case Operation.LIST:
                body = self._list()
            case Operation.CLAMAV if command is ServiceCommand.STATUS:
                body = self._status()
            case _:
                body = await self._change(operation, command, message_id)
        self._world.watch.has_looked()
        return body

    def _encode(self, reply: Reply) -> bytes:
        return encode_reply(self._style, reply)

    # --- looks ---------------------------------------------------------------------------------

    async def _count(self) -> bytes:
        shown = self._shown.setdefault(RUN.get(), _Shown())
        self._look = self.looks.popleft() if self.looks else "told"
        self._world.seen(f"look: {self._look}")
        match self._look:
            case "killed":
                await self._world.die()
            case "unreached":
                raise _unreached()
        if self._look in BEFALL:
            self._world.befalls(self._look, self)
        shown.count = len(self.queue) + (50 if self._look == "short" else 0)
        if not shown.count:
            shown.messages, shown.at = (), self._world.passed
        return self._encode(count_reply("detail_int", shown.count, "en"))

    def _list(self) -> bytes:
        if self._look == "without rows" or not self.queue:
            return self._encode(refusal(Operation.LIST, 100, "en"))
        shown, messages = self._shown[RUN.get()], self.mails()
        shown.messages, shown.at = messages, self._world.passed
        rows = list_payload("objects", messages, now=0, language="en")
        assert isinstance(rows, list)
        if self._look == "garbled":
            rows.append({"id": "?", "status": "Frozen"})
        if self._look in MEDDLES:
            self._meddle(self._look)
        return self._encode(done(Operation.LIST, rows, "en"))

    def _meddle(self, how: str) -> None:
        """Somebody does something to the queue that no list has shown yet."""
        world = self._world
        world.turn += 1
        wanted = {"thaws": True, "freezes": False}.get(how)
        found = [m for m in self.queue.values() if wanted in {None, m.frozen}]
        if not found:
            return
        one = found[(0, -1, len(found) // 2)[world.turn % 3]]
        world.seen(f"meddled: {how}")
        match how:
            case "thaws" | "freezes":
                self.queue[one.id] = replace(one, frozen=not one.frozen)
            case "leaves":
                del self.queue[one.id]
            case _:
                age = world.passed - one.arrived
                # One that shows that it is younger, whatever its age is rounded to.
                younger = 300 < age < 5000 or age > 11_000
                reused = (
                    replace(one, sender="eve@example.org" if not one.sender else ""),
                    replace(one, size=one.size + 13),
                    replace(one, arrived=world.passed) if younger else replace(one, size=13),
                )
                self.queue[one.id] = reused[world.turn // 3 % 3]

    def _status(self) -> bytes:
        return self._encode(done(Operation.CLAMAV, service_word("en", running=self.running), "en"))

    # --- changes -------------------------------------------------------------------------------

    async def _change(  # noqa: C901 - one fault after the other
        self,
        operation: Operation,
        command: MessageCommand | ServiceCommand | None,
        message_id: str | None,
    ) -> bytes:
        world = self._world
        world.watch.will_change(self, operation, command, message_id)
        change = self.changes.popleft() if self.changes else "carried out"
        world.seen(f"change: {change}")
        world.passes(SLOW if change == "slow" else world.pace)
        match change:
            case "killed before":
                await world.die()
            case "refused":
                return self._encode(refusal(operation, 400, "en"))
            case "unsupported":
                code = 102 if operation is Operation.CONTROL else 100
                return self._encode(refusal(operation, code, "en"))
            case "login refused":
                return b'{"code": 1, "message": "Not perm2"}'
            case "unreached":
                raise _unreached()
            case "lost before":
                raise _lost()
        before = set(self.queue)
        text = self._carry_out(operation, command, message_id, change)
        if gone := before - set(self.queue):
            world.watch.has_changed(self, gone)
        match change:
            case "killed after":
                await world.die()
            case "lost":
                raise _lost()
        if change in BEFALL:
            world.befalls(change, self)
        if change in MEDDLES:
            self._meddle(change)
        return self._encode(done(operation, text, "en"))

    def _carry_out(
        self,
        operation: Operation,
        command: MessageCommand | ServiceCommand | None,
        message_id: str | None,
        change: str,
    ) -> str:
        if operation is Operation.CLAMAV:
            if change != "says done":
                self.running = command is ServiceCommand.ON
            return service_word("en", running=command is ServiceCommand.ON)
        ids = [message_id] if message_id is not None else [
            m.id for m in self.queue.values() if m.frozen or operation is Operation.DELETE_ALL
        ]  # fmt: skip
        if change == "locked":
            return "".join(map(console.exim_locked, ids))
        if change == "says done":
            return "".join(map(console.exim_removed, ids))
        text = "".join(
            (console.exim_removed if self.queue.pop(id_, None) else console.exim_absent)(id_)
            for id_ in ids
        )
        if change == "takes more":
            for id_ in [m.id for m in self.queue.values() if m.frozen][:1]:
                del self.queue[id_]
        return "" if command is MessageCommand.RESHIP else text


def _unreached() -> PanelError:
    return PanelError(Reason.CONNECT, "It refuses connections.", retryable=True)


def _lost() -> PanelError:
    return PanelError(Reason.TIMEOUT, "It did not answer in full.", lost=True)


class Panel:
    """A client of a server, by one of the names that the config has for it."""

    certificate_expiry = None
    call = PanelClient.call

    def __init__(self, host: HostConfig, server: Server) -> None:
        self.host = host
        self._server = server

    @property
    def name(self) -> str:
        return self.host.name

    @property
    def clock_skew(self) -> float:
        return self._server.skew

    def record_outcome(self, reply: PanelReply, outcome: str) -> None:
        """Nobody counts requests here."""

    async def request(
        self,
        operation: Operation,
        *,
        message_id: str | None = None,
        command: MessageCommand | ServiceCommand | None = None,
        force: bool = False,  # noqa: ARG002 - as the real one has it
        before: Before | None = None,
    ) -> PanelReply:
        await asyncio.sleep(0)  # until there is a slot and a connection
        if before is not None and not await before():
            raise NotSentError
        body = await self._server.request(operation, message_id, command)
        return PanelReply(operation, body, 0.0)


class Servers(dict[PanelId, Server]):
    """Every server that there is: whichever address and certificate is asked for."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def __missing__(self, panel: PanelId) -> Server:
        server = self[panel] = Server(panel, self._world)
        return server

    def client(self, host: HostConfig) -> Panel:
        return Panel(host, self[host.panel])


class Pool:
    """The panels' clients."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    @contextmanager
    def lease(self, host: HostConfig) -> Iterator[Panel]:
        yield self._servers.client(host)


class Inline(ThreadPoolExecutor):
    """Does everything at once, where it is."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is the waiter's
            future.set_exception(error)
        return future


class FragileJournal(JournalThread):
    """A journal that may fail, or whose process may be killed around each of its calls."""

    def __init__(self, world: World) -> None:
        path = world.folder / "journal.db"
        super().__init__(path, clock=world.clock, monotonic=world.monotonic)
        self._thread = Inline(1)
        self._world = world

    async def do(self, work: Callable[[Journal], T]) -> T:
        world, watch = self._world, self._world.watch
        watch.before_journal()
        strike = ""
        if world.strike is not None:
            left, strike = world.strike
            world.strike = (left - 1, strike) if left else None
            strike = "" if left else strike
        if strike:
            world.seen(f"journal: {strike}")
        if strike == "killed before":
            await world.die()
        if strike in BEFALL:
            world.befalls(strike, None)
        if strike == "refused" or world.journal_broken:
            watch.not_written()
            raise JournalError("The disk is full.")
        try:
            result = await self.surely(work)
        except JournalError:
            watch.not_written()
            raise
        if strike == "killed after":
            await world.die()
        return result

    async def surely(self, work: Callable[[Journal], T]) -> T:
        """As anybody else does, whom nothing befalls."""

        def watched(journal: Journal) -> T:
            try:
                return work(journal)
            finally:
                self._world.watch.after_journal(journal)

        return await super().do(watched)

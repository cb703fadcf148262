"""What the model of remediation acts on: panels in memory, a clock, and a journal in a file.

Everything happens on one thread and in no time, so that a run can be repeated exactly.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from exporter.config.models import HostConfig
from exporter.journal import Journal, JournalError
from exporter.journal.thread import JournalThread
from exporter.panel.client import PanelReply
from exporter.panel.errors import PanelError
from exporter.panel.protocol import MessageCommand, Operation, ServiceCommand
from exporter.snapshot import Reason
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

CHANGES = (
    *("carried out", "locked", "says done", "takes more"),
    *("refused", "unsupported", "login refused", "unreached"),
    *("lost", "lost before", "killed before", "killed after"),
    *("paused", "jumps ahead", "jumps back"),
)
"""What may come of a request that changes something."""

LOOKS = ("told", "unreached", "garbled", "short", "without rows", "killed", "jumps back")
"""What may come of asking for the queue."""

STRIKES = ("killed before", "killed after", "refused")
"""What may come of a call to the journal."""


class Watch(Protocol):
    """Sees everything, and holds it against the rules."""

    def will_change(
        self,
        panel: Panel,
        operation: Operation,
        command: MessageCommand | ServiceCommand | None,
        message_id: str | None,
    ) -> None:
        """A request that changes something comes in."""

    def has_changed(self, panel: Panel, ids: set[str]) -> None:
        """These messages left a queue by the request at hand."""

    def has_looked(self) -> None:
        """A run has asked its panel for something: what it knew before may not be so any more."""

    def before_journal(self) -> None:
        """A run reads or writes the journal."""

    def after_journal(self, journal: Journal) -> None:
        """It has."""

    def not_written(self) -> None:
        """It could not."""

    def interrupted(self) -> None:
        """A person paused everything in the middle of a run."""


@dataclass
class World:
    """Time, and what befalls everybody."""

    folder: Path
    now: float = NOW
    slept: float = 0.0
    """Seconds, which setting the clock does not change."""
    watch: Watch = field(init=False)
    died: asyncio.Event = field(default_factory=asyncio.Event)
    """The process was killed: whatever waits now never goes on."""
    strike: tuple[int, str] | None = None
    """After so many calls to the journal, what befalls the next."""
    journal_broken: bool = False
    seen: Callable[[str], None] = lambda _: None
    """Told what has happened, for who counts it."""

    @property
    def pause_file(self) -> Path:
        return self.folder / "pause"

    def clock(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.slept

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds
        await asyncio.sleep(0)

    async def die(self) -> None:
        self.seen("killed")
        self.died.set()
        await asyncio.Event().wait()


@dataclass(slots=True)
class _Shown:
    count: int | None = None
    messages: tuple[QueuedMessage, ...] | None = None


_NOTHING = _Shown()


class Panel:
    """One panel with its queue, as a client of it: the stand-in's replies without a network."""

    certificate_expiry = None
    clock_skew = 0.0

    def __init__(self, host: HostConfig, world: World) -> None:
        self.host = host
        self._world = world
        self._style = ReplyStyle()
        self.queue: dict[str, QueuedMessage] = {}
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
    def name(self) -> str:
        return self.host.name

    @property
    def counted(self) -> int | None:
        """What the run at hand was told by count_msg; None when it was not."""
        return self._shown.get(RUN.get(), _NOTHING).count

    @property
    def served(self) -> tuple[QueuedMessage, ...] | None:
        """What it was told by list_msg."""
        return self._shown.get(RUN.get(), _NOTHING).messages

    def judged(self, reply: PanelReply, outcome: str) -> None:
        """Nobody counts requests here."""

    async def request(
        self,
        operation: Operation,
        *,
        message_id: str | None = None,
        command: MessageCommand | ServiceCommand | None = None,
        force: bool = False,  # noqa: ARG002 - as the real one has it
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - as the real one has it
    ) -> PanelReply:
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
        return PanelReply(operation, body, 0.0, 200)

    def _encode(self, reply: Reply) -> bytes:
        return encode_reply(self._style, reply)

    # --- looks ---------------------------------------------------------------------------------

    async def _count(self) -> bytes:
        shown = self._shown[RUN.get()] = _Shown()
        self._look = self.looks.popleft() if self.looks else "told"
        self._world.seen(f"look: {self._look}")
        match self._look:
            case "killed":
                await self._world.die()
            case "unreached":
                raise _unreached()
            case "jumps back":
                self._world.now -= 500
        shown.count = len(self.queue) + (50 if self._look == "short" else 0)
        shown.messages = None if shown.count else ()
        return self._encode(count_reply("detail_int", shown.count, "en"))

    def _list(self) -> bytes:
        if self._look == "without rows" or not self.queue:
            return self._encode(refusal(Operation.LIST, 100, "en"))
        self._shown[RUN.get()].messages = messages = tuple(self.queue.values())
        rows = list_payload("objects", messages, now=0, language="en")
        assert isinstance(rows, list)
        if self._look == "garbled":
            rows.append({"id": "?", "status": "Frozen"})
        return self._encode(done(Operation.LIST, rows, "en"))

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
            case "paused":
                world.pause_file.touch()
                world.watch.interrupted()
            case "jumps ahead":
                world.now += 4000
            case "jumps back":
                world.now -= 4000
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


class Pool:
    """The panels' clients."""

    def __init__(self, panels: dict[str, Panel]) -> None:
        self._panels = panels

    @contextmanager
    def lease(self, host: HostConfig) -> Iterator[Panel]:
        yield self._panels[host.name]


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
        super().__init__(world.folder / "journal.db", clock=world.clock)
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
        if strike == "refused" or world.journal_broken:
            watch.not_written()
            raise JournalError("The disk is full.")
        result = await self.surely(work)
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

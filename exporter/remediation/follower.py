"""Follows the journal: what was written into it, by whichever process, is counted; it is pruned."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from exporter.config.file_watch import file_exists
from exporter.config.remediation import RemediationConfig
from exporter.journal import Entry, JournalError
from exporter.journal.projection import COUNTED, JournalProjection
from exporter.journal.thread import JournalThread
from exporter.remediation.guards import CLOCKS_AGREE_WITHIN

log = structlog.get_logger(__name__)

PRUNE_EVERY = 3600.0
"""Seconds between two prunings of the journal."""

READ_EVERY = 5.0
"""Seconds between two looks at what other processes have written into the journal."""


@dataclass(eq=False)
class JournalFollower:
    """Keeps a projection true to the journal, and prunes it."""

    journal: JournalThread
    projection: JournalProjection
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    config: RemediationConfig = field(default_factory=RemediationConfig)
    """The section in force."""
    skew: Callable[[], float | None] = lambda: 0.0
    """Return by how many seconds the panels' clocks are ahead of ours; None for not known."""

    def __post_init__(self) -> None:
        """Show what is wrong with the journal beside what it holds."""
        self.projection.problem = lambda: self.journal.problem

    async def run(self) -> None:
        """Follow the journal, and prune it now and then; ends only by being cancelled."""
        prune_at = -math.inf
        reported = ""
        while True:
            try:
                if await self.in_use():
                    await self.read_journal()
                    self.projection.known = True
                    await self.journal.demand_usable()
                    if self.monotonic() >= prune_at and self._knows_the_time():
                        prune_at = self.monotonic() + PRUNE_EVERY
                        await self._prune()
                else:
                    self.projection.known = True  # no journal: nothing was ever done
                reported = ""
            except JournalError as error:
                if str(error) != reported:
                    reported = str(error)
                    log.error("the journal cannot be used, so that nothing acts", problem=reported)  # noqa: TRY400 - says it all
            except Exception:
                # A bug must not end the daemon, which polls and serves all the same.
                log.exception("a bug in the exporter kept it from following the journal")
            await self.sleep(READ_EVERY)

    async def read_journal(self) -> None:
        """Take in what was written since the last time, by this process or by another.

        What can be read is shown, also of a journal that nothing may be done by.

        Raises:
            JournalError: it cannot be read, or nothing may be done by it.
        """
        after = self.projection.last_entry
        news = await self.journal.do(
            lambda journal: journal.entries(after=after, kinds=COUNTED, readable=True)
        )
        self.projection.add(news)
        pause_file = await asyncio.to_thread(file_exists, self.config.pause_file)
        facts, self.projection.timeline = await self.journal.do(
            lambda journal: (journal.fleet_facts(), journal.timeline())
        )
        self.projection.paused = bool(facts.paused) or pause_file is not False

    def _knows_the_time(self) -> bool:
        """Return whether it is known what is older than the journal is kept.

        A clock that is months ahead, at the start or by a jump, would have all be so: the panels'
        clocks must agree with it.
        """
        skew = self.skew()
        return skew is not None and abs(skew) <= CLOCKS_AGREE_WITHIN

    async def _prune(self) -> None:
        before = self.clock() - self.config.journal_keep
        await self.journal.do(lambda journal: journal.prune(before))

    async def in_use(self) -> bool:
        """Return whether there is a journal, or rules that need one."""
        if self.config.rules:
            return True
        return await asyncio.to_thread(file_exists, self.journal.path) is not False

    async def entries(self, **filters: Any) -> list[Entry]:
        """Return entries of the journal by the filters of `Journal.entries`; none without one.

        To show them: what cannot be read is left out, as `projection.problem` says.

        Raises:
            JournalError: it cannot be read.
        """
        if not await self.in_use():
            return []
        return await self.journal.do(lambda journal: journal.entries(**filters, readable=True))

    async def paused(self) -> str:
        """Return why nothing acts by a person's will; "" when that is not so."""
        exists = await asyncio.to_thread(file_exists, self.config.pause_file)
        if exists is not False:
            return f"The pause file {self.config.pause_file} exists, or cannot be looked for."
        if not await self.in_use():
            return ""
        try:
            return (await self.journal.do(lambda journal: journal.fleet_facts())).paused
        except JournalError as error:
            return str(error)

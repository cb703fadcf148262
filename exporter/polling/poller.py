"""Poll every host on its own interval, and hand each snapshot on."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from copy import copy
from dataclasses import fields, replace

import structlog

from exporter.config.models import Config, HostConfig
from exporter.panel.client import PanelPool
from exporter.panel.queue_decoder import QueueDecoder
from exporter.polling.collect import PollContext, QueueMemory, poll_host
from exporter.polling.schedule import first_poll, next_poll, slot
from exporter.snapshot import Failure, HostGoneError, HostSnapshot, PanelId

OnSnapshot = Callable[[HostConfig, HostSnapshot], None]

OnMissed = Callable[[HostConfig, Failure], None]
"""Called instead when the exporter itself could not make a poll; the failure says why."""

log = structlog.get_logger(__name__)


class Poller:
    """The schedules of all hosts."""

    def __init__(
        self,
        pool: PanelPool,
        decoder: QueueDecoder,
        emit: OnSnapshot,
        missed: OnMissed,
    ) -> None:
        self._pool = pool
        self._decoder = decoder
        self._emit = emit
        self._missed = missed
        self._hosts: dict[str, _HostPoller] = {}
        self._stopped = False

    async def apply_config(self, config: Config) -> None:
        """Apply a config: hosts that are asked as before keep their schedule, memory, connections.

        Does nothing once the poller was stopped.
        """
        if self._stopped:
            return
        wanted = {host.name: host for host in config.hosts}
        gone = [
            poller
            for name, poller in self._hosts.items()
            if name not in wanted or not wanted[name].is_asked_like(poller.host)
        ]
        for poller in gone:
            del self._hosts[poller.host.name]
            self._pool.forget(poller.host)
        for name, poller in self._hosts.items():
            poller.apply_config(wanted[name], config)
        new = [host for host in config.hosts if host.name not in self._hosts]
        for position, host in enumerate(new):
            poller = _HostPoller(host, config, self._pool, self._decoder, self._emit, self._missed)
            self._hosts[host.name] = poller
            poller.start(first_poll(position, len(new), config.interval_of(host)))
        await _stop(gone, grace=0.0)

    async def poll(self, name: str) -> HostSnapshot:
        """Poll a host now, or join its poll that is under way.

        Cancelling the caller does not cancel the poll.

        Raises:
            HostGoneError: no such host is configured, or it left the config meanwhile.
        """
        poller = self._hosts.get(name)
        if poller is None:
            raise HostGoneError(name)
        return await poller.poll()

    async def poll_anew(self, name: str, panel: PanelId | None = None) -> HostSnapshot:
        """Poll a host without joining a poll that began before: its reply may be out of date.

        A poll that a reload cancels, since it changed how the host is asked, is made once more.
        With `panel` only that panel is asked: the name may point to another one by now.

        Raises:
            HostGoneError: as `poll`, or the host has another panel now.
        """
        while True:
            poller = self._hosts.get(name)
            if poller is None or panel not in {None, poller.host.panel}:
                raise HostGoneError(name)
            earlier = poller.under_way
            if earlier is not None:
                await asyncio.wait([earlier])
            if self._hosts.get(name) is not poller:
                continue
            try:
                return await poller.poll()
            except HostGoneError:
                if self._hosts.get(name) is poller:
                    raise

    @property
    def idle(self) -> bool:
        """Whether no poll is under way."""
        return not self._under_way()

    async def wait_idle(self) -> None:
        """Wait until no poll is under way."""
        while polls := self._under_way():
            await asyncio.wait(polls)

    def _under_way(self) -> list[asyncio.Task[HostSnapshot]]:
        polls = [host.under_way for host in self._hosts.values()]
        return [poll for poll in polls if poll is not None and not poll.done()]

    async def stop(self, grace: float) -> None:
        """Start no more polls; give those under way `grace` seconds, then cancel them."""
        self._stopped = True
        hosts = list(self._hosts.values())
        self._hosts.clear()
        await _stop(hosts, grace)


async def _stop(hosts: list[_HostPoller], grace: float) -> None:
    schedules = [task for host in hosts for task in host.end_schedule()]
    polls = [host.under_way for host in hosts if host.under_way is not None]
    if polls and grace > 0:
        await asyncio.wait(polls, timeout=grace)
    for poll in polls:
        poll.cancel()
    await asyncio.gather(*schedules, *polls, return_exceptions=True)


class _HostPoller:
    """One host: its schedule and its polls, at most one at a time."""

    def __init__(
        self,
        host: HostConfig,
        config: Config,
        pool: PanelPool,
        decoder: QueueDecoder,
        emit: OnSnapshot,
        missed: OnMissed,
    ) -> None:
        self._emit = emit
        self._pool = pool
        self._missed = missed
        self._context = PollContext(
            host, pool.client(host), decoder, QueueMemory(), config.poll.queue_detail_limit
        )
        self._interval = config.interval_of(host)
        self._started_at = 0.0
        """Monotonic time at which the last poll began."""
        self._failures = 0
        self._schedules: list[asyncio.Task[None]] = []
        """The schedule, and those it has replaced."""
        self.under_way: asyncio.Task[HostSnapshot] | None = None
        """The poll under way, or the last one."""

    @property
    def host(self) -> HostConfig:
        return self._context.host

    def apply_config(self, host: HostConfig, config: Config) -> None:
        """Apply settings that do not change how the panel is asked."""
        self._pool.client(host)  # it is the same, and its host's labels may be others
        limit = config.poll.queue_detail_limit
        self._context = replace(self._context, host=host, detail_limit=limit)
        interval = config.interval_of(self.host)
        if interval != self._interval:
            self._interval = interval
            self.end_schedule()
            self.start(max(0.0, self._due() - time.monotonic()))

    def start(self, delay: float) -> None:
        """Begin the schedule with a poll after `delay` seconds."""
        task = asyncio.create_task(self._run(delay), name=f"schedule {self.host.name}")
        self._schedules = [old for old in self._schedules if not old.done()] + [task]

    def end_schedule(self) -> list[asyncio.Task[None]]:
        """Start no more polls; return the ending tasks, for the caller to await."""
        for task in self._schedules:
            task.cancel()
        return self._schedules

    async def _run(self, delay: float) -> None:
        while True:
            polled_at = self._started_at
            await asyncio.sleep(delay)
            taken = self._started_at != polled_at
            if not taken:
                await self.poll()
            delay = max(0.0, self._due(taken=taken) - time.monotonic())

    def _due(self, *, taken: bool = False) -> float:
        return next_poll(
            time.monotonic(),
            self._started_at,
            slot(self.host.name, self._interval),
            self._interval,
            self._failures,
            jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
            taken=taken,
        )

    async def poll(self) -> HostSnapshot:
        """Poll now, or join the poll that is under way."""
        if self.under_way is None or self.under_way.done():
            self._started_at = time.monotonic()
            self.under_way = asyncio.create_task(self._once(), name=f"poll {self.host.name}")
        poll = self.under_way
        # A caller may give up (the deadline of a scrape) without ending the poll for the others.
        await asyncio.wait([poll])
        if poll.cancelled():
            raise HostGoneError(self.host.name)
        return poll.result()

    async def _once(self) -> HostSnapshot:
        memory = self._context.memory
        before = copy(memory)
        snapshot = await poll_host(self._context)
        if snapshot.missed is not None:
            # The panel was not asked: the last reply stands until it is stale, and the next poll
            # continues from it.
            for field in fields(memory):
                setattr(memory, field.name, getattr(before, field.name))
            self._missed(self.host, snapshot.missed)
            return snapshot
        failed = all(result.failure is not None for result in snapshot.results)
        self._failures = self._failures + 1 if failed else 0
        try:
            self._emit(self.host, snapshot)
        except Exception:
            # A bug in a later part must not end the schedule.
            log.exception("a bug in the exporter lost a poll's outcome", host=self.host.name)
        return snapshot

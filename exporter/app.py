"""The composition root: makes the parts of the exporter, wires them, and ends them in order.

No other module but the daemon knows it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from exporter.alerting.service import AlertingService
from exporter.config.models import Config, HostConfig, split_address
from exporter.config.selectors import Selector
from exporter.config.warnings import is_loopback
from exporter.fleet.consumers import Consumer, notify
from exporter.fleet.history import History
from exporter.fleet.store import HostRecord, Store, fleet_skew, known_skews
from exporter.fleet.transitions import HostTransitions
from exporter.journal.host_lock import LockFileError, journal_of
from exporter.journal.projection import JournalProjection
from exporter.journal.thread import JournalThread
from exporter.metrics.alerting import AlertingCollector
from exporter.metrics.own import OwnMetrics
from exporter.metrics.page import MetricsPage
from exporter.metrics.remediation import RemediationCollector
from exporter.panel.client import PanelPool
from exporter.panel.errors import PanelError
from exporter.panel.queue_decoder import QueueDecoder
from exporter.polling.poller import Poller
from exporter.remediation.controller import RemediationController
from exporter.remediation.listing import Listing, ListQuery, ask_listing
from exporter.snapshot import Failure, HostGoneError, HostSnapshot
from exporter.startup import Usable
from exporter.web.api import RemediationRoutes, Served, add_routes
from exporter.web.pages.change_feed import ChangeFeed, PageData
from exporter.web.pages.page_actions import PageActions
from exporter.web.pages.routes import Pages
from exporter.web.server.access_control import MAX_BODY_BYTES
from exporter.web.server.host_header import HostHeaderCheck
from exporter.web.server.listener import Listeners

GRACE = 10.0
"""Seconds that what is in flight gets when the daemon stops."""

ACTION_GRACE = 1.5 * GRACE
"""Seconds that an action gets for the replies that are still to come and the list after them:
three calls of a panel, and each takes 2.5 s or more. The unit's TimeoutStopSec is longer."""

MISSED_SHOWN = 900.0
"""Seconds for which the page shows a missed poll, as the Prometheus rule does."""

MISSED_LOGGED_EVERY = 60.0
"""Seconds between two lines of the log about polls that cannot be made."""

log = structlog.get_logger(__name__)


class App:
    """All parts of one exporter, wired to each other."""

    def __init__(
        self,
        file: Path,
        config: Config,
        reload: Callable[[], Awaitable[None]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make every part; nothing is opened, asked or sent yet.

        Args:
            file: the config file.
            config: what the file says; its `state.path` stays in force for good.
            reload: reads the config anew, for POST /-/reload.
            clock: gives alerting the Unix time.
        """
        self._file = file
        self._cleanups = AsyncExitStack()
        self._transitions: dict[str, HostTransitions] = {}
        self._histories: dict[str, History] = {}
        self._acting_refused = ""
        self._missed_logged_at = self._missed_at = -math.inf
        self.store = Store()
        self.own_metrics = OwnMetrics()
        projection = JournalProjection()
        self._metrics_page = MetricsPage(self.store, self.own_metrics.registry, time.time)
        self.pool = PanelPool(config.poll, observe=self.own_metrics.request)
        self._decoder = QueueDecoder()
        self.poller = Poller(self.pool, self._decoder, self._on_snapshot, self._on_missed)
        self.journal = JournalThread(config.state.path)
        self.alerting = AlertingService(self.journal, projection, clock=clock)
        self.controller = RemediationController(
            self.journal,
            self.pool,
            self._decoder,
            self.poller.poll_anew,
            projection=projection,
            alertmanagers=self.alerting.alertmanagers,
            skews=lambda: known_skews(self.store, time.time()),
        )
        self.controller.follower.skew = lambda: fleet_skew(self.store, time.time())
        deliveries = self.alerting.delivery_stats
        self.own_metrics.registry.register(RemediationCollector(projection))
        self.own_metrics.registry.register(
            AlertingCollector(self.alerting.firing_labels, deliveries.counts, deliveries.last_ok)
        )
        self.pages = Pages(
            ChangeFeed(
                PageData(
                    self.store,
                    self._histories,
                    self.alerting.evaluator,
                    deliveries,
                    projection,
                    self.controller.fleet.rules_for,
                    time.time,
                    lambda: time.monotonic() - self._missed_at < MISSED_SHOWN,
                )
            ),
            self.controller,
            PageActions(self.controller),
            self._list_queue,
        )
        served = web.Application(client_max_size=MAX_BODY_BYTES)
        add_routes(
            served,
            Served(
                self.store,
                self._metrics_page,
                self.poller.poll,
                reload,
                RemediationRoutes(self.controller, lambda: self._acting_refused),
                self.alerting,
                self.pages,
            ),
        )
        self._host_header = HostHeaderCheck()
        self._host_header.guard(served)
        self.listeners = Listeners(served)
        self.consumers = self._make_consumers()

    def _make_consumers(self) -> tuple[Consumer, ...]:
        """Return the parts that take in a poll: what is known first, then what follows from it."""
        return (
            Consumer("store", HostRecord.add),
            Consumer("metrics", lambda record, _: self._metrics_page.refresh(record)),
            Consumer("remediation", lambda _, snapshot: self.controller.reconcile(snapshot)),
            Consumer("alerting", self.alerting.on_snapshot),
            Consumer("history", lambda _, snapshot: self._histories[snapshot.host].add(snapshot)),
            Consumer("pages", lambda _, snapshot: self.pages.feed.changed(snapshot.host)),
            Consumer("log", self._log_transitions),
        )

    # --- from start to stop --------------------------------------------------------------------

    async def start(self, usable: Usable) -> None:
        """Listen, take up the state of the process before, and begin to poll.

        Raises:
            ListenError: an address cannot be listened on; `stop` ends what was started.
        """

        def push(name: str, cleanup: Callable[[], Awaitable[None] | None]) -> None:
            self._cleanups.push_async_callback(_clean_up, name, cleanup)

        push("panel clients", self.pool.close)
        push("queue decoder", self._decoder.close)
        push("journal", self.journal.close)
        with suppress(OSError, LockFileError):  # where it cannot be said, it is not
            announced = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
            push("announcement of the journal", lambda: os.close(announced))
            journal_of(self._file, self.journal.path).say(announced)
        push("alerting", self.alerting.stop)
        push("polls, actions and connections", self._drain)
        push("pages", self.pages.close)
        await self.listeners.start(usable.loaded.config.web.listen, usable.web)
        await self.alerting.restore()
        await self.apply_config(usable)

    def background(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """Return what runs beside the polls from start to stop, by name."""
        return {"journal": self.controller.follower.run(), "alerts": self.alerting.run()}

    async def stop(self) -> None:
        """End every part that was started, the last one first."""
        await self._cleanups.aclose()

    async def _drain(self) -> None:
        """Let end what is in flight, each for as long as it may take, all at once."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.controller.stop(ACTION_GRACE))
            tasks.create_task(self.poller.stop(GRACE))
            tasks.create_task(self.listeners.close(GRACE))

    async def wait_idle(self) -> None:
        """Wait until no poll, no action and no delivery of an alert is under way.

        A poll or an action that begins meanwhile is waited for, too.
        """
        while True:
            await self.poller.wait_idle()
            await self.controller.wait_idle()
            await self.alerting.wait_idle()
            if self.poller.idle and self.controller.idle and self.alerting.idle:
                return

    # --- the config ----------------------------------------------------------------------------

    async def apply_config(self, usable: Usable) -> None:
        """Make every part follow a config that is known to be usable: nothing here can fail."""
        loaded, config = usable.loaded, usable.loaded.config
        for warning in loaded.warnings:
            log.warning(warning.message, path=warning.path, file=warning.file, line=warning.line)
        self._apply_hosts(config)
        self._metrics_page.rebuild()
        self.pool.update(config.poll)
        if self.pool.slots.limit < config.poll.concurrency:
            log.warning(
                "fewer requests at once than poll.concurrency: so many files may be open",
                requests=self.pool.slots.limit,
                concurrency=config.poll.concurrency,
                hint="raise it (LimitNOFILE= in the unit, ulimit -n)",
            )
        self.controller.apply_config(config)
        external_url = config.web.external_url or self.listeners.urls[0]
        await self.alerting.apply_config(config, external_url)
        self.pages.apply_config(mask=config.web.mask_addresses)
        self._host_header.external_url = config.web.external_url or ""
        self._acting_refused = _why_acting_is_refused(self.listeners)
        await self.poller.apply_config(config)
        self.own_metrics.reloaded(time.time(), ok=True)

    def _apply_hosts(self, config: Config) -> None:
        panels = {record.host.name: record.host.panel for record in self.store}
        self.store.apply_config(
            ((host, config.interval_of(host)) for host in config.hosts), config.poll.stale_after
        )
        transitions, histories = {}, {}
        for record in self.store:
            name = record.host.name
            transitions[name] = self._transitions.get(name) or HostTransitions()
            # The past of another panel is not the past of this one.
            same = record.host.panel == panels.get(name)
            histories[name] = self._histories[name] if same else History()
        self._transitions = transitions
        # The pages hold the same dictionary.
        self._histories.clear()
        self._histories.update(histories)

    # --- polls ---------------------------------------------------------------------------------

    def _on_snapshot(self, host: HostConfig, snapshot: HostSnapshot) -> None:
        record = self.store.get(host.name)
        if record is None or not record.host.is_asked_like(host):
            return  # the host left the config while it was polled
        notify(self.consumers, record, snapshot)

    def _log_transitions(self, record: HostRecord, snapshot: HostSnapshot) -> None:
        for event in self._transitions[record.host.name].advance(snapshot):
            log.log(_LEVELS[event.level], event.text, host=record.host.name, **event.values)

    def _on_missed(self, host: HostConfig, failure: Failure) -> None:
        self.own_metrics.missed_poll()
        now = self._missed_at = time.monotonic()
        if now - self._missed_logged_at >= MISSED_LOGGED_EVERY:
            self._missed_logged_at = now
            log.error(
                "polls are not made", problem=failure.message, hint=failure.hint, host=host.name
            )

    async def _list_queue(self, name: str, selector: Selector, most: int) -> Listing:
        """List the queue of a host now, to be looked at: guesses included, and marked."""
        while (record := self.store.get(name)) is not None:
            host = record.host
            failure, listing = None, None
            try:
                with self.pool.lease(host) as client:
                    query = ListQuery(selector, most, guesses=True)
                    listing = await ask_listing(client, self._decoder, query)
            except PanelError as error:
                failure = error
            now = self.store.get(name)
            if now is None or not now.host.is_asked_like(host):
                continue  # a reload has given it another url or password: it is asked by these
            if listing is None:
                raise failure or HostGoneError(name)
            return listing
        raise HostGoneError(name)


_LEVELS = {"info": logging.INFO, "warning": logging.WARNING}


async def _clean_up(name: str, cleanup: Callable[[], Awaitable[None] | None]) -> None:
    """Run a clean-up; a fault in it is logged with its name and keeps no other from running."""
    try:
        if (pending := cleanup()) is not None:
            await pending
    except Exception:
        log.exception("a part did not end cleanly", part=name)


def _why_acting_is_refused(listeners: Listeners) -> str:
    """Return why no request over HTTP may act; "" when one may.

    By the addresses that are listened on: those of the config may wait for a restart.
    """
    open_to = [
        address
        for address in listeners.addresses
        if not is_loopback(split_address(address)[0] or "")
    ]
    if listeners.settings.users or not open_to:
        return ""
    return (
        f"Refused: {open_to[0]} can be reached from other machines, and the web config names no "
        "users. Give web.config_file basic_auth_users."
    )

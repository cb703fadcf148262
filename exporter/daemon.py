"""The daemon: builds the parts, wires them, reloads them and ends them in order."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import structlog
from aiohttp import web

from exporter import __version__, systemd
from exporter.alerting.service import AlertingService
from exporter.config.advice import is_loopback
from exporter.config.document import ConfigError
from exporter.config.models import HostConfig, split_address
from exporter.config.selectors import Selector
from exporter.fleet.history import History
from exporter.fleet.store import Store, fleet_skew, known_skews
from exporter.fleet.transitions import HostTransitions
from exporter.journal.host_lock import announce_journal
from exporter.journal.projection import JournalProjection
from exporter.journal.thread import JournalThread
from exporter.logs import configure_logs
from exporter.metrics.alerting import AlertingCollector
from exporter.metrics.own import OwnMetrics
from exporter.metrics.page import MetricsPage
from exporter.metrics.remediation import RemediationCollector
from exporter.panel.client import PanelPool, raise_file_limit
from exporter.panel.errors import PanelError
from exporter.panel.queue_decoder import QueueDecoder
from exporter.polling.poller import Poller
from exporter.remediation.controller import RemediationController
from exporter.remediation.listing import Listing, ask_listing
from exporter.snapshot import Failure, HostGoneError, HostSnapshot
from exporter.startup import Usable, load_everything
from exporter.web.access_control import MAX_BODY_BYTES
from exporter.web.app import Served, StoppingError, add_routes
from exporter.web.host_header import HostHeaderCheck
from exporter.web.listener import ListenError, Listeners
from exporter.web.pages.change_feed import ChangeFeed
from exporter.web.pages.page_actions import PageActions
from exporter.web.pages.page_data import PageData
from exporter.web.pages.routes import Pages
from exporter.web.remediation import RemediationRoutes
from exporter.web.watch import FileWatch

GRACE = 10.0
"""Seconds that what is in flight gets when the daemon stops."""

ACTIONS = 1.5
"""Times GRACE that an action gets for the answers that are still to come and the list after them:
three calls of a panel, of which each takes 2.5 s and more. The unit's TimeoutStopSec is longer."""

WATCH_INTERVAL = 5.0
"""Seconds between two looks at the files that are re-read on change."""

MISSED_SHOWN = 900.0
"""Seconds for which the page tells of a missed poll, as the Prometheus rule does."""

MISSED_TOLD_EVERY = 60.0
"""Seconds between two lines of the log about polls that cannot be made."""

log = structlog.get_logger(__name__)


class Daemon:
    """One running exporter over one config file."""

    def __init__(
        self,
        file: Path,
        *,
        on_listening: Callable[[list[str]], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """What it works with.

        Args:
            file: the config.
            on_listening: called with its URLs once it listens.
            clock: tells alerting the Unix time.
        """
        self._clock = clock
        self._file = file
        self._on_listening = on_listening
        self._stopping = asyncio.Event()
        self._end_actions: Callable[[], None] = lambda: None
        self._reloading = asyncio.Lock()
        self._store = Store()
        self._own = OwnMetrics()
        self._projection = JournalProjection()
        self._own.registry.register(RemediationCollector(self._projection))
        self._page = MetricsPage(self._store, self._own.registry, time.time)
        self._transitions: dict[str, HostTransitions] = {}
        self._histories: dict[str, History] = {}
        self._reload_requested = asyncio.Event()
        self._watch = FileWatch(interval=WATCH_INTERVAL)
        self._may_act = ""
        self._missed_told = -math.inf
        self._missed_at = -math.inf
        self._names = HostHeaderCheck()

    def stop(self) -> None:
        """Ask the daemon to end; `run` returns when it has.

        From now on no message is acted on any more, whatever else has to end first.
        """
        self._stopping.set()
        self._end_actions()

    async def run(self) -> None:
        """Serve until `stop`, SIGTERM or SIGINT.

        Raises:
            ConfigError: the config cannot be used; nothing was started.
            ListenError: an address cannot be listened on; nothing is left running.
        """
        with self._signals():
            usable = await asyncio.to_thread(load_everything, self._file)
            config = usable.loaded.config
            configure_logs(config.log)
            raise_file_limit()
            async with AsyncExitStack() as stack:
                self._pool = await stack.enter_async_context(
                    PanelPool(config.poll, observe=self._own.request)
                )
                decoder = self._decoder = QueueDecoder()
                stack.callback(decoder.close)
                self._poller = Poller(self._pool, decoder, self._on_snapshot, self._on_missed)
                journal = JournalThread(config.state.path)
                stack.push_async_callback(journal.close)
                said = announce_journal(self._file, config.state.path)
                if said is not None:
                    stack.callback(os.close, said)
                self._alerting_service = AlertingService(
                    journal, self._projection, clock=self._clock
                )
                self._controller = RemediationController(
                    journal,
                    self._pool,
                    decoder,
                    self._poller.poll_anew,
                    projection=self._projection,
                    alertmanagers=self._alerting_service.alertmanagers,
                )
                self._controller.compare_clocks(
                    lambda: fleet_skew(self._store, time.time()),
                    lambda: known_skews(self._store, time.time()),
                )
                self._end_actions = self._controller.end
                self._own.registry.register(
                    AlertingCollector(
                        self._alerting_service.fired,
                        self._alerting_service.outcomes.counts,
                        self._alerting_service.outcomes.last_ok,
                    )
                )
                app = web.Application(client_max_size=MAX_BODY_BYTES)
                self._listeners = Listeners(app)
                remediation = RemediationRoutes(self._controller, lambda: self._may_act, time.time)
                sources = PageData(
                    self._store,
                    self._histories,
                    self._alerting_service.evaluator,
                    self._alerting_service.outcomes,
                    self._projection,
                    self._controller.rules_for,
                    time.time,
                    lambda: time.monotonic() - self._missed_at < MISSED_SHOWN,
                )
                self._pages = Pages(
                    ChangeFeed(sources),
                    self._controller,
                    PageActions(self._controller),
                    self._list_queue,
                )
                served = Served(
                    self._store,
                    self._page,
                    self._poller.poll,
                    self.reload,
                    remediation,
                    self._alerting_service,
                    self._pages,
                )
                add_routes(app, served)
                self._names.guard(app)
                stack.push_async_callback(self._shut_down)
                await self._listeners.apply(config.web.listen, usable.web)
                await self._alerting_service.restore()
                await self._follow(usable)
                await self._serve()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Handle signals from first to last: a SIGHUP at the start or the end must not kill."""
        loop = asyncio.get_running_loop()
        actions = {
            signal.SIGTERM: self.stop,
            signal.SIGINT: self.stop,
            signal.SIGHUP: self._reload_requested.set,
        }
        for number, action in actions.items():
            loop.add_signal_handler(number, action)
        try:
            yield
        finally:
            for number in actions:
                loop.remove_signal_handler(number)

    async def _serve(self) -> None:
        log.info(
            "listening", urls=self._listeners.urls, hosts=len(self._store), version=__version__
        )
        if self._on_listening is not None:
            self._on_listening(self._listeners.urls)
        systemd.notify("READY=1")
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(self._reload_on_request(), name="reload"),
                tasks.create_task(systemd.keep_watchdog(), name="watchdog"),
                tasks.create_task(self._watch.run(self._reload_requested.set), name="watch"),
                tasks.create_task(self._controller.run(), name="journal"),
                tasks.create_task(self._alerting_service.run(), name="alerts"),
            ]
            await self._stopping.wait()
            for task in background:
                task.cancel()

    async def _shut_down(self) -> None:
        systemd.notify("STOPPING=1")
        log.info("stopping", grace_seconds=GRACE)
        await self._pages.close()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._controller.stop(GRACE * ACTIONS))
            tasks.create_task(self._poller.stop(GRACE))
            tasks.create_task(self._listeners.close(GRACE))
        await self._alerting_service.stop()
        log.info("stopped")

    async def reload(self) -> None:
        """Read the config anew and follow it; all or nothing.

        Raises:
            ConfigError: the new config cannot be used; the old one stays in force.
            ListenError: a new address cannot be listened on; likewise.
            StoppingError: the daemon is ending.
        """
        async with self._reloading:
            if self._stopping.is_set():
                raise StoppingError
            systemd.reloading()
            try:
                # Everything that can fail comes before the first live part is touched.
                usable = await asyncio.to_thread(load_everything, self._file)
                await self._listeners.apply(usable.loaded.config.web.listen, usable.web)
            except (ConfigError, ListenError) as error:
                self._own.reloaded(time.time(), ok=False)
                problems = str(error).splitlines()
                log.warning("the config was not reloaded, the old one stays", problems=problems)
                raise
            else:
                configure_logs(usable.loaded.config.log)
                if usable.loaded.config.state.path != self._controller.journal.path:
                    log.warning("a new state.path is for the next start; the old one stays")
                await self._follow(usable)
                log.info("config reloaded", hosts=len(self._store))
            finally:
                systemd.notify("READY=1")

    async def _reload_on_request(self) -> None:
        """Reload at SIGHUP and when a watched file changed."""
        while True:
            await self._reload_requested.wait()
            self._reload_requested.clear()
            try:
                await self.reload()
            except (ConfigError, ListenError, StoppingError):
                pass  # logged, and the old config stays
            except Exception:
                # A bug in a reload must not end a daemon that does its work by the old config.
                self._own.reloaded(time.time(), ok=False)
                log.exception("the reload failed by a bug in the exporter")

    async def _follow(self, usable: Usable) -> None:
        """Make the live parts follow a config that is known to be usable."""
        loaded, config = usable.loaded, usable.loaded.config
        for warning in loaded.warnings:
            log.warning(warning.message, path=warning.path, file=warning.file, line=warning.line)
        self._watch.follow(files=usable.web.files, globs=usable.hosts_globs)
        panels = {record.host.name: record.host.panel for record in self._store}
        self._store.configure(
            ((host, config.interval_of(host)) for host in config.hosts), config.poll.stale_after
        )
        self._transitions = {
            record.host.name: self._transitions.get(record.host.name, HostTransitions())
            for record in self._store
        }
        for name in list(self._histories):
            record = self._store.get(name)
            # What another panel said is not the past of this one.
            if record is None or record.host.panel != panels.get(name):
                del self._histories[name]
        for name in self._transitions:
            self._histories.setdefault(name, History())
        self._page.rebuild()
        self._pool.update(config.poll)
        if self._pool.most_requests < config.poll.concurrency:
            log.warning(
                "fewer requests at once than poll.concurrency: so many files may be open",
                requests=self._pool.most_requests,
                concurrency=config.poll.concurrency,
                hint="raise it (LimitNOFILE= in the unit, ulimit -n)",
            )
        self._controller.apply_config(config)
        external_url = config.web.external_url or self._listeners.urls[0]
        await self._alerting_service.configure(config, external_url)
        self._pages.reconfigured(mask=config.web.mask_addresses)
        self._names.external_url = config.web.external_url or ""
        self._may_act = _refusal_to_act(usable)
        await self._poller.configure(config)
        self._own.reloaded(time.time(), ok=True)

    async def _list_queue(self, name: str, selector: Selector, most: int) -> Listing:
        """The queue of a host now, for who looks at its messages."""
        while (record := self._store.get(name)) is not None:
            host = record.host
            failure, listing = None, None
            try:
                with self._pool.lease(host) as client:
                    # To be looked at: the page marks what is only guessed.
                    listing = await ask_listing(
                        client, self._decoder, selector, most=most, guesses=True
                    )
            except PanelError as error:
                failure = error
            now = self._store.get(name)
            if now is None or not now.host.is_asked_like(host):
                continue  # a reload has given it another url or password: it is asked by these
            if listing is None:
                raise failure or HostGoneError(name)
            return listing
        raise HostGoneError(name)

    def _on_missed(self, host: HostConfig, failure: Failure) -> None:
        self._own.missed_poll()
        now = self._missed_at = time.monotonic()
        if now - self._missed_told >= MISSED_TOLD_EVERY:
            self._missed_told = now
            log.error(
                "polls are not made", problem=failure.message, hint=failure.hint, host=host.name
            )

    def _on_snapshot(self, host: HostConfig, snapshot: HostSnapshot) -> None:
        record = self._store.get(host.name)
        if record is None or not record.host.is_asked_like(host):
            return  # the host left the config while it was polled
        record.add(snapshot)
        self._page.refresh(record)
        self._controller.reconcile(snapshot)
        self._alerting_service.observe(record, snapshot)
        self._histories[host.name].add(snapshot)
        self._pages.board.changed(host.name)
        for event in self._transitions[host.name].follow(snapshot):
            log.log(_LEVELS[event.level], event.text, host=host.name, **event.values)


def _refusal_to_act(usable: Usable) -> str:
    """Why nobody may be let to act over HTTP; "" when somebody may."""
    open_to = [
        address
        for address in usable.loaded.config.web.listen
        if not is_loopback(split_address(address)[0] or "")
    ]
    if usable.web.users or not open_to:
        return ""
    return (
        f"Refused: {open_to[0]} can be reached from other machines, and the web config names no "
        "users. Give web.config_file basic_auth_users."
    )


_LEVELS = {"info": logging.INFO, "warning": logging.WARNING}

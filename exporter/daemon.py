"""The daemon: signals, reloads and the end of one exporter over one config file."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from exporter import __version__, systemd
from exporter.app import GRACE, App
from exporter.config.errors import ConfigError
from exporter.config.file_watch import FileWatch
from exporter.logs import configure_logs
from exporter.panel.client import raise_file_limit
from exporter.startup import Usable, load_everything
from exporter.web.api import StoppingError

WATCH_INTERVAL = 5.0
"""Seconds between two looks at the files that are re-read on change."""

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
        """Prepare a daemon; `run` starts it.

        Args:
            file: the config.
            on_listening: called with its URLs once it listens.
            clock: gives alerting the Unix time.
        """
        self._file = file
        self._on_listening = on_listening
        self._clock = clock
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._reload_requested = asyncio.Event()
        self._watch = FileWatch(interval=WATCH_INTERVAL)
        self._app: App | None = None

    @property
    def app(self) -> App:
        """The parts, while `run` serves.

        Raises:
            RuntimeError: it has not begun to.
        """
        if self._app is None:
            raise RuntimeError("The daemon does not run yet.")
        return self._app

    def stop(self) -> None:
        """Ask the daemon to end; `run` returns when it has.

        From now on no message is acted on any more, whatever else has to end first.
        """
        self._stopping.set()
        if self._app is not None:
            self._app.controller.end()

    async def wait_idle(self) -> None:
        """Wait until no poll, no action and no delivery of an alert is under way."""
        await self.app.wait_idle()

    async def run(self) -> None:
        """Serve until `stop`, SIGTERM or SIGINT.

        Raises:
            ConfigError: the config cannot be used; nothing was started.
            ListenError: an address cannot be listened on; nothing is left running.
        """
        with self._signals():
            usable = await asyncio.to_thread(load_everything, self._file)
            configure_logs(usable.loaded.config.log)
            raise_file_limit()
            app = self._app = App(self._file, usable.loaded.config, self.reload, clock=self._clock)
            try:
                await app.start(usable)
                self._watch_files(usable)
                await self._serve(app)
            finally:
                systemd.notify("STOPPING=1")
                log.info("stopping", grace_seconds=GRACE)
                await app.stop()
                log.info("stopped")

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

    async def _serve(self, app: App) -> None:
        urls = app.listeners.urls
        log.info("listening", urls=urls, hosts=len(app.store), version=__version__)
        if self._on_listening is not None:
            self._on_listening(urls)
        systemd.notify("READY=1")
        background = {
            "reload": self._reload_on_request(),
            "watchdog": systemd.keep_watchdog(),
            "watch": self._watch.run(self._reload_requested.set),
            **app.background(),
        }
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work, name=name) for name, work in background.items()]
            await self._stopping.wait()
            for task in tasks:
                task.cancel()

    async def reload(self) -> None:
        """Read the config anew and apply it; all or nothing.

        Raises:
            ConfigError: the new config cannot be used; the old one stays in force.
            StoppingError: the daemon is ending.
        """
        async with self._reloading:
            if self._stopping.is_set():
                raise StoppingError
            app = self.app
            systemd.reloading()
            try:
                # Everything that can fail comes before the first live part is touched.
                usable = await asyncio.to_thread(load_everything, self._file)
                config = usable.loaded.config
            except ConfigError as error:
                app.own_metrics.reloaded(time.time(), ok=False)
                problems = str(error).splitlines()
                log.warning("the config was not reloaded, the old one stays", problems=problems)
                raise
            else:
                configure_logs(config.log)
                if config.state.path != app.journal.path:
                    log.warning("a new state.path is for the next start; the old one stays")
                self._watch_files(usable)
                app.listeners.apply_config(config.web.listen, usable.web)
                await app.apply_config(usable)
                log.info("config reloaded", hosts=len(app.store))
            finally:
                systemd.notify("READY=1")

    async def _reload_on_request(self) -> None:
        """Reload at SIGHUP and when a watched file changed."""
        while True:
            await self._reload_requested.wait()
            self._reload_requested.clear()
            try:
                await self.reload()
            except (ConfigError, StoppingError):
                pass  # logged, and the old config stays
            except Exception:
                # A bug in a reload must not end a daemon that does its work by the old config.
                self.app.own_metrics.reloaded(time.time(), ok=False)
                log.exception("the reload failed by a bug in the exporter")

    def _watch_files(self, usable: Usable) -> None:
        self._watch.set_targets(files=usable.web.files, globs=usable.hosts_globs)

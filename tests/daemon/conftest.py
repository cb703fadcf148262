"""A whole daemon over stand-in panels, in the test's own event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from exporter.config.errors import ConfigError
from exporter.daemon import Daemon
from exporter.web.server.sockets import ListenError

Labels = frozenset[tuple[str, str]]


def series(text: str) -> dict[tuple[str, Labels], float]:
    """Every sample of an exposition by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@dataclass(slots=True)
class RunningDaemon:
    """A daemon that listens, and a client for it."""

    daemon: Daemon
    file: Path
    url: str
    session: aiohttp.ClientSession
    task: asyncio.Task[None]

    async def get(
        self, path: str, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> str:
        async with self.session.get(self.url + path, headers=headers) as response:
            text = await response.text()
            assert response.status == status, f"{path}: {response.status} {text}"
            return text

    async def post(self, path: str, status: int = 200) -> str:
        async with self.session.post(self.url + path) as response:
            assert response.status == status
            return await response.text()

    async def value(self, metric: str, **labels: str) -> float | None:
        """One sample of /metrics; None when it is not there."""
        samples = series(await self.get("/metrics"))
        return samples.get((f"brainycp_{metric}", frozenset(labels.items())))

    async def poll(self, host: str) -> dict[tuple[str, Labels], float]:
        """Poll a host now; its samples."""
        return series(await self.get(f"/probe?target={host}"))

    def write(self, config: Mapping[str, Any]) -> None:
        write_config(self.file, config)


def write_config(file: Path, config: Mapping[str, Any]) -> None:
    """Write a config whose daemon listens on a free port, unless it says otherwise."""
    hosts = with_shared_panels(config.get("hosts", []))
    more = {"hosts": hosts} if "hosts" in config else {}
    file.write_text(yaml.safe_dump({"web": {"listen": "127.0.0.1:0"}, **config, **more}))


def with_shared_panels(hosts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Hosts that name the host whose panel they share, as a config must."""
    first_of: dict[Any, Any] = {}
    shared = [{**host} for host in hosts]
    for host in shared:
        first = first_of.setdefault(host.get("url"), host["name"])
        if first != host["name"]:
            host.setdefault("shares_panel_with", first)
    return shared


def host(name: str, url: str, **keys: Any) -> dict[str, Any]:
    """A host's config for a stand-in panel's default login."""
    return {"name": name, "url": url, "username": "monitor", "password": "stand-in", **keys}


class StartDaemon(Protocol):
    """Run a daemon over a config; it is ended with the test. `clock` is that of its alerting."""

    async def __call__(
        self, config: Mapping[str, Any], *, clock: Callable[[], float] = time.time
    ) -> RunningDaemon: ...


@pytest.fixture
async def start_daemon(tmp_path: Path) -> AsyncIterator[StartDaemon]:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def start(
            config: Mapping[str, Any], *, clock: Callable[[], float] = time.time
        ) -> RunningDaemon:
            file = tmp_path / "config.yaml"
            write_config(file, config)
            listening: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
            daemon = Daemon(file, on_listening=listening.set_result, clock=clock)
            task = asyncio.create_task(daemon.run())
            stack.push_async_callback(end, daemon, task)
            waited: list[asyncio.Future[Any]] = [task, listening]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
            return RunningDaemon(daemon, file, listening.result()[0], session, task)

        async def end(daemon: Daemon, task: asyncio.Task[None]) -> None:
            daemon.stop()
            await asyncio.wait([task], timeout=30)
            assert task.done(), "the daemon did not end"
            if not task.cancelled() and not isinstance(
                task.exception(), ConfigError | ListenError | None
            ):
                await task

        yield start


async def eventually(condition: Callable[[], Any], seconds: float = 10) -> None:
    """Wait until an (async) condition holds; for what the daemon does on its own timer."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - it happens in another task or process
            await asyncio.sleep(0.02)

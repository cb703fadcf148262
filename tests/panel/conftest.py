from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from exporter.config.models import HostConfig, PollConfig
from exporter.panel.client import PanelPool
from tests.panel.leaks import open_sockets
from tests.panel.pki import Pki
from tests.panel.servers import Behaviour, RawPanel, ServeRaw


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Everything here holds on both loops: TLS sessions and aborts are done by them."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
async def _nothing_leaks() -> AsyncIterator[None]:
    before = open_sockets()
    yield
    for _ in range(200):
        if open_sockets() <= before and len(asyncio.all_tasks()) == 1:
            return
        await asyncio.sleep(0.005)  # closing takes the loop some rounds
    assert open_sockets() <= before
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def serve() -> AsyncIterator[ServeRaw]:
    panels: list[RawPanel] = []

    async def start(behave: Behaviour, **options: Any) -> RawPanel:
        panel = RawPanel(behave)
        await panel.start(**options)
        panels.append(panel)
        return panel

    yield start
    for panel in panels:
        await panel.stop()


@pytest.fixture
async def pool(_nothing_leaks: None) -> AsyncIterator[PanelPool]:
    """A pool whose requests may take two seconds: all but what hangs takes less, always."""
    async with PanelPool(PollConfig(timeout="2s", max_response="64KiB")) as pool:
        yield pool


def shorten_what_hangs(pool: PanelPool) -> None:
    """Wait for one second, not two, where the time will be up for certain."""
    pool.update(pool.poll.model_copy(update={"timeout": 1.0}))


SECRET = "hunter2-Пароль/&"
BASIC_SECRET = "basic:secret+1"


@pytest.fixture
def host() -> Callable[..., HostConfig]:
    """The config of a panel, given its server."""

    def make(panel: RawPanel, **keys: Any) -> HostConfig:
        keys = {"name": "mx1", "url": panel.url, "username": "monitor", "password": SECRET} | keys
        return HostConfig(**keys)

    return make


@pytest.fixture
def ca_file(pki: Pki) -> Path:
    return pki.ca_file

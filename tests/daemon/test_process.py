"""The daemon as a process: signals, systemd's messages, exit codes, what it leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from exporter.standin.memory import MemoryQueue
from exporter.standin.panel import PanelOptions
from exporter.standin.traffic import CALM
from tests.daemon.conftest import eventually, host
from tests.fixtures.standin import PanelServer, ServePanel


class Process:
    """`brainycp-exporter run` with systemd's socket listened on."""

    def __init__(self, process: asyncio.subprocess.Process, manager: socket.socket) -> None:
        self.process = process
        self._manager = manager

    async def states(self) -> list[str]:
        """The next message to systemd, by its lines."""
        receive = asyncio.to_thread(self._manager.recv, 4096)
        return (await receive).decode().splitlines()

    async def wait_for(self, state: str) -> None:
        """Until systemd was told `state`; the watchdog's messages are passed over."""
        while (states := await self.states()) != [state]:
            assert states == ["WATCHDOG=1"], states

    async def end(self, number: int = signal.SIGTERM) -> tuple[int, list[dict[str, Any]]]:
        """Signal it; its exit code and its log."""
        self.process.send_signal(number)
        _, log = await asyncio.wait_for(self.process.communicate(), 20)
        assert self.process.returncode is not None
        return self.process.returncode, [json.loads(line) for line in log.splitlines()]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(20)
        yield channel


@pytest.fixture
async def panel(serve_panel: ServePanel) -> PanelServer:
    return await serve_panel(MemoryQueue(CALM), PanelOptions(password="correct-battery"))


@pytest.fixture
async def process(
    tmp_path: Path, manager: socket.socket, panel: PanelServer
) -> AsyncIterator[Process]:
    file = tmp_path / "config.yaml"
    config = {
        "hosts": [host("mx1", panel.url, password="correct-battery")],
        "poll": {"interval": "200ms", "timeout": "200ms"},
        "web": {"listen": "127.0.0.1:0"},
        "log": {"format": "json"},
    }
    file.write_text(yaml.safe_dump(config))
    file.chmod(0o600)
    environment = os.environ | {
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "200000",
    }
    command = [sys.executable, "-m", "exporter", "run", "--config", str(file)]
    started = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    running = Process(started, manager)
    await running.wait_for("READY=1")
    yield running
    if started.returncode is None:
        started.kill()
        await started.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_well_when_asked(process: Process, number: int) -> None:
    children = psutil.Process(process.process.pid).children(recursive=True)
    code, log = await process.end(number)
    assert code == 0
    await process.wait_for("STOPPING=1")
    assert [line["event"] for line in log][-1] == "stopped"
    assert [child for child in children if child.is_running()] == []


async def test_sighup_reloads(process: Process, tmp_path: Path, panel: PanelServer) -> None:
    file = tmp_path / "config.yaml"
    config = yaml.safe_load(file.read_text())
    more = {"password": "correct-battery", "shares_panel_with": "mx1"}
    config["hosts"].append(host("mx2", panel.url, **more))
    file.write_text(yaml.safe_dump(config))
    process.process.send_signal(signal.SIGHUP)
    while (states := await process.states())[0] != "RELOADING=1":
        assert states == ["WATCHDOG=1"]
    assert states[1].startswith("MONOTONIC_USEC=")
    await process.wait_for("READY=1")
    _, log = await process.end()
    (reloaded,) = [line for line in log if line["event"] == "config reloaded"]
    assert reloaded["hosts"] == 2


async def test_a_reload_that_fails_is_told_and_the_daemon_goes_on(
    process: Process, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text("hosts: 5\n")
    process.process.send_signal(signal.SIGHUP)
    while (states := await process.states())[0] != "RELOADING=1":
        assert states == ["WATCHDOG=1"]
    await process.wait_for("READY=1")
    code, log = await process.end()
    assert code == 0
    (told,) = [line for line in log if "not reloaded" in line["event"]]
    assert any("hosts: must be a list" in problem for problem in told["problems"])


async def test_the_watchdog_is_fed(process: Process) -> None:
    for _ in range(3):
        assert await process.states() == ["WATCHDOG=1"]


async def test_polls_are_not_logged_and_secrets_never(process: Process, panel: PanelServer) -> None:
    async def polled() -> bool:
        return len(panel.panel.requests) >= 16

    await eventually(polled)
    command_line = Path(f"/proc/{process.process.pid}/cmdline").read_bytes()
    _, log = await process.end()
    text = json.dumps(log)
    assert "correct-battery" not in text + command_line.decode()
    events = [line["event"] for line in log]
    assert events[events.index("listening") :] == [
        "listening", "first poll was good", "stopping", "stopped",
    ]  # fmt: skip

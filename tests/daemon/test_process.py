"""The daemon as a process: signals, systemd's messages, exit codes, what it leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
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


class Manager:
    """systemd's end of the socket: takes every message as it comes.

    A socket that nobody reads is full after ten, and the eleventh is lost or waited for.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._messages: asyncio.Queue[list[str]] = asyncio.Queue()

    def take(self) -> None:
        self._messages.put_nowait(self._channel.recv(4096).decode().splitlines())

    async def states(self) -> list[str]:
        """The next message, by its lines."""
        async with asyncio.timeout(20):
            return await self._messages.get()

    async def wait_for(self, state: str) -> None:
        """Until `state` comes; the watchdog's messages are passed over."""
        while (states := await self.states()) != [state]:
            assert states == ["WATCHDOG=1"], states

    async def wait_for_reload(self) -> None:
        """Until a reload begins and ends."""
        while (states := await self.states())[0] != "RELOADING=1":
            assert states == ["WATCHDOG=1"]
        assert states[1].startswith("MONOTONIC_USEC=")
        await self.wait_for("READY=1")


@dataclass(frozen=True, slots=True)
class Process:
    """`brainycp-exporter run` with systemd's socket listened on."""

    process: asyncio.subprocess.Process
    manager: Manager

    async def end(self, number: int = signal.SIGTERM) -> tuple[int, list[dict[str, Any]]]:
        """Signal it; its exit code and its log."""
        self.process.send_signal(number)
        _, log = await asyncio.wait_for(self.process.communicate(), 20)
        assert self.process.returncode is not None
        return self.process.returncode, [json.loads(line) for line in log.splitlines()]


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        listening = Manager(channel)
        asyncio.get_running_loop().add_reader(channel, listening.take)
        yield listening
        asyncio.get_running_loop().remove_reader(channel)


@pytest.fixture
async def panel(serve_panel: ServePanel) -> PanelServer:
    return await serve_panel(MemoryQueue(CALM), PanelOptions(password="correct-battery"))


@pytest.fixture
async def process(tmp_path: Path, manager: Manager, panel: PanelServer) -> AsyncIterator[Process]:
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
    # Executed and not forked: its name in the list of processes is looked at.
    command = [sys.executable, "-X", "utf8", "-m", "exporter", "run", "--config", str(file)]
    started = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    running = Process(started, manager)
    await manager.wait_for("READY=1")
    yield running
    if started.returncode is None:
        started.kill()
        await started.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_feeds_the_watchdog_and_ends_well_when_asked(
    process: Process, number: int
) -> None:
    for _ in range(3):
        assert await process.manager.states() == ["WATCHDOG=1"]
    children = psutil.Process(process.process.pid).children(recursive=True)
    code, log = await process.end(number)
    assert code == 0
    await process.manager.wait_for("STOPPING=1")
    assert [line["event"] for line in log][-1] == "stopped"
    assert [child for child in children if child.is_running()] == []


@pytest.mark.slow
async def test_sighup_reloads_and_after_one_that_fails_the_daemon_goes_on(
    process: Process, tmp_path: Path, panel: PanelServer
) -> None:
    file = tmp_path / "config.yaml"
    config = yaml.safe_load(file.read_text())
    file.write_text("hosts: 5\n")
    process.process.send_signal(signal.SIGHUP)
    await process.manager.wait_for_reload()
    more = {"password": "correct-battery", "shares_panel_with": "mx1"}
    config["hosts"].append(host("mx2", panel.url, **more))
    file.write_text(yaml.safe_dump(config))
    process.process.send_signal(signal.SIGHUP)
    await process.manager.wait_for_reload()
    code, log = await process.end()
    assert code == 0
    (failed,) = [line for line in log if "not reloaded" in line["event"]]
    assert any("hosts: must be a list" in problem for problem in failed["problems"])
    (reloaded,) = [line for line in log if line["event"] == "config reloaded"]
    assert reloaded["hosts"] == 2


@pytest.mark.slow
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

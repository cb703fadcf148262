"""What systemd hears, on a real datagram socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter import systemd


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        path = tmp_path / "notify"
        channel.bind(str(path))
        channel.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield channel


def test_states_arrive_together(manager: socket.socket) -> None:
    systemd.notify("READY=1", "STATUS=x")
    assert manager.recv(1000) == b"READY=1\nSTATUS=x"


def test_a_reload_names_its_time(manager: socket.socket) -> None:
    systemd.reloading()
    first, second = manager.recv(1000).split(b"\n")
    assert first == b"RELOADING=1"
    assert int(second.removeprefix(b"MONOTONIC_USEC=")) > 0


def test_an_abstract_socket_is_meant_by_an_at_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"brainycp-exporter-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("\0" + name)
        channel.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        systemd.notify("READY=1")
        assert channel.recv(1000) == b"READY=1"


def test_a_manager_that_is_gone_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent/notify")
    systemd.notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    systemd.notify("READY=1")


async def test_the_watchdog_is_fed(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    feeding = asyncio.create_task(systemd.keep_watchdog())
    for _ in range(3):
        assert await asyncio.to_thread(manager.recv, 1000) == b"WATCHDOG=1"
    feeding.cancel()


async def test_a_manager_that_reads_nothing_does_not_stop_the_event_loop(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    most = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(systemd.keep_watchdog(), 0.003 * (most + 50))
    assert manager.recv(1000) == b"WATCHDOG=1"


@pytest.mark.parametrize(("usec", "pid"), [("", ""), ("20000", "1")])
async def test_no_watchdog_is_fed_that_is_not_ours(
    usec: str, pid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        if value:
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name, raising=False)
    await systemd.keep_watchdog()  # returns at once

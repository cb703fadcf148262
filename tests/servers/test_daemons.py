from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from tests.servers.daemons import (
    PING_TIMEOUT,
    Daemon,
    RealServices,
    clamd_ping,
    clamd_tcp_ping,
    spamd_ping,
)

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


async def never() -> bool:
    return False


async def always() -> bool:
    return True


async def test_a_real_clamd_starts_stops_and_hangs(clamd: Daemon) -> None:
    await starts_stops_and_hangs(clamd)


async def test_a_real_spamd_starts_stops_and_hangs(spamd: Daemon) -> None:
    await starts_stops_and_hangs(spamd)


async def starts_stops_and_hangs(daemon: Daemon) -> None:
    services = RealServices({"service": daemon})
    assert await services.running("service")

    daemon.suspend()
    before = time.monotonic()
    assert not await services.running("service")
    assert time.monotonic() - before < PING_TIMEOUT + 1
    daemon.resume()
    assert await services.running("service")

    assert not await services.switch("service", on=False)
    assert not await services.running("service")
    assert await services.switch("service", on=True)
    assert await services.running("service")
    daemon.suspend()  # and so it is left: the end of the fixture must not wait for it


async def test_clamd_answers_on_tcp_too(tmp_path: Path) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = b"PONG\0" if await reader.readuntil(b"\0") == b"zPING\0" else b"UNKNOWN\0"
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(play, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await clamd_tcp_ping("127.0.0.1", port)()
        assert not await spamd_ping("127.0.0.1", port)()
    assert not await clamd_tcp_ping("127.0.0.1", port)()
    assert not await clamd_ping(tmp_path / "absent")()


async def test_a_daemon_that_dies_at_once_does_not_run() -> None:
    async with Daemon([sys.executable, "-c", ""], never) as daemon:
        assert not await daemon.running()


async def test_a_daemon_that_never_answers_is_not_waited_for_for_ever() -> None:
    before = time.monotonic()
    async with Daemon(SLEEPER, never, start_timeout=0.2) as daemon:
        assert not await daemon.running()
    assert time.monotonic() - before < 5


async def test_starting_twice_and_stopping_twice_are_harmless() -> None:
    daemon = Daemon(SLEEPER, always)
    daemon.suspend()
    daemon.resume()
    await daemon.start()
    first = daemon.process
    await daemon.start()
    assert daemon.process is first
    await daemon.stop()
    await daemon.stop()
    assert first is not None
    assert first.returncode is not None


async def test_a_cancelled_start_leaves_no_process() -> None:
    begun = asyncio.Event()

    async def ping() -> bool:
        begun.set()
        return False

    daemon = Daemon(SLEEPER, ping)
    task = asyncio.create_task(daemon.start())
    await begun.wait()
    process = daemon.process
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert process is not None
    assert process.returncode is not None


async def test_a_daemon_that_ignores_sigterm_is_killed() -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    daemon = Daemon([sys.executable, "-c", stubborn], never, start_timeout=0.5)
    await daemon.start()
    process = daemon.process
    await daemon.stop()
    assert process is not None
    assert process.returncode == -9

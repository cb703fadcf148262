"""Panels that accept and never answer take nothing from those that do."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bench.silent_panels import KINDS
from tests.daemon.conftest import RunningDaemon, StartDaemon, host

INTERVAL = 3.0
SLACK = 1.5
"""Seconds that a busy machine may take over a round of polls."""
LIVE = 120
SILENT = 120


@pytest.fixture
async def port() -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.silent_panels",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    yield int(await process.stdout.readline())
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()


def fleet(port: int, **poll: Any) -> dict[str, Any]:
    """A config with one live host after each silent one."""
    hosts = []
    for number in range(max(LIVE, SILENT)):
        kind = KINDS[number % len(KINDS)]
        for what in (kind, "live"):
            url = f"http://127.0.0.1:{port}/{what}/{number}/api.php"
            hosts.append(host(f"{what}{number}", url, collectors=["queue"]))
    return {
        "poll": {"interval": f"{INTERVAL}s", "timeout": f"{INTERVAL}s", "concurrency": 32, **poll},
        "hosts": hosts,
        "log": {"level": "error"},
    }


async def ages(running: RunningDaemon) -> list[float]:
    """How old the data of each live host is; infinity where there is none."""
    now, found = time.time(), []
    for view in json.loads(await running.get("/api/v1/hosts")):
        if view["host"].startswith("live"):
            success = view["collectors"].get("queue", {}).get("last_success")
            found.append(float("inf") if success is None else now - success)
    assert len(found) == LIVE
    return found


@pytest.mark.slow
async def test_live_hosts_are_fresh_within_their_interval(
    start_daemon: StartDaemon, port: int
) -> None:
    running = await start_daemon(fleet(port))
    await asyncio.sleep(1.1 * INTERVAL)  # the fleet's first polls are spread over an interval
    oldest = 0.0
    ends = time.monotonic() + 1.5 * INTERVAL
    while time.monotonic() < ends:
        oldest = max(oldest, *(await ages(running)))
        await asyncio.sleep(0.5)
    assert oldest <= INTERVAL + SLACK
    # The silent ones are reported as what they are, and are asked again.
    for kind in KINDS:
        assert await running.value("up", host=f"{kind}{KINDS.index(kind)}") == 0.0
        labels = {"host": f"{kind}{KINDS.index(kind)}", "collector": "queue", "reason": "timeout"}
        assert await running.value("collector_errors_total", **labels) >= 1.0  # type: ignore[operator]

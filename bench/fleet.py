"""A thousand hosts over https whose calls take 2.5 s, polled once a minute."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import uvloop
import yaml

from bench.processes import cpu_seconds, free_port, get, running, standin, wait_for
from bench.timing import Result
from exporter.daemon import Daemon

HOSTS = 1000
INTERVAL = 60.0
DELAY = 2.5
LAG_STEP = 0.01
MINUTES = 2
"""Measured after the first minute."""


def measure() -> list[Result]:
    """Freshness, share of a core, memory and event-loop lag."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        hosts = stack.enter_context(standin(HOSTS, folder, "--tls", "--delay", str(DELAY)))
        port = free_port()
        config = folder / "config.yaml"
        settings = {"web": {"listen": f"127.0.0.1:{port}"}, "log": {"level": "error"}}
        config.write_text(yaml.safe_dump(yaml.safe_load(hosts) | settings))
        lags = folder / "lags.json"
        process = stack.enter_context(
            running(sys.executable, "-m", "bench.fleet", str(config), str(lags))
        )
        wait_for(port, "/-/ready", seconds=2 * INTERVAL)
        time.sleep(INTERVAL)
        watched = psutil.Process(process.pid)
        cpu, started, oldest, rss = cpu_seconds(watched), time.monotonic(), 0.0, 0
        while time.monotonic() - started < MINUTES * INTERVAL:
            time.sleep(5)
            oldest = max(oldest, _oldest(port))
            rss = max(rss, watched.memory_info().rss)
        share = (cpu_seconds(watched) - cpu) / (time.monotonic() - started)
        process.terminate()
        process.wait()
        lag = json.loads(lags.read_text())
    what = f"{HOSTS:,} hosts, https, {DELAY} s a call"
    return [
        Result(
            f"{what}: oldest data of any host, intervals",
            f"{oldest:.1f} s",
            f"{INTERVAL:g} s",
            oldest / INTERVAL,
            1.1,
        ),
        Result(
            f"{what}: event-loop lag p99",
            f"{lag['p99'] * 1000:.1f} ms",
            "25 ms",
            lag["p99"] / 0.025,
            1.0,
        ),
        Result(f"{what}: share of one core", f"{share:.1%}", "-", None, None),
        Result(f"{what}: RSS", f"{rss / 2**20:.0f} MiB", "-", None, None),
    ]


def _oldest(port: int) -> float:
    """Age in seconds of the oldest good queue result of any host."""
    now = time.time()
    views = json.loads(get(port, "/api/v1/hosts"))
    return now - min(float(view["collectors"]["queue"]["last_success"]) for view in views)


async def _daemon(config: Path, lags: Path) -> None:
    """The daemon, with a task beside it that notes how late the event loop wakes it."""
    late: list[float] = []

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(INTERVAL)
        while True:
            due = loop.time() + LAG_STEP
            await asyncio.sleep(LAG_STEP)
            late.append(loop.time() - due)

    watching = asyncio.create_task(watch())
    await Daemon(config).run()
    watching.cancel()
    late.sort()
    outcome = {"p99": late[int(len(late) * 0.99)], "max": late[-1]}
    await asyncio.to_thread(lags.write_text, json.dumps(outcome))


if __name__ == "__main__":
    uvloop.run(_daemon(Path(sys.argv[1]), Path(sys.argv[2])))

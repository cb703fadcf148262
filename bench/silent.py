"""A fleet of which half accepts and never answers: how fresh the data of the other half is.

Everything is an interval of a minute, its 30 s of patience and a thousand hosts, ten times quicker
and a fifth as many, so that it takes a minute.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from bench.processes import free_port, get, running, wait_for
from bench.timing import Result

HOSTS = 200
INTERVAL = 6.0
TIMEOUT = 3.0
CONCURRENCY = 51
"""A fifth of the default."""
INTERVALS = 6


def measure() -> list[Result]:
    """The oldest data of any host that answers, from the second interval on."""
    with tempfile.TemporaryDirectory() as name, _panels() as panels:
        port = free_port()
        config = Path(name) / "config.yaml"
        config.write_text(yaml.safe_dump(_config(panels, port)))
        with running(sys.executable, "-m", "exporter", "run", "--config", str(config)):
            wait_for(port, "/-/healthy")
            started, oldest = time.monotonic(), 0.0
            time.sleep(1.1 * INTERVAL)
            while time.monotonic() - started < INTERVALS * INTERVAL:
                oldest = max(oldest, _oldest(port))
                time.sleep(0.3)
    return [
        Result(
            f"{HOSTS} hosts, half of them silent: oldest data of a live one, intervals",
            f"{oldest:.1f} s",
            f"{INTERVAL:g} s",
            oldest / INTERVAL,
            1.1,
        )
    ]


def _config(panels: int, port: int) -> dict[str, object]:
    hosts = [
        {
            "name": f"{kind}{number}",
            "url": f"http://127.0.0.1:{panels}/{kind}/{number}/api.php",
            "username": "u",
            "password": "p",
            "collectors": ["queue"],
        }
        for number in range(HOSTS // 2)
        for kind in ("silent", "live")
    ]
    poll = {
        "interval": f"{INTERVAL:g}s",
        "timeout": f"{TIMEOUT:g}s",
        "concurrency": CONCURRENCY,
    }
    web = {"listen": f"127.0.0.1:{port}"}
    return {"poll": poll, "hosts": hosts, "web": web, "log": {"level": "error"}}


def _oldest(port: int) -> float:
    """Age in seconds of the oldest good queue result; far too old where there is none."""
    now = time.time()
    views = json.loads(get(port, "/api/v1/hosts"))
    return max(
        now - (view["collectors"].get("queue", {}).get("last_success") or now - 10 * INTERVAL)
        for view in views
        if view["host"].startswith("live")
    )


@contextmanager
def _panels() -> Iterator[int]:
    """The port of panels in a process of their own, which ends with its standard input."""
    command = [sys.executable, "-m", "bench.silent_panels"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.stdin.close()

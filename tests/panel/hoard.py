"""A process that asks many panels for long lists at once: `python -m tests.panel.hoard URL N`.

It prints, as JSON, how the requests ended, by how many bytes the process grew meanwhile, the most
bytes that its budget let in, and the longest that a short list took to come beside them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import uvloop

from exporter.config.models import HostConfig, PollConfig
from exporter.panel.client import PanelPool
from exporter.panel.errors import PanelError
from exporter.panel.protocol import Operation

READING = 0.15
"""Seconds that a reply is looked at, in which it is held."""


def _peak_memory() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("this system does not show a process's peak memory")


async def _read(body: bytes) -> int:
    await asyncio.sleep(READING if len(body) > 2**20 else 0.0)
    return len(body)


async def hoard(url: str, panels: int, budget: str) -> dict[str, object]:
    poll = PollConfig(timeout="2s", max_response="64MiB", response_budget=budget)
    outcomes = Counter[str]()
    shorts: list[float] = []
    before = psutil.Process().memory_info().rss
    async with PanelPool(poll) as pool:

        async def list_of(name: str, kind: str) -> None:
            host = HostConfig(name=name, url=f"{url}/{kind}/api.php", username="u", password="p")
            started = time.monotonic()
            try:
                size = await pool.client(host).call(Operation.LIST, _read)
                outcomes[f"{kind} {size}"] += 1
            except PanelError as error:
                outcomes[error.reason] += 1
            if kind == "short":
                shorts.append(time.monotonic() - started)

        for _ in range(2):  # at first nothing is known of them; then they are known to be long
            async with asyncio.TaskGroup() as tasks:
                for number in range(panels):
                    tasks.create_task(list_of(f"long{number}", "long"))
                for number in range(panels):
                    await asyncio.sleep(READING)
                    tasks.create_task(list_of(f"short{number}", "short"))
        shared = pool.budget
        return {
            "outcomes": outcomes,
            "growth": _peak_memory() - before,
            "held": shared.peak,
            "left": shared.in_use,
            "short": max(shorts),
        }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(hoard(sys.argv[1], int(sys.argv[2]), sys.argv[3]))))

"""A process that asks one panel once: `python -m tests.panel.bombed URL MAX_RESPONSE TIMEOUT`.

It prints, as JSON, how the request ended, by how many bytes the process grew meanwhile, and
the longest time in seconds for which its event loop did nothing else.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import psutil
import uvloop

from exporter.config.models import HostConfig, PollConfig
from exporter.panel.client import PanelPool
from exporter.panel.errors import PanelError
from exporter.panel.protocol import Operation


def _peak_memory() -> int:
    """Bytes; not ru_maxrss, which a process inherits from the one that started it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("this system does not show a process's peak memory")


async def _note_stalls(stalls: list[float]) -> None:
    """For how long each turn of the loop kept this thread busy; other processes do not count."""
    while True:
        started = time.thread_time()
        await asyncio.sleep(0.001)
        stalls.append(time.thread_time() - started)


async def ask(url: str, max_response: str, patience: str) -> dict[str, object]:
    host = HostConfig(name="bomb", url=url, username="u", password="p")
    stalls: list[float] = []
    watching = asyncio.create_task(_note_stalls(stalls))
    before = psutil.Process().memory_info().rss
    async with PanelPool(PollConfig(timeout=patience, max_response=max_response)) as pool:
        try:
            await pool.client(host).request(Operation.LIST)
            outcome = "ok"
        except PanelError as error:
            outcome = error.reason
    watching.cancel()
    peak = _peak_memory()
    return {"outcome": outcome, "growth": peak - before, "stall": max(stalls, default=0.0)}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(ask(*sys.argv[1:]))))

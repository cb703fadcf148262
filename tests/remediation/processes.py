"""The daemon as a process of its own, to be killed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.daemon.conftest import series, write_config


@dataclass(slots=True)
class Exporter:
    """`brainycp-exporter run`, which listens."""

    process: asyncio.subprocess.Process
    url: str
    log: list[dict[str, Any]]
    session: aiohttp.ClientSession
    reader: asyncio.Task[None] = field(repr=False)

    async def kill(self) -> None:
        """End it at once, as a power cut does."""
        self.process.kill()
        await self.process.wait()
        await self.reader

    async def get(self, path: str) -> str:
        async with self.session.get(self.url + path) as response:
            assert response.status == 200, await response.text()
            return await response.text()

    async def poll(self, host: str = "mx1") -> None:
        await self.get(f"/probe?target={host}")

    async def value(self, metric: str, **labels: str) -> float | None:
        """One sample of /metrics; None when it is not there."""
        samples = series(await self.get("/metrics"))
        return samples.get((f"brainycp_remediation_{metric}", frozenset(labels.items())))

    async def actions(self) -> dict[str, float]:
        """Actions by outcome, whatever the rule."""
        return {
            dict(labels)["outcome"]: value
            for (name, labels), value in series(await self.get("/metrics")).items()
            if name == "brainycp_remediation_actions_total"
        }


@asynccontextmanager
async def exporter(
    folder: Path, config: Mapping[str, Any], *, patient: bool = True
) -> AsyncIterator[Exporter]:
    """Run one over a config; what is left of it at the end is killed.

    Unless `patient` it waits for what is in flight only for a moment once it is to end.
    """
    file = folder / "config.yaml"
    write_config(file, {**config, "log": {"format": "json"}})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter" if patient else "tests.remediation.impatient"),
        *("run", "--config", str(file)),
        env=os.environ,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    log: list[dict[str, Any]] = []
    listening = asyncio.Event()

    async def read(lines: asyncio.StreamReader) -> None:
        async for line in lines:
            log.append(json.loads(line))
            if log[-1]["event"] == "listening":
                listening.set()

    reader = asyncio.create_task(read(process.stderr))
    try:
        async with asyncio.timeout(30):
            await listening.wait()
        (url,) = next(line["urls"] for line in log if line["event"] == "listening")
        async with aiohttp.ClientSession() as session:
            yield Exporter(process, url, log, session, reader)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reader

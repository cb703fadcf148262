"""A real Prometheus scrapes /metrics and, through /sd and relabelling, /probe."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.standin.memory import MemoryQueue
from exporter.standin.traffic import STORM
from tests.daemon.conftest import RunningDaemon, StartDaemon, eventually, host
from tests.fixtures.prometheus import Prometheus, prometheus_with
from tests.fixtures.standin import ServePanel

README = Path(__file__).parents[2] / "README.md"


def documented_jobs() -> list[dict[str, Any]]:
    """The scrape configs that the README shows, as they stand there."""
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    blocks += re.findall(r"   ```yaml\n(.*?)   ```", README.read_text(), re.DOTALL)
    jobs: dict[str, dict[str, Any]] = {}
    for block in blocks:
        parsed = yaml.safe_load(block)
        for job in parsed.get("scrape_configs", []) if isinstance(parsed, dict) else []:
            jobs[job["job_name"]] = job
    return list(jobs.values())


@pytest.fixture
async def running(
    start_daemon: StartDaemon, serve_panel: ServePanel, unused_url: str
) -> RunningDaemon:
    panel = await serve_panel(MemoryQueue(STORM))
    return await start_daemon(
        {"hosts": [host("mx1", panel.url, labels={"dc": "msk1"}), host("mx2", unused_url)]}
    )


@pytest.fixture
async def prometheus(running: RunningDaemon, tmp_path: Path) -> AsyncIterator[Prometheus]:
    jobs = json.loads(
        json.dumps(documented_jobs()).replace("127.0.0.1:9897", running.url.split("/")[2])
    )
    for job in jobs:  # as documented, but quicker
        job |= {"scrape_interval": "2s", "scrape_timeout": "2s"}
    async with prometheus_with({"scrape_configs": jobs}, tmp_path) as started:
        yield started


async def test_the_documented_scrape_configs_bring_the_series(
    running: RunningDaemon, prometheus: Prometheus
) -> None:
    async def scraped() -> bool:
        fleet = await prometheus.query('brainycp_up{job="brainycp"}')
        probed = await prometheus.query('brainycp_queue_messages{job="brainycp-hosts"}')
        targets = await prometheus.one("count(up == 1)")
        return len(fleet) == 2 and len(probed) == 1 and targets == 3

    await eventually(scraped, seconds=60)
    assert await prometheus.one('brainycp_up{job="brainycp",host="mx1"}') == 1
    assert await prometheus.one('brainycp_up{job="brainycp",host="mx2"}') == 0
    frozen = await running.value("queue_frozen_messages", host="mx1")
    assert frozen
    name = 'brainycp_queue_frozen_messages{host="mx1",job="%s"}'
    assert await prometheus.one(name % "brainycp") == frozen
    assert await prometheus.one(name % "brainycp-hosts") == frozen
    quantile = "histogram_quantile(0.5, brainycp_queue_message_age_seconds_bucket{job='brainycp'})"
    assert (await prometheus.one(quantile) or 0) > 3600
    # Each host is a target of its own, with its labels, and `instance` is its name.
    (target,) = await prometheus.query('brainycp_up{job="brainycp-hosts",instance="mx1"}')
    assert target["metric"]["dc"] == "msk1"


@pytest.mark.usefixtures("promtool")
def test_promtool_accepts_the_documented_configs(tmp_path: Path) -> None:
    import subprocess

    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump({"scrape_configs": documented_jobs()}))
    assert len(documented_jobs()) == 2
    done = subprocess.run(
        ["promtool", "check", "config", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

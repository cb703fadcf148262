"""A real Prometheus that scrapes the daemon over a demo fleet, in both documented ways."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from exporter.cli.demo import demo_config
from exporter.standin.fleet import DemoFleet
from exporter.standin.panel import Answer, Panel, RecordedRequest, serving
from tests.daemon.conftest import RunningDaemon
from tests.daemon.test_prometheus import documented_jobs

SHIPPED_PROBE = Path(__file__).parents[2] / "dashboards" / "prometheus" / "scrape-probe.yaml"

JOB = "brainycp"
"""Scrapes /metrics."""
PROBE_JOB = "brainycp-hosts"
"""Scrapes /probe, each host by itself, found through /sd."""
OWN_JOB = "brainycp-own"
"""Scrapes /metrics beside the probes, as the shipped config has it: nothing of the hosts' own."""

RULES = {
    "groups": [
        {
            "name": "tests",
            "rules": [
                {"alert": "HostDown", "expr": "brainycp_up == 0", "labels": {"severity": "x"}},
                {"alert": "NoHost", "expr": f'count by (job) (up{{job="{JOB}"}}) > 0'},
                {"alert": "NotOurs", "expr": 'label_replace(vector(1), "job", "other", "", "")'},
            ],
        }
    ]
}


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Asked by its API."""

    url: str
    session: aiohttp.ClientSession

    async def ask(self, path: str, **parameters: Any) -> Any:
        """The data of an answer that is a success."""
        form = {name: str(value) for name, value in parameters.items()}
        async with self.session.post(f"{self.url}/api/v1/{path}", data=form) as response:
            answer = await response.json()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        data = await self.ask("query", query=expression)
        assert data["resultType"] == "vector", expression
        found: list[dict[str, Any]] = data["result"]
        return found

    async def query_range(self, expression: str, *, seconds: int) -> list[dict[str, Any]]:
        """The series of a query over the last seconds."""
        now = float((await self.ask("query", query="time()"))["result"][1])
        data = await self.ask("query_range", query=expression, start=now - seconds, end=now, step=1)
        found: list[dict[str, Any]] = data["result"]
        return found

    async def labels(self, selector: str, label: str) -> set[str]:
        """The values of a label of some series; without a label: the names of their labels."""
        path = f"label/{label}/values" if label else "labels"
        query = {"match[]": selector}
        async with self.session.get(f"{self.url}/api/v1/{path}", params=query) as response:
            answer = await response.json()
        assert answer["status"] == "success", (selector, label, answer)
        return set(answer["data"])


def quick_config(fleet: DemoFleet, pause_file: Path, *receivers: str) -> dict[str, Any]:
    """The demo's config, whose alerts fire within seconds and are told to the receivers' URLs.

    Its rules act within seconds once the pause file is gone.
    """
    config = copy.deepcopy(demo_config(fleet.hosts, "127.0.0.1:0"))
    config["poll"]["interval"] = "1s"
    config["remediation"]["pause_file"] = str(pause_file)
    for rule in (*config["remediation"]["rules"], *config["alerting"]["rules"]):
        rule["for"] = "1s"
    config["alerting"] |= {
        "group_wait": "1s",
        "webhooks": [{"name": f"r{n}", "url": url} for n, url in enumerate(receivers)],
    }
    return config


async def _take(_: web.Request) -> web.Response:
    return web.Response()


@asynccontextmanager
async def receiver() -> AsyncIterator[str]:
    """The URL of a webhook that takes whatever it is sent."""
    app = web.Application()
    app.router.add_post("/", _take)
    async with serving(app) as url:
        yield url


def withhold_sizes(panel: Panel) -> None:
    """Let a panel that lists objects no longer tell how large messages are."""

    async def interfere(_: RecordedRequest, answer: Answer) -> web.Response:
        response = await answer()
        assert isinstance(response.body, bytes)
        body = re.sub(rb'"size": ?"[^"]*"', b'"size": ""', response.body)
        return web.Response(body=body, content_type="text/html", charset="utf-8")

    panel.interfere = interfere


def refuse(panel: Panel) -> None:
    """Let a panel refuse every request from now on."""
    panel.options = replace(panel.options, closed=True)


@asynccontextmanager
async def scraping(folder: Path, daemon: RunningDaemon) -> AsyncIterator[Prometheus]:
    """A Prometheus that scrapes the daemon every second, as documented but quicker."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (folder / "rules.yaml").write_text(yaml.safe_dump(RULES))
    _, beside = yaml.safe_load(SHIPPED_PROBE.read_text())["scrape_configs"]
    own = beside | {"job_name": OWN_JOB}
    jobs = json.dumps([*documented_jobs(), own]).replace("127.0.0.1:9897", daemon.url.split("/")[2])
    quick = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config = {
        "global": {"evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [job | quick for job in json.loads(jobs)],
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        prometheus = Prometheus(f"http://{address}", daemon.session)
        await _ready(prometheus)
        yield prometheus
    finally:
        process.terminate()
        await process.wait()


async def _ready(prometheus: Prometheus) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                async with prometheus.session.get(f"{prometheus.url}/-/ready") as response:
                    if response.ok:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)

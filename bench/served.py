"""/metrics as a real Prometheus scrapes it: ours against prometheus-client's own exposition.

Each side runs in a process of its own over the same 5,000 hosts; one Prometheus scrapes both in
turn, and its `scrape_duration_seconds` is what counts.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from threading import Event

import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry, start_http_server

from bench.processes import free_port, get, running, wait_for
from bench.samples import Prebuilt, fleet, snapshot
from bench.timing import Result, compared
from exporter.metrics.own import OwnMetrics
from exporter.metrics.page import MetricsPage
from exporter.web.api import Served, add_routes

HOSTS = 5000
SCRAPES = 5
INTERVAL = 10
"""Seconds; prometheus-client's side needs half of it for one scrape."""


def serve_ours(port: int) -> None:
    """Our exposition, every host changed between two scrapes."""
    store = fleet(HOSTS)
    page = MetricsPage(store, OwnMetrics().registry, time.time)
    page.rebuild()
    records = list(store)
    versions = [[snapshot(r.host.name, seed) for r in records] for seed in (1, 2)]

    async def never(*_: object) -> None:
        raise AssertionError

    async def change() -> None:
        """Spread over the time between two scrapes, as polls are."""
        for version in cycle(versions):
            for position, (record, polled) in enumerate(zip(records, version, strict=True)):
                record.add(polled)
                page.refresh(record)
                if position % 50 == 0:
                    await asyncio.sleep(INTERVAL / 2 / (HOSTS / 50))

    async def main() -> None:
        app = web.Application()
        add_routes(app, Served(store, page, never, never))  # type: ignore[arg-type]  # not called
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await change()

    uvloop.run(main())


def serve_baseline(port: int) -> None:
    """The same samples by prometheus-client's own HTTP server, collected from prebuilt objects."""
    store = fleet(HOSTS)
    page = MetricsPage(store, OwnMetrics().registry, time.time)
    page.rebuild()
    text = asyncio.run(page.render(openmetrics=False, gzip=False)).decode()
    registry = CollectorRegistry()
    registry.register(Prebuilt(text))
    start_http_server(port, "127.0.0.1", registry)
    Event().wait()


def measure() -> list[Result]:
    """Median scrape durations as Prometheus tells them, one side after the other."""
    mine, theirs = (statistics.median(_durations(side)) for side in ("ours", "baseline"))
    what = f"{HOSTS:,} hosts as served to Prometheus, every host changed"
    return [compared(what, mine, theirs, 1 / 8)]


def _durations(side: str) -> list[float]:
    with ExitStack() as stack:
        port = stack.enter_context(_server(side))
        return stack.enter_context(_prometheus(port))


@contextmanager
def _server(side: str) -> Iterator[int]:
    port = free_port()
    with running(sys.executable, "-m", "bench.served", side, str(port)):
        wait_for(port, "/metrics")
        yield port


@contextmanager
def _prometheus(target: int) -> Iterator[list[float]]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "prometheus.yml")
        job = {
            "job_name": "side",
            "scrape_interval": f"{INTERVAL}s",
            "scrape_timeout": f"{INTERVAL}s",
            "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
        }
        config.write_text(json.dumps({"scrape_configs": [job]}))
        with running(
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ):
            wait_for(port, "/-/ready")
            yield _scrapes(port)


def _scrapes(port: int) -> list[float]:
    """Durations of SCRAPES scrapes, without the first, which makes every series."""
    query = urllib.parse.quote(f"scrape_duration_seconds[{INTERVAL * (SCRAPES + 5)}s]")
    deadline = time.monotonic() + INTERVAL * (SCRAPES + 4)
    while time.monotonic() < deadline:
        time.sleep(1)
        result = json.loads(get(port, f"/api/v1/query?query={query}"))["data"]["result"]
        values = [float(value) for _, value in result[0]["values"]] if result else []
        if len(values) > SCRAPES:
            return values[1:]
    raise TimeoutError("Prometheus did not scrape")


if __name__ == "__main__":
    {"ours": serve_ours, "baseline": serve_baseline}[sys.argv[1]](int(sys.argv[2]))

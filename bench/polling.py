"""CPU per panel request: the daemon against a bare aiohttp loop, and against blackbox_exporter.

All three ask the same stand-in panels over https. The panels run in a process of their own, whose
CPU time does not count.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import uvloop
import yaml

from bench.processes import cpu_seconds, free_port, get, running, standin, wait_for
from bench.timing import Result
from exporter.panel.protocol import Operation, ServiceCommand, request_fields

HOSTS = 600
RUNS = 5
WARM_UP = 3.0
WINDOW = 5.0
PROBES = 1000

_STATUS = (Operation.CLAMAV, Operation.SPAMASSASSIN)


def measure() -> list[Result]:
    """The two ratios, each of medians over RUNS runs in turn."""
    return [_against_bare(), _against_blackbox()]


def _against_bare() -> Result:
    with (
        tempfile.TemporaryDirectory() as name,
        standin(HOSTS, Path(name), "--tls", "--calm") as hosts,
    ):
        config = _config(Path(name), hosts, "1s")
        pairs = [(_daemon(config), _bare(config, 1.0)) for _ in range(RUNS)]
    mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    what = f"CPU per 1,000 requests, {HOSTS} calm hosts, https: against a bare aiohttp loop"
    return Result(what, f"{mine:.3f} s", f"{theirs:.3f} s", mine / theirs, 1.3)


def _against_blackbox() -> Result:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        hosts = stack.enter_context(standin(HOSTS, folder, "--tls", "--calm"))
        config = _config(folder, hosts, "1s")
        pairs = [(_daemon(config), _blackbox(folder, config)) for _ in range(RUNS)]
    mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    what = "CPU per 1,000 requests, https kept alive: against blackbox_exporter's probes"
    return Result(what, f"{mine:.3f} s", f"{theirs:.3f} s", mine / theirs, 1 / 3)


def _config(folder: Path, hosts: str, interval: str) -> Path:
    config = yaml.safe_load(hosts) | {"poll": {"interval": interval}, "log": {"level": "error"}}
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def _daemon(config: Path) -> float:
    """CPU seconds of the whole daemon per 1,000 requests, by its own count of them."""
    port = free_port()
    text = yaml.safe_load(config.read_text()) | {"web": {"listen": f"127.0.0.1:{port}"}}
    file = config.with_name("daemon.yaml")
    file.write_text(yaml.safe_dump(text))
    with running(sys.executable, "-m", "exporter", "run", "--config", str(file)) as process:
        wait_for(port, "/-/ready")
        time.sleep(WARM_UP)
        watched = psutil.Process(process.pid)
        requests, cpu = _requests(port), cpu_seconds(watched)
        time.sleep(WINDOW)
        requests, cpu = _requests(port) - requests, cpu_seconds(watched) - cpu
    return cpu / requests * 1000


def _requests(port: int) -> float:
    page = get(port, "/metrics").decode()
    found = re.findall(
        r'^brainycp_api_requests_total\{.*outcome="(\w+)"\} (\S+)$', page, re.MULTILINE
    )
    if any(outcome != "ok" for outcome, _ in found):
        raise RuntimeError(f"requests failed: {found}")
    return sum(float(count) for _, count in found)


def _bare(config: Path, interval: float) -> float:
    """CPU seconds of a bare aiohttp loop per 1,000 requests at the same pace."""
    command = [sys.executable, "-m", "bench.polling", str(config), str(interval)]
    output = subprocess.run(command, check=True, capture_output=True).stdout
    outcome = json.loads(output)
    return float(outcome["cpu"]) / float(outcome["requests"]) * 1000


async def _bare_loop(hosts: list[dict[str, Any]], interval: float) -> None:
    """What anyone would write: a session, and each host's four requests once an interval."""
    pin = aiohttp.Fingerprint(bytes.fromhex(hosts[0]["tls"]["fingerprint_sha256"]))
    connector = aiohttp.TCPConnector(limit=0, ssl=pin, keepalive_timeout=75)
    done = 0

    async def poll(session: aiohttp.ClientSession, host: dict[str, Any], delay: float) -> None:
        nonlocal done
        forms = [
            request_fields(
                operation,
                username=host["username"],
                password=host["password"],
                command=ServiceCommand.STATUS if operation in _STATUS else None,
            )
            for operation in (Operation.COUNT, Operation.LIST, *_STATUS)
        ]
        due = time.monotonic() + delay
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            for form in forms:
                async with session.post(host["url"], data=form) as response:
                    await response.read()
                done += 1
            due += interval

    async with aiohttp.ClientSession(connector=connector) as session:
        polls = [
            asyncio.create_task(poll(session, host, position * interval / len(hosts)))
            for position, host in enumerate(hosts)
        ]
        await asyncio.sleep(interval + WARM_UP)
        requests, cpu = done, time.process_time()
        await asyncio.sleep(WINDOW)
        outcome = {"requests": done - requests, "cpu": time.process_time() - cpu}
        for task in polls:
            task.cancel()
        await asyncio.gather(*polls, return_exceptions=True)
    sys.stdout.write(json.dumps(outcome))


def _blackbox(folder: Path, config: Path) -> float:
    """CPU seconds of prometheus-blackbox-exporter per 1,000 probes of one panel."""
    modules = folder / "blackbox.yml"
    http = {"valid_status_codes": [200], "tls_config": {"insecure_skip_verify": True}}
    modules.write_text(yaml.safe_dump({"modules": {"api": {"prober": "http", "http": http}}}))
    host = yaml.safe_load(config.read_text())["hosts"][0]
    form = request_fields(Operation.COUNT, username=host["username"], password=host["password"])
    target = f"{host['url']}?{urllib.parse.urlencode(form)}"
    path = f"/probe?module=api&target={urllib.parse.quote(target, safe='')}"
    port = free_port()
    with running(
        "prometheus-blackbox-exporter",
        f"--config.file={modules}",
        f"--web.listen-address=127.0.0.1:{port}",
    ) as process:
        wait_for(port, "/-/healthy")
        watched = psutil.Process(process.pid)
        asyncio.run(_probe(port, path, PROBES // 10))
        cpu = cpu_seconds(watched)
        asyncio.run(_probe(port, path, PROBES))
        return (cpu_seconds(watched) - cpu) / PROBES * 1000


async def _probe(port: int, path: str, count: int) -> None:
    url = f"http://127.0.0.1:{port}{path}"
    at_once = asyncio.Semaphore(8)

    async with aiohttp.ClientSession() as session:

        async def one() -> None:
            async with at_once, session.get(url) as response:
                if "probe_success 1" not in await response.text():
                    raise RuntimeError("a probe failed")

        await asyncio.gather(*(one() for _ in range(count)))


if __name__ == "__main__":
    uvloop.run(
        _bare_loop(yaml.safe_load(Path(sys.argv[1]).read_text())["hosts"], float(sys.argv[2]))
    )

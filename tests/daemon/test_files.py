"""A process that may open few files: its own trouble is reported of no host."""

from __future__ import annotations

import asyncio
import errno
import json
import resource
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import yaml

from exporter.standin.panel import serving
from tests.daemon.conftest import StartDaemon, eventually, host, series
from tests.daemon.test_polling import Scripted

LONG_LIST = {"error": 0, "detail": ["x" * 100] * 2000}


def no_file(*_: Any, **__: Any) -> Any:
    raise OSError(errno.EMFILE, "Too many open files")


@pytest.mark.slow
async def test_want_of_files_is_not_reported_as_a_host_that_is_down(
    start_daemon: StartDaemon, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    panel = Scripted(count_msg={"error": 0, "detail": 7})
    # A connection that was idle between two polls is closed.
    monkeypatch.setattr("exporter.panel.client.KEEP_ALIVE", 0.1)
    async with serving(panel.app()) as url:
        config = {
            "poll": {"interval": "1s", "timeout": "1s", "stale_after": 60},
            "hosts": [host("mx1", url, collectors=["queue"])],
        }
        running = await start_daemon(config)
        await running.poll("mx1")
        assert await running.value("up", host="mx1") == 1.0
        without = SimpleNamespace(**vars(socket) | {"socket": no_file})
        monkeypatch.setattr("exporter.panel.client.socket", without)
        await eventually(lambda: running.value("exporter_missed_polls_total"), 20)
        text = await running.get("/probe?target=mx1", status=503)
        assert "exporter has too many files open" in text
        assert await running.value("up", host="mx1") == 1.0
        assert await running.value("queue_messages", host="mx1") == 7.0
        samples = series(await running.get("/metrics"))
        assert not [name for name, _ in samples if name == "brainycp_collector_errors_total"]
        view = json.loads(await running.get("/api/v1/hosts/mx1"))
        assert view["state"] == "up"
        assert "Polls are not made since no more files may be open" in await running.get("/")
        log = capfd.readouterr().err
        assert log.count("polls are not made") == 1
        assert "host is down" not in log
        monkeypatch.undo()
        panel.answers["count_msg"] = {"error": 0, "detail": 9}

        async def fresh() -> bool:
            return await running.value("queue_messages", host="mx1") == 9.0

        await eventually(fresh, 20)


async def test_a_large_list_that_cannot_be_handed_over_is_no_fault_of_the_host(
    start_daemon: StartDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = Scripted(count_msg={"error": 0, "detail": 2000}, list_msg=LONG_LIST)
    monkeypatch.setattr("os.memfd_create", no_file)
    async with serving(panel.app()) as url:
        running = await start_daemon({"hosts": [host("mx1", url, collectors=["queue"])]})
        text = await running.get("/probe?target=mx1", status=503)
        assert "exporter has too many files open" in text
        assert await running.value("up", host="mx1") is None
        monkeypatch.undo()
        assert "too many" not in await running.get("/probe?target=mx1")


@pytest.mark.slow
async def test_requests_are_bounded_by_the_files_that_may_be_open(tmp_path: Path) -> None:
    """200 hosts, half of them silent, in a process that may open 96 files."""
    fleet = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.silent_panels",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert fleet.stdout is not None
    port = int(await fleet.stdout.readline())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own = probe.getsockname()[1]
    kinds = [("live", n) for n in range(100)] + [("silent", n) for n in range(100)]
    config = {
        "poll": {"interval": "4s", "timeout": "3600ms", "concurrency": 5000},
        "hosts": [
            host(f"{kind}{n}", f"http://127.0.0.1:{port}/{kind}/{n}/api.php", collectors=["queue"])
            for kind, n in kinds
        ],
        "web": {"listen": f"127.0.0.1:{own}"},
        "log": {"format": "json"},
    }
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    log = tmp_path / "log"
    with log.open("wb") as output:
        daemon = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "exporter",
            "run",
            "--config",
            str(file),
            stderr=output,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96)),
        )
    try:
        async with aiohttp.ClientSession() as session:

            async def text() -> str:
                try:
                    async with session.get(f"http://127.0.0.1:{own}/metrics") as response:
                        return await response.text()
                except aiohttp.ClientError:
                    return ""

            async def live_are_up() -> bool:
                found = series(await text())
                up = [
                    name for name, labels in found if name == "brainycp_up" and found[name, labels]
                ]
                return len(up) == 100

            await eventually(live_are_up, 40)
            samples = series(await text())
        reasons = {
            dict(labels)["reason"]
            for name, labels in samples
            if name == "brainycp_collector_errors_total"
        }
        assert reasons <= {"timeout"}
        assert samples["process_max_fds", frozenset()] == 96
    finally:
        daemon.terminate()
        await daemon.wait()
        assert fleet.stdin is not None
        fleet.stdin.close()
        await fleet.wait()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert "fewer requests at once than poll.concurrency: so many files may be open" in {
        line["event"] for line in lines
    }
    assert "too many files" not in json.dumps([line for line in lines if line.get("host")])

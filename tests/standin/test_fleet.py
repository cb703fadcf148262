from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from exporter.config.panel_api import API_PATH
from exporter.panel.protocol import Operation, ServiceCommand, request_fields
from exporter.standin import fleet as fleet_module
from exporter.standin.fleet import (
    DemoHost,
    FlappingServer,
    demo_fleet,
    exim_backend,
    reserved_port,
)
from exporter.standin.memory import MemoryQueue
from exporter.standin.panel import Panel, PanelOptions
from exporter.standin.queue import BackendMissingError, QueueError
from exporter.standin.roles import SLOW_CALL, demo_roles, plain_hosts
from exporter.standin.services import MemoryServices
from exporter.standin.traffic import CALM


async def ask(host: DemoHost, operation: Operation) -> Any:
    fields = request_fields(
        operation, username=host.username, password=host.password, command=ServiceCommand.STATUS
    )
    url = URL(host.url)
    if url.path == "/":
        url = url.with_path(API_PATH)
    pin = bytes.fromhex(host.fingerprint_sha256) if host.fingerprint_sha256 else None
    trust = aiohttp.Fingerprint(pin) if pin else True
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=fields, ssl=trust) as reply,
    ):
        text = (await reply.read()).decode("utf-8-sig")
        return json.loads(text[text.index('{"') :])


def number_in(body: Any) -> int:
    payload = body.get("detail", body.get("data"))
    if payload is None:
        return int(body["message"].rpartition(":")[2])
    return int(payload[0] if isinstance(payload, list) else payload)


async def test_every_story_is_shown() -> None:
    async with demo_fleet(9) as fleet:
        hosts = {host.story: host for host in fleet.hosts}
        assert [host.name for host in fleet.hosts] == [f"mx{n}" for n in range(1, 10)]
        assert number_in(await ask(hosts["calm"], Operation.COUNT)) < 50
        assert number_in(await ask(hosts["storm of frozen bounces"], Operation.COUNT)) > 2900
        assert (await ask(hosts["clamav stopped"], Operation.CLAMAV))["detail"] == "Stopped"
        assert (await ask(hosts["clamav stopped"], Operation.SPAMASSASSIN))["detail"] == "Running"
        assert (await ask(hosts["bad password"], Operation.COUNT))["code"] == 1
        assert number_in(await ask(hosts["comes and goes"], Operation.COUNT)) < 50
        with pytest.raises(aiohttp.ClientConnectorError):
            await ask(hosts["down"], Operation.COUNT)
        before = time.monotonic()
        assert number_in(await ask(hosts["slow"], Operation.COUNT)) > 50
        assert time.monotonic() - before >= SLOW_CALL
        signed = hosts["self-signed certificate"]
        assert signed.url.startswith("https://")
        (listed, *_) = (await ask(signed, Operation.LIST))["detail"]
        assert listed["queue_name"] == "deferred"
        assert not any(host.password in repr(host) for host in fleet.hosts)


async def test_the_fingerprint_is_the_certificates() -> None:
    async with demo_fleet(2, tls=True) as fleet:
        url = URL(fleet.hosts[0].url)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        _, writer = await asyncio.open_connection(url.host, url.port, ssl=context)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
        assert {host.fingerprint_sha256 for host in fleet.hosts} == {
            hashlib.sha256(der).hexdigest()
        }


async def test_the_queues_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "STEP_INTERVAL", 0.3)
    stepped = asyncio.Event()

    class Watched(MemoryQueue):
        async def step(self, seconds: float) -> None:
            await super().step(seconds)
            assert 0.29 < seconds < 5
            stepped.set()

    monkeypatch.setattr(fleet_module, "MemoryQueue", Watched)
    async with demo_fleet(2):
        async with asyncio.timeout(5):
            await stepped.wait()


async def test_one_queue_that_fails_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fleet_module, "STEP_INTERVAL", 0.01)
    stepped = asyncio.Event()

    async def step(self: MemoryQueue, seconds: float) -> None:
        if self is fleet.panels["mx1"].queue:
            raise QueueError("too slow")
        stepped.set()

    monkeypatch.setattr(MemoryQueue, "step", step)
    async with demo_fleet(2) as fleet, asyncio.timeout(5):
        await stepped.wait()
    assert "the queue of mx1 stood still: too slow" in caplog.text


async def test_a_bug_in_a_queue_does_not_go_unnoticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "STEP_INTERVAL", 0.0)
    failing = asyncio.Event()

    async def step(self: MemoryQueue, seconds: float) -> None:
        failing.set()
        raise ZeroDivisionError

    monkeypatch.setattr(MemoryQueue, "step", step)
    with pytest.raises(ZeroDivisionError):
        async with demo_fleet(1):
            await failing.wait()


async def test_many_hosts_behind_one_port_each_in_its_way() -> None:
    async with demo_fleet(30, single_port=True, tls=True, live=False) as fleet:
        assert len({URL(host.url).port for host in fleet.hosts}) == 1
        assert URL(fleet.hosts[4].url).path == "/h5/api/api.php"
        for host in fleet.hosts:
            assert number_in(await ask(host, Operation.COUNT)) in {12, 160}
            body = await ask(host, Operation.LIST)
            assert body.get("detail") or body["data"]
        zones = [host.time_zone for host in fleet.hosts]
        assert set(zones) == {None, "UTC"}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the fleet puts its temporary directories."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def entries(directory: Path) -> list[Path]:
    return list(directory.iterdir())


@pytest.mark.usefixtures("exim4")
async def test_real_spools_behind_the_panels(temporary: Path) -> None:
    async with demo_fleet(9, backend=exim_backend()) as fleet:
        for name in ("mx1", "mx2", "mx3", "mx8"):
            host = next(host for host in fleet.hosts if host.name == name)
            count = await fleet.panels[name].queue.count()
            assert number_in(await ask(host, Operation.COUNT)) == pytest.approx(count, abs=40)
        assert len(entries(temporary)) == 1
    assert entries(temporary) == []


@pytest.mark.usefixtures("exim4")
async def test_cancelled_while_it_lives_it_leaves_nothing(temporary: Path) -> None:
    ready = asyncio.Event()

    async def live() -> None:
        async with demo_fleet(9, backend=exim_backend()):
            ready.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(live())
    await ready.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert entries(temporary) == []


@pytest.mark.usefixtures("exim4")
async def test_cancelled_while_it_starts_it_leaves_nothing(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = asyncio.Event()

    async def create(self: object) -> None:
        started.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("tests.servers.exim.EximQueue.create", create)
    task = asyncio.create_task(demo_fleet(2, backend=exim_backend()).__aenter__())
    await started.wait()
    assert len(entries(temporary)) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert entries(temporary) == []


async def test_a_flapping_panel_is_up_then_down_then_up() -> None:
    panel = Panel(PanelOptions(password="p"), MemoryQueue(CALM), MemoryServices())
    with reserved_port() as port:
        server = FlappingServer(panel, port, up=100, down=50)
        host = DemoHost("mx1", f"http://127.0.0.1:{port}", "monitor", "p", "comes and goes")
        for now, up in ((1000, True), (1099, True), (1101, False), (1149, False), (1151, True)):
            await server.advance(now)
            if up:
                assert number_in(await ask(host, Operation.COUNT)) == 12
            else:
                with pytest.raises(aiohttp.ClientConnectorError):
                    await ask(host, Operation.COUNT)
        await server.close()
        await server.close()


def test_plain_hosts_answer_in_every_way() -> None:
    roles = plain_hosts(40)
    assert len({role.style.shape for role in roles}) == 7
    assert len({role.style.count for role in roles}) == 4
    assert {role.story for role in roles} == {"calm", "busy"}
    assert {role.ids for role in roles} == {"exim", "exim_long", "postfix"}


def test_a_small_demo_has_the_first_roles_and_a_large_one_plain_hosts() -> None:
    assert [role.story for role in demo_roles(2)] == ["calm", "growing queue"]
    assert len(demo_roles(20)) == 20


def test_a_fleet_with_exim_needs_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tests.servers.exim", None)  # as if it were not there
    with pytest.raises(BackendMissingError, match="needs a checkout of the source"):
        exim_backend()

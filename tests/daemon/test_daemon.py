"""The daemon as a whole: what it serves, reloads, survives and closes."""

from __future__ import annotations

import asyncio
import json

import pytest

from exporter.config.errors import ConfigError
from exporter.standin.memory import MemoryQueue
from exporter.standin.panel import PanelOptions
from exporter.standin.services import MemoryServices
from exporter.standin.traffic import BUSY, CALM, EMPTY, STORM
from exporter.web.server.sockets import ListenError
from tests.daemon.conftest import StartDaemon, eventually, host
from tests.fixtures.standin import ServePanel


async def test_it_serves_what_the_panels_said(
    start_daemon: StartDaemon, serve_panel: ServePanel, unused_url: str
) -> None:
    queue = MemoryQueue(STORM)
    panel = await serve_panel(queue, services=MemoryServices(stopped=["clamav"]))
    running = await start_daemon(
        {"hosts": [host("mx1", panel.url, labels={"dc": "msk1"}), host("mx2", unused_url)]}
    )
    await running.poll("mx1")
    await running.poll("mx2")
    messages = await queue.messages()
    assert await running.value("up", host="mx1") == 1
    assert await running.value("up", host="mx2") == 0
    assert await running.value("queue_messages", host="mx1") == len(messages)
    frozen = sum(message.frozen for message in messages)
    assert frozen > 100
    assert await running.value("queue_frozen_messages", host="mx1") == frozen
    assert await running.value("queue_unparsed_messages", host="mx1") == 0
    assert await running.value("service_up", host="mx1", service="clamav") == 0
    assert await running.value("service_up", host="mx1", service="spamassassin") == 1
    errors = {"host": "mx2", "collector": "queue", "reason": "connect"}
    assert (await running.value("collector_errors_total", **errors) or 0) >= 1
    url = panel.url.removesuffix("/api/api.php")
    assert await running.value("host_info", host="mx1", url=url, mta="exim", dc="msk1") == 1


async def test_a_probe_shows_one_host_and_refuses_what_is_not_configured(
    start_daemon: StartDaemon, serve_panel: ServePanel
) -> None:
    panel = await serve_panel(MemoryQueue(CALM))
    running = await start_daemon({"hosts": [host("mx1", panel.url), host("mx2", panel.url)]})
    samples = await running.poll("mx1")
    assert {dict(labels)["host"] for _, labels in samples} == {"mx1"}
    assert "No host" in await running.get("/probe?target=http://169.254.169.254/", 404)
    assert "/probe?target=NAME" in await running.get("/probe", 400)


async def test_a_probe_gives_up_at_the_scrape_timeout_but_the_poll_goes_on(
    start_daemon: StartDaemon, serve_panel: ServePanel
) -> None:
    panel = await serve_panel(MemoryQueue(EMPTY), PanelOptions(delay=0.4))
    running = await start_daemon({"hosts": [host("mx1", panel.url)]})
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": "0.2"}
    assert "scrape_timeout" in await running.get("/probe?target=mx1", 503, headers)
    await running.poll("mx1")
    # One poll of four calls, joined by the second probe: never two at once.
    assert len(panel.panel.requests) == 4


async def test_formats_are_negotiated(start_daemon: StartDaemon, unused_url: str) -> None:
    running = await start_daemon({"hosts": [host("mx1", unused_url)]})
    openmetrics = {"Accept": "application/openmetrics-text; version=1.0.0,text/plain;q=0.5"}
    assert (await running.get("/metrics", headers=openmetrics)).endswith("# EOF\n")
    assert "# EOF" not in await running.get("/metrics", headers={"Accept": "text/plain"})
    assert (await running.get("/probe?target=mx1", headers=openmetrics)).endswith("# EOF\n")
    plain = {"Accept-Encoding": "identity"}
    assert "brainycp_exporter_build_info" in await running.get("/metrics", headers=plain)


async def test_service_discovery_names_every_host_with_its_labels(
    start_daemon: StartDaemon, unused_url: str
) -> None:
    running = await start_daemon({"hosts": [host("mx1", unused_url, labels={"dc": "msk1"})]})
    (group,) = json.loads(await running.get("/sd"))
    assert group["targets"] == ["mx1"]
    assert group["labels"]["dc"] == "msk1"


async def test_it_is_ready_when_every_host_was_asked_once(
    start_daemon: StartDaemon, serve_panel: ServePanel, unused_url: str
) -> None:
    slow = await serve_panel(MemoryQueue(EMPTY), PanelOptions(delay=0.2))
    running = await start_daemon({"hosts": [host("mx1", unused_url), host("mx2", slow.url)]})
    assert await running.get("/-/healthy") == "Healthy.\n"
    assert "Waiting" in await running.get("/-/ready", 503)
    await running.poll("mx1")
    await running.poll("mx2")
    assert await running.get("/-/ready") == "Ready.\n"


async def test_hosts_are_polled_on_their_own_timer(
    start_daemon: StartDaemon, serve_panel: ServePanel
) -> None:
    panel = await serve_panel(MemoryQueue(EMPTY))
    await start_daemon({"poll": {"interval": "100ms"}, "hosts": [host("mx1", panel.url)]})

    async def three_polls() -> bool:
        return len(panel.panel.requests) >= 9

    await eventually(three_polls)


async def test_a_reload_keeps_what_did_not_change(
    start_daemon: StartDaemon, serve_panel: ServePanel
) -> None:
    first, second = await serve_panel(MemoryQueue(CALM)), await serve_panel(MemoryQueue(BUSY))
    kept, gone, new = (host(n, p.url) for n, p in (("a", first), ("b", first), ("c", second)))
    running = await start_daemon({"hosts": [kept, gone]})
    await running.poll("a")
    await running.poll("b")
    connection = {r.connection for r in first.panel.requests}
    before = len(first.panel.requests)
    running.write({"hosts": [new, kept]})
    assert await running.post("/-/reload") == "Reloaded.\n"
    text = await running.get("/metrics")
    assert 'host="b"' not in text
    assert await running.value("queue_messages", host="a") is not None
    await running.poll("c")
    assert await running.value("up", host="c") == 1
    await running.poll("a")
    again = [r.connection for r in list(first.panel.requests)[before:]]
    assert set(again) <= connection, "an unchanged host lost its connection"
    assert await running.value("config_last_reload_successful") == 1


@pytest.mark.parametrize("broken", ["hosts: [", "hosts: []", "hosts: [{name: x}]"])
async def test_a_reload_is_all_or_nothing(
    start_daemon: StartDaemon, unused_url: str, broken: str
) -> None:
    running = await start_daemon({"hosts": [host("mx1", unused_url)]})
    await running.poll("mx1")
    running.file.write_text(broken)
    text = await running.post("/-/reload", 400)
    assert "config.yaml" in text
    assert await running.value("config_last_reload_successful") == 0
    assert await running.value("up", host="mx1") == 0


async def test_new_addresses_wait_for_a_restart(
    start_daemon: StartDaemon, unused_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    running = await start_daemon({"hosts": [host("mx1", unused_url)]})
    await running.poll("mx1")
    running.write({"hosts": [host("mx9", unused_url)], "web": {"listen": "0.0.0.0:0"}})
    await running.post("/-/reload")
    assert "a new web.listen needs a restart; the old one stays" in capfd.readouterr().err
    assert await running.value("config_last_reload_successful") == 1
    assert 'host="mx9"' in await running.get("/metrics")
    # Nobody may act over an address that other machines reach; this one is the old one still.
    async with running.session.post(f"{running.url}/api/v1/alertmanager") as response:
        assert response.status == 415


async def test_another_site_may_not_ask_for_a_reload(
    start_daemon: StartDaemon, unused_url: str
) -> None:
    running = await start_daemon({"hosts": [host("mx1", unused_url)]})
    url = f"{running.url}/-/reload"
    async with running.session.post(url, headers={"Sec-Fetch-Site": "cross-site"}) as response:
        assert response.status == 403


async def test_changed_hosts_files_are_re_read(
    start_daemon: StartDaemon, unused_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.daemon.WATCH_INTERVAL", 0.05)
    running = await start_daemon(
        {"hosts": [host("mx1", unused_url)], "hosts_files": ["more/*.yaml"]}
    )
    more = running.file.parent / "more"
    more.mkdir()
    (more / "a.yaml").write_text(json.dumps([host("mx2", unused_url, shares_panel_with="mx1")]))

    async def there() -> bool:
        return await running.value("up", host="mx2") == 0

    await eventually(there)


async def test_a_config_that_cannot_be_used_starts_nothing(start_daemon: StartDaemon) -> None:
    with pytest.raises(ConfigError, match="no hosts"):
        await start_daemon({"hosts": []})


async def test_an_address_that_is_taken_starts_nothing(
    start_daemon: StartDaemon, unused_url: str
) -> None:
    taken = unused_url.split("/")[2]
    with pytest.raises(ListenError, match=taken):
        await start_daemon({"hosts": [host("mx1", unused_url)], "web": {"listen": taken}})


async def test_polls_under_way_may_end_when_it_stops(
    start_daemon: StartDaemon, serve_panel: ServePanel
) -> None:
    panel = await serve_panel(MemoryQueue(EMPTY), PanelOptions(delay=0.2))
    running = await start_daemon({"hosts": [host("mx1", panel.url)]})
    probe = asyncio.create_task(running.poll("mx1"))

    async def asked() -> bool:
        return len(panel.panel.requests) > 0

    await eventually(asked)
    running.daemon.stop()
    samples = await probe
    assert samples["brainycp_up", frozenset({("host", "mx1")})] == 1
    await running.task


async def test_the_status_page_shows_the_worst_first(
    start_daemon: StartDaemon, serve_panel: ServePanel, unused_url: str
) -> None:
    panel = await serve_panel(MemoryQueue(CALM), services=MemoryServices(stopped=["clamav"]))
    running = await start_daemon({"hosts": [host("mx1", panel.url), host("mx2", unused_url)]})
    await running.poll("mx1")
    await running.poll("mx2")
    page = await running.get("/")
    assert "1 host down, 1 service stopped</h1>" in page
    assert page.index("hosts/mx2") < page.index("hosts/mx1")
    assert "clamav: stopped" in page
    assert "clamav is stopped." in await running.get("/hosts/mx1")
    async with running.session.get(running.url) as response:
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert ":root" in await running.get("/static/page.css")


async def test_hosts_as_json(start_daemon: StartDaemon, serve_panel: ServePanel) -> None:
    panel = await serve_panel(MemoryQueue(CALM))
    running = await start_daemon({"hosts": [host("mx1", panel.url)]})
    await running.poll("mx1")
    (view,) = json.loads(await running.get("/api/v1/hosts"))
    assert view == json.loads(await running.get("/api/v1/hosts/mx1"))
    assert view["state"] == "up"
    assert view["queue"]["messages"] == await panel.panel.queue.count()
    assert view["services"] == {"clamav": True, "spamassassin": True}
    await running.get("/api/v1/hosts/nobody", 404)

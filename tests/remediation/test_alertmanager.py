"""An Alertmanager that asks for rules: the webhook by itself, and a real one."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
import yaml
from yarl import URL

import exporter.web.api
from exporter.journal import Actor, Kind
from exporter.journal.host_lock import TURN, HostLocks
from exporter.panel.protocol import Operation
from exporter.remediation.requests import Incident, Request, Taken
from exporter.web.api import MAX_WEBHOOKS
from tests.daemon.conftest import RunningDaemon, eventually, series
from tests.fixtures.standin import NewEximQueue, PanelServer, ServePanel
from tests.remediation.conftest import (
    BY_ID,
    Site,
    StartSite,
    changing,
    config,
    freeze,
    ids_asked,
    one_at_a_time,
    operations,
    panel_of,
    rule,
    write_journal,
    written_so_far,
)
from tests.remediation.mischief import CONTROL, Hold, is_change, of, shows_login_page
from tests.servers.exim import EximQueue

PATH = "/api/v1/alertmanager"
ON_DEMAND: dict[str, Any] = {"when": []}
"""Nothing trips such a rule: it must be asked for."""


def alert(host: str = "mx1", rule: str = "purge", **keys: Any) -> dict[str, Any]:
    """One alert as Alertmanager sends it."""
    labels = {"alertname": "FrozenStorm", "host": host, "remediation": rule}
    return {
        "status": "firing",
        "labels": {**labels, "severity": "page"},
        "annotations": {"summary": "Bounces freeze."},
        "startsAt": "2026-11-25T20:00:00.000Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": f"fingerprint of {host} {rule}",
        **keys,
    }


async def post(
    running: RunningDaemon, *alerts: Mapping[str, Any], status: int = 200, **keys: Any
) -> list[dict[str, str]]:
    """Send alerts as a webhook; what came of each."""
    body = {
        "version": "4",
        "groupKey": "{}:{}",
        "status": "firing",
        "receiver": "exporter",
        "alerts": alerts,
    }
    async with running.session.post(running.url + PATH, json=body, **keys) as response:
        assert response.status == status, await response.text()
        answer: list[dict[str, str]] = (await response.json())["alerts"]
        return answer


def results(answers: list[dict[str, str]]) -> list[str]:
    return [answer["result"] for answer in answers]


async def test_a_firing_alert_asks_for_a_rule(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(**ON_DEMAND)]))
    await site.look()
    assert site.journal() == []

    told = await post(site.running, alert())
    assert told == [{"host": "mx1", "rule": "purge", "result": "asked"}]
    (asked,) = site.journal()
    assert (asked.kind, asked.actor) == (Kind.ASKED, "alertmanager:FrozenStorm")
    assert changing(panel) == [], "it is looked at with the next poll"

    await site.look()
    assert operations(panel) == [Operation.DELETE_FROZEN]
    assert await queue.count() == 0
    assert site.story() == [("asked", ""), ("intent", ""), ("reply", "done"), ("outcome", "ok")]
    intent = site.journal(Kind.INTENT)[0]
    assert intent.actor == "alertmanager:FrozenStorm"
    why = intent.detail["why"]
    assert isinstance(why, dict)
    assert (why["alert"], why["since"]) == ("FrozenStorm", "2026-11-25T20:00:00.000Z")


async def test_webhooks_that_do_not_come_take_the_place_of_no_others_for_long(
    start_site: StartSite, panel: PanelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await start_site(config(panel, rules=[rule(**ON_DEMAND)]))
    running = site.running
    url = URL(running.url)
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

    async def begun() -> asyncio.StreamReader:
        """A webhook whose body does not come."""
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(f"{head}Expect: 100-continue\r\nContent-Length: 100\r\n\r\n".encode())
        assert b"100" in await reader.readuntil(b"\r\n\r\n")  # it was taken
        clients.append(writer)
        return reader

    clients: list[asyncio.StreamWriter] = []
    for _ in range(MAX_WEBHOOKS):
        await begun()
    async with running.session.post(running.url + PATH, json={}) as refused:
        assert refused.status == 503
    clients.pop().close()

    async def taken() -> bool:
        async with running.session.post(running.url + PATH, json={}) as answer:
            return answer.status == 400

    await eventually(taken)
    monkeypatch.setattr(exporter.web.api, "READ_TIMEOUT", 0.01)
    late = await begun()
    assert b" 408 " in await asyncio.wait_for(late.readline(), 10)
    for client in clients:
        client.close()


async def test_the_repeat_of_an_alert_asks_for_nothing_new(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    keys = config(panel, rules=[rule(**ON_DEMAND, cooldown="1ms")])
    site = await start_site(keys)
    freeze(queue, 8)
    assert results(await post(site.running, alert(), alert())) == ["asked", "asked before"]
    await site.look()
    freeze(queue, 8, first=20)
    assert results(await post(site.running, alert())) == ["asked before"]
    await site.look()
    await site.end()
    site = await start_site(keys)
    assert results(await post(site.running, alert())) == ["asked before"]
    await site.look()
    assert len(changing(panel)) == 1
    assert len(site.journal(Kind.ASKED)) == 1

    later = alert(startsAt="2026-11-25T21:00:00.000Z")
    assert results(await post(site.running, later)) == ["asked"]
    await site.look()
    assert len(changing(panel)) == 2
    assert await queue.count() == 0


async def test_a_resolved_alert_withdraws_what_it_asked_for(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(**ON_DEMAND)]))
    await post(site.running, alert())
    told = await post(site.running, alert(status="resolved"))
    assert results(told) == ["withdrawn"]
    await site.look()
    assert changing(panel) == []
    assert site.story() == [("asked", ""), ("withdrawn", "")]


async def test_what_is_resolved_while_it_is_written_down_is_withdrawn(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(**ON_DEMAND)]))
    controller, busy = site.running.daemon.app.controller, threading.Event()
    slow = asyncio.create_task(controller.journal.do(lambda _: busy.wait()))
    incident = Incident.made(alert()["fingerprint"], alert()["startsAt"])
    request = Request(Actor.ALERTMANAGER, "FrozenStorm", incident.detail("FrozenStorm"))
    asking = asyncio.create_task(controller.ask("mx1", "purge", request))
    await asyncio.sleep(0)  # it waits for the journal now
    ending = asyncio.create_task(post(site.running, alert(status="resolved")))

    async def ended() -> bool:
        return bool(controller.fleet.resolved)

    await eventually(ended)
    busy.set()
    taken, told, _ = await asyncio.gather(asking, ending, slow)
    assert (taken, results(told)) == (Taken.OVER, ["withdrawn"])
    await site.look()
    assert changing(panel) == []
    assert site.story() == [("asked", ""), ("withdrawn", "")]


async def test_a_page_in_a_browser_asks_for_nothing(
    start_site: StartSite, panel: PanelServer
) -> None:
    site = await start_site(config(panel, rules=[rule(**ON_DEMAND)]))
    body, headers = {"version": "4", "alerts": [alert()]}, {"Origin": "http://evil.example:9897"}
    url = site.running.url + PATH
    async with site.running.session.post(url, json=body, headers=headers) as response:
        assert response.status == 403
    assert site.journal() == []


async def test_an_alert_that_is_resolved_while_its_plan_is_made_begins_nothing(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(**ON_DEMAND)]))
    await post(site.running, alert())
    hold = panel.panel.interfere = Hold(of(Operation.LIST), skip=2)
    await site.running.poll("mx1")
    await hold.wait()
    await post(site.running, alert(status="resolved"))
    hold.let_go.set()
    await site.quiet()
    assert changing(panel) == []
    assert site.story() == [("asked", ""), ("withdrawn", ""), ("blocked", "condition")]


async def test_what_is_asked_for_waits_for_a_good_poll(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    keys = config(panel, rules=[rule(**ON_DEMAND)], collectors=["queue", "clamav"])
    site = await start_site(keys)
    panel.panel.interfere = shows_login_page(of(Operation.CLAMAV))
    await post(site.running, alert())
    await site.look()
    assert (changing(panel), site.story()) == ([], [("asked", "")])
    panel.panel.interfere = None
    await site.look()
    assert site.story()[-1] == ("outcome", "ok")


async def test_a_resolved_alert_asks_for_nothing(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(**ON_DEMAND)]))
    assert results(await post(site.running, alert(status="resolved"))) == ["withdrawn"]
    await site.look()
    assert (changing(panel), site.story()) == ([], [("withdrawn", "")])


async def test_what_it_asks_for_must_hold_by_the_panel_too(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 5)
    site = await start_site(config(panel, rules=[rule()]))
    await post(site.running, alert())
    await site.look()
    assert changing(panel) == []
    assert site.story() == [("asked", ""), ("blocked", "condition")]
    assert site.journal()[-1].actor == "alertmanager:FrozenStorm"


async def test_it_does_not_wait_for_the_rules_own_clock(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(**{"for": "1h"})]))
    await post(site.running, alert())
    await site.look()
    assert site.story()[-1] == ("outcome", "ok")


@pytest.mark.parametrize(
    ("remediation", "guard"), [({"mode": "off"}, "mode"), ({"pause_file": "config.yaml"}, "pause")]
)
async def test_the_same_guards_hold(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    remediation: dict[str, Any],
    guard: str,
) -> None:
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(**ON_DEMAND)], remediation=remediation))
    assert results(await post(site.running, alert())) == ["asked"]
    await site.look()
    assert changing(panel) == []
    assert site.story() == [("asked", ""), ("blocked", guard)]


async def test_the_cooldown_holds_for_it_too(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule()]))
    freeze(queue, 8, first=20)
    await post(site.running, alert())
    await site.look()
    assert len(changing(panel)) == 1
    assert site.blocks() == ["cooldown"]


async def test_a_request_for_what_does_not_exist_is_answered_with_the_reason(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    keys = rule(**ON_DEMAND, hosts={"names": ["other*"]})
    site = await start_site(config(panel, rules=[keys, rule(name="other", **ON_DEMAND)]))
    bare = alert()
    del bare["labels"]["remediation"]
    nowhere = alert(rule="other")
    del nowhere["labels"]["host"]
    told = await post(
        site.running,
        alert(),
        alert(rule="no-such-rule"),
        alert(host="mx9", rule="other"),
        bare,
        nowhere,
        alert(rule="other"),
    )
    assert results(told) == [*["unknown"] * 3, "ignored", "unknown", "asked"]
    assert told[4]["why"] == "it has no label host"
    assert told[0]["why"] == "There is no rule purge for a host mx1."
    assert [each.rule for each in site.journal()] == ["other"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("{}", "text/plain", 415),
        ("{}", "application/x-www-form-urlencoded", 415),
        ("", "application/json", 400),
        ("{}", "application/json", 400),
        ('{"version": "3", "alerts": []}', "application/json", 400),
        ('{"version": "4", "alerts": [{"labels": {}}]}', "application/json", 400),
        ('{"version": "4", "alerts": 5}', "application/json", 400),
        ('{"version": "4", "alerts": ' + "[" * 10_000, "application/json", 400),
        ('{"version": "4", "x": ' + "[" * 10_000, "application/json", 400),
    ],
)
async def test_what_is_no_webhook_is_refused(
    start_site: StartSite, panel: PanelServer, body: str, kind: str, status: int
) -> None:
    site = await start_site(config(panel, rules=[rule(**ON_DEMAND)]))
    if status == 415:
        body = json.dumps({"version": "4", "alerts": [alert()]})
    async with site.running.session.post(
        site.running.url + PATH, data=body, headers={"Content-Type": kind}
    ) as response:
        assert response.status == status
        assert (await response.text()).strip()
    assert site.journal() == []


async def test_without_the_right_to_act_nothing_is_asked_for(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    """Without users nobody from the network may ask; with users, holders of a password may."""
    freeze(queue, 8)
    keys = config(panel, rules=[rule(**ON_DEMAND)], web={"listen": "0.0.0.0:0"})
    open_to_all = await start_site(keys)
    body = {"version": "4", "alerts": [alert()]}
    url = open_to_all.running.url + PATH
    async with open_to_all.running.session.post(url, json=body) as response:
        assert response.status == 403
        assert "basic_auth_users" in await response.text()
    await open_to_all.look()
    assert open_to_all.journal() == []
    await open_to_all.end()

    hashed = bcrypt.hashpw(b"sesame", bcrypt.gensalt(4)).decode()
    (tmp_path / "web.yaml").write_text(yaml.safe_dump({"basic_auth_users": {"am": hashed}}))
    keys["web"] |= {"config_file": "web.yaml"}
    guarded = await start_site(keys, wait=False)
    async with guarded.running.session.post(guarded.running.url + PATH, json=body) as response:
        assert response.status == 401
    assert changing(panel) == []
    headers = {"Authorization": aiohttp.encode_basic_auth("am", "sesame")}
    assert results(await post(guarded.running, alert(), headers=headers)) == ["asked"]
    assert [each.kind for each in guarded.journal()] == [Kind.ASKED]


async def test_a_request_that_cannot_be_written_down_is_to_be_sent_again(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    site = await start_site(config(panel, rules=[rule(**ON_DEMAND)]))
    freeze(queue, 8)
    site.path.rename(tmp_path / "aside.db")
    told = await post(site.running, alert(), status=503)
    assert results(told) == ["not written down"]
    await site.look()
    assert changing(panel) == []
    (tmp_path / "aside.db").rename(site.path)
    assert results(await post(site.running, alert())) == ["asked"]
    await site.look()
    assert site.story()[-1] == ("outcome", "ok")


@pytest.fixture
async def fleet(exim_queue: NewEximQueue, serve_panel: ServePanel) -> list[PanelServer]:
    """Five panels with eight frozen bounces each."""
    queues = [await exim_queue() for _ in range(5)]
    for queue in queues:
        freeze(queue, 8)
    return [await serve_panel(queue) for queue in queues]


async def test_the_storm_brake_holds_for_alerts_that_come_at_once(
    start_site: StartSite, fleet: list[PanelServer]
) -> None:
    site = await start_site(config(*fleet, rules=[rule(**ON_DEMAND)]))
    names = [f"mx{number}" for number in range(1, 6)]
    assert results(await post(site.running, *map(alert, names))) == ["asked"] * 5
    for name in names * 2:
        await site.look(name)
    assert [changing(panel) for panel in fleet] == [[]] * 5
    assert set(site.blocks()) == {"storm_brake"}

    # Three are resolved: the others may have what they ask for.
    await post(site.running, *(alert(name, status="resolved") for name in names[2:]))
    for name in names:
        await site.look(name)
    assert [len(changing(panel)) for panel in fleet] == [1, 1, 0, 0, 0]


async def test_a_second_alert_waits_for_its_turn(
    start_site: StartSite, fleet: list[PanelServer]
) -> None:
    site = await start_site(config(*fleet[:2], rules=[rule(**ON_DEMAND)]))
    hold = fleet[0].panel.interfere = Hold(is_change)
    await post(site.running, alert("mx1"), alert("mx2"))
    await site.running.poll("mx1")
    await hold.wait()
    await site.running.poll("mx2")

    async def held_back() -> bool:
        return site.blocks("mx2") == ["actions_at_once"]

    await eventually(held_back)
    assert changing(fleet[1]) == []
    hold.let_go.set()
    await site.quiet()
    await site.look("mx2")
    assert [len(changing(panel)) for panel in fleet[:2]] == [1, 1]


async def test_what_an_alert_asked_for_and_a_person_approved_is_done(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(**ON_DEMAND, approval="required")]))
    await post(site.running, alert())
    await site.look()
    (request,) = site.journal(Kind.APPROVAL_REQUESTED)
    assert changing(panel) == []
    approved = replace(request, kind=Kind.APPROVED, actor="person:ann")
    write_journal(site.path, approved)
    await site.look()
    assert set(operations(panel)) == {Operation.CONTROL}, "by id: what the person has seen"
    assert await queue.count() == 0
    assert site.story()[-1] == ("outcome", "ok")


async def test_what_a_person_is_asked_for_lapses_when_its_alert_is_resolved(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(**ON_DEMAND, approval="required")]))
    await post(site.running, alert())
    await site.look()
    await site.look()
    assert site.story()[-1] == ("blocked", "approval")
    await post(site.running, alert(status="resolved"))
    await site.look()
    assert site.story()[-1] == ("approval_lapsed", "")


async def test_what_was_not_answered_before_a_restart_is_asked_for_by_its_repeat(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    keys = config(panel, rules=[rule(**ON_DEMAND, approval="required")])
    site = await start_site(keys)
    await post(site.running, alert())
    await site.look()
    (request,) = site.journal(Kind.APPROVAL_REQUESTED)
    await site.end()
    site = await start_site(keys)
    await site.look()
    assert not site.journal(Kind.LAPSED), "the alert may still fire"
    approved = replace(request, kind=Kind.APPROVED, actor="person:ann")
    write_journal(site.path, approved)
    await site.look()
    assert changing(panel) == [], "or not: that is not known before it says so again"
    assert results(await post(site.running, alert(), alert())) == ["asked", "asked before"]
    await site.look()
    assert set(operations(panel)) == {Operation.CONTROL}, "by id: what the person has seen"
    assert await queue.count() == 0
    assert results(await post(site.running, alert())) == ["asked before"]


async def test_what_was_answered_by_a_guard_is_not_asked_for_again_after_a_restart(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    keys = config(panel, rules=[rule(**ON_DEMAND, max_messages=3)])
    site = await start_site(keys)
    await post(site.running, alert())
    await site.look()
    assert site.story()[-1] == ("blocked", "max_messages")
    await site.end()
    site = await start_site(keys)
    assert results(await post(site.running, alert())) == ["asked before"]


async def test_a_request_does_not_wait_for_ever(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    """Whoever sends no word of resolved alerts must not find one acted on much later."""
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(**ON_DEMAND)]))
    now = time.monotonic()
    site.running.daemon.app.controller.monotonic = lambda: now
    with HostLocks(site.path).hold(panel_of(panel).url):
        await post(site.running, alert())
        await site.look()
        now += 3500
        await site.look()
        now += 200
        await site.look()
    await site.look()
    assert changing(panel) == []
    assert site.story() == [("asked", ""), ("blocked", "host_busy")]
    assert await site.blocked("host_busy") == 3


async def test_what_held_the_rule_back_before_is_written_down_as_the_answer_too(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    """Else it would be asked for again after a restart, when it may be let."""
    freeze(queue, 8)
    keys = config(panel, rules=[rule(max_messages=3)])
    site = await start_site(keys)
    assert site.story() == [("blocked", "max_messages")]
    await post(site.running, alert())
    await site.look()
    assert site.journal()[-1].actor == "alertmanager:FrozenStorm"
    assert site.story()[1:] == [("asked", ""), ("blocked", "max_messages")]
    await site.end()
    site = await start_site(keys)
    assert results(await post(site.running, alert())) == ["asked before"]


async def test_that_the_daemon_ends_is_no_answer(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    keys = config(panel, rules=[rule(**ON_DEMAND)])
    site = await start_site(keys)
    await post(site.running, alert())
    hold = panel.panel.interfere = Hold(of(Operation.LIST), skip=2)
    await site.running.poll("mx1")
    await hold.wait()  # the list that the plan is made from
    site.running.daemon.stop()
    hold.let_go.set()
    await site.running.task
    assert site.story() == [("asked", "")]
    site = await start_site(keys)
    assert results(await post(site.running, alert())) == ["asked"]
    await site.look()
    assert operations(panel) == [Operation.DELETE_FROZEN]


async def test_what_holds_it_back_after_a_list_is_written_down_once(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    """The run's own poll is no sign that the rule wants nothing any more."""
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(**ON_DEMAND)]))
    with HostLocks(site.path).hold(f"{TURN}0"):
        await post(site.running, alert())
        await site.look()
        await site.look()
    assert site.story() == [("asked", ""), ("blocked", "actions_at_once")]
    await site.look()
    assert site.story()[-1] == ("outcome", "ok")


# --- a real one ----------------------------------------------------------------------------------


class Alertmanager:
    """A running Alertmanager that sends everything to one webhook."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession) -> None:
        self._folder = folder
        self._session = session
        self._process: asyncio.subprocess.Process | None = None
        self._url = ""

    async def start(self, webhook: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}"
        receiver = {"name": "exporter", "webhook_configs": [{"url": webhook}]}
        route = {
            "receiver": "exporter",
            "group_by": ["..."],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "1s",
        }
        file = self._folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump({"route": route, "receivers": [receiver]}))
        self._process = await asyncio.create_subprocess_exec(
            *("prometheus-alertmanager", f"--config.file={file}"),
            f"--storage.path={self._folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

        async def ready() -> bool:
            try:
                async with self._session.get(f"{self._url}/-/ready") as response:
                    return response.status == 200
            except aiohttp.ClientError:
                return False

        await eventually(ready, seconds=30)

    async def post(self, labels: Mapping[str, str], *, over: bool = False) -> None:
        """What a Prometheus sends for an alert that fires, or has ended."""
        now = datetime.now(UTC).isoformat()
        body: dict[str, Any] = {"labels": labels, "annotations": {"summary": "Bounces freeze."}}
        if over:
            body["endsAt"] = now
        async with self._session.post(f"{self._url}/api/v2/alerts", json=[body]) as response:
            assert response.status == 200, await response.text()

    async def sent(self) -> int:
        """Notifications that it has begun to send, one after the other."""
        async with self._session.get(f"{self._url}/metrics") as response:
            samples = series(await response.text())
        labels = frozenset({"integration": "webhook"}.items())
        return int(samples["alertmanager_notifications_total", labels])

    async def sends_once_more(self) -> None:
        """Wait for a notification that begins from now on, and for its answer."""
        before = await self.sent()

        async def enough() -> bool:
            return await self.sent() > before + 1

        await eventually(enough, seconds=30)

    async def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            await self._process.wait()


@pytest.fixture
async def alertmanager(tmp_path: Path) -> AsyncIterator[Alertmanager]:
    async with aiohttp.ClientSession() as session:
        made = Alertmanager(tmp_path, session)
        yield made
        await made.stop()


LABELS = {"alertname": "FrozenStorm", "host": "mx1", "remediation": "purge"}


async def asked_by_now(site: Site) -> None:
    async def asked() -> bool:
        return bool(written_so_far(site.path, Kind.ASKED))

    await eventually(asked, seconds=30)


async def test_a_real_alertmanager_asks_for_a_rule(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, alertmanager: Alertmanager
) -> None:
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(**ON_DEMAND, cooldown="1ms")]))
    await alertmanager.start(site.running.url + PATH)
    await alertmanager.post(LABELS)
    await asked_by_now(site)
    await site.look()
    assert operations(panel) == [Operation.DELETE_FROZEN]
    assert await queue.count() == 0
    story = [("asked", ""), ("intent", ""), ("reply", "done"), ("outcome", "ok")]
    assert site.story() == story
    assert site.journal(Kind.INTENT)[0].actor == "alertmanager:FrozenStorm"

    # It repeats itself as long as the alert fires.
    freeze(queue, 8, first=20)
    await alertmanager.sends_once_more()
    await site.look()
    assert site.story() == story
    assert len(changing(panel)) == 1


async def test_a_real_alertmanager_withdraws_what_is_resolved(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, alertmanager: Alertmanager
) -> None:
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(**ON_DEMAND)]))
    await alertmanager.start(site.running.url + PATH)
    await alertmanager.post(LABELS)
    await asked_by_now(site)
    await alertmanager.post(LABELS, over=True)
    rules = site.running.daemon.app.controller.fleet.hosts["mx1"].rules

    async def withdrawn() -> bool:
        return not rules["purge"].asked

    await eventually(withdrawn, seconds=30)
    await site.look()
    assert changing(panel) == []
    assert site.story() == [("asked", ""), ("withdrawn", "")]


@pytest.mark.parametrize("others", ["nobody", "another alert", "the rule itself"])
async def test_an_alert_that_is_resolved_in_the_middle_stops_what_it_alone_asked_for(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, others: str
) -> None:
    freeze(queue, 8)
    hold = panel.panel.interfere = Hold(CONTROL, skip=3)
    when = ["queue_frozen_messages > 5"] if others == "the rule itself" else []
    hold_back = {"for": "1h"} if when else {}
    made = one_at_a_time(panel, rules=[rule(**BY_ID, when=when, **hold_back)])
    site = await start_site(made)
    first = alert(fingerprint="one")
    await post(site.running, first)
    if others == "another alert":
        await post(site.running, alert(fingerprint="two"))
    await site.running.poll("mx1")
    await hold.wait()
    if when:
        rules = site.running.daemon.app.controller.fleet.hosts["mx1"].rules
        rules["purge"] = replace(rules["purge"], timer=replace(rules["purge"].timer, tripped=True))
    await post(site.running, {**first, "status": "resolved"})
    hold.let_go.set()
    await site.quiet()
    asked = 4 if others == "nobody" else 8
    assert len(ids_asked(panel)) == asked
    assert await queue.count() == 8 - asked
    assert len(site.journal(Kind.REPLY)) == asked
    (told,) = site.journal(Kind.OUTCOME)
    assert told.outcome == "ok"
    assert told.detail["removed"] == asked
    if others == "nobody":
        assert told.text == (
            "4 of 8 messages are gone (4 not asked for any more). "
            "Stopped: The alert that asked for it was resolved."
        )

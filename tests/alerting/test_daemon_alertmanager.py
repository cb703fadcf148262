"""A daemon and real Alertmanagers: what they are sent, and what they notify of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from exporter.alerting.alertmanager_sender import ENDS_AFTER, RESEND_DELAY
from tests.alerting.conftest import Fleet, StartFleet, all_sent, lists
from tests.daemon.conftest import eventually
from tests.fixtures.alertmanager import Alertmanager, NewAlertmanager, matcher
from tests.fixtures.receiver import Misbehave, Receive


async def until(
    manager: Alertmanager, good: Callable[[dict[str, dict[str, Any]]], object]
) -> dict[str, dict[str, Any]]:
    """The alerts of an Alertmanager by rule and host, once they are as wanted."""
    alerts: dict[str, dict[str, Any]] = {}

    async def seen() -> object:
        alerts.clear()
        alerts.update(
            {f"{a['labels']['alertname']} {a['labels']['host']}": a for a in await manager.alerts()}
        )
        return good(alerts)

    await eventually(seen)
    return alerts


def ends(alert: dict[str, Any]) -> float:
    """Seconds until it ends unless it is sent again."""
    return datetime.fromisoformat(alert["endsAt"]).timestamp() - time.time()


async def test_an_alert_from_firing_to_resolved(
    start_fleet: StartFleet, alertmanager: NewAlertmanager, receive: Receive
) -> None:
    hook = await receive()
    manager = await alertmanager(hook.url)
    managers = [{"url": manager.url, "name": "am"}]
    fleet = await start_fleet(2, ahead=-RESEND_DELAY, alertmanagers=managers)
    await fleet.freeze(mx1=8)
    request = await hook.next()
    (alert,) = request.json["alerts"]
    assert alert["status"] == "firing"
    assert alert["labels"] == {
        "alertname": "Frozen",
        "host": "mx1",
        "severity": "warning",
        "dc": "msk1",
    }
    assert alert["annotations"] == {
        "summary": "mx1: 8 of more than 5, from example.org 4",
        "description": "queue_frozen_messages > 5: 8, for 0s.\n"
        "Queue: 8 messages, 100% frozen, 50% bounces, 7.0 KiB, oldest 1d 6h.\n"
        "Senders: example.org 4. Recipients: example.com 8.\n"
        "Services: none asked.\n"
        "Last remediation: none.",
    }
    assert alert["generatorURL"] == f"{fleet.running.url}/hosts/mx1"
    known = await until(manager, lambda alerts: list(alerts) == ["Frozen mx1"])
    assert 0 < ends(known["Frozen mx1"]) <= ENDS_AFTER - RESEND_DELAY

    # It is sent again well before it would end.
    await fleet.pass_time(RESEND_DELAY)
    await until(manager, lambda alerts: ends(alerts["Frozen mx1"]) > ENDS_AFTER - RESEND_DELAY)

    # Another host comes to the same group.
    await fleet.freeze(mx2=9)
    await hook.until(lists("mx1", "mx2"))

    await fleet.freeze(mx1=4)
    assert ("firing", "Frozen", "mx1") in await fleet.alerts(), "between the thresholds"
    await fleet.freeze(mx1=0, mx2=0)
    await hook.until(lambda request: request.json["status"] == "resolved")
    await until(manager, lambda alerts: not alerts)
    assert set(await fleet.outcomes("am")) == {"ok"}


async def test_a_silenced_alert_is_not_notified(
    start_fleet: StartFleet, alertmanager: NewAlertmanager, receive: Receive
) -> None:
    hook = await receive()
    manager = await alertmanager(hook.url)
    silence = await manager.silence(matcher("host", "mx1"))
    fleet = await start_fleet(2, alertmanagers=[{"url": manager.url}])
    await fleet.freeze(mx1=8)
    alerts = await until(manager, lambda alerts: len(alerts) == 1)
    await fleet.freeze(mx2=8)
    assert lists("mx2")(await hook.next())
    alerts = await until(manager, lambda alerts: len(alerts) == 2)
    assert alerts["Frozen mx1"]["status"]["silencedBy"] == [silence]


async def test_a_host_that_goes_down_keeps_its_alerts_and_inhibits_them(
    start_fleet: StartFleet, alertmanager: NewAlertmanager, receive: Receive
) -> None:
    hook = await receive()
    rule = {
        "source_matchers": ["alertname = HostDown"],
        "target_matchers": ["alertname != HostDown"],
        "equal": ["host"],
    }
    manager = await alertmanager(hook.url, config={"inhibit_rules": [rule]})
    fleet = await start_fleet(alertmanagers=[{"url": manager.url}])
    await fleet.freeze(mx1=8)
    await hook.until(lambda request: request.json["groupLabels"] == {"alertname": "Frozen"})
    await fleet.down("mx1")
    down = await hook.until(lambda request: request.json["groupLabels"]["alertname"] != "Frozen")
    (alert,) = down.json["alerts"]
    assert alert["labels"]["severity"] == "critical"
    assert alert["annotations"]["summary"].startswith("mx1 cannot be polled: ")
    alerts = await until(manager, lambda alerts: len(alerts) == 2)
    assert alerts["Frozen mx1"]["status"]["inhibitedBy"] == [alert["fingerprint"]]
    assert await fleet.alerts() == [("firing", "HostDown", "mx1"), ("firing", "Frozen", "mx1")]
    await fleet.down("mx1", down=False)
    await until(manager, lambda alerts: list(alerts) == ["Frozen mx1"])


async def test_a_restarted_alertmanager_is_sent_all_again_and_notifies_of_nothing_twice(
    start_fleet: StartFleet, alertmanager: NewAlertmanager, receive: Receive
) -> None:
    hook = await receive()
    manager = await alertmanager(hook.url)
    managers = [{"url": manager.url, "name": "am"}]
    fleet = await start_fleet(2, ahead=-RESEND_DELAY, alertmanagers=managers)
    await fleet.freeze(mx1=8, mx2=8)
    await hook.until(lists("mx1", "mx2"))
    before = len(hook.requests)
    await manager.stop()
    await fleet.freeze(mx1=0)
    await eventually(lambda: _failed(fleet))
    await manager.start()
    assert await manager.alerts() == []
    # The clock spares the test the wait between two attempts.
    await fleet.pass_time(RESEND_DELAY)
    await hook.until(lists("mx2", "(mx1)"))
    await fleet.freeze(mx2=0)
    await hook.until(lambda request: request.json["status"] == "resolved")
    assert [hosts for hosts in all_sent(hook)[before:] if "mx1" in hosts] == []


async def _failed(fleet: Fleet) -> bool:
    return (await fleet.outcomes("am")).get("connect", 0) >= 1


@pytest.mark.parametrize("kind", ["refuses", "hangs"])
async def test_of_two_one_dead_delays_neither_the_other_nor_polls(
    start_fleet: StartFleet,
    alertmanager: NewAlertmanager,
    receive: Receive,
    misbehave: Misbehave,
    dead_url: str,
    kind: str,
) -> None:
    asked = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.Event().wait()

    dead = dead_url if kind == "refuses" else await misbehave(hang)
    hook = await receive()
    manager = await alertmanager(hook.url)
    managers = [{"url": dead, "name": "dead"}, {"url": manager.url, "name": "well"}]
    fleet = await start_fleet(2, alertmanagers=managers)
    await fleet.freeze(mx1=8)
    assert lists("mx1")(await hook.next(5))
    if kind == "hangs":
        await asyncio.wait_for(asked.wait(), 5)
    began = time.monotonic()
    await fleet.freeze(mx2=8)
    assert time.monotonic() - began < 5
    await hook.until(lists("mx1", "mx2"), 5)
    await fleet.freeze(mx1=0, mx2=0)
    await hook.until(lambda request: request.json["status"] == "resolved", 5)
    assert set(await fleet.outcomes("well")) == {"ok"}
    assert (await fleet.outcomes("dead"))["ok"] == 0

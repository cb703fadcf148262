"""A daemon that delivers by itself: webhooks, Apprise, what it shows, and what nobody may see."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.alerting.conftest import (
    DOWN,
    FROZEN,
    Fleet,
    StartFleet,
    all_sent,
    lists,
    short,
)
from tests.daemon.conftest import eventually
from tests.fixtures.receiver import HttpReceiver, Receive

SECRET = "T0ken-of-a-chat"


def by_apprise(receiver: HttpReceiver) -> str:
    """A URL of Apprise's for a local receiver, that holds a secret."""
    return f"{receiver.url.replace('http', 'json')}/{SECRET}"


async def test_several_hosts_come_in_one_message_the_worst_first(
    start_fleet: StartFleet, receive: Receive, capsys: pytest.CaptureFixture[str]
) -> None:
    hook, chat = await receive(), await receive()
    fleet = await start_fleet(
        3,
        webhooks=[{"name": "ops", "url": f"{hook.url}/{SECRET}", "bearer_token": SECRET}],
        apprise=[{"name": "chat", "url": by_apprise(chat)}],
        group_wait="800ms",
    )
    await fleet.freeze(mx1=8, mx2=20, mx3=10)
    request = await hook.next()
    assert short(request) == ["mx2", "mx3", "mx1"]
    assert (request.path, request.headers["Authorization"]) == (f"/{SECRET}", f"Bearer {SECRET}")
    shown = request.json
    assert (shown["version"], shown["status"], shown["receiver"]) == ("4", "firing", "ops")
    assert shown["groupKey"] == '{}:{alertname="Frozen"}'
    assert shown["commonLabels"] == {"alertname": "Frozen", "severity": "warning", "dc": "msk1"}
    assert shown["externalURL"] == fleet.running.url
    assert shown["alerts"][0]["annotations"]["summary"].startswith("mx2: 20 of more than 5")
    message = (await chat.next()).json
    assert message["title"] == "[FIRING:3] Frozen: mx2, mx3, mx1"
    assert message["message"].index("mx2: 20") < message["message"].index("mx3: 10")
    assert f"{fleet.running.url}/hosts/mx1" in message["message"]

    await fleet.freeze(mx2=0)
    assert short(await hook.next()) == ["mx3", "mx1", "(mx2)"]
    assert (await chat.next()).json["title"] == "[FIRING:2] Frozen: mx3, mx1"
    await fleet.freeze(mx1=0, mx3=0)
    await hook.until(lambda request: request.json["status"] == "resolved")
    await chat.until(lambda request: request.json["title"].startswith("[RESOLVED] Frozen: mx"))

    metrics = await fleet.running.get("/metrics")
    for name in ("ops", "chat"):
        assert set(await fleet.outcomes(name)) == {"ok"}
    shown = metrics + await fleet.running.get("/api/v1/alerts") + await fleet.running.get("/")
    await fleet.stop()
    captured = capsys.readouterr()
    assert SECRET not in shown + captured.out + captured.err


async def test_what_fires_is_in_the_metrics_and_the_json_api(
    start_fleet: StartFleet, receive: Receive, dead_url: str
) -> None:
    hook = await receive()
    hooks = [{"name": "ops", "url": hook.url}, {"name": "dead", "url": f"{dead_url}/{SECRET}"}]
    fleet = await start_fleet(2, webhooks=hooks)
    labels = {"host": "mx1", "alert": "Frozen", "severity": "warning"}
    assert await fleet.running.value("alerts_firing", **labels) is None
    await fleet.freeze(mx1=8)
    assert await fleet.running.value("alerts_firing", **labels) == 1
    await hook.next()
    await eventually(lambda: _failed(fleet))
    shown = json.loads(await fleet.running.get("/api/v1/alerts"))
    (alert,) = shown["alerts"]
    assert (alert["state"], alert["labels"]["host"]) == ("firing", "mx1")
    ops, dead = shown["receivers"]
    assert (ops["ok"], ops["failed"], ops["failure"]) == (1, 0, None)
    assert (dead["ok"], dead["failure"][:26]) == (0, "The receiver dead refuses ")
    assert SECRET not in json.dumps(shown)
    await fleet.freeze(mx1=0)
    assert await fleet.running.value("alerts_firing", **labels) is None
    assert await fleet.alerts() == [("resolved", "Frozen", "mx1")]


async def test_a_pending_alert_is_on_the_page(start_fleet: StartFleet) -> None:
    fleet = await start_fleet(rules=[FROZEN | {"for": "5m"}])
    await fleet.freeze(mx1=8)
    assert await fleet.alerts() == [("pending", "Frozen", "mx1")]
    page = await fleet.running.get("/alerts")
    assert "<li>Frozen " in page
    assert "<code>queue_frozen_messages &gt; 5</code>" in page


async def _failed(fleet: Fleet) -> bool:
    return (await fleet.outcomes("dead")).get("connect", 0) >= 1


async def test_what_still_fires_is_repeated_after_a_while(
    start_fleet: StartFleet, receive: Receive
) -> None:
    hook = await receive()
    fleet = await start_fleet(webhooks=[{"name": "ops", "url": hook.url}])
    await fleet.freeze(mx1=8)
    await fleet.accepted("ops", 1)
    await fleet.pass_time(4 * 3600 - 60)
    await fleet.pass_time(61)
    await fleet.accepted("ops", 2)
    assert all_sent(hook) == [["mx1"]] * 2


async def test_a_reload_changes_receivers_and_rules_while_alerts_fire(
    start_fleet: StartFleet, receive: Receive
) -> None:
    hook, moved, late = await receive(), await receive(), await receive()
    fleet = await start_fleet(2, webhooks=[{"name": "ops", "url": hook.url}])
    await fleet.freeze(mx1=8)
    await hook.next()

    # The same receiver elsewhere keeps its notification log; a new one does not.
    both = [{"name": "ops", "url": moved.url}, {"name": "late", "url": late.url}]
    await fleet.reload(webhooks=both)
    assert lists("mx1")(await late.next())
    await fleet.freeze(mx2=8)
    assert lists("mx1", "mx2")(await moved.next())
    await late.until(lists("mx1", "mx2"))

    # Another severity makes another alert of it, and a rule that is gone ends it.
    await fleet.reload(rules=[FROZEN | {"severity": "critical"}, DOWN])
    assert lists("mx1", "mx2", "(mx1)", "(mx2)")(await moved.next())
    labels = {"alert": "Frozen", "severity": "critical"}
    assert await fleet.running.value("alerts_firing", host="mx1", **labels) == 1
    await fleet.reload(rules=[DOWN])
    assert lists("(mx1)", "(mx2)")(await moved.next())
    await late.until(lists("(mx1)", "(mx2)"))

    # A mistake changes nothing.
    fleet.running.write(fleet.config | {"alerting": {"rules": 5}})
    await fleet.running.post("/-/reload", 400)
    await fleet.down("mx1")
    assert lists("mx1")(await moved.next())
    assert all_sent(hook) == [["mx1"]]


async def test_without_a_state_file_alerts_work_and_one_warning_says_so(
    start_fleet: StartFleet, receive: Receive, capsys: pytest.CaptureFixture[str]
) -> None:
    hook = await receive()
    hooks = [{"name": "ops", "url": hook.url}]
    fleet = await start_fleet(config={"state": {"path": "/proc/no/journal.db"}}, webhooks=hooks)
    for count, hosts in ((8, ["mx1"]), (0, ["(mx1)"])):
        await fleet.freeze(mx1=count)
        assert short(await hook.next()) == hosts
    alerting_service = fleet.running.daemon.app.alerting
    await alerting_service.save()
    await alerting_service.save()
    await fleet.stop()
    assert capsys.readouterr().err.count("the states of alerts are not kept") == 1


async def test_a_notification_has_the_last_remediation(
    start_fleet: StartFleet, receive: Receive
) -> None:
    hook = await receive()
    rule = {
        "name": "purge",
        "when": "queue_frozen_messages > 5",
        "action": "purge_frozen",
    }
    fleet = await start_fleet(
        config={"remediation": {"mode": "dry_run", "rules": [rule]}},
        webhooks=[{"name": "ops", "url": hook.url}],
        rules=[FROZEN | {"annotations": {"summary": "{{ remediation }}"}}],
        group_wait="1h",
    )
    controller = fleet.running.daemon.app.controller
    await controller.follower.read_journal()
    for frozen in (8, 9):  # the first poll may find the host still being settled
        await fleet.freeze(mx1=frozen)
        await controller.wait_idle()
    await fleet.freeze(mx1=10)
    await fleet.pass_time(3600)
    (alert,) = (await hook.next()).json["alerts"]
    assert alert["annotations"]["summary"].startswith("purge: dry_run, ")
    assert "Last remediation: purge: dry_run, " in alert["annotations"]["description"]


async def test_nothing_of_a_hostile_host_is_taken_for_ours(
    start_fleet: StartFleet, receive: Receive
) -> None:
    """Values are no templates, and a receiver's reply changes nothing."""
    hook, chat = await receive(), await receive()
    lie = '{"status": "error", "silenced": true}'
    hook.answer_with(200, lie * 10_000)
    rule: dict[str, Any] = FROZEN | {"labels": {"team": "{{ 7 * 7 }} @everyone"}}
    fleet = await start_fleet(
        webhooks=[{"name": "ops", "url": hook.url}],
        apprise=[{"name": "chat", "url": by_apprise(chat)}],
        rules=[rule | {"annotations": {"summary": "{{ host }} {{ labels.team }}"}}],
    )
    await fleet.freeze(mx1=8)
    (alert,) = (await hook.next()).json["alerts"]
    assert alert["labels"]["team"] == "{{ 7 * 7 }} @everyone"
    assert alert["annotations"]["summary"] == "mx1 {{ 7 * 7 }} @everyone"
    assert "@everyone" not in (await chat.next()).json["message"]
    await fleet.freeze(mx1=0)
    assert short(await hook.next()) == ["(mx1)"]

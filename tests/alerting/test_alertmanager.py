from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from aiohttp import web

from exporter.alertmanager.client import BATCH, AlertmanagerClient
from exporter.http.errors import DeliveryError
from tests.alerting.values import alert, alertmanager_config
from tests.fixtures.alertmanager import Alertmanager, NewAlertmanager, matcher
from tests.fixtures.receiver import Receive
from tests.panel.pki import Pki

NewClient = Callable[..., AlertmanagerClient]


@pytest.fixture
async def client() -> AsyncIterator[NewClient]:
    made: list[AlertmanagerClient] = []

    def new(url: str, **keys: Any) -> AlertmanagerClient:
        made.append(AlertmanagerClient(alertmanager_config(url, **keys), timeout=5))
        return made[-1]

    yield new
    for one in made:
        await one.close()


def soon() -> float:
    return time.time() + 300


async def test_alerts_appear_with_our_fingerprint(
    alertmanager: NewAlertmanager, client: NewClient
) -> None:
    am = await alertmanager()
    odd = alert("mx2", labels={"team": "почта", "note": 'a "b" \\ c\n', "gone": ""})
    alerts = [alert(), odd, alert("mx3", annotations={"summary": "\ud800 lone", "empty": ""})]
    await client(am.url).send(alerts, ends_at=soon())
    listed = {one["fingerprint"]: one for one in await am.alerts()}
    assert alerts[0].fingerprint in listed
    first = listed[alerts[0].fingerprint]
    assert first["labels"] == alerts[0].labels
    assert first["annotations"] == alerts[0].annotations
    assert first["generatorURL"] == alerts[0].url
    assert first["status"]["state"] in {"active", "unprocessed"}
    started = datetime.fromisoformat(first["startsAt"])
    assert started.timestamp() == pytest.approx(alerts[0].fired_at, abs=0.002)
    assert {one["labels"].get("team", "") for one in listed.values()} == {"почта", ""}
    assert len(listed) == 3


async def test_what_is_sent_again_lasts_longer_and_what_is_resolved_goes(
    alertmanager: NewAlertmanager, client: NewClient
) -> None:
    am = await alertmanager()
    sender = client(am.url)
    firing, other = alert(), alert("mx2")
    await sender.send([firing, other], ends_at=time.time() + 60)
    before = {one["fingerprint"]: one["endsAt"] for one in await am.alerts()}
    await sender.send([firing], ends_at=time.time() + 600)
    after = {one["fingerprint"]: one["endsAt"] for one in await am.alerts()}
    assert after[firing.fingerprint] > before[firing.fingerprint]
    assert after[other.fingerprint] == before[other.fingerprint]
    await sender.send([alert(resolved=True, fired_at=firing.fired_at)], ends_at=soon())
    assert [one["fingerprint"] for one in await am.alerts()] == [other.fingerprint]


async def test_an_alert_that_would_end_before_it_fired_is_accepted(
    alertmanager: NewAlertmanager, client: NewClient
) -> None:
    am = await alertmanager()
    # The clock was set back: it ended before it began.
    firing = alert(fired_at=time.time() + 120)
    await client(am.url).send([firing], ends_at=time.time() + 60)
    assert [one["fingerprint"] for one in await am.alerts()] == [firing.fingerprint]


async def test_many_are_sent_in_batches(receive: Receive, client: NewClient) -> None:
    receiver = await receive()
    alerts = [alert(f"mx{i}") for i in range(BATCH + 3)]
    await client(f"{receiver.url}/am/").send(alerts, ends_at=soon())
    assert [len(request.json) for request in receiver.requests] == [BATCH, 3]
    assert {request.path for request in receiver.requests} == {"/am/api/v2/alerts"}


async def test_a_refused_batch_does_not_keep_the_others(
    receive: Receive, client: NewClient
) -> None:
    receiver = await receive()
    receiver.answer_with(400)
    alerts = [alert(f"mx{i}") for i in range(BATCH + 3)]
    with pytest.raises(DeliveryError) as caught:
        await client(receiver.url).send(alerts, ends_at=soon())
    assert len(receiver.requests) == 2
    assert (caught.value.reason, caught.value.retryable) == ("http_status", False)


async def test_a_failing_one_is_not_asked_for_each_batch(
    receive: Receive, client: NewClient
) -> None:
    receiver = await receive()
    receiver.answer_with(503)
    alerts = [alert(f"mx{i}") for i in range(BATCH + 3)]
    with pytest.raises(DeliveryError) as caught:
        await client(receiver.url).send(alerts, ends_at=soon())
    assert len(receiver.requests) == 1
    assert caught.value.retryable


async def test_one_bad_alert_does_not_keep_its_neighbours(
    alertmanager: NewAlertmanager, client: NewClient
) -> None:
    am = await alertmanager()
    bad = alert("mx2", labels={"not a name": "x"})
    with pytest.raises(DeliveryError) as caught:
        await client(am.url).send([bad, alert()], ends_at=soon())
    assert caught.value.reason == "http_status"
    assert not caught.value.retryable
    assert [one["fingerprint"] for one in await am.alerts()] == [alert().fingerprint]


LABELS = {"alertname": "purge", "host": "mx1", "severity": "warning", "dc": "msk1"}


async def test_nothing_is_silenced_at_first(
    alertmanager: NewAlertmanager, client: NewClient
) -> None:
    am = await alertmanager()
    sender = client(am.url)
    assert await sender.silenced("mx1", LABELS) == ""
    await sender.send([alert()], ends_at=soon())
    assert await sender.silenced("mx1", LABELS) == ""


async def test_a_silenced_alert_of_the_host_counts(
    alertmanager: NewAlertmanager, client: NewClient
) -> None:
    am = await alertmanager()
    sender = client(am.url)
    await sender.send([alert(), alert("mx2", "HostDown")], ends_at=soon())
    # It does not match what is asked for, which has another alertname.
    silence = await am.silence(
        matcher("alertname", "MailQueueFrozen"), matcher("host", "mx1"), comment="moving\nmx1"
    )
    assert await sender.silenced("mx1", LABELS) == (
        f"The alert MailQueueFrozen of mx1 is silenced at main: silence {silence} by ann: "
        "moving mx1."
    )
    assert await sender.silenced("mx2", {"host": "mx2"}) == ""
    await am.expire(silence)
    assert await sender.silenced("mx1", LABELS) == ""


INHIBITING: dict[str, Any] = {
    "inhibit_rules": [
        {"source_matchers": ["alertname=HostDown"], "target_matchers": ["severity=warning"]}
    ]
}


async def test_an_alert_that_is_inhibited_counts_only_when_it_is_silenced_too(
    alertmanager: NewAlertmanager, client: NewClient
) -> None:
    am = await alertmanager(config=INHIBITING)
    sender = client(am.url)
    down = alert("mx9", "HostDown", labels={"severity": "critical"})
    await sender.send([down, alert()], ends_at=soon())
    assert await sender.silenced("mx1", LABELS) == ""
    states = {one["labels"]["host"]: one["status"] for one in await am.alerts()}
    assert states["mx1"]["inhibitedBy"]
    silence = await am.silence(matcher("alertname", "MailQueueFrozen"))
    assert silence in await sender.silenced("mx1", LABELS)


MATCHING = [
    [matcher("host", "mx1")],
    [matcher("host", "mx[0-9]", regex=True)],
    [matcher("host", "mx1|mx2", regex=True), matcher("dc", "msk1")],
    [matcher("host", "mx1"), matcher("dc", "spb1", equal=False)],
    [matcher("host", "mx1"), matcher("dc", "spb.*", regex=True, equal=False)],
    [matcher("host", "mx1"), matcher("absent", "")],
    [matcher("host", "mx1"), matcher("absent", "x", equal=False)],
    [matcher("dc", ".+", regex=True)],
]
NOT_MATCHING = [
    [matcher("host", "mx2")],
    [matcher("host", "mx", regex=True)],  # the whole value must match
    [matcher("host", "mx1", equal=False), matcher("dc", "msk1")],
    [matcher("host", "mx1"), matcher("dc", "msk.*", regex=True, equal=False)],
    [matcher("host", "mx1"), matcher("absent", "x")],
    [matcher("absent", ".+", regex=True)],
    # What Python cannot read does not matter when another matcher decides.
    [matcher("host", "mx2"), matcher("dc", r"\pL+1", regex=True)],
]


async def test_a_silence_that_matches_counts_though_there_is_no_alert(
    alertmanager: NewAlertmanager, client: NewClient
) -> None:
    am = await alertmanager()
    sender = client(am.url)
    for matchers in NOT_MATCHING:
        await am.silence(*matchers)
        assert await sender.silenced("mx1", LABELS) == "", matchers
    await am.silence(*MATCHING[0], begins_in=600)
    assert await sender.silenced("mx1", LABELS) == ""  # pending
    for matchers in MATCHING:
        silence = await am.silence(*matchers, author="bob \u202e", comment="x" * 500)
        answer = await sender.silenced("mx1", LABELS)
        assert answer.startswith(f"mx1 is silenced at main: silence {silence} by bob: xxx"), (
            matchers
        )
        assert len(answer) < 300
        await am.expire(silence)
        assert await sender.silenced("mx1", LABELS) == "", matchers


async def test_a_silence_that_python_cannot_judge_makes_it_unanswerable(
    alertmanager: NewAlertmanager, client: NewClient
) -> None:
    am = await alertmanager()
    sender = client(am.url)
    odd = await am.silence(matcher("host", r"\pL+1", regex=True))
    with pytest.raises(DeliveryError, match=odd) as caught:
        await sender.silenced("mx1", LABELS)
    assert not caught.value.retryable
    plain = await am.silence(matcher("host", "mx1"))
    assert plain in await sender.silenced("mx1", LABELS)  # this one is sure


async def test_it_remembers_a_silence_when_restarted(
    alertmanager: NewAlertmanager, client: NewClient
) -> None:
    am = await alertmanager()
    sender = client(am.url)
    silence = await am.silence(matcher("host", "mx1"))
    await am.stop()
    with pytest.raises(DeliveryError) as caught:
        await sender.silenced("mx1", LABELS)
    assert (caught.value.reason, caught.value.retryable) == ("connect", True)
    with pytest.raises(DeliveryError) as caught:
        await sender.send([alert()], ends_at=soon())
    assert (caught.value.reason, caught.value.retryable) == ("connect", True)
    await am.start()
    assert silence in await sender.silenced("mx1", LABELS)


@pytest.mark.parametrize("host", ['a"b\\c\nd', "mx1.example.com:8", "м'x"])
async def test_a_host_is_quoted(
    alertmanager: NewAlertmanager, client: NewClient, host: str
) -> None:
    am = await alertmanager()
    sender = client(am.url)
    await sender.send([alert(host), alert("other")], ends_at=soon())
    silence = await am.silence(matcher("alertname", "MailQueueFrozen"))
    assert silence in await sender.silenced(host, {})


Answers = dict[str, Any]
GOOD_ALERT = {"labels": {"host": "mx1"}, "status": {"state": "active", "silencedBy": []}}
GOOD_SILENCE = {
    "id": "s",
    "status": {"state": "active"},
    "matchers": [{"name": "host", "value": "mx2", "isRegex": False}],
}


def without(value: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: item for name, item in value.items() if name != key}


def answering(alerts: object, silences: object) -> Callable[[Any], web.Response]:
    def answer(request: Any) -> web.Response:
        given = alerts if request.path.endswith("/alerts") else silences
        if isinstance(given, bytes):
            return web.Response(body=given)
        return web.json_response(given)

    return answer


async def test_an_older_alertmanager_is_understood(receive: Receive, client: NewClient) -> None:
    receiver = await receive()
    receiver.answer = answering([GOOD_ALERT], [GOOD_SILENCE])
    assert await client(receiver.url).silenced("mx1", {"host": "mx1"}) == ""
    assert "silence s" in await client(receiver.url).silenced("mx1", {"host": "mx2"})
    assert receiver.requests[0].query["filter"] == 'host="mx1"'


async def test_silences_are_matched_beside_the_event_loop(
    receive: Receive, client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[threading.Thread] = set()

    def watched(*arguments: Any) -> None:
        threads.add(threading.current_thread())

    monkeypatch.setattr("exporter.alertmanager.client.matching", watched)
    receiver = await receive()
    receiver.answer = answering([], [])
    await client(receiver.url).silenced("mx1", {"host": "mx1"})
    assert len(threads) == 1
    assert threading.main_thread() not in threads


async def test_alerts_of_other_hosts_do_not_count_when_the_filter_is_ignored(
    receive: Receive, client: NewClient
) -> None:
    receiver = await receive()
    silenced = GOOD_ALERT | {"status": {"state": "suppressed", "silencedBy": ["gone"]}}
    receiver.answer = answering([silenced], [GOOD_SILENCE])
    assert await client(receiver.url).silenced("mx3", {}) == ""
    # The silence itself may be gone between the two questions.
    assert "silence gone" in await client(receiver.url).silenced("mx1", {})


@pytest.mark.parametrize(
    ("alerts", "silences", "reason"),
    [
        (b"<html>", [], "not_json"),
        (b"", [], "not_json"),
        (b"\xff\xfe", [], "not_json"),
        (b'[{"odd":' + b"[" * 100_000, [], "not_json"),
        ({}, [], "unexpected"),
        (None, [], "unexpected"),
        ([{}], [], "unexpected"),
        ([GOOD_ALERT | {"status": {"state": "active"}}], [], "unexpected"),
        ([], b"[", "not_json"),
        ([], {"data": []}, "unexpected"),
        ([], [without(GOOD_SILENCE, "status")], "unexpected"),
        ([], [without(GOOD_SILENCE, "matchers")], "unexpected"),
        ([], [GOOD_SILENCE | {"status": {"state": "odd"}}], "unexpected"),
        ([], [GOOD_SILENCE | {"matchers": []}], "unexpected"),
        ([], [GOOD_SILENCE | {"matchers": [{"name": "host", "value": "x"}]}], "unexpected"),
    ],
)
async def test_what_is_no_answer_of_the_api_is_no_answer(
    receive: Receive, client: NewClient, alerts: object, silences: object, reason: str
) -> None:
    receiver = await receive()
    receiver.answer = answering(alerts, silences)
    with pytest.raises(DeliveryError) as caught:
        await client(receiver.url).silenced("mx1", {"host": "mx1"})
    assert caught.value.reason == reason
    assert not caught.value.retryable


async def outcome(client: AlertmanagerClient) -> str:
    """The outcome of reading silences and of sending alerts, which must be the same."""
    outcomes = set()
    attempts: list[Awaitable[object]] = [
        client.silenced("mx1", {}),
        client.send([alert()], ends_at=soon()),
    ]
    for attempt in attempts:
        try:
            await attempt
            outcomes.add("ok")
        except DeliveryError as error:
            outcomes.add(error.reason)
    assert len(outcomes) == 1
    return outcomes.pop()


async def guarded(
    alertmanager: NewAlertmanager, tmp_path: Path, *, tls: bool
) -> tuple[Alertmanager, Pki, str]:
    """One with a login, and its certificate's SHA-256."""
    pki = Pki(tmp_path)
    settings: dict[str, Any] = {
        "basic_auth_users": {"ops": bcrypt.hashpw(b"s3cret", bcrypt.gensalt(4)).decode()}
    }
    pin = ""
    if tls:
        certificate, key, pin = pki.self_signed_files()
        settings["tls_server_config"] = {"cert_file": str(certificate), "key_file": str(key)}
    return await alertmanager(web=settings), pki, pin


async def test_a_login_is_given(
    alertmanager: NewAlertmanager, client: NewClient, tmp_path: Path
) -> None:
    am, _, _ = await guarded(alertmanager, tmp_path, tls=False)
    right = {"username": "ops", "password": "s3cret"}
    assert await outcome(client(am.url, basic_auth=right)) == "ok"
    assert await outcome(client(am.url, basic_auth=right | {"password": "s3cr3t"})) == "http_401"
    assert await outcome(client(am.url, bearer_token="s3cret")) == "http_401"
    assert await outcome(client(am.url)) == "http_401"


async def test_its_certificate_is_checked(
    alertmanager: NewAlertmanager, client: NewClient, tmp_path: Path
) -> None:
    am, pki, pin = await guarded(alertmanager, tmp_path, tls=True)
    login = {"username": "ops", "password": "s3cret"}
    assert await outcome(client(am.url, basic_auth=login, tls={"fingerprint_sha256": pin})) == "ok"
    skip = {"insecure_skip_verify": True}
    assert await outcome(client(am.url, basic_auth=login, tls=skip)) == "ok"
    wrong = client(am.url, basic_auth=login, tls={"fingerprint_sha256": "0" * 64})
    assert await outcome(wrong) == "tls_pin"
    with pytest.raises(DeliveryError, match=pin) as caught:
        await wrong.silenced("mx1", {})
    assert not caught.value.retryable
    assert await outcome(client(am.url, basic_auth=login)) == "tls"
    stranger = client(am.url, basic_auth=login, tls={"ca_file": str(pki.stranger_file)})
    assert await outcome(stranger) == "tls"

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from exporter.alerting.delivery import Receiver
from exporter.alerting.webhook import MAX_ALERTS, Webhook, payload
from exporter.alertmanager.alert import Alert, Notification
from exporter.alertmanager.client import AlertmanagerClient
from exporter.http.errors import DeliveryError
from tests.alerting.values import alert, alertmanager_config, webhook_config
from tests.fixtures.alertmanager import NewAlertmanager
from tests.fixtures.receiver import Receive

NewWebhook = Callable[..., Webhook]


@pytest.fixture
async def new_client() -> AsyncIterator[Callable[[str], AlertmanagerClient]]:
    made: list[AlertmanagerClient] = []

    def new(url: str) -> AlertmanagerClient:
        made.append(AlertmanagerClient(alertmanager_config(url), timeout=5))
        return made[-1]

    yield new
    for one in made:
        await one.close()


@pytest.fixture
async def webhook() -> AsyncIterator[NewWebhook]:
    made: list[Webhook] = []

    def new(url: str, *, external_url: str = "", **keys: Any) -> Webhook:
        made.append(Webhook(webhook_config(url, **keys), external_url=external_url, timeout=5))
        return made[-1]

    yield new
    for one in made:
        await one.close()


def by_fingerprint(posted: dict[str, Any]) -> dict[str, Any]:
    """The order of alerts is free."""
    return posted | {"alerts": sorted(posted["alerts"], key=lambda one: one["fingerprint"])}


def groups(fired_at: float) -> dict[str, list[Alert]]:
    """Firing alerts by case."""
    odd = {"team": "почта", "note": 'a "b" \\ c\n<&>', "gone": ""}
    return {
        "one": [alert(fired_at=fired_at)],
        "alike": [alert(f"mx{i}", labels={"dc": "msk1"}, fired_at=fired_at) for i in range(3)],
        "odd": [
            alert(labels=odd, annotations={"summary": "\ud800", "empty": ""}, fired_at=fired_at),
            alert("mx2", labels=odd, annotations={}, fired_at=fired_at + 0.25),
        ],
        "same text": [
            alert(f"mx{i}", annotations={"summary": "frozen", "n": str(i)}, fired_at=fired_at)
            for i in range(2)
        ],
    }


@pytest.mark.parametrize("case", list(groups(0)))
async def test_it_posts_what_alertmanager_posts(
    alertmanager: NewAlertmanager,
    receive: Receive,
    webhook: NewWebhook,
    new_client: Callable[[str], AlertmanagerClient],
    case: str,
) -> None:
    theirs, ours = await receive(), await receive()
    am = await alertmanager(theirs.url)
    client = new_client(am.url)
    # Without external-url Alertmanager names the machine; that it cannot know is the only
    # difference there may be.
    hook = webhook(ours.url)
    now = time.time()
    for alerts in (
        groups(now - 60)[case],
        [
            Alert(one.labels, one.annotations, one.since, one.fired_at, now - 1, one.url)
            for one in groups(now - 60)[case]
        ],
    ):
        await client.send(alerts, ends_at=now + 300)
        resolved = alerts[0].resolved_at is not None
        request = await theirs.until(
            lambda got, alerts=alerts, resolved=resolved: (  # type: ignore[misc]
                len(got.json["alerts"]) == len(alerts)
                and all((one["status"] == "resolved") is resolved for one in got.json["alerts"])
            )
        )
        await hook.send(Notification("MailQueueFrozen", tuple(alerts)))
        posted = await ours.next()
        theirs_said, ours_said = request.json, posted.json
        assert theirs_said.pop("externalURL").startswith("http://")
        assert ours_said.pop("externalURL") == ""
        assert by_fingerprint(ours_said) == by_fingerprint(theirs_said)
        assert list(ours_said) == list(theirs_said)
        assert list(ours_said["alerts"][0]) == list(theirs_said["alerts"][0])
        assert posted.method == request.method
        assert posted.headers["Content-Type"] == request.headers["Content-Type"]


def test_one_that_fires_makes_the_group_fire() -> None:
    mixed = Notification("MailQueueFrozen", (alert(), alert("mx2", resolved=True)))
    posted: Any = payload(mixed, receiver="ops")
    assert posted["status"] == "firing"
    assert [one["status"] for one in posted["alerts"]] == ["firing", "resolved"]
    assert posted["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert posted["alerts"][1]["endsAt"] > posted["alerts"][1]["startsAt"]


def test_the_worst_are_sent_when_there_are_too_many() -> None:
    alerts = tuple(alert(f"mx{i}") for i in range(MAX_ALERTS + 7))
    posted: Any = payload(Notification("MailQueueFrozen", alerts), receiver="ops")
    assert posted["truncatedAlerts"] == 7
    assert [one["labels"]["host"] for one in posted["alerts"]] == [
        f"mx{i}" for i in range(MAX_ALERTS)
    ]


async def test_the_url_is_used_as_it_is_written(receive: Receive, webhook: NewWebhook) -> None:
    receiver = await receive()
    one: Receiver = webhook(
        f"{receiver.url}/hook/T%2F1?key=a%26b",
        external_url="http://exporter:9897/",
        bearer_token="t0ken",
    )
    await one.send(Notification("MailQueueFrozen", (alert(),)))
    request = await receiver.next()
    assert (request.path, request.query) == ("/hook/T/1", {"key": "a&b"})
    assert request.headers["Authorization"] == "Bearer t0ken"
    assert request.json["externalURL"] == "http://exporter:9897/"
    assert request.json["receiver"] == one.name == "ops"


async def test_a_refusal_is_a_delivery_error(receive: Receive, webhook: NewWebhook) -> None:
    receiver = await receive()
    receiver.answer_with(503)
    with pytest.raises(DeliveryError) as caught:
        await webhook(receiver.url).send(Notification("MailQueueFrozen", (alert(),)))
    assert str(caught.value) == "The receiver ops failed (HTTP 503). See its log."
    assert (caught.value.reason, caught.value.retryable) == ("http_status", True)

"""What receivers are notified of, and when: groups, repeats, failures, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator

import pytest
import stamina

from exporter.alerting import delivery
from exporter.alerting.alertmanager_sender import (
    ENDS_AFTER,
    GIVE_UP_AFTER,
    RESEND_DELAY,
    RESOLVED_RETENTION,
    RETRY_AFTER,
    AlertmanagerSender,
)
from exporter.alerting.delivery import DeliveryStats
from exporter.alerting.notifier import Notifier
from exporter.alerting.persistence import dump_alert
from exporter.alertmanager.alert import Notification
from tests.alerting.site import (
    AT_ONCE,
    MINUTE,
    FakeAlertmanager,
    FakeReceiver,
    Site,
    frozen,
    refused,
)

HOSTS = ("mx1", "mx2", "mx3")
WAIT, INTERVAL, REPEAT = 30.0, 300.0, 4 * 3600.0


@pytest.fixture(autouse=True)
def _without_pauses() -> Iterator[None]:
    """stamina waits not at all and tries twice."""
    with stamina.set_testing(True, attempts=2, cap=False):
        yield


class Notified:
    """A receiver that is notified of a site's alerts."""

    def __init__(self, site: Site | None = None) -> None:
        self.site = site or Site(AT_ONCE, hosts=HOSTS)
        self.receiver = FakeReceiver()
        self.stats = DeliveryStats()
        self.notifier = self.made()

    def made(
        self, saved: Iterable[object] = (), on_change: Callable[[], None] = lambda: None
    ) -> Notifier:
        return Notifier(self.receiver, self.site.context(self.stats, on_change), saved)

    async def after(self, seconds: float) -> list[list[str]]:
        """The notifications by then: of each the hosts, a resolved one in brackets."""
        self.site.now += seconds
        before = len(self.receiver.notifications)
        await self.notifier.send_due()
        return [
            [alert.host if alert.firing else f"({alert.host})" for alert in notification.alerts]
            for notification in self.receiver.notifications[before:]
        ]


async def test_alerts_of_several_hosts_come_together_the_worst_first() -> None:
    notified = Notified()
    notified.site.poll(frozen(300), name="mx1")
    assert await notified.notifier.send_due() == notified.site.now + WAIT
    notified.site.now -= 60
    notified.site.poll(frozen(900), name="mx3")
    notified.site.now -= 60
    notified.site.poll(frozen(600), name="mx2")
    assert await notified.after(WAIT - 1) == []
    assert await notified.after(1) == [["mx3", "mx2", "mx1"]]
    assert notified.receiver.notifications[0].group == "Frozen"
    assert await notified.after(1) == []


async def test_what_changes_later_keeps_its_distance() -> None:
    notified = Notified()
    notified.site.poll(frozen(300))
    assert await notified.after(WAIT) == [["mx1"]]
    notified.site.poll(frozen(300), name="mx2")
    assert await notified.after(INTERVAL - 61) == []
    assert await notified.after(1) == [["mx1", "mx2"]]
    notified.site.poll(frozen(0))
    assert await notified.after(INTERVAL) == [["mx2", "(mx1)"]]
    notified.site.poll(frozen(0), name="mx2")
    assert await notified.after(INTERVAL) == [["(mx2)"]]
    assert await notified.after(REPEAT * 2) == []
    assert await notified.notifier.send_due() is None


async def test_what_still_fires_is_repeated() -> None:
    notified = Notified()
    notified.site.poll(frozen(300))
    assert await notified.after(WAIT) == [["mx1"]]
    assert await notified.after(REPEAT - 1) == []
    assert await notified.after(1) == [["mx1"]]
    assert await notified.after(REPEAT) == [["mx1"]]


async def test_what_came_and_went_within_the_wait_is_not_sent() -> None:
    notified = Notified()
    notified.site.poll(frozen(300))
    notified.site.now -= 40
    notified.site.poll(frozen(0))
    assert await notified.after(WAIT) == []


async def test_what_resolved_and_fires_again_is_sent_as_both() -> None:
    notified = Notified()
    notified.site.poll(frozen(300))
    await notified.after(WAIT)
    notified.site.poll(frozen(0))
    notified.site.poll(frozen(300))
    assert await notified.after(INTERVAL) == [["mx1", "(mx1)"]]


async def test_each_rule_is_a_group() -> None:
    notified = Notified(Site(AT_ONCE, {**AT_ONCE, "name": "Other"}))
    notified.site.poll(frozen(300))
    assert await notified.after(WAIT) == [["mx1"], ["mx1"]]
    assert {one.group for one in notified.receiver.notifications} == {"Frozen", "Other"}


async def test_a_failure_that_may_pass_is_tried_again_at_once() -> None:
    notified = Notified()
    notified.receiver.failures = [refused(retryable=True)]
    notified.site.poll(frozen(300))
    assert await notified.after(WAIT) == [["mx1"]]
    assert notified.stats.counts == {("ops", "ok"): 1, ("ops", "http_status"): 1}
    assert notified.stats.failing == {}


@pytest.mark.parametrize(("retryable", "attempts"), [(True, 2), (False, 1)])
async def test_a_dead_receiver_is_notified_of_what_is_so_when_it_is_back(
    retryable: bool, attempts: int
) -> None:
    notified = Notified()
    notified.receiver.failures = [refused(retryable=retryable)] * attempts
    notified.site.poll(frozen(300))
    assert await notified.after(WAIT) == []
    assert notified.stats.counts["ops", "http_status"] == attempts
    assert await notified.after(1) == [], "it is left in peace for a while"
    notified.site.poll(frozen(300), name="mx2")
    assert await notified.after(60) == [["mx1", "mx2"]]


async def test_nothing_is_sent_of_what_passed_while_a_receiver_was_dead() -> None:
    notified = Notified()
    notified.receiver.failures = [refused()]
    notified.site.poll(frozen(300))
    assert await notified.after(WAIT) == []
    notified.site.poll(frozen(0))
    assert await notified.after(60) == []
    assert notified.receiver.notifications == []


async def test_a_restart_sends_nothing_twice_and_loses_no_resolution() -> None:
    notified = Notified()
    notified.site.poll(frozen(300))
    notified.site.poll(frozen(300), name="mx2")
    await notified.after(WAIT)
    saved = notified.notifier.dump()
    notified.site = notified.site.restarted()
    notified.notifier = notified.made(saved.values())
    assert notified.notifier.dump() == saved
    assert await notified.after(INTERVAL) == []
    notified.site.poll(frozen(0))
    assert await notified.after(INTERVAL) == [["mx2", "(mx1)"]]
    notified.site.apply_config(AT_ONCE, hosts=["mx1"])
    assert await notified.after(INTERVAL) == [["(mx2)"]], "the host left the config"


async def test_earlier_and_later_versions_can_read_what_is_saved() -> None:
    notified = Notified()
    sent = Sent(notified.site)
    notified.site.poll(frozen(300))
    notified.site.poll(frozen(300), name="mx2")
    await sent.after(0)
    firing = [dump_alert(alert) for alert in notified.site.evaluator.firing()]
    await notified.after(WAIT)
    log = {"receiver": "ops", "group": "Frozen", "at": notified.site.now, "firing": firing}
    assert notified.notifier.dump() == {"ops/Frozen": log}
    notified.site.poll(frozen(0))
    await sent.after(0)
    ended = [alert.incident for alert in notified.site.evaluator.recent()]
    assert sent.sender.dump() == {"am": {"receiver": "am", "ended": ended}}


async def test_a_resolution_is_sent_even_of_a_forgotten_alert() -> None:
    notified = Notified()
    notified.site.poll(frozen(300))
    await notified.after(WAIT)
    notified.site = Site(AT_ONCE)  # the state of the alerts was lost, that of the receiver was not
    notified.site.now = notified.notifier.notification_log["Frozen"].sent_at
    notified.notifier = notified.made(notified.notifier.dump().values())
    assert await notified.after(INTERVAL) == [["(mx1)"]]


@pytest.mark.parametrize("value", [None, {}, {"receiver": "ops"}, {"firing": [{}]}])
def test_a_saved_entry_that_makes_no_sense_is_left_out(value: object) -> None:
    assert Notified().made([value]).dump() == {}
    assert Sent().made([value]).dump() == Sent().sender.dump()


@pytest.mark.parametrize("jump", [3600, 30 * 86400])
async def test_a_clock_that_is_set_back_delays_nothing_by_more_than_its_interval(jump: int) -> None:
    notified = Notified()
    notified.site.poll(frozen(300))
    assert await notified.after(-jump) == [["mx1"]], "it fired in what is the future now"
    notified.site.now += jump
    notified.site.poll(frozen(300), name="mx2")
    notified.receiver.failures = [refused()]
    assert await notified.after(INTERVAL) == []
    notified.site.now -= jump
    assert await notified.after(0) == []
    assert await notified.after(INTERVAL) == [["mx1", "mx2"]]
    notified.site.poll(frozen(0))
    notified.site.now -= jump
    assert await notified.after(0) == []
    assert await notified.after(INTERVAL) == [["mx2", "(mx1)"]]


class Slow(FakeReceiver):
    """A receiver that accepts a notification once the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_accept = asyncio.Event(), asyncio.Event()

    async def send(self, notification: Notification) -> None:
        self.asked.set()
        await self.may_accept.wait()
        self.notifications.append(notification)


async def test_an_attempt_is_finished_though_the_daemon_ends() -> None:
    """It would be repeated after the start, if nobody knew that it was accepted."""
    notified, changes = Notified(), []
    notified.receiver = slow = Slow()
    notified.notifier = notified.made(on_change=lambda: changes.append(notified.site.now))
    notified.site.poll(frozen(300))
    notified.site.now += WAIT
    sending = asyncio.create_task(notified.notifier.send_due())
    await slow.asked.wait()
    sending.cancel()
    slow.may_accept.set()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert len(slow.notifications) == 1
    assert (list(notified.notifier.notification_log), len(changes)) == (["Frozen"], 1)


async def test_one_that_hangs_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "FINISH_WITHIN", 0.01)
    notified = Notified()
    notified.receiver = slow = Slow()
    notified.notifier = notified.made()
    notified.site.poll(frozen(300))
    notified.site.now += WAIT
    sending = asyncio.create_task(notified.notifier.send_due())
    await slow.asked.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert (slow.notifications, notified.notifier.notification_log) == ([], {})


async def test_a_thousand_hosts_that_go_down_are_one_message_each_way() -> None:
    hosts = [f"mx{number}" for number in range(1000)]
    notified = Notified(Site(AT_ONCE, hosts=hosts))
    alertmanager = Sent(notified.site)
    for count, first in ((300, "mx0"), (0, "(mx0)")):
        for name in hosts:
            notified.site.now -= MINUTE
            notified.site.poll(frozen(count), name=name)
        ((worst, *others),) = await notified.after(INTERVAL)
        assert (worst, len(others)) == (first, 999)
        assert len(await alertmanager.after(0)) == 1000
    assert len(alertmanager.alertmanager.sent) == 2


# --- Alertmanager -------------------------------------------------------------------------------


class Sent:
    """An Alertmanager that is sent a site's alerts."""

    def __init__(self, site: Site | None = None) -> None:
        self.site = site or Site(AT_ONCE, hosts=HOSTS)
        self.alertmanager = FakeAlertmanager("am")
        self.stats = DeliveryStats()
        self.sender = self.made()

    def made(self, saved: Iterable[object] = ()) -> AlertmanagerSender:
        return AlertmanagerSender(
            self.alertmanager,  # type: ignore[arg-type]  # in place of a client
            self.site.context(self.stats),
            saved,
        )

    async def after(self, seconds: float) -> list[str]:
        """The hosts of what is sent by then; a resolved one in brackets."""
        self.site.now += seconds
        before = len(self.alertmanager.sent)
        await self.sender.send_due()
        return [
            alert.host if alert.firing else f"({alert.host})"
            for alerts, _ in self.alertmanager.sent[before:]
            for alert in alerts
        ]


async def test_an_alert_is_sent_at_once_and_again_before_it_would_end() -> None:
    sent = Sent()
    sent.site.poll(frozen(300))
    assert await sent.after(0) == ["mx1"]
    assert sent.alertmanager.sent[0][1] == sent.site.now + ENDS_AFTER
    assert await sent.sender.send_due() == sent.site.now + RESEND_DELAY
    sent.site.poll(frozen(300), name="mx2")
    sent.site.now -= 30
    assert await sent.after(0) == ["mx2"], "mx1 was sent half a minute ago"
    assert await sent.after(30) == ["mx1"]
    assert RESEND_DELAY * 3 < ENDS_AFTER


async def test_a_clock_that_is_set_back_does_not_let_an_alert_end() -> None:
    sent = Sent()
    sent.site.poll(frozen(300))
    await sent.after(0)
    sent.site.now -= 3600
    assert await sent.after(0) == []
    assert await sent.after(RESEND_DELAY) == ["mx1"]
    sent.site.poll(frozen(0))
    assert await sent.after(0) == ["(mx1)"]


async def test_a_resolution_is_sent_for_a_while() -> None:
    sent = Sent()
    sent.site.poll(frozen(300))
    await sent.after(0)
    sent.site.poll(frozen(0))
    seen = [await sent.after(RESEND_DELAY) for _ in range(10)]
    assert seen == [["(mx1)"]] * 4 + [[]] * 6
    assert RESOLVED_RETENTION == 5 * RESEND_DELAY
    assert await sent.sender.send_due() is None


async def test_what_fires_again_is_not_ended_by_its_past() -> None:
    sent = Sent()
    for count in (300, 0, 300):
        sent.site.poll(frozen(count))
        await sent.after(0)
    assert await sent.after(RESEND_DELAY) == ["mx1"]


async def test_one_that_was_dead_is_sent_what_resolved_meanwhile() -> None:
    sent = Sent()
    sent.site.poll(frozen(300))
    await sent.after(0)
    sent.alertmanager.failures = [refused(retryable=True)] * 2
    sent.site.poll(frozen(0))
    assert await sent.after(0) == []
    assert sent.stats.counts["am", "http_status"] == 2
    assert await sent.after(2 * 3600) == ["(mx1)"]
    assert await sent.after(RESEND_DELAY) == []


async def test_one_that_refuses_is_left_alone_for_a_while() -> None:
    sent = Sent()
    assert sent.stats.counts == {("am", "ok"): 0}
    sent.alertmanager.failures = [refused()]
    sent.site.poll(frozen(300))
    assert await sent.sender.send_due() == sent.site.now + RETRY_AFTER
    assert await sent.after(RETRY_AFTER - 1) == []
    assert await sent.after(1) == ["mx1"]
    assert sent.stats.counts == {("am", "ok"): 1, ("am", "http_status"): 1}


async def test_after_a_restart_it_is_sent_once_more() -> None:
    sent = Sent()
    for count in (300, 0):
        sent.site.poll(frozen(count))
    sent.site.poll(frozen(300), name="mx2")
    sent.site = sent.site.restarted()
    sent.sender = sent.made()
    assert sorted(await sent.after(600)) == ["(mx1)", "mx2"]
    assert await sent.after(RESEND_DELAY) == ["mx2"]
    sent.sender = sent.made(sent.sender.dump().values())
    assert await sent.after(0) == ["mx2"], "it would notify of the end of mx1 once more"
    sent.sender = sent.made()
    assert await sent.after(GIVE_UP_AFTER) == ["mx2"]


async def test_one_dead_delays_no_other() -> None:
    site = Site(AT_ONCE, hosts=HOSTS)
    dead, well = Sent(site), Sent(site)
    dead.alertmanager.failures = [refused(retryable=True)] * 50
    site.poll(frozen(300))
    assert (await dead.after(0), await well.after(0)) == ([], ["mx1"])

"""Who is told what, and when: groups, repeats, failures, restarts. The clock is the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest
import stamina

from exporter.alerting import retry
from exporter.alerting.alertmanager_sender import (
    ENDS_AFTER,
    GIVE_UP_AFTER,
    RESEND,
    RESOLVED_FOR,
    TRY_AGAIN,
    AlertmanagerSender,
)
from exporter.alerting.delivery_stats import DeliveryStats
from exporter.alerting.notifier import Notifier
from exporter.alerting.persistence import told_from, told_value
from exporter.alertmanager.alert import Notification
from tests.alerting.site import AT_ONCE, MINUTE, Listener, Manager, Site, frozen, refused

HOSTS = ("mx1", "mx2", "mx3")
WAIT, INTERVAL, REPEAT = 30.0, 300.0, 4 * 3600.0


@pytest.fixture(autouse=True)
def _without_pauses() -> Iterator[None]:
    """stamina waits not at all and tries twice."""
    with stamina.set_testing(True, attempts=2, cap=False):
        yield


class Desk:
    """A receiver that is told of a site's alerts."""

    def __init__(self, site: Site | None = None) -> None:
        self.site = site or Site(AT_ONCE, hosts=HOSTS)
        self.listener = Listener()
        self.outcomes = DeliveryStats()
        self.notifier = self.made()

    def made(self, **keys: object) -> Notifier:
        alerting = self.site.config.alerting
        return Notifier(
            self.listener,
            self.site.evaluator,
            alerting,
            self.outcomes,
            lambda: self.site.now,
            **keys,  # type: ignore[arg-type]  # `told`
        )

    async def after(self, seconds: float) -> list[list[str]]:
        """What is told by then: of each notification the hosts, a resolved one in brackets."""
        self.site.now += seconds
        before = len(self.listener.told)
        await self.notifier.step()
        return [
            [alert.host if alert.firing else f"({alert.host})" for alert in told.alerts]
            for told in self.listener.told[before:]
        ]


async def test_alerts_of_several_hosts_are_told_at_once_the_worst_first() -> None:
    controller = Desk()
    controller.site.poll(frozen(300), name="mx1")
    assert await controller.notifier.step() == controller.site.now + WAIT
    controller.site.now -= 60
    controller.site.poll(frozen(900), name="mx3")
    controller.site.now -= 60
    controller.site.poll(frozen(600), name="mx2")
    assert await controller.after(WAIT - 1) == []
    assert await controller.after(1) == [["mx3", "mx2", "mx1"]]
    assert controller.listener.told[0].group == "Frozen"
    assert await controller.after(1) == []


async def test_what_changes_later_keeps_its_distance() -> None:
    controller = Desk()
    controller.site.poll(frozen(300))
    assert await controller.after(WAIT) == [["mx1"]]
    controller.site.poll(frozen(300), name="mx2")
    assert await controller.after(INTERVAL - 61) == []
    assert await controller.after(1) == [["mx1", "mx2"]]
    controller.site.poll(frozen(0))
    assert await controller.after(INTERVAL) == [["mx2", "(mx1)"]]
    controller.site.poll(frozen(0), name="mx2")
    assert await controller.after(INTERVAL) == [["(mx2)"]]
    assert await controller.after(REPEAT * 2) == []
    assert await controller.notifier.step() is None


async def test_what_fires_still_is_told_again() -> None:
    controller = Desk()
    controller.site.poll(frozen(300))
    assert await controller.after(WAIT) == [["mx1"]]
    assert await controller.after(REPEAT - 1) == []
    assert await controller.after(1) == [["mx1"]]
    assert await controller.after(REPEAT) == [["mx1"]]


async def test_what_came_and_went_within_the_wait_is_not_told() -> None:
    controller = Desk()
    controller.site.poll(frozen(300))
    controller.site.now -= 40
    controller.site.poll(frozen(0))
    assert await controller.after(WAIT) == []


async def test_what_resolved_and_fires_again_is_told_as_both() -> None:
    controller = Desk()
    controller.site.poll(frozen(300))
    await controller.after(WAIT)
    controller.site.poll(frozen(0))
    controller.site.poll(frozen(300))
    assert await controller.after(INTERVAL) == [["mx1", "(mx1)"]]


async def test_rules_are_told_apart() -> None:
    controller = Desk(Site(AT_ONCE, {**AT_ONCE, "name": "Other"}))
    controller.site.poll(frozen(300))
    assert await controller.after(WAIT) == [["mx1"], ["mx1"]]
    assert {told.group for told in controller.listener.told} == {"Frozen", "Other"}


async def test_a_failure_that_may_pass_is_tried_again_at_once() -> None:
    controller = Desk()
    controller.listener.failures = [refused(retryable=True)]
    controller.site.poll(frozen(300))
    assert await controller.after(WAIT) == [["mx1"]]
    assert controller.outcomes.counts == {("ops", "ok"): 1, ("ops", "http_status"): 1}
    assert controller.outcomes.failing == {}


@pytest.mark.parametrize(("retryable", "attempts"), [(True, 2), (False, 1)])
async def test_a_dead_receiver_is_told_what_is_so_when_it_is_back(
    retryable: bool, attempts: int
) -> None:
    controller = Desk()
    controller.listener.failures = [refused(retryable=retryable)] * attempts
    controller.site.poll(frozen(300))
    assert await controller.after(WAIT) == []
    assert controller.outcomes.counts["ops", "http_status"] == attempts
    assert await controller.after(1) == [], "it is left in peace for a while"
    controller.site.poll(frozen(300), name="mx2")
    assert await controller.after(60) == [["mx1", "mx2"]]


async def test_nothing_is_told_of_what_passed_while_a_receiver_was_dead() -> None:
    controller = Desk()
    controller.listener.failures = [refused()]
    controller.site.poll(frozen(300))
    assert await controller.after(WAIT) == []
    controller.site.poll(frozen(0))
    assert await controller.after(60) == []
    assert controller.listener.told == []


async def test_a_restart_tells_nothing_twice_and_loses_no_resolution() -> None:
    controller = Desk()
    controller.site.poll(frozen(300))
    controller.site.poll(frozen(300), name="mx2")
    await controller.after(WAIT)
    kept = [told_value("ops", group, told) for group, told in controller.notifier.told.items()]
    told = {known[1]: known[2] for value in kept if (known := told_from(value))}
    controller.site = controller.site.restarted()
    controller.notifier = controller.made(told=told)
    assert await controller.after(INTERVAL) == []
    controller.site.poll(frozen(0))
    assert await controller.after(INTERVAL) == [["mx2", "(mx1)"]]
    controller.site.configure(AT_ONCE, hosts=["mx1"])
    assert await controller.after(INTERVAL) == [["(mx2)"]], "the host left the config"


async def test_a_resolution_is_told_even_of_what_nobody_remembers() -> None:
    controller = Desk()
    controller.site.poll(frozen(300))
    await controller.after(WAIT)
    controller.site = Site(
        AT_ONCE
    )  # the state of the alerts was lost, that of the receiver was not
    controller.site.now = controller.notifier.told["Frozen"].at
    controller.notifier = controller.made(told=controller.notifier.told)
    assert await controller.after(INTERVAL) == [["(mx1)"]]


@pytest.mark.parametrize("value", [None, {}, {"receiver": "ops"}, {"firing": [{}]}])
def test_what_was_kept_and_makes_no_sense_is_left_out(value: object) -> None:
    assert told_from(value) is None


@pytest.mark.parametrize("jump", [3600, 30 * 86400])
async def test_a_clock_that_is_set_back_delays_nothing_by_more_than_its_interval(jump: int) -> None:
    controller = Desk()
    controller.site.poll(frozen(300))
    assert await controller.after(-jump) == [["mx1"]], "it fired in what is the future now"
    controller.site.now += jump
    controller.site.poll(frozen(300), name="mx2")
    controller.listener.failures = [refused()]
    assert await controller.after(INTERVAL) == []
    controller.site.now -= jump
    assert await controller.after(0) == []
    assert await controller.after(INTERVAL) == [["mx1", "mx2"]]
    controller.site.poll(frozen(0))
    controller.site.now -= jump
    assert await controller.after(0) == []
    assert await controller.after(INTERVAL) == [["mx2", "(mx1)"]]


class Slow(Listener):
    """One that takes what it is told when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_take = asyncio.Event(), asyncio.Event()

    async def send(self, notification: Notification) -> None:
        self.asked.set()
        await self.may_take.wait()
        self.told.append(notification)


async def test_who_is_just_being_told_is_told_though_the_daemon_ends() -> None:
    """It would be told again after the start, if nobody knew that it took it."""
    controller, changes = Desk(), []
    controller.listener = slow = Slow()
    controller.notifier = controller.made(on_told=lambda: changes.append(controller.site.now))
    controller.site.poll(frozen(300))
    controller.site.now += WAIT
    step = asyncio.create_task(controller.notifier.step())
    await slow.asked.wait()
    step.cancel()
    slow.may_take.set()
    with pytest.raises(asyncio.CancelledError):
        await step
    assert len(slow.told) == 1
    assert (list(controller.notifier.told), len(changes)) == (["Frozen"], 1)


async def test_who_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "LAST_ATTEMPT", 0.01)
    controller = Desk()
    controller.listener = slow = Slow()
    controller.notifier = controller.made()
    controller.site.poll(frozen(300))
    controller.site.now += WAIT
    step = asyncio.create_task(controller.notifier.step())
    await slow.asked.wait()
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    assert (slow.told, controller.notifier.told) == ([], {})


async def test_a_thousand_hosts_that_go_down_are_one_message_each_way() -> None:
    hosts = [f"mx{number}" for number in range(1000)]
    controller = Desk(Site(AT_ONCE, hosts=hosts))
    manager = Told(controller.site)
    for count, first in ((300, "mx0"), (0, "(mx0)")):
        for name in hosts:
            controller.site.now -= MINUTE
            controller.site.poll(frozen(count), name=name)
        ((worst, *others),) = await controller.after(INTERVAL)
        assert (worst, len(others)) == (first, 999)
        assert len(await manager.after(0)) == 1000
    assert len(manager.manager.sent) == 2


# --- Alertmanager -------------------------------------------------------------------------------


class Told:
    """An Alertmanager that is told of a site's alerts."""

    def __init__(self, site: Site | None = None) -> None:
        self.site = site or Site(AT_ONCE, hosts=HOSTS)
        self.manager = Manager("am")
        self.outcomes = DeliveryStats()
        self.feed = self.made()

    def made(self, ended: Sequence[str] = ()) -> AlertmanagerSender:
        return AlertmanagerSender(
            self.manager, self.site.evaluator, self.outcomes, lambda: self.site.now, ended
        )

    async def after(self, seconds: float) -> list[str]:
        """What is told by then; a resolved one in brackets."""
        self.site.now += seconds
        before = len(self.manager.sent)
        await self.feed.step()
        return [
            alert.host if alert.firing else f"({alert.host})"
            for alerts, _ in self.manager.sent[before:]
            for alert in alerts
        ]


async def test_it_is_told_at_once_and_again_before_the_alert_would_end() -> None:
    told = Told()
    told.site.poll(frozen(300))
    assert await told.after(0) == ["mx1"]
    assert told.manager.sent[0][1] == told.site.now + ENDS_AFTER
    assert await told.feed.step() == told.site.now + RESEND
    told.site.poll(frozen(300), name="mx2")
    told.site.now -= 30
    assert await told.after(0) == ["mx2"], "mx1 was told half a minute ago"
    assert await told.after(30) == ["mx1"]
    assert RESEND * 3 < ENDS_AFTER


async def test_a_clock_that_is_set_back_does_not_let_an_alert_end() -> None:
    told = Told()
    told.site.poll(frozen(300))
    await told.after(0)
    told.site.now -= 3600
    assert await told.after(0) == []
    assert await told.after(RESEND) == ["mx1"]
    told.site.poll(frozen(0))
    assert await told.after(0) == ["(mx1)"]


async def test_a_resolution_is_told_for_a_while() -> None:
    told = Told()
    told.site.poll(frozen(300))
    await told.after(0)
    told.site.poll(frozen(0))
    seen = [await told.after(RESEND) for _ in range(10)]
    assert seen == [["(mx1)"]] * 4 + [[]] * 6
    assert RESOLVED_FOR == 5 * RESEND
    assert await told.feed.step() is None


async def test_what_fires_again_is_not_ended_by_its_past() -> None:
    told = Told()
    for count in (300, 0, 300):
        told.site.poll(frozen(count))
        await told.after(0)
    assert await told.after(RESEND) == ["mx1"]


async def test_one_that_was_dead_is_told_of_what_resolved_meanwhile() -> None:
    told = Told()
    told.site.poll(frozen(300))
    await told.after(0)
    told.manager.failures = [refused(retryable=True)] * 2
    told.site.poll(frozen(0))
    assert await told.after(0) == []
    assert told.outcomes.counts["am", "http_status"] == 2
    assert await told.after(2 * 3600) == ["(mx1)"]
    assert await told.after(RESEND) == []


async def test_one_that_refuses_is_left_alone_for_a_while() -> None:
    told = Told()
    assert told.outcomes.counts == {("am", "ok"): 0}
    told.manager.failures = [refused()]
    told.site.poll(frozen(300))
    assert await told.feed.step() == told.site.now + TRY_AGAIN
    assert await told.after(TRY_AGAIN - 1) == []
    assert await told.after(1) == ["mx1"]
    assert told.outcomes.counts == {("am", "ok"): 1, ("am", "http_status"): 1}


async def test_after_a_restart_it_is_told_once_more() -> None:
    told = Told()
    for count in (300, 0):
        told.site.poll(frozen(count))
    told.site.poll(frozen(300), name="mx2")
    told.site = told.site.restarted()
    told.feed = told.made()
    assert sorted(await told.after(600)) == ["(mx1)", "mx2"]
    assert await told.after(RESEND) == ["mx2"]
    ended = told.feed.ended
    told.feed = told.made(ended)
    assert await told.after(0) == ["mx2"], "it would pass on the end of mx1 once more"
    told.feed = told.made()
    assert await told.after(GIVE_UP_AFTER) == ["mx2"]


async def test_one_dead_delays_no_other() -> None:
    site = Site(AT_ONCE, hosts=HOSTS)
    dead, well = Told(site), Told(site)
    dead.manager.failures = [refused(retryable=True)] * 50
    site.poll(frozen(300))
    assert (await dead.after(0), await well.after(0)) == ([], ["mx1"])

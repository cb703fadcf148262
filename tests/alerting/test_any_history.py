"""Whatever polls, receivers, clocks, restarts and reloads do: nothing resolves without a poll, and
each receiver is notified of what is so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import stamina
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exporter.alerting.alertmanager_sender import RESEND_DELAY, AlertmanagerSender
from exporter.alerting.delivery import DeliveryStats
from exporter.alerting.notifier import RETRY_AFTER, Notifier
from exporter.alertmanager.alert import Alert, Notification
from tests.alerting.site import FROZEN, FakeAlertmanager, FakeReceiver, Site, frozen, refused
from tests.builders import bad
from tests.examples import examples

HOSTS = ("mx1", "mx2")
POLLS = {
    "high": frozen(300),
    "between": frozen(150),
    "low": frozen(50),
    "unsure": frozen(50, unparsed=100),
    "failed": bad("queue"),
}
SLOW = FROZEN | {"for": "2m"}
RULES: dict[str, dict[str, Any]] = {
    "as it was": SLOW,
    "severe": SLOW | {"severity": "critical"},
    "higher": SLOW | {"when": ["queue_frozen_messages > 250"]},
    "at once": {k: v for k, v in FROZEN.items() if k != "for"},
}


class CheckingReceiver(FakeReceiver):
    """A receiver that checks each notification against what it knows."""

    def __init__(self) -> None:
        super().__init__()
        self.known: set[str] = set()
        self.at = float("-inf")
        self.site: Site
        self.jumped = False

    async def send(self, notification: Notification) -> None:
        self._fail()
        firing = {alert.incident for alert in notification.firing}
        ended = {alert.incident for alert in notification.resolved}
        assert ended == self.known - firing, "a resolution is sent once, of what is known"
        repeat = self.site.config.alerting.repeat_interval
        if firing == self.known and not self.jumped:
            assert self.site.now - self.at >= repeat, "what is known is repeated too soon"
        self.known, self.at, self.jumped = firing, self.site.now, False


class CheckingAlertmanager(FakeAlertmanager):
    """An Alertmanager that notes which alerts it takes to fire."""

    def __init__(self) -> None:
        super().__init__("am")
        self.ends: dict[str, float] = {}
        """By fingerprint, when it takes what fires for resolved."""
        self.site: Site

    async def send(self, alerts: Sequence[Alert], *, ends_at: float) -> None:  # type: ignore[override]  # another protocol
        self._fail()
        assert ends_at > self.site.now
        for alert in alerts:
            if alert.firing:
                self.ends[alert.fingerprint] = ends_at
            else:
                self.ends.pop(alert.fingerprint, None)

    @property
    def firing(self) -> set[str]:
        return {alert for alert, ends in self.ends.items() if ends > self.site.now}


class AnyHistory(RuleBasedStateMachine):
    """One rule, two hosts, a webhook and an Alertmanager."""

    @initialize()
    def begin(self) -> None:
        self.receiver, self.alertmanager = CheckingReceiver(), CheckingAlertmanager()
        self.site = Site(SLOW, hosts=HOSTS)
        self.hosts: tuple[str, ...] = HOSTS
        self.start({}, {})

    def start(self, log: dict[str, Any], resolved_sent: dict[str, Any]) -> None:
        self.receiver.site = self.alertmanager.site = self.site
        context = self.site.context(DeliveryStats())
        self.notifier = Notifier(self.receiver, context, log.values())
        self.sender = AlertmanagerSender(
            self.alertmanager,  # type: ignore[arg-type]  # in place of a client
            context,
            resolved_sent.values(),
        )

    def firing(self) -> dict[str, Alert]:
        return {alert.host: alert for alert in self.site.evaluator.firing()}

    @rule()
    def storm(self) -> None:
        """All of them fire, and every receiver is notified."""
        for host in self.hosts:
            self.poll(host, "high", 3)
        self.wait(305.0)

    @rule(host=st.sampled_from(HOSTS), kind=st.sampled_from(sorted(POLLS)), times=st.integers(1, 3))
    def poll(self, host: str, kind: str, times: int) -> None:
        if host not in self.hosts:
            return
        for _ in range(times):
            before = self.firing()
            self.site.poll(POLLS[kind], name=host)
            after = self.firing()
            for name, alert in before.items():
                if name != host or kind != "low":
                    assert name in after, f"{kind} on {host} ended an alert of {name}"
                    assert after[name].incident == alert.incident
            assert after.keys() - before.keys() <= ({host} if kind == "high" else set())

    @rule(seconds=st.sampled_from([1.0, 35.0, 305.0, 4 * 3600.0]))
    def wait(self, seconds: float) -> None:
        self.site.now += seconds
        self.send()

    @rule(seconds=st.sampled_from([-86400.0, -3600.0, -30.0, 86400.0]))
    def jump(self, seconds: float) -> None:
        self.site.now += seconds
        self.receiver.jumped = True
        self.send()

    @rule(often=st.integers(0, 3), retryable=st.booleans())
    def fail(self, often: int, retryable: bool) -> None:
        self.receiver.failures = [refused(retryable=retryable)] * often
        self.alertmanager.failures = [refused(retryable=retryable)] * often
        self.send()

    @rule()
    def send(self) -> None:
        async def both() -> None:
            await self.notifier.send_due()
            await self.sender.send_due()

        with stamina.set_testing(True, attempts=2, cap=False):
            asyncio.run(both())

    @rule()
    def restart(self) -> None:
        before = self.firing()
        saved = json.loads(json.dumps([self.notifier.dump(), self.sender.dump()]))
        self.site = self.site.restarted()
        assert self.firing() == before
        self.start(*saved)
        assert [self.notifier.dump(), self.sender.dump()] == saved

    @rule(name=st.sampled_from(sorted(RULES)), hosts=st.sampled_from([HOSTS, HOSTS[:1]]))
    def reload(self, name: str, hosts: tuple[str, ...]) -> None:
        before = self.firing()
        same_rule = RULES[name]["when"] == [*map(str, self.site.config.alerting.rules[0].when)]
        self.hosts = hosts
        self.site.apply_config(RULES[name], hosts=hosts)
        if same_rule:
            assert before.keys() & set(hosts) == self.firing().keys()

    @precondition(lambda self: hasattr(self, "receiver"))
    @rule()
    def settle(self) -> None:
        """Once nothing fails and time passes, every receiver knows what is so."""
        self.receiver.failures, self.alertmanager.failures = [], []
        self.wait(RETRY_AFTER)
        for _ in range(3):
            self.wait(305.0)
        assert self.receiver.known == {alert.incident for alert in self.firing().values()}
        self.wait(RESEND_DELAY)
        assert self.alertmanager.firing == {alert.fingerprint for alert in self.firing().values()}

    @invariant()
    def the_log_is_what_the_receiver_knows(self) -> None:
        if hasattr(self, "receiver"):
            logged = {i for e in self.notifier.notification_log.values() for i in e.firing}
            assert logged == self.receiver.known


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=examples(80), stateful_step_count=30, deadline=None)

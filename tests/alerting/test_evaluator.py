"""When alerts are pending, fire and resolve."""

from __future__ import annotations

import pytest

from exporter.alerting.evaluator import MAX_RESOLVED, RESOLVED_RETENTION
from exporter.config.alerting import BUILTIN
from exporter.snapshot import ServiceState
from tests.alerting.site import AT_ONCE, FROZEN, MINUTE, Site, frozen
from tests.builders import bad, good, host, snapshot


def test_it_fires_once_the_conditions_have_held_for_long_enough() -> None:
    site = Site(FROZEN)
    changes = [site.poll(frozen(300)) for _ in range(6)]
    assert changes == [True, False, False, False, False, True], "it is pending, then fires"
    (alert,) = site.evaluator.firing()
    assert alert.labels == {
        "alertname": "Frozen",
        "host": "mx1",
        "severity": "warning",
        "dc": "msk1",
    }
    assert (alert.since, alert.fired_at) == (site.now - 5 * MINUTE, site.now)


def test_it_does_not_fire_below_or_too_soon() -> None:
    site = Site(FROZEN)
    for count in (300, 300, 300, 300, 150, 300, 300, 300, 300, 300):
        site.poll(frozen(count))
    assert site.firing() == []
    site.poll(frozen(300))
    assert site.firing() == ["mx1 Frozen"]


def test_a_pending_alert_shows_for_how_long_it_must_go_on() -> None:
    site = Site(FROZEN)
    site.poll(frozen(300))
    site.poll(frozen(300))
    (pending,) = site.evaluator.pending()
    assert (pending.host, pending.remaining) == ("mx1", 4 * MINUTE)


def test_a_failed_poll_stops_the_hold_timer() -> None:
    site = Site(FROZEN)
    for result in (frozen(300), frozen(300), bad("queue"), frozen(300), frozen(300), frozen(300)):
        site.poll(result)
    assert site.firing() == [], "two of the five minutes were not seen"
    site.poll(frozen(300))
    site.poll(frozen(300))
    assert site.firing() == ["mx1 Frozen"]


def test_unknown_resolves_nothing() -> None:
    site = Site(FROZEN)
    for _ in range(6):
        site.poll(frozen(300))
    before = next(iter(site.evaluator.firing()))
    for _ in range(500):
        assert not site.poll(bad("queue"), bad("clamav"))
    assert list(site.evaluator.firing()) == [before], "with the last known annotations"
    # There may be 50 frozen or 150: that is no reason to resolve.
    assert not site.poll(frozen(50, unparsed=100))
    assert site.poll(frozen(50))
    assert site.firing() == []


def test_between_the_thresholds_it_stays_as_it_is() -> None:
    site = Site(FROZEN)
    for count in (150, 150, 150, 150, 150, 150):
        site.poll(frozen(count))
    assert site.firing() == []
    for count in (300, 300, 300, 300, 300, 300, 150, 201, 100):
        site.poll(frozen(count))
    assert site.firing() == ["mx1 Frozen"]
    site.poll(frozen(99))
    assert site.firing() == []
    (alert,) = site.evaluator.recent()
    assert (alert.firing, alert.resolved_at) == (False, site.now)
    assert [change.firing for change in site.changes] == [True, False]
    assert site.changes[1] == alert


def test_without_clear_it_resolves_when_the_conditions_surely_do_not_hold() -> None:
    site = Site(AT_ONCE)
    site.poll(frozen(201))
    assert site.firing() == ["mx1 Frozen"]
    site.poll(frozen(150, unparsed=51))
    assert site.firing() == ["mx1 Frozen"], "there may be 201"
    site.poll(frozen(150, unparsed=50))
    assert site.firing() == []


def test_what_holds_does_not_resolve_whatever_clear_says() -> None:
    site = Site({**AT_ONCE, "clear": "queue_bounce_messages < 10"})
    for _ in range(5):
        site.poll(frozen(300, bounces=0))
        assert site.firing() == ["mx1 Frozen"]
    site.poll(frozen(100, bounces=0))
    assert [change.firing for change in site.changes] == [True, False]


def test_each_incident_is_one_of_its_own() -> None:
    site = Site(AT_ONCE)
    for count in (300, 0, 300):
        site.poll(frozen(count))
    (now,), (before,) = list(site.evaluator.firing()), list(site.evaluator.recent())
    assert now.fingerprint == before.fingerprint
    assert now.incident != before.incident


def test_no_alert_for_a_service_that_is_not_installed() -> None:
    rule = {"name": "Stopped", "when": 'service_up{service="*"} == 0'}
    absent = good("clamav", ServiceState(running=False, installed=False))
    site = Site(rule)
    site.poll(absent, good("spamassassin", value=False))
    assert [a.labels["service"] for a in site.evaluator.firing()] == ["spamassassin"]
    site.poll(good("clamav", value=False), good("spamassassin"))
    assert [a.labels["service"] for a in site.evaluator.firing()] == ["clamav"]
    site.poll(absent, good("spamassassin"))
    assert list(site.evaluator.firing()) == []


def test_one_alert_for_each_service() -> None:
    rule = {"name": "Stopped", "when": 'service_up{service="*"} == 0'}
    site = Site(rule)
    site.poll(good("clamav", value=False), good("spamassassin", value=False))
    assert sorted(a.labels["service"] for a in site.evaluator.firing()) == [
        "clamav",
        "spamassassin",
    ]
    site.poll(good("clamav", value=True), bad("spamassassin"))
    assert [a.labels["service"] for a in site.evaluator.firing()] == ["spamassassin"]


def test_only_the_hosts_that_are_selected() -> None:
    site = Site({**AT_ONCE, "hosts": {"names": ["mx*"]}}, hosts=["mx1", "web1"])
    site.poll(frozen(300))
    site.poll(frozen(300), name="web1")
    assert site.firing() == ["mx1 Frozen"]


def test_its_annotations_are_rendered_at_each_poll_while_it_fires() -> None:
    rule = {**AT_ONCE, "annotations": {"summary": "{{ host }}: {{ value }}"}}
    site = Site(rule)
    for count in (300, 1240):
        site.poll(frozen(count))
        (alert,) = site.evaluator.firing()
        assert alert.annotations["summary"] == f"mx1: {count:,}"
        assert alert.url == "https://page/mx1"


# --- reload -------------------------------------------------------------------------------------


def test_a_reload_without_a_change_disturbs_nothing() -> None:
    site = Site(FROZEN, AT_ONCE | {"name": "Other"})
    for _ in range(4):
        site.poll(frozen(300))
    before = list(site.evaluator.firing()), list(site.evaluator.pending())
    site.changes.clear()
    site.apply_config(FROZEN, AT_ONCE | {"name": "Other"})
    assert site.changes == []
    assert (list(site.evaluator.firing()), list(site.evaluator.pending())) == before
    site.poll(frozen(300))
    site.poll(frozen(300))
    assert site.firing() == ["mx1 Frozen", "mx1 Other"]


@pytest.mark.parametrize(
    "change",
    [
        lambda site: site.apply_config(),
        lambda site: site.apply_config(AT_ONCE, hosts=["mx2"]),
        lambda site: site.apply_config({**AT_ONCE, "hosts": {"names": ["mx2"]}}),
        lambda site: site.apply_config({**AT_ONCE, "when": "queue_frozen_messages > 400"}),
        lambda site: site.apply_config({**AT_ONCE, "enabled": False}),
    ],
    ids=["rule gone", "host gone", "host not selected", "another condition", "switched off"],
)
def test_an_alert_without_its_rule_or_host_resolves(change: object) -> None:
    site = Site(AT_ONCE)
    site.poll(frozen(300))
    assert callable(change)
    change(site)
    assert site.firing() == []
    assert [alert.firing for alert in site.changes] == [True, False]
    assert [alert.host for alert in site.evaluator.recent()] == ["mx1"]


def test_other_labels_make_another_alert() -> None:
    site = Site(AT_ONCE)
    site.poll(frozen(300))
    site.changes.clear()
    site.apply_config({**AT_ONCE, "severity": "critical"})
    changes = [(change.severity, change.firing) for change in site.changes]
    assert changes == [("warning", False), ("critical", True)]
    (alert,) = site.evaluator.firing()
    (resolved,) = site.evaluator.recent()
    assert (alert.severity, resolved.severity) == ("critical", "warning")
    assert alert.since == resolved.since


# --- restart ------------------------------------------------------------------------------------


def test_a_restart_changes_nothing() -> None:
    site = Site(AT_ONCE, FROZEN | {"name": "Slow"}, hosts=["mx1", "mx2"])
    for count in (300, 300, 300, 0, 300, 300, 300):
        site.poll(frozen(count))
        site.poll(frozen(count), name="mx2")
    again = site.restarted()
    assert list(again.evaluator.firing()) == list(site.evaluator.firing())
    assert list(again.evaluator.recent()) == list(site.evaluator.recent())
    assert list(again.evaluator.pending()) == list(site.evaluator.pending())
    assert again.evaluator.dump() == site.evaluator.dump()
    assert again.changes == []


def test_what_ceased_while_the_daemon_was_down_resolves_after_the_start() -> None:
    site = Site(AT_ONCE)
    site.poll(frozen(300))
    again = site.restarted()
    again.now += 3600
    assert not again.poll(bad("queue"))
    assert again.firing() == ["mx1 Frozen"]
    assert again.poll(frozen(0))
    assert again.firing() == []


def test_time_without_polls_does_not_count() -> None:
    site = Site(FROZEN)
    for _ in range(5):
        site.poll(frozen(300))
    again = site.restarted()
    again.poll(frozen(300))
    assert again.firing() == [], "four minutes were seen, and the one of the restart was not"
    again.poll(frozen(300))
    assert again.firing() == ["mx1 Frozen"]


def test_a_long_stop_begins_the_time_anew() -> None:
    site = Site(FROZEN)
    for _ in range(5):
        site.poll(frozen(300))
    again = site.restarted()
    again.now += 3600
    for _ in range(5):
        again.poll(frozen(300))
    assert again.firing() == []
    again.poll(frozen(300))
    (alert,) = again.evaluator.firing()
    assert alert.since == again.now - 5 * MINUTE


def test_a_condition_that_changed_while_the_daemon_was_down_begins_anew() -> None:
    site = Site(FROZEN, AT_ONCE | {"name": "Other"})
    for _ in range(5):
        site.poll(frozen(300))
    other = {"when": "queue_bounce_messages > 0", "clear": []}
    again = Site()
    again.evaluator.restore(site.evaluator.dump().values())
    again.apply_config(FROZEN | other, AT_ONCE | {"name": "Other"} | other)
    assert (again.firing(), list(again.evaluator.pending())) == ([], [])
    assert [alert.name for alert in again.evaluator.recent()] == ["Other"]


def test_a_clock_that_is_set_back_neither_ends_nor_repeats_anything() -> None:
    site = Site(FROZEN)
    for _ in range(6):
        site.poll(frozen(300))
    site.now -= 86400
    site.poll(frozen(300))
    site.poll(bad("queue"))
    assert site.firing() == ["mx1 Frozen"]
    site.poll(frozen(0))
    (alert,) = site.evaluator.recent()
    assert alert.resolved_at == site.now
    assert [change.firing for change in site.changes] == [True, False]


def test_a_clock_that_jumps_makes_nothing_fire() -> None:
    site = Site(FROZEN)
    for jump in (86400, -86400, 7 * 86400, -3600, 0):
        site.poll(frozen(300))
        site.now += jump
    assert site.firing() == []


def test_a_rule_that_left_while_the_daemon_was_down_resolves_its_alerts() -> None:
    site = Site(AT_ONCE)
    site.poll(frozen(300))
    saved = site.evaluator.dump()
    other = Site(FROZEN)
    other.evaluator.restore(saved.values())
    other.apply_config(FROZEN)
    assert [alert.name for alert in other.evaluator.recent()] == ["Frozen"]


SAVED = {
    "labels": {"alertname": "Frozen", "host": "mx1"},
    "annotations": {},
    "since": 1.0,
    "fired_at": 1.0,
}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"host": "mx1"},
        {"host": "mx1", "watch": "Frozen", "alert": {"labels": 5}},
        {"host": "mx1", "watch": "Frozen", "since": "yesterday", "held": None},
        {"resolved": None},
        {"resolved": {"labels": {}}},
        {"resolved": {**SAVED, "labels": {}}},
        {"resolved": {**SAVED, "fired_at": float("nan")}},
        {"resolved": {**SAVED, "resolved_at": 1e300}},
        {"host": "mx1", "watch": "Frozen", "alert": {**SAVED, "since": -1}},
        {"host": "mx1", "watch": "Frozen", "since": 1e300, "held": float("inf")},
    ],
)
def test_saved_state_that_makes_no_sense_is_left_out(value: dict[str, object]) -> None:
    site = Site(AT_ONCE)
    site.evaluator.restore([value])
    site.apply_config(AT_ONCE)
    assert (site.firing(), list(site.evaluator.recent())) == ([], [])
    site.poll(frozen(300))
    assert site.firing() == ["mx1 Frozen"]


def test_old_ones_are_forgotten() -> None:
    site = Site(AT_ONCE)
    for count in (300, 0) * 3:
        site.poll(frozen(count))
    first, *later = site.evaluator.recent()
    site.evaluator.forget_old((first.resolved_at or 0) + RESOLVED_RETENTION)
    assert list(site.evaluator.recent()) == [first, *later]
    site.evaluator.forget_old((first.resolved_at or 0) + RESOLVED_RETENTION + 1)
    assert list(site.evaluator.recent()) == later
    for count in (300, 0) * (MAX_RESOLVED + 5):
        site.poll(frozen(count))
    assert len(list(site.evaluator.recent())) == MAX_RESOLVED


# --- the built-in rules -------------------------------------------------------------------------

GOOD = (frozen(0, listed=5), good("clamav"), good("spamassassin"))


def test_a_sound_host_fires_nothing() -> None:
    site = Site(builtin=True)
    calm = {"queue_growth_messages": 0, "remediation_failed": 0, "remediation_stopped": 0}
    for _ in range(120):
        site.poll(*GOOD, alert_only=calm, certificate_expiry=site.now + 30 * 86400)
    assert (site.firing(), list(site.evaluator.pending())) == ([], [])


@pytest.mark.parametrize(
    ("name", "minutes", "results", "alert_only"),
    [
        ("HostDown", 5, (bad("queue"), bad("clamav"), bad("spamassassin")), {}),
        ("CollectorFailing", 10, (bad("queue"), *GOOD[1:]), {}),
        ("MailQueueGrowing", 15, GOOD, {"queue_growth_messages": 501}),
        ("MailQueueFrozen", 10, (frozen(201), *GOOD[1:]), {}),
        ("MailQueueOld", 30, (frozen(0, oldest_age=5 * 86400 + 1.0), *GOOD[1:]), {}),
        ("ServiceDown", 5, (GOOD[0], good("clamav", value=False), GOOD[2]), {}),
        ("QueueRowsNotUnderstood", 30, (frozen(0, unparsed=1), *GOOD[1:]), {}),
        ("RemediationFailed", 0, GOOD, {"remediation_failed": 1}),
        ("RemediationStopped", 0, GOOD, {"remediation_stopped": 1}),
    ],
)
def test_each_builtin_rule_fires_after_its_time_and_alone(
    name: str, minutes: int, results: tuple[object, ...], alert_only: dict[str, float]
) -> None:
    site = Site(builtin=True)
    calm = dict.fromkeys(
        ("queue_growth_messages", "remediation_failed", "remediation_stopped"), 0.0
    )
    for _ in range(minutes):
        site.poll(*results, alert_only=calm | alert_only)  # type: ignore[arg-type]  # they are results
    assert site.firing() == []
    site.poll(*results, alert_only=calm | alert_only)  # type: ignore[arg-type]  # they are results
    assert site.firing() == [f"mx1 {name}"]
    (alert,) = site.evaluator.firing()
    assert "unknown" not in alert.annotations["summary"]
    site.poll(*GOOD, alert_only=calm)
    assert site.firing() == []


def test_a_certificate_that_ends_soon_and_one_that_has_ended() -> None:
    site = Site(builtin=True)
    for _ in range(61):
        site.poll(*GOOD, certificate_expiry=site.now + 3 * 86400)
    (alert,) = site.evaluator.firing()
    assert alert.annotations["summary"].startswith("mx1: the panel's certificate expires in 2d 23h")
    site.poll(*GOOD, certificate_expiry=site.now - 5)
    (alert,) = site.evaluator.firing()
    assert alert.annotations["summary"] == "mx1: the panel's certificate has expired"


def test_every_builtin_rule_has_a_summary() -> None:
    assert all(rule.annotations["summary"] for rule in BUILTIN)
    names = [rule.name for rule in BUILTIN]
    assert len(set(names)) == len(names) == 10


def test_a_host_without_alerts_costs_next_to_nothing() -> None:
    """Nothing is rendered for what does not fire: there are a thousand hosts."""
    site = Site(builtin=True)

    def never() -> None:
        raise AssertionError

    poll = snapshot(*GOOD)
    assert not site.evaluator.on_snapshot(poll, {}, site.now, never)  # type: ignore[arg-type]  # not called


def test_an_unknown_host_is_left_alone() -> None:
    site = Site(AT_ONCE)
    assert not site.evaluator.on_snapshot(
        snapshot(frozen(300), name=host("mx9").name),
        {},
        site.now,
        lambda: None,  # type: ignore[arg-type,return-value]  # not called
    )
    assert site.firing() == []


def test_a_description_says_once_that_a_queue_is_unknown() -> None:
    site = Site(AT_ONCE, {"name": "Down", "when": "panel_up == 0"})
    site.poll(bad("queue"), bad("clamav"))
    (alert,) = site.evaluator.firing()
    assert alert.annotations["description"].splitlines()[:2] == [
        "panel_up == 0, for 0s.",
        "Queue: unknown.",
    ]

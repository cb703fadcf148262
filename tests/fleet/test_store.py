"""What of a host's polls is kept, and how long."""

from __future__ import annotations

from dataclasses import replace

from exporter.fleet.store import HostRecord, Store
from exporter.snapshot import (
    Mta,
    Reason,
    ServiceState,
)
from tests.builders import NOW, bad, failure, good, host, queue, snapshot


def record() -> HostRecord:
    return HostRecord(host(), interval=60, stale_after=3)


def test_values_stay_through_failures_until_they_are_stale() -> None:
    r = record()
    r.add(snapshot())
    r.add(snapshot(bad("queue"), bad("clamav"), bad("spamassassin"), at=NOW + 60))
    assert r.queue(NOW + 179) == queue()
    assert r.service("clamav", NOW + 179) == ServiceState(running=True)
    assert r.queue(NOW + 180) is None
    assert r.service("clamav", NOW + 180) is None
    assert r.next_stale_at(NOW) == NOW + 180
    assert r.next_stale_at(NOW + 180) == float("inf")


def test_polls_longer_than_the_interval_do_not_make_values_blink() -> None:
    r = HostRecord(host(), interval=1, stale_after=3)
    r.add(snapshot(replace(good("queue"), duration=20.0)))
    assert r.queue(NOW + 30) == queue()


def test_errors_are_counted_by_collector_and_reason() -> None:
    r = record()
    r.add(snapshot(bad("queue"), good("clamav"), bad("spamassassin", failure(Reason.AUTH))))
    r.add(snapshot(bad("queue")))
    assert r.errors == {("queue", Reason.TIMEOUT): 2, ("spamassassin", Reason.AUTH): 1}


def test_arrivals_and_departures_add_up() -> None:
    r = record()
    r.add(snapshot(good("queue", queue(entered=3, left=1))))
    r.add(snapshot(good("queue", queue())))
    r.add(snapshot(good("queue", queue(entered=2, left=4))))
    assert (r.entered, r.left) == (5, 5)


def test_what_was_once_recognised_is_kept() -> None:
    r = record()
    r.add(snapshot(mta=Mta.EXIM, certificate_expiry=5.0))
    r.add(snapshot(bad("queue")))
    assert (r.mta, r.certificate_expiry) == (Mta.EXIM, 5.0)


def test_a_store_follows_the_config() -> None:
    store = Store()
    store.apply_config([(host("a"), 60), (host("b"), 60)], 3)
    kept = store.get("a")
    assert kept is not None
    kept.add(snapshot(name="a"))
    store.apply_config([(host("c"), 60), (host("a", collectors=["queue"]), 30)], 5)
    assert [r.host.name for r in store] == ["c", "a"]
    assert len(store) == 2
    assert store.get("b") is None
    assert store.get("a") is kept
    assert set(kept.good) == {"queue"}
    assert (kept.interval, kept.stale_after) == (30, 5)


def test_a_host_that_points_elsewhere_starts_anew() -> None:
    store = Store()
    store.apply_config([(host("a"), 60)], 3)
    first = store.get("a")
    store.apply_config([(host("a", url="https://other.example.com"), 60)], 3)
    assert store.get("a") is not first

"""One host's samples, read back by prometheus-client's own parser."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from exporter.config.models import HostConfig
from exporter.fleet.store import HostRecord
from exporter.metrics.families import HOST_FAMILIES
from exporter.metrics.host_text import HostFormatter
from exporter.metrics.page import join_hosts
from exporter.snapshot import (
    EMPTY_QUEUE,
    Certainty,
    HostSnapshot,
    Mta,
    QueueStats,
    Reason,
    ServiceState,
)
from tests.builders import NOW, bad, failure, good, host, queue, snapshot, stats

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(
    *snapshots: HostSnapshot, config: HostConfig | None = None, now: float = NOW
) -> Samples:
    """Every sample of a host after `snapshots`, without the label host."""
    record = HostRecord(config or host(), interval=60, stale_after=3)
    for item in snapshots:
        record.add(item)
    page = join_hosts([HostFormatter(record.host).text(record, now)], openmetrics=False).decode()
    read: Samples = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("host") == record.host.name
            read[sample.name, tuple(sorted(labels.items()))] = sample.value
    return read


def only(read: Samples, prefix: str) -> dict[Any, float]:
    """The samples of one family by their label values; by () when there is one without labels."""
    return {
        tuple(value for _, value in labels): sample
        for (name, labels), sample in read.items()
        if name == prefix
    }


def test_a_host_not_polled_yet_is_neither_up_nor_down() -> None:
    assert set(samples()) == {
        ("brainycp_host_info", (("mta", ""), ("url", "https://mx1.example.com:8002")))
    }


def test_a_good_poll_gives_every_figure() -> None:
    read = samples(snapshot(certificate_expiry=NOW + 5.5, mta=Mta.EXIM))
    assert read["brainycp_up", ()] == 1
    assert only(read, "brainycp_collector_up") == {
        ("queue",): 1,
        ("clamav",): 1,
        ("spamassassin",): 1,
    }
    assert only(read, "brainycp_collector_duration_seconds")[("queue",)] == 0.5
    assert only(read, "brainycp_last_success_timestamp_seconds")[("clamav",)] == NOW
    figures = {
        "brainycp_queue_messages": 5,
        "brainycp_queue_listed_messages": 5,
        "brainycp_queue_detail_skipped": 0,
        "brainycp_queue_unparsed_messages": 0,
        "brainycp_queue_frozen_messages": 1,
        "brainycp_queue_bounce_messages": 2,
        "brainycp_queue_size_bytes": 5000,
        "brainycp_queue_oldest_message_age_seconds": 7200,
        "brainycp_queue_entered_messages_total": 0,
        "brainycp_queue_left_messages_total": 0,
        "brainycp_panel_certificate_expiry_timestamp_seconds": NOW + 5.5,
    }
    assert {name: read[name, ()] for name in figures} == figures
    assert only(read, "brainycp_service_up") == {("clamav",): 1, ("spamassassin",): 1}
    assert only(read, "brainycp_host_info") == {("exim", "https://mx1.example.com:8002"): 1}


def test_ages_are_a_cumulative_histogram() -> None:
    read = samples(snapshot())
    name = "brainycp_queue_message_age_seconds"
    assert list(only(read, f"{name}_bucket").values()) == [1, 2, 3, 4, 5, 5, 5, 5, 5, 5]
    assert read[f"{name}_bucket", (("le", "+Inf"),)] == read[f"{name}_count", ()] == 5
    assert read[f"{name}_sum", ()] == 9000


def test_domains_by_role_and_the_rest_as_other() -> None:
    assert only(samples(snapshot()), "brainycp_queue_domain_messages") == {
        ("example.com", "sender"): 2,
        ("example.org", "sender"): 1,
        ("example.net", "recipient"): 3,
        ("other", "recipient"): 2,
    }


def test_an_empty_queue_gives_explicit_zeros() -> None:
    read = samples(snapshot(good("queue", queue(0, stats=EMPTY_QUEUE))))
    names = ["messages", "frozen_messages", "bounce_messages", "unparsed_messages", "size_bytes"]
    assert [read[f"brainycp_queue_{name}", ()] for name in names] == [0] * 5
    assert read["brainycp_queue_oldest_message_age_seconds", ()] == 0
    assert read["brainycp_queue_message_age_seconds_count", ()] == 0


def test_what_no_row_told_is_left_out_and_what_some_lack_is_counted() -> None:
    untold = QueueStats(
        listed=3,
        frozen=None,
        bounces=None,
        size_bytes=None,
        oldest_age=None,
        ages=None,
        sender_domains=None,
        recipient_domains=None,
        lacking=(("age", 3), ("size", 1)),
    )
    read = samples(snapshot(good("queue", queue(3, stats=untold))))
    names = {name for name, _ in read}
    assert "brainycp_queue_messages" in names
    for missing in ("frozen_messages", "bounce_messages", "size_bytes", "domain_messages"):
        assert f"brainycp_queue_{missing}" not in names
    assert not any("age_seconds" in name for name in names)
    assert only(read, "brainycp_queue_incomplete_messages") == {("age",): 3, ("size",): 1}


def test_what_is_certain_is_told_of_the_fields_that_are_told() -> None:
    sure = (
        ("id", Certainty.STRUCTURAL),
        ("sender", Certainty.NAMED),
        ("frozen", Certainty.GUESSED),
    )
    read = samples(snapshot(good("queue", queue(5, stats=stats(certainty=sure)))))
    told = only(read, "brainycp_queue_layout_certain")
    assert told == {("id",): 1, ("sender",): 1, ("frozen",): 0}


def test_a_list_not_asked_is_visible() -> None:
    read = samples(snapshot(good("queue", queue(200_000, stats=None))))
    assert read["brainycp_queue_messages", ()] == 200_000
    assert read["brainycp_queue_detail_skipped", ()] == 1
    assert ("brainycp_queue_frozen_messages", ()) not in read


def test_a_failed_poll_shows_at_once_and_keeps_values_until_they_are_stale() -> None:
    failed = snapshot(bad("queue", failure(Reason.FORBIDDEN)), good("clamav", value=False))
    polls = (snapshot(), failed)
    read = samples(*polls, now=NOW + 179)
    assert read["brainycp_up", ()] == 0
    assert only(read, "brainycp_collector_up") == {("queue",): 0, ("clamav",): 1}
    assert only(read, "brainycp_collector_errors_total") == {("queue", "forbidden"): 1}
    assert read["brainycp_queue_messages", ()] == 5
    assert only(read, "brainycp_service_up")[("clamav",)] == 0
    later = samples(*polls, now=NOW + 180)
    assert ("brainycp_queue_messages", ()) not in later
    assert not only(later, "brainycp_service_up")
    assert later["brainycp_up", ()] == 0
    assert only(later, "brainycp_last_success_timestamp_seconds")[("queue",)] == NOW


@given(value=st.text(st.characters(codec="utf-8"), max_size=50))
def test_no_label_value_breaks_the_format(value: str) -> None:
    read = samples(snapshot(), config=host(labels={"dc": value}))
    assert only(read, "brainycp_host_info") == {(value, "", "https://mx1.example.com:8002"): 1}
    assert len(read) == len(samples(snapshot()))


def test_headers_name_each_family_once() -> None:
    record = HostRecord(host(), 60, 3)
    record.add(snapshot(bad("queue"), good("clamav")))
    text = HostFormatter(record.host).text(record, NOW)
    for openmetrics, suffix in ((False, "_total"), (True, "")):
        page = join_hosts([text, text], openmetrics=openmetrics).decode()
        assert page.count(f"# TYPE brainycp_collector_errors{suffix} counter\n") == 1
        assert page.count("# TYPE brainycp_up gauge\n") == 1
        assert page.count("brainycp_collector_errors_total{") == 2


def test_there_are_no_two_families_of_one_name() -> None:
    assert len({family.name for family in HOST_FAMILIES}) == len(HOST_FAMILIES)


def test_a_service_may_not_be_installed() -> None:
    absent = ServiceState(running=False, installed=False)
    read = samples(
        snapshot(good("queue"), good("clamav", absent), good("spamassassin", value=False))
    )
    assert only(read, "brainycp_service_up") == {("clamav",): 0, ("spamassassin",): 0}
    assert only(read, "brainycp_service_installed") == {("clamav",): 0, ("spamassassin",): 1}
    assert only(read, "brainycp_up") == {(): 1}


def test_what_is_not_known_of_a_service_is_absent() -> None:
    read = samples(snapshot(good("queue"), bad("clamav"), good("spamassassin")))
    assert only(read, "brainycp_service_up") == {("spamassassin",): 1}
    assert only(read, "brainycp_service_installed") == {("spamassassin",): 1}

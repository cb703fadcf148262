from __future__ import annotations

import pickle

from exporter.panel.decode import ListOptions, MessageTable, decode_queue_update, queue_stats
from exporter.snapshot import EMPTY_QUEUE, Mta
from tests.decode.rendering import NOW, reply

IDS = [f"1kXpJb-{n:06d}-7Q" for n in range(20)]


def test_an_empty_queue_is_all_zeros() -> None:
    update = decode_queue_update(b'{"error": 100}', ListOptions(NOW), previous_ids=IDS[0].encode())
    assert update.stats == EMPTY_QUEUE
    assert (update.ids, update.entered, update.left) == (b"", 0, 1)
    assert queue_stats(MessageTable()) == EMPTY_QUEUE


def test_the_first_list_has_no_arrivals() -> None:
    update = decode_queue_update(reply([{"id": IDS[0]}]), ListOptions(NOW))
    assert (update.entered, update.left) == (None, None)


def test_arrivals_and_departures_by_id() -> None:
    first = decode_queue_update(
        reply([{"id": id_} for id_ in IDS[:5]]), ListOptions(NOW), previous_ids=b""
    )
    assert (first.entered, first.left) == (5, 0)
    rows = [{"id": id_} for id_ in [*IDS[2:9], "no id"]]
    second = decode_queue_update(reply(rows), ListOptions(NOW), previous_ids=first.ids)
    assert (second.entered, second.left) == (4, 2)
    assert second.stats.unparsed == 1


def test_an_update_travels_between_processes() -> None:
    update = decode_queue_update(reply([{"id": IDS[0], "age": "5m"}]), ListOptions(NOW))
    assert pickle.loads(pickle.dumps(update)) == update


def test_nothing_understood_is_nothing_known() -> None:
    stats = decode_queue_update(reply([{"x": 1}, {"x": 2}]), ListOptions(NOW)).stats
    assert (stats.listed, stats.unparsed) == (2, 2)
    figures = (stats.frozen, stats.bounces, stats.size_bytes, stats.oldest_age, stats.ages)
    assert figures == (None,) * 5
    assert stats.sender_domains is None
    assert stats.recipient_domains is None
    assert stats.mta is None


def test_what_only_some_rows_tell_covers_those() -> None:
    rows: list[dict[str, object]] = [
        {"id": IDS[0], "age": "5m", "size": 10},
        {"id": IDS[1], "age": "1h"},
    ]
    stats = decode_queue_update(reply(rows), ListOptions(NOW)).stats
    assert stats.size_bytes == 10
    assert stats.oldest_age == 3600.0
    assert dict(stats.lacking) == {"size": 1, "sender": 2, "recipients": 2, "frozen": 2}
    assert stats.mta is Mta.EXIM


def test_bucket_bounds_are_inclusive() -> None:
    rows = [{"id": IDS[0], "age": 60}, {"id": IDS[1], "age": 61}, {"id": IDS[2], "age": 604801}]
    stats = decode_queue_update(reply(rows), ListOptions(NOW)).stats
    assert stats.ages is not None
    assert stats.ages.counts == (1, 1, 0, 0, 0, 0, 0, 0, 0, 1)


def test_domains_are_names_and_nothing_else() -> None:
    senders = [
        *("a@Example.ORG", "b@example.org.", "c@пример.рф", "d@localhost", "e@[192.0.2.1]"),
        *("root", "f@1kXpJb-0004Uv-7Q", "g@" + "б" * 300 + ".рф", "h@a..b", "<>", "i@192.0.2.1"),
        "j@" + "б" * 70 + ".рф",
    ]
    rows = [{"id": id_, "from": sender} for id_, sender in zip(IDS, senders, strict=False)]
    domains = decode_queue_update(reply(rows), ListOptions(NOW)).stats.sender_domains
    assert domains is not None
    assert domains.top == (("example.org", 2), ("xn--e1afmkfd.xn--p1ai", 1))
    assert domains.other == 8


def test_a_message_counts_once_for_each_domain() -> None:
    rows = [
        {"id": IDS[0], "to": ["a@x.example", "b@X.example", "c@y.example", "root@"]},
        {"id": IDS[1], "to": ["a@x.example"]},
        {"id": IDS[2], "to": "D a@x.example"},
    ]
    domains = decode_queue_update(reply(rows), ListOptions(NOW)).stats.recipient_domains
    assert domains is not None
    assert domains.top == (("x.example", 2), ("y.example", 1))


def test_the_largest_domains_are_separate() -> None:
    rows = [{"id": id_, "from": f"a@d{n % 13:02}.example"} for n, id_ in enumerate(IDS)]
    domains = decode_queue_update(reply(rows), ListOptions(NOW)).stats.sender_domains
    assert domains is not None
    assert domains.top[0] == ("d00.example", 2)
    assert len(domains.top) == 10
    assert domains.other == 3

from __future__ import annotations

from collections import Counter

import pytest

from exporter.standin.traffic import BUSY, CALM, EMPTY, GROWING, STORM, Profile, Traffic

START = 1_700_000_000.0


def contents(traffic: Traffic) -> list[object]:
    return [
        (m.id, m.arrived, m.size, m.sender, m.recipients, m.delivered, m.frozen)
        for m in traffic.messages.values()
    ]


@pytest.mark.parametrize("profile", [CALM, BUSY, GROWING, STORM])
def test_equal_seeds_give_equal_histories_however_time_is_cut(profile: Profile) -> None:
    whole, parts, other = (Traffic(profile, seed=s, now=START) for s in (5, 5, 6))
    at_once = whole.step(90)
    in_parts = [change for _ in range(180) for change in parts.step(0.5)]
    other.step(90)
    assert contents(whole) == contents(parts) != contents(other)
    assert [c.kind for c in at_once] == [c.kind for c in in_parts]
    assert whole.now == START + 90


@pytest.mark.parametrize(
    ("profile", "least", "most"),
    [(CALM, 1, 60), (BUSY, 60, 300), (GROWING, 10, 2500), (STORM, 2500, 7500), (EMPTY, 0, 0)],
)
def test_every_queue_stays_bounded_for_hours(profile: Profile, least: int, most: int) -> None:
    traffic = Traffic(profile, seed=1, now=START)
    sizes = []
    for _ in range(3 * 60):
        traffic.step(60)
        sizes.append(len(traffic.messages))
    assert least <= min(sizes)
    assert max(sizes) <= most


def test_a_growing_queue_grows_at_once_drains_and_grows_again() -> None:
    traffic = Traffic(GROWING, seed=1, now=START)
    sizes = {0: len(traffic.messages)}
    for minute in range(1, 36):
        traffic.step(60)
        sizes[minute] = len(traffic.messages)
    assert sizes[1] > sizes[0] + 60
    assert sizes[15] > 1500
    assert sizes[20] < 150
    assert sizes[35] > 1500


def test_a_storm_refills_after_a_purge() -> None:
    traffic = Traffic(STORM, seed=1, now=START)
    before = len(traffic.messages)
    traffic.step(60)
    assert len(traffic.messages) > before + 30
    for message_id in [m.id for m in traffic.messages.values() if m.frozen]:
        assert traffic.remove(message_id)
    traffic.step(120)
    frozen = [m for m in traffic.messages.values() if m.frozen]
    assert 400 < len(frozen) < 700
    assert all(m.sender == "" for m in frozen)


def test_the_first_messages_have_arrived_before_and_in_order() -> None:
    traffic = Traffic(STORM, seed=1, now=START)
    arrivals = [m.arrived for m in traffic.messages.values()]
    assert arrivals == sorted(arrivals)
    assert START - STORM.oldest <= arrivals[0] < START - 86400
    assert arrivals[-1] <= START


def test_changes_tell_the_whole_story() -> None:
    traffic = Traffic(BUSY, seed=2, now=START)
    known = set(traffic.messages)
    kinds: Counter[str] = Counter()
    for change in traffic.step(600):
        kinds[change.kind] += 1
        if change.kind == "arrived":
            known.add(change.mail.id)
        elif change.kind == "gone":
            known.remove(change.mail.id)
        elif change.kind == "delivered":
            assert change.recipient in change.mail.recipients
    assert known == set(traffic.messages)
    assert min(kinds[k] for k in ("arrived", "delivered", "frozen", "gone")) > 5


def test_some_messages_are_delivered_in_part() -> None:
    traffic = Traffic(BUSY, seed=2, now=START)
    traffic.step(60)
    partly = [m for m in traffic.messages.values() if m.delivered]
    assert partly
    assert all(set(m.delivered) < set(m.recipients) for m in partly)


def test_an_attempt_by_hand_delivers_or_freezes_again() -> None:
    sure = Profile(20, 60, 0, 0.5, 1, 60, 60)
    traffic = Traffic(sure, seed=1, now=START)
    for mail in list(traffic.messages.values()):
        kinds = [change.kind for change in traffic.attempt(mail.id)]
        if mail.sender:
            assert kinds[-1] == "gone"
            assert mail.id not in traffic.messages
        else:
            assert kinds == ["frozen"]
            assert traffic.messages[mail.id].frozen
    assert traffic.attempt("no such id") == []


def test_a_renamed_message_goes_on_under_its_new_id() -> None:
    traffic = Traffic(Profile(1, 0, 0, 0, 1, 10, 10), seed=1, now=START)
    (mail,) = traffic.messages.values()
    old = mail.id
    traffic.rename(mail, "1kXpJb-0004Uv-7Q")
    assert list(traffic.messages) == ["1kXpJb-0004Uv-7Q"]
    changes = traffic.step(60)
    assert [(c.kind, c.mail.id) for c in changes][-1] == ("gone", "1kXpJb-0004Uv-7Q")
    assert not traffic.remove(old)
    traffic.rename(mail, "1kXpJb-0004Uv-7R")
    assert mail.id == "1kXpJb-0004Uv-7R"
    assert not traffic.messages

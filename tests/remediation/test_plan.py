"""Which messages a rule would act on, what became of them, and how the action ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.remediation import RemediationRule
from exporter.config.selectors import Selector
from exporter.journal import Outcome
from exporter.journal.entries import Guard
from exporter.remediation.actions import RequestResult, What
from exporter.remediation.guards import Block, Blocked
from exporter.remediation.identity import Sighting
from exporter.remediation.listing import EMPTY, Listing
from exporter.remediation.outcome import QueueDiff, outcome_of_messages, queue_diff
from exporter.remediation.plan import Plan, held_against, plan_of
from exporter.remediation.selection import select, sift
from exporter.snapshot import Message
from tests.builders import message

HOUR, DAY = 3600.0, 86400.0

BOUNCES = tuple(
    message(f"1bounce-{n:06d}-AA", age=2 * DAY - n, sender="", frozen=True) for n in range(4)
)
FROZEN = message("1frozen-000000-AA", age=DAY, frozen=True)
PLAIN = message("1plain0-000000-AA", age=HOUR)
QUEUE = (*BOUNCES, FROZEN, PLAIN)


def rule(action: str = "purge_frozen", **keys: Any) -> RemediationRule:
    return RemediationRule.model_validate({"name": "r", "action": action} | keys)


PURGE = rule()
PURGE_BOUNCES = rule(select={"frozen": True, "bounce": True})
DELETE = rule("delete", select={"frozen": True, "bounce": True})
RETRY = rule("retry", select={"frozen": False})
PURGE_ALL = rule("purge_all")


def listing(rule: RemediationRule, *messages: Message, most: int = 1000, **keys: Any) -> Listing:
    """What is listed of these messages for a rule."""
    chosen = select(messages, rule.selector)
    values: dict[str, Any] = {
        "count": len(messages),
        "listed": len(messages),
        "unparsed": 0,
        "ids": frozenset(m.id for m in messages),
        "frozen_ids": frozenset(m.id for m in messages if m.frozen),
        "frozen_unknown": sum(m.frozen is None for m in messages),
        "matching": len(chosen),
        "chosen": tuple(chosen[:most]),
    } | keys
    return Listing(**values)


def ids(*messages: Message) -> frozenset[str]:
    return frozenset(m.id for m in messages)


def made(
    messages: tuple[Message, ...],
    reason: str,
    *,
    as_a_whole: bool = False,
    frozen_beyond: frozenset[str] = frozenset(),
    **seen: Any,
) -> Plan:
    """A plan by a list with nothing else known."""
    return Plan(messages, reason, as_a_whole, replace(EMPTY, frozen_ids=frozen_beyond, **seen))


def shape(plan: Plan | Block) -> tuple[object, ...]:
    """What a plan does, and by what it is judged afterwards."""
    assert isinstance(plan, Plan)
    return plan, plan.frozen_beyond, plan.listing.unparsed


def approved_of(ids_: Collection[str], queue: Sequence[Message]) -> Sighting:
    """What a person has approved after seeing these messages of a queue."""
    return Sighting(messages={m.id: m for m in queue if m.id in ids_})


def planned(
    rule: RemediationRule, listing: Listing, approved: Sighting | None = None
) -> Plan | Block:
    """The plan, or why there is none."""
    try:
        return plan_of(rule, listing, approved)
    except Blocked as blocked:
        return blocked.block


# --- the plan -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule_", "queue", "expected"),
    [
        (PURGE, QUEUE, made((*BOUNCES, FROZEN), "frozen", as_a_whole=True)),
        (PURGE, BOUNCES, made(BOUNCES, "frozen", as_a_whole=True)),
        # Not all frozen mail is meant: by id, and the rest must still be there afterwards.
        (PURGE_BOUNCES, QUEUE, made(BOUNCES, "frozen, bounce", frozen_beyond=ids(FROZEN))),
        # All frozen mail is bounces, but a real sender's may freeze before it is deleted.
        (PURGE_BOUNCES, (*BOUNCES, PLAIN), made(BOUNCES, "frozen, bounce")),
        (
            rule(select={"frozen": True, "limit": 2}),
            QUEUE,
            made(
                BOUNCES[:2],
                "frozen, the 2 oldest",
                frozen_beyond=ids(*BOUNCES[2:], FROZEN),
            ),
        ),
        # Of a message nobody knows whether it is frozen: delete_frozen_msg might take it.
        (
            PURGE,
            (*BOUNCES, replace(PLAIN, frozen=None)),
            made(BOUNCES, "frozen"),
        ),
        # delete and retry go by id whatever the queue holds.
        (DELETE, BOUNCES, made(BOUNCES, "frozen, bounce")),
        (DELETE, QUEUE, made(BOUNCES, "frozen, bounce", frozen_beyond=ids(FROZEN))),
        (
            RETRY,
            QUEUE,
            made((PLAIN,), "not frozen", frozen_beyond=ids(*BOUNCES, FROZEN)),
        ),
        (PURGE_ALL, QUEUE, made((*BOUNCES, FROZEN, PLAIN), "everything", as_a_whole=True)),
    ],
)
def test_a_plan_is_exactly_what_is_meant(
    rule_: RemediationRule, queue: Sequence[Message], expected: Plan
) -> None:
    assert shape(planned(rule_, listing(rule_, *queue))) == shape(expected)


@pytest.mark.parametrize(
    ("rule_", "changes", "plan"),
    [
        (PURGE, {"unparsed": 1, "listed": 7, "count": 7}, made((*BOUNCES, FROZEN), "frozen")),
        (DELETE, {"unparsed": 3, "listed": 9, "count": 9}, None),
    ],
)
def test_rows_that_were_not_understood_are_in_no_plan(
    rule_: RemediationRule, changes: Mapping[str, int], plan: Plan | None
) -> None:
    found = planned(rule_, listing(rule_, *QUEUE, **changes))
    assert isinstance(found, Plan)
    assert found.listing.unparsed == changes["unparsed"]
    assert not found.as_a_whole
    if plan is not None:
        assert found == plan


@pytest.mark.parametrize("rule_", [PURGE, DELETE, RETRY, PURGE_ALL])
def test_a_list_that_is_not_the_whole_queue_makes_no_plan(rule_: RemediationRule) -> None:
    block = planned(rule_, listing(rule_, *QUEUE, count=5000))
    assert block == Block(
        Guard.LISTING,
        "count_msg tells 5,000 messages and list_msg lists only 6: what the others are is not "
        "known.",
    )


def test_purge_all_does_not_delete_what_was_not_understood() -> None:
    block = planned(PURGE_ALL, listing(PURGE_ALL, *QUEUE, unparsed=2, listed=8, count=8))
    assert isinstance(block, Block)
    assert block.guard is Guard.LISTING
    assert "2 rows of list_msg were not understood" in block.reason


def test_purge_all_does_not_delete_what_was_not_listed() -> None:
    block = planned(PURGE_ALL, listing(PURGE_ALL, *QUEUE, count=8))
    assert isinstance(block, Block)
    assert block.guard is Guard.LISTING
    assert "2 messages are not in list_msg's reply" in block.reason


def test_frozen_mail_goes_by_id_where_some_of_the_queue_was_not_listed() -> None:
    found = planned(PURGE, listing(PURGE, *QUEUE, count=7))
    assert shape(found) == shape(made((*BOUNCES, FROZEN), "frozen"))


@pytest.mark.parametrize(
    ("most", "expected"),
    [(5, None), (4, "The plan holds 5 messages; max_messages is 4.")],
)
@pytest.mark.parametrize("approved", [None, ids(BOUNCES[0])])
def test_a_plan_is_carried_out_up_to_max_messages(
    most: int, expected: str | None, approved: Collection[str] | None
) -> None:
    limited = rule(max_messages=most)
    seen = None if approved is None else approved_of(approved, QUEUE)
    made = planned(limited, listing(limited, *QUEUE, most=most), seen)
    if expected is None:
        assert isinstance(made, Plan)
    else:
        assert made == Block(Guard.MAX_MESSAGES, expected)


@pytest.mark.parametrize("rule_", [PURGE, DELETE])
@pytest.mark.parametrize("queue", [(), (PLAIN,)])
def test_where_no_message_is_meant_there_is_nothing_to_do(
    rule_: RemediationRule, queue: Sequence[Message]
) -> None:
    block = planned(rule_, listing(rule_, *queue))
    assert isinstance(block, Block)
    assert block.guard is Guard.NOTHING_TO_DO
    assert block.reason in {"No message is frozen.", "No message is frozen, bounce."}


@pytest.mark.parametrize(
    ("rule_", "approved", "expected"),
    [
        # What freezes until then is not touched, so that it cannot be one operation.
        (PURGE, ids(*BOUNCES, FROZEN), made((*BOUNCES, FROZEN), "frozen")),
        (PURGE, ids(*QUEUE), made((*BOUNCES, FROZEN), "frozen")),
        (PURGE, ids(*BOUNCES), made(BOUNCES, "frozen", frozen_beyond=ids(FROZEN))),
        (
            DELETE,
            ids(BOUNCES[1], PLAIN),
            made(
                BOUNCES[1:2], "frozen, bounce", frozen_beyond=ids(FROZEN, BOUNCES[0], *BOUNCES[2:])
            ),
        ),
        (PURGE, frozenset(), Guard.NOTHING_TO_DO),
        (PURGE, ids(PLAIN), Guard.NOTHING_TO_DO),
        (PURGE_ALL, ids(*QUEUE), made((*BOUNCES, FROZEN, PLAIN), "everything", as_a_whole=True)),
        (PURGE_ALL, ids(*BOUNCES), Guard.APPROVAL),
    ],
)
def test_only_what_a_person_has_seen_is_acted_on(
    rule_: RemediationRule, approved: frozenset[str], expected: Plan | Guard
) -> None:
    found = planned(rule_, listing(rule_, *QUEUE), approved_of(approved, QUEUE))
    if isinstance(expected, Plan):
        assert shape(found) == shape(expected)
    else:
        assert isinstance(found, Block)
        assert found.guard is expected


def test_of_mail_that_nobody_approved_it_is_not_said_that_there_is_none() -> None:
    block = planned(PURGE, listing(PURGE, *QUEUE), Sighting())
    assert isinstance(block, Block)
    assert block.reason == "No message is frozen and among those that were approved."


FLAGS = st.none() | st.booleans()
MESSAGES = st.lists(
    st.builds(
        Message,
        st.integers(0, 30).map("1abcde-{:06d}-AB".format),
        age=st.none() | st.floats(0, 3 * DAY),
        size=st.none() | st.integers(0, 9000),
        sender=st.sampled_from([None, "", "ann@example.com"]),
        recipients=st.sampled_from([None, ("bob@example.net",)]),
        frozen=FLAGS,
    ),
    max_size=12,
    unique_by=lambda m: m.id,
)
RULES = st.sampled_from(
    [PURGE, PURGE_BOUNCES, DELETE, RETRY, PURGE_ALL, rule("delete", select={"older_than": "1d"})]
)


@given(rule_=RULES, queue=MESSAGES, data=st.data())
def test_whatever_the_queue_a_plan_holds_only_what_is_meant_and_allowed(
    rule_: RemediationRule, queue: list[Message], data: st.DataObject
) -> None:
    known = [m.id for m in queue]
    approved = data.draw(
        st.none() | st.frozensets(st.sampled_from(known) if known else st.nothing())
    )
    unparsed = data.draw(st.integers(0, 2))
    listed = len(queue) + unparsed
    told = listing(rule_, *queue, unparsed=unparsed, listed=listed, count=listed)
    made = planned(rule_, told, None if approved is None else approved_of(approved, queue))
    if isinstance(made, Block):
        return
    assert made.ids <= ids(*select(queue, rule_.selector))
    assert approved is None or made.ids <= approved
    assert made.frozen_beyond == told.frozen_ids - made.ids
    if made.as_a_whole:  # what one operation deletes is then precisely the plan
        frozen = {m.id for m in queue if m.frozen is not False}
        doomed = frozen if rule_.action == "purge_frozen" else set(known)
        assert rule_.action in {"purge_frozen", "purge_all"}
        assert made.ids == doomed
        assert not unparsed


# --- the aftermath ------------------------------------------------------------------------------

PLAN = made(BOUNCES, "frozen, bounce", frozen_beyond=ids(FROZEN))


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ((FROZEN, PLAIN), QueueDiff(ids(*BOUNCES), frozenset(), frozenset())),
        (QUEUE, QueueDiff(frozenset(), ids(*BOUNCES), frozenset())),
        (QUEUE[2:], QueueDiff(ids(*BOUNCES[:2]), ids(*BOUNCES[2:]), frozenset())),
        # What was not meant and is gone is reported if it was frozen: other mail comes and goes.
        ((), QueueDiff(ids(*BOUNCES), frozenset(), ids(FROZEN))),
        ((FROZEN,), QueueDiff(ids(*BOUNCES), frozenset(), frozenset())),
        # Thawed is not lost, and what came since says nothing.
        ((replace(FROZEN, frozen=False),), QueueDiff(ids(*BOUNCES), frozenset(), frozenset())),
        (
            (FROZEN, message("1newest-000000-AA", frozen=True)),
            QueueDiff(ids(*BOUNCES), frozenset(), frozenset()),
        ),
    ],
)
def test_what_became_of_a_plan(left: Sequence[Message], expected: QueueDiff) -> None:
    assert queue_diff(PLAN, listing(DELETE, *left)) == expected


@pytest.mark.parametrize(
    ("before", "changes", "tells"),
    [
        (0, {}, True),
        (0, {"count": 13}, False),
        (0, {"unparsed": 1, "listed": 3, "count": 3}, False),
        (1, {"unparsed": 1, "listed": 3, "count": 3}, True),
        (1, {"unparsed": 2, "listed": 4, "count": 4}, False),
        (2, {"unparsed": 1, "listed": 3, "count": 3}, True),
        # Any of those that seem gone may be the one that is not listed.
        (0, {"count": 6}, False),
        (0, {"count": 3}, False),
        (0, {"count": 2}, True),
        # No row at all although there are messages.
        (0, {"listed": 0, "ids": frozenset(), "count": 5}, False),
    ],
)
def test_a_list_in_which_a_planned_message_may_be_hidden_tells_nothing(
    before: int, changes: Mapping[str, Any], tells: bool
) -> None:
    seen = queue_diff(
        replace(PLAN, listing=replace(PLAN.listing, unparsed=before)),
        listing(DELETE, FROZEN, PLAIN, **changes),
    )
    assert (seen is not None) is tells


def test_each_other_message_that_went_or_froze_is_reported_once() -> None:
    others = tuple(message(f"1other0-{n:06d}-AA") for n in range(2))
    plan = replace(PLAN, listing=replace(PLAN.listing, ids=ids(*QUEUE, *others)))
    seen = queue_diff(plan, listing(DELETE, PLAIN, replace(others[0], frozen=True)))
    assert seen is not None
    assert (seen.frozen_gone, seen.left) == (ids(FROZEN), ids(others[1]))
    assert seen.froze == ids(others[0])
    kept = queue_diff(plan, listing(DELETE, FROZEN, PLAIN, *others))
    assert kept is not None
    assert not kept.froze | kept.left


def test_of_many_that_seem_gone_a_list_that_is_not_whole_tells_nothing() -> None:
    many = tuple(message(f"1many00-{n:06d}-AA", frozen=True) for n in range(40))
    plan = made(many, "frozen", ids=ids(*many))
    assert queue_diff(plan, listing(DELETE, PLAIN, count=20)) is None
    assert queue_diff(plan, listing(DELETE, PLAIN, count=2)) is None
    assert queue_diff(plan, listing(DELETE, PLAIN, count=1)) is not None


# --- the outcome --------------------------------------------------------------------------------

ALL_GONE = QueueDiff(ids(*BOUNCES), frozenset(), frozenset())
ALL_THERE = QueueDiff(frozenset(), ids(*BOUNCES), frozenset())
HALF_GONE = QueueDiff(ids(*BOUNCES[:2]), ids(*BOUNCES[2:]), frozenset())
TOO_MUCH = replace(ALL_GONE, frozen_gone=ids(FROZEN))


def answers(whats: str) -> list[RequestResult]:
    """One for each word, of the plan's messages in their order."""
    return [
        RequestResult(cast("What", what), f"It is {what}.", m.id)
        for what, m in zip(whats.split(), BOUNCES, strict=False)
    ]


REMOVED = "removed removed removed removed"
LOST = "unknown unknown unknown not_asked"
UNSEEN = "What became of the messages could not be seen by listing the queue again."
NOT_EXPECTED = "What verify expects did not come true."
LOST_MAIL = "1 frozen message that was not meant is gone too."
OK, UNVERIFIED, FAILED, UNKNOWN = (
    *(Outcome.OK, Outcome.UNVERIFIED),
    *(Outcome.FAILED, Outcome.UNKNOWN),
)


@pytest.mark.parametrize(
    ("action", "replies", "seen", "expected", "outcome", "text"),
    [
        ("delete", REMOVED, ALL_GONE, None, OK, "4 of 4 messages are gone."),
        ("delete", REMOVED, ALL_GONE, True, OK, "4 of 4 messages are gone."),
        ("delete", REMOVED, ALL_GONE, False, UNVERIFIED, f"4 of 4 … are gone. {NOT_EXPECTED}"),
        # Only the list counts, not what the panel claims.
        ("delete", REMOVED, ALL_THERE, None, UNVERIFIED, "0 of 4 … are gone."),
        ("delete", REMOVED, HALF_GONE, None, UNVERIFIED, "2 of 4 … are gone."),
        # What is expected decides where it is said.
        ("delete", REMOVED, HALF_GONE, True, OK, "2 of 4 … are gone."),
        # It held before where nothing is gone.
        ("delete", REMOVED, ALL_THERE, True, UNVERIFIED, "0 of 4 … are gone."),
        # Gone already is no failure.
        ("delete", "gone gone removed done", ALL_GONE, None, OK, "4 of 4 … are gone."),
        (
            *("delete", "removed removed locked refused", HALF_GONE, None, UNVERIFIED),
            "2 of 4 … are gone (1 locked by a delivery, 1 refused by the mail server).",
        ),
        (
            *("delete", "removed unknown failed not_asked", HALF_GONE, None, UNVERIFIED),
            (
                "2 of 4 … are gone (1 refused by the panel, 1 without an answer, "
                "1 not asked for any more)."
            ),
        ),
        # No answer, but the list tells.
        (
            *("delete", LOST, ALL_GONE, None, OK),
            "4 of 4 … are gone (3 without an answer, 1 not asked for any more).",
        ),
        # Neither does the list.
        ("delete", LOST, None, None, UNKNOWN, UNSEEN),
        ("delete", REMOVED, None, True, UNKNOWN, UNSEEN),
        # The panel refused from the first on.
        (
            *("delete", "failed not_asked not_asked not_asked", ALL_THERE, None),
            *(FAILED, "Nothing was done. It is failed."),
        ),
        ("delete", "failed failed", None, None, FAILED, "Nothing was done. It is failed."),
        # A whole queue is one answer.
        ("purge_frozen", "done", ALL_GONE, None, OK, "4 of 4 … are gone."),
        ("purge_frozen", "unknown", None, None, UNKNOWN, UNSEEN),
        ("purge_frozen", "done", TOO_MUCH, None, UNVERIFIED, f"4 of 4 … are gone. {LOST_MAIL}"),
        # Lost mail is no good end, whatever verify says.
        ("delete", REMOVED, TOO_MUCH, True, UNVERIFIED, f"4 of 4 … are gone. {LOST_MAIL}"),
        # "exim: not found" says nothing of the messages, which are there.
        (
            *("retry", "gone gone done done", ALL_THERE, None, UNVERIFIED),
            "0 of 4 … left the queue. 2 that the panel calls gone are still there.",
        ),
        ("retry", "gone done done done", ALL_GONE, None, OK, "4 of 4 … left the queue."),
        # What verify expects is no proof of a delivery that nobody tried.
        (
            *("retry", "refused refused refused refused", ALL_THERE, True, UNVERIFIED),
            "0 of 4 … left the queue (4 refused by the mail server).",
        ),
        (
            *("retry", "gone gone gone gone", ALL_THERE, True, UNVERIFIED),
            "0 of 4 … left the queue. 4 that the panel calls gone are still there.",
        ),
        ("retry", "done done done done", ALL_THERE, True, OK, "0 of 4 … left the queue."),
        *(
            (
                *("retry", f"done done done {what}", HALF_GONE, None, UNVERIFIED),
                f"2 of 4 … left the queue (1 {words}).",
            )
            for what, words in (
                ("refused", "refused by the mail server"),
                ("failed", "refused by the panel"),
                ("unknown", "without an answer"),
                ("not_asked", "not asked for any more"),
            )
        ),
        # A retry need not empty the queue.
        ("retry", "done done done done", HALF_GONE, None, OK, "2 of 4 … left the queue."),
        (
            *("retry", "done done done locked", ALL_THERE, None, OK),
            "0 of 4 … left the queue (1 locked by a delivery).",
        ),
        (
            *("retry", "done done done done", HALF_GONE, False, UNVERIFIED),
            f"2 of 4 … left the queue. {NOT_EXPECTED}",
        ),
    ],
)
def test_how_an_action_ended(
    action: str,
    replies: str,
    seen: QueueDiff | None,
    expected: bool | None,
    outcome: Outcome,
    text: str,
) -> None:
    ended = outcome_of_messages(action, PLAN, answers(replies), seen, expected=expected)
    assert (ended.outcome, ended.text) == (outcome, text.replace("…", "messages"))
    told = {"planned": 4, "replies": dict(Counter(replies.split()))}
    detail = ended.record.to_detail()
    assert {name: detail[name] for name in told} == told


@pytest.mark.parametrize(
    ("action", "seen", "expected"),
    [
        ("delete", HALF_GONE, {"gone": 2, "still_there": 2, "removed": 2}),
        ("purge_all", ALL_GONE, {"gone": 4, "still_there": 0, "removed": 4}),
        ("retry", HALF_GONE, {"gone": 2, "still_there": 2}),
        (
            "purge_frozen",
            TOO_MUCH,
            {
                "gone": 4,
                "still_there": 0,
                "removed": 4,
                "frozen_gone_beyond_the_plan": [FROZEN.id],
            },
        ),
        ("delete", None, {}),
    ],
)
def test_what_is_written_down_of_it(
    action: str, seen: QueueDiff | None, expected: dict[str, object]
) -> None:
    ended = outcome_of_messages(action, PLAN, answers(REMOVED), seen, expected=None)
    always: dict[str, object] = {"planned": 4, "replies": {"removed": 4}}
    assert ended.record.to_detail() == always | expected


def test_of_a_great_loss_only_the_first_ids_are_written_down() -> None:
    lost = frozenset(f"1lostxx-{n:06d}-AA" for n in range(500))
    seen = replace(ALL_GONE, frozen_gone=lost)
    ended = outcome_of_messages("purge_frozen", PLAN, answers("done"), seen, expected=None)
    assert ended.record.frozen_gone_beyond_the_plan == tuple(sorted(lost)[:100])
    assert "500 frozen messages" in ended.text


WHATS: tuple[What, ...] = get_args(What)


@given(
    replies=st.lists(st.sampled_from(WHATS), min_size=1, max_size=4),
    seen=st.sampled_from([None, ALL_GONE, ALL_THERE, HALF_GONE, TOO_MUCH]),
    expected=FLAGS,
    action=st.sampled_from(["delete", "retry", "purge_frozen", "purge_all"]),
)
def test_an_action_ends_well_only_as_the_list_shows(
    replies: list[What], seen: QueueDiff | None, expected: bool | None, action: str
) -> None:
    if set(replies) == {"not_asked"}:
        return  # at least one is asked
    ended = outcome_of_messages(action, PLAN, answers(" ".join(replies)), seen, expected=expected)
    if ended.outcome is Outcome.OK:
        assert seen is not None
        assert not seen.frozen_gone
        assert expected is not False
        assert expected or action == "retry" or not seen.still
    nothing_done = set(replies) <= {"failed", "not_asked"}
    assert (ended.outcome is Outcome.FAILED) is nothing_done


# --- held against a fresh list ------------------------------------------------------------------

BY_ID = made(BOUNCES, "frozen, bounce", at=1000.0)


def fresh(*messages: Message, at: float = 1000.0, **keys: Any) -> Listing:
    return listing(DELETE, *messages, watched=messages, at=at, **keys)


@pytest.mark.parametrize(
    ("changed", "what", "why"),
    [
        (replace(BOUNCES[0], frozen=False), "left_out", "thawed"),
        (replace(BOUNCES[0], sender="ann@example.org"), "left_out", "another sender"),
        (replace(BOUNCES[0], size=(BOUNCES[0].size or 0) + 1), "left_out", "another size"),
        (replace(BOUNCES[0], age=60.5), "left_out", "another time"),
        (replace(BOUNCES[0], frozen=None), "left_out", "not frozen, bounce any more"),
        (replace(BOUNCES[0], sender=None), "left_out", "does not show its sender any more"),
        (replace(BOUNCES[0], guessed=frozenset({"frozen"})), "left_out", "any more"),
        (None, "left", "left the queue by itself"),
    ],
)
def test_what_is_not_as_planned_any_more_is_not_asked_for(
    changed: Message | None, what: str, why: str
) -> None:
    now = [*([] if changed is None else [changed]), *BOUNCES[1:]]
    kept, omitted = held_against(BOUNCES, BY_ID, DELETE.selector, fresh(*now))
    assert kept == list(BOUNCES[1:])
    (omission,) = omitted
    assert (omission.message_id, omission.what) == (BOUNCES[0].id, what)
    assert why in omission.why


@pytest.mark.parametrize("hidden", [{"count": 4}, {"unparsed": 1, "listed": 4, "count": 4}])
def test_a_list_that_lacks_a_part_does_not_tell_what_has_left(hidden: dict[str, int]) -> None:
    _, omitted = held_against(BOUNCES, BY_ID, DELETE.selector, fresh(*BOUNCES[1:], **hidden))
    assert [omission.what for omission in omitted] == ["left_out"]


def test_a_limit_does_not_leave_out_what_was_planned_by_it() -> None:
    limited = rule("delete", select={"frozen": True, "limit": 2}).selector
    kept, omitted = held_against(BOUNCES, BY_ID, limited, fresh(*BOUNCES))
    assert (kept, omitted) == (list(BOUNCES), [])


@pytest.mark.parametrize(
    ("other", "gone"),
    [
        ({"sender": "ann@example.org"}, True),
        ({"age": 5.5}, True),
        ({"frozen": False}, False),
        # What is only guessed proves nothing gone.
        ({"sender": "ann@example.org", "guessed": frozenset({"sender"})}, False),
    ],
)
def test_another_message_by_the_id_of_one_that_has_gone_is_not_it(
    other: dict[str, Any], gone: bool
) -> None:
    seen = queue_diff(BY_ID, fresh(replace(BOUNCES[0], **other), *BOUNCES[1:]))
    assert seen is not None
    assert (BOUNCES[0].id in seen.gone) is gone
    assert (BOUNCES[0].id in seen.still) is not gone


@pytest.mark.parametrize("jump", [4000.0, -4000.0, 0.0])
def test_a_clock_that_is_set_makes_no_message_another_one(jump: float) -> None:
    plan = replace(BY_ID, listing=replace(BY_ID.listing, heard=500.0))
    now = replace(fresh(*BOUNCES, at=1000.0 + 20 + jump), heard=520.0)
    seen = queue_diff(plan, now)
    assert seen is not None
    assert (seen.gone, seen.still) == (frozenset(), ids(*BOUNCES)), "all of them are there"
    other = replace(BOUNCES[0], sender="ann@example.org")
    seen = queue_diff(plan, replace(now, watched=(other, *BOUNCES[1:])))
    assert seen is not None
    assert seen.gone == {BOUNCES[0].id}, "its sender tells it from the one before"
    # Nor is another one it, whose arrival the jump seems to make the same: none is asked for.
    kept, omitted = held_against(BOUNCES, plan, DELETE.selector, now)
    assert kept == ([] if jump else list(BOUNCES))
    assert all("clock was set" in omission.why for omission in omitted)


@pytest.mark.parametrize(
    ("took", "others", "whole"), [(0.001, True, False), (20.0, True, True), (0.001, False, True)]
)
def test_all_frozen_mail_goes_as_a_whole_where_by_id_costs_much_or_nothing_else_is_there(
    took: float, others: bool, whole: bool
) -> None:
    listed = ids(*BOUNCES, *([PLAIN] if others else []))
    plan = made(BOUNCES, "frozen", as_a_whole=True, ids=listed, took=took)
    assert plan.by_id_where_it_costs_little("purge_frozen", 2).as_a_whole is whole
    assert plan.by_id_where_it_costs_little("purge_all", 2).as_a_whole


# --- guesses ------------------------------------------------------------------------------------


def _guessed(*fields: str, selector: Selector) -> Listing:
    mail = [
        replace(message(f"1sAbCd-{n:06d}-2X", frozen=True), guessed=frozenset(fields))
        for n in range(3)
    ]
    found = sift(mail, selector)
    all_ids = frozenset(m.id for m in mail)
    return Listing(
        3,
        3,
        0,
        all_ids,
        all_ids - set(found.withheld),
        0,
        len(found.chosen),
        tuple(found.chosen),
        host="mx1",
        withheld=found.withheld,
    )


@pytest.mark.parametrize("action", ["delete", "retry", "purge_frozen", "purge_all"])
def test_a_plan_that_rests_on_a_guess_is_none(action: str) -> None:
    keys: dict[str, Any] = {} if action.startswith("purge") else {"select": {"frozen": True}}
    if action == "purge_all":
        keys["approval"] = "required"
    values = {"name": "r", "when": [], "action": action, **keys}
    made = RemediationRule.model_validate(values)
    for field in ("frozen", "id"):
        needed = field == "id" or action != "purge_all"
        plan = planned(made, _guessed(field, selector=made.selector))
        if not needed:
            assert isinstance(plan, Plan)
            continue
        assert isinstance(plan, Block)
        assert plan.guard is Guard.LAYOUT
        assert f"On mx1 `{field}` is only guessed" in plan.reason
        assert "`diagnose mx1`" in plan.reason

"""How an action on messages ended, by the replies and by the list after it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from exporter.humanize import integer
from exporter.journal.entries import Guard, Outcome
from exporter.journal.records import OutcomeRecord, StoppedByRecord
from exporter.remediation.actions import RequestResult
from exporter.remediation.guards import Block
from exporter.remediation.listing import Listing
from exporter.remediation.plan import Omission, Plan, is_timed_alike, still_there
from exporter.snapshot import Reason


@dataclass(frozen=True, slots=True)
class QueueDiff:
    """What listing again shows of a plan."""

    gone: frozenset[str]
    """Planned messages that are no longer in the queue."""
    still: frozenset[str]
    """Planned messages that are."""
    frozen_gone: frozenset[str]
    """Frozen messages that were not meant, and are gone all the same."""
    froze: frozenset[str] = field(default=frozenset(), compare=False)
    """Messages that are frozen now, and were not when the plan was made."""
    left: frozenset[str] = field(default=frozenset(), compare=False)
    """Messages that were neither meant nor frozen, and are gone: delivered, or deleted too."""


def queue_diff(plan: Plan, after: Listing) -> QueueDiff | None:
    """Return what became of the plan; None when the new list does not show it."""
    if not after.is_whole or after.unparsed > plan.listing.unparsed:
        return None  # a message that is still there may be among what was not understood
    timed = is_timed_alike(plan.listing, after)
    still = still_there(plan.messages, plan.listing.at, after, timed=timed)
    known = plan.ids | plan.listing.frozen_ids
    gone = plan.ids - still
    if gone and after.unlisted:
        return None  # any of what seems gone may be among what is there and was not listed
    return QueueDiff(
        gone=gone,
        still=still,
        frozen_gone=plan.frozen_beyond - after.ids,
        froze=after.frozen_ids - known,
        left=plan.listing.ids - known - after.ids,
    )


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """How an action ended."""

    outcome: Outcome
    text: str
    record: OutcomeRecord = field(default_factory=OutcomeRecord)


_SHOWN_ELSEWHERE = frozenset({Guard.PAUSE, Guard.JOURNAL})
"""Guards that the page, the log and a metric of their own show: no outcome repeats them."""

_NOT_BY_INTENT = frozenset({Guard.LISTING, Guard.JOURNAL})
"""Guards that stop an action for want of what it takes to go on: nobody meant it to stop."""


def stopped_by(stopped: Block | None) -> StoppedByRecord | None:
    """Return what the journal keeps of the block that stopped an action in the middle."""
    return None if stopped is None else StoppedByRecord(stopped.guard.value, stopped.reason)


def was_meant_to_stop(stopped: Block | None) -> bool:
    """Return whether an action was stopped by intent, which is no failure of it.

    By a person or a guard, since its alert or host is gone, or because the daemon ends.
    """
    return stopped is not None and stopped.guard not in _NOT_BY_INTENT


_REFUSALS = frozenset(
    {Reason.FORBIDDEN, Reason.UNSUPPORTED, Reason.BAD_REQUEST, Reason.HTTP_STATUS}
)
"""Words of a panel, or of what is before it: that nothing was done only the list proves."""


def outcome_of_messages(
    action: str,
    plan: Plan,
    results: Sequence[RequestResult],
    seen: QueueDiff | None,
    *,
    expected: bool | None,
    omissions: Sequence[Omission] = (),
    stopped: Block | None = None,
) -> ActionOutcome:
    """Return how an action on messages ended, by its replies, the list after it and `verify`.

    `expected`: whether what `verify` expects holds; None when nothing is expected.
    `omissions`: what was not asked for since it was not what was planned any more.
    `stopped`: what stopped it in the middle.
    """
    omitted = Counter[str](omission.what for omission in omissions)
    record = OutcomeRecord(
        planned=len(plan.messages),
        replies=Counter[str](result.what for result in results),
        left_out=omitted["left_out"] or None,
        left=omitted["left"] or None,
        stopped_by=stopped_by(stopped),
    )
    asked = [result for result in results if result.what != "not_asked"]
    if not asked and (results or not omissions):
        return nothing_asked(stopped, record)
    if asked and all(result.what == "failed" for result in asked):
        return _refused(plan, asked, seen, record)
    if seen is None:
        text = "What became of the messages could not be seen by listing the queue again."
        return ActionOutcome(Outcome.UNKNOWN, text, record)
    return _judged(action, plan, results, seen, expected, omissions, stopped, record)


def nothing_asked(stopped: Block | None, record: OutcomeRecord) -> ActionOutcome:
    """Return that an action sent no request; no failure where it was meant to stop."""
    why = f" {stopped.reason}" if stopped is not None else ""
    outcome = Outcome.OK if was_meant_to_stop(stopped) else Outcome.FAILED
    return ActionOutcome(outcome, f"Nothing was done.{why}", record)


def _refused(
    plan: Plan, asked: Sequence[RequestResult], seen: QueueDiff | None, record: OutcomeRecord
) -> ActionOutcome:
    """Judge by the list where every request was refused: it alone shows that nothing was done."""
    first, planned = asked[0], len(plan.messages)
    if seen is None and first.reason in _REFUSALS:
        text = (
            f"The panel refused. {first.text} Whether nothing was done could not be seen by "
            "listing the queue again."
        )
        return ActionOutcome(Outcome.FAILED, text, record)
    ids = {result.message_id for result in asked}
    gone = frozenset() if seen is None else seen.gone
    gone = gone if "" in ids else gone & ids
    if not gone:
        return ActionOutcome(Outcome.FAILED, f"Nothing was done. {first.text}", record)
    record = record.replace(gone=len(gone), still_there=planned - len(gone))
    text = f"The panel refused, and yet {gone_of(len(gone), planned)}. {first.text}"
    return ActionOutcome(Outcome.FAILED, text, record)


def _judged(
    action: str,
    plan: Plan,
    results: Sequence[RequestResult],
    seen: QueueDiff,
    expected: bool | None,  # noqa: FBT001 - three values
    omissions: Sequence[Omission],
    stopped: Block | None,
    record: OutcomeRecord,
) -> ActionOutcome:
    left_out = {omission.message_id for omission in omissions if omission.what == "left_out"}
    seen = replace(seen, gone=seen.gone - left_out, still=seen.still - left_out)
    asked = [result for result in results if result.what != "not_asked"]
    # By id nothing else was asked for. As a whole it is not known whether it was delivered.
    risked = plan.as_a_whole and action == "purge_frozen"
    own = len(ours([(a.message_id, a.what) for a in asked], seen.gone))
    record = record.replace(
        gone=len(seen.gone),
        still_there=len(seen.still),
        removed=None if action == "retry" else own,
        left_by_themselves=None if action == "retry" else (len(seen.gone) - own) or None,
        frozen_gone_beyond_the_plan=_first_of(seen.frozen_gone),
        others_left=len(seen.left) or None,
        gone_beyond_the_plan=_first_of(seen.left) if risked else None,
        froze_meanwhile=len(seen.froze) or None,
    )
    belied = sum(a.what in {"gone", "removed"} and a.message_id in seen.still for a in asked)
    replies, meant = Counter(record.replies), plan.ids - left_out
    notes = {**replies, "left": record.left or 0, "left_out": record.left_out or 0}
    parts = [_sentence(action, len(meant), seen, notes), *_beyond(seen, risked=risked)]
    if action == "retry" and belied:
        parts.append(f"{integer(belied)} that the panel calls gone are still there.")
    if was_meant_to_stop(stopped):
        # The rest is still there since nobody asked for it, and what `verify` expects of all
        # of it is not to be expected.
        meant -= {result.message_id for result in results if result.what == "not_asked"}
        del replies["not_asked"]
        seen = replace(seen, gone=seen.gone & meant, still=seen.still & meant)
        expected = None
    good = _is_good(action, seen, replies, belied, expected=expected)
    if expected is False:
        parts.append("What verify expects did not come true.")
    if stopped is not None and stopped.guard not in _SHOWN_ELSEWHERE:
        parts.append(f"Stopped: {stopped.reason}")
    absent = {a.message_id for a in asked if a.what == "gone"}
    absent |= {omission.message_id for omission in omissions if omission.what == "left"}
    if 2 * len(absent & seen.gone) > len(meant):
        parts.append(
            "But most of them were not there when they were asked for: another mail server than "
            "the one that was listed may have answered."
        )
        return ActionOutcome(Outcome.UNKNOWN, " ".join(parts), record)
    lost = bool(seen.frozen_gone) or (risked and bool(seen.left))
    return ActionOutcome(
        Outcome.OK if good and not lost else Outcome.UNVERIFIED, " ".join(parts), record
    )


def _first_of(ids: Collection[str]) -> tuple[str, ...] | None:
    """Return the first hundred ids; None where there are none."""
    return tuple(sorted(ids)[:100]) or None


def ours(replies: Sequence[tuple[str, str]], gone: frozenset[str]) -> frozenset[str]:
    """Return, of the planned messages that are gone, those that left by this action.

    `replies`: the id that was asked for, "" for the whole queue, and what it came to.

    Not those that did not exist any more, that a delivery held or that were refused: these have
    left by themselves.
    """
    acting = {id_ for id_, what in replies if what in {"removed", "done", "unknown"}}
    whole = any(not id_ and what != "failed" for id_, what in replies)
    return gone if whole else gone & acting


def _beyond(seen: QueueDiff, *, risked: bool) -> Iterator[str]:
    """Yield sentences on what left the queue, or froze, beside the plan."""
    if seen.frozen_gone:
        lost = len(seen.frozen_gone)
        which = "message that was not meant is" if lost == 1 else "messages that were not meant are"
        yield f"{integer(lost)} frozen {which} gone too."
    if seen.left:
        what = "other message" if len(seen.left) == 1 else "other messages"
        more = ", by this action or by themselves" if risked else ""
        yield f"{integer(len(seen.left))} {what} left the queue meanwhile{more}."
    if seen.froze:
        yield f"{integer(len(seen.froze))} more froze meanwhile."


_NOT_TRIED = frozenset[str]({"refused", "failed", "unknown", "not_asked"})
"""Answers after which it is not known that a delivery was tried."""


def _is_good(
    action: str, seen: QueueDiff, replies: Mapping[str, int], belied: int, *, expected: bool | None
) -> bool:
    if expected is not None:
        # Where nothing came of it, what is expected held before.
        tried = sum(replies.values()) > belied and not _NOT_TRIED.issuperset(replies)
        return expected and (tried if action == "retry" else bool(seen.gone))
    if action == "retry":
        # What stays may wait for its recipient's server: each was tried, or is being delivered.
        # One that is there although the reply calls it gone was not: "exim: not found".
        return not belied and _NOT_TRIED.isdisjoint(replies)
    return not seen.still


def _sentence(action: str, planned: int, seen: QueueDiff, counts: Mapping[str, int]) -> str:
    text = gone_of(len(seen.gone), planned, left=action == "retry")
    notes = [
        f"{integer(counts[what])} {words}"
        for what, words in (
            ("locked", "locked by a delivery"),
            ("refused", "refused by the mail server"),
            ("failed", "refused by the panel"),
            ("unknown", "without an answer"),
            ("not_asked", "not asked for any more"),
            ("left", "had left by themselves"),
            ("left_out", "left out, since they are not what was planned any more"),
        )
        if counts.get(what)
    ]
    return f"{text} ({', '.join(notes)})." if notes else f"{text}."


def gone_of(gone: int, planned: int, *, left: bool = False) -> str:
    """Return `3 of 8 messages are gone`, or `left the queue`."""
    noun, verb = ("message", "is") if planned == 1 else ("messages", "are")
    what = "left the queue" if left else f"{verb} gone"
    return f"{integer(gone)} of {integer(planned)} {noun} {what}"

"""What a rule would act on, and what became of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from exporter.config.remediation import RemediationRule
from exporter.config.selectors import Selector
from exporter.humanize import guess_words, integer, untold_words
from exporter.journal.entries import Guard, Outcome
from exporter.remediation.actions import RequestResult
from exporter.remediation.guards import Block
from exporter.remediation.identity import (
    ARRIVAL_SLACK,
    Sighting,
    change_of,
    other_message,
    without_guesses,
)
from exporter.remediation.listing import Listing
from exporter.remediation.selection import describe, select
from exporter.snapshot import Message, Reason

ALL_FROZEN = Selector(frozen=True)
"""What deleting frozen mail as a whole deletes. A selector that merely comes to the same now does
not mean it: what freezes next may be a real sender's."""

BATCH = 30.0
"""Seconds for which a list counts as fresh, and within which the messages sent by it are to be
answered."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Exactly what is to be acted on."""

    messages: tuple[Message, ...] = ()
    reason: str = ""
    """Why these."""
    as_a_whole: bool = False
    """Whether one operation on the whole queue does precisely this."""
    frozen_beyond: frozenset[str] = frozenset()
    """Frozen messages that are not meant; they must still be there afterwards."""
    unparsed: int = 0
    """Rows of the list that were not understood."""
    listed: frozenset[str] = field(default=frozenset(), compare=False)
    """Every understood message of the list that it was made from."""
    at: float = field(default=0.0, compare=False)
    """Unix time of that list."""
    heard: float | None = field(default=None, compare=False)
    """Monotonic time at which that list had come; None where it counts as old."""
    took: float = field(default=0.0, compare=False)
    """Seconds that one short request to the panel took."""
    withheld: int = field(default=0, compare=False)
    """Messages that may be meant and are left out, since what they are is only guessed."""

    @property
    def ids(self) -> frozenset[str]:
        """Of the messages."""
        return frozenset(message.id for message in self.messages)

    def as_seen(self, now: Plan) -> Plan:
        """This plan, once a person has thought about it: nothing goes that he has not seen.

        `now` is the plan that would be made now: when it is another one, this goes by id.
        """
        return replace(self, as_a_whole=now.as_a_whole and now.ids == self.ids)

    def by_id_where_it_costs_little(self, action: str, parallel: int) -> Plan:
        """This plan by id where other mail, which may freeze meanwhile, need not be risked.

        One operation for all frozen mail takes what freezes until then, too. By id it does not,
        and where one batch will do that takes no longer than BATCH.
        """
        others = self.listed - self.ids
        short = len(self.messages) * self.took / max(1, parallel) <= BATCH
        if action == "purge_frozen" and self.as_a_whole and others and short:
            return replace(self, as_a_whole=False)
        return self


def plan_from(listing: Listing, messages: Sequence[Message], reason: str, *, whole: bool) -> Plan:
    """The plan to act on these messages of a list."""
    return Plan(
        tuple(messages),
        reason,
        whole,
        listing.frozen_ids - {message.id for message in messages},
        listing.unparsed,
        listing.ids,
        listing.at,
        listing.heard,
        listing.took,
        len(listing.withheld),
    )


def is_all_frozen_mail(action: str, selector: Selector, listing: Listing) -> bool:
    """Whether all frozen mail is meant, and the list tells all of it."""
    return action == "purge_frozen" and selector == ALL_FROZEN and listing.is_all_frozen_mail


def plan_of(
    rule: RemediationRule, listing: Listing, approved: Sighting | None = None
) -> Plan | Block:
    """The plan for a queue as it is, or why there is none.

    `approved`: the only messages that a person has allowed; None when nobody was asked.
    """
    unseen = _unseen(rule, listing)
    if unseen is not None:
        return unseen
    if listing.matching > rule.max_messages:
        return Block(
            Guard.MAX_MESSAGES,
            f"The plan holds {integer(listing.matching)} messages; max_messages is "
            f"{integer(rule.max_messages)}.",
        )
    chosen = [m for m in listing.chosen if approved is None or approved.holds(m, listing.at)]
    # What may be meant and is not known to be would go with the whole queue.
    if listing.withheld and (not chosen or rule.action == "purge_all"):
        return Block(Guard.LAYOUT, guess_words(listing.host, listing.guessed))
    if not chosen:
        seen = " and among those that were approved" if listing.chosen else ""
        meant = f"{describe(rule.selector)}{seen}"
        doubt = untold_words(listing.host, listing.untold) if listing.untold else ""
        text = f"No message is known to be {meant}. {doubt}" if doubt else f"No message is {meant}."
        return Block(Guard.NOTHING_TO_DO, text)
    everything = len(chosen) == len(listing.chosen)
    if rule.action == "purge_all" and not everything:
        return Block(Guard.APPROVAL, "The queue holds messages that the person has not seen.")
    # What a person has approved are these messages, not what may be frozen by then.
    all_frozen = approved is None and is_all_frozen_mail(rule.action, rule.selector, listing)
    whole = rule.action == "purge_all" or all_frozen
    return plan_from(listing, chosen, describe(rule.selector), whole=whole)


def _unseen(rule: RemediationRule, listing: Listing) -> Block | None:
    """Why what the list does not show keeps a rule from acting."""
    if not listing.is_whole:
        return Block(
            Guard.LISTING,
            f"count_msg tells {integer(listing.count)} messages and list_msg lists only "
            f"{integer(listing.listed)}: what the others are is not known.",
        )
    if rule.action == "purge_all" and listing.unparsed:
        return Block(
            Guard.LISTING,
            f"{integer(listing.unparsed)} rows of list_msg were not understood, and purge_all "
            "would delete those too.",
        )
    if rule.action == "purge_all" and listing.unlisted:
        return Block(
            Guard.LISTING,
            f"{integer(listing.unlisted)} messages are not in list_msg's reply, and purge_all "
            "would delete those too.",
        )
    return None


@dataclass(frozen=True, slots=True)
class Omission:
    """A planned message that is not asked for after all."""

    message_id: str
    what: Literal["left_out", "left"]
    """`left`: it has left the queue by itself."""
    why: str


def held_against(
    pending: Sequence[Message], plan: Plan, selector: Selector, fresh: Listing
) -> tuple[list[Message], list[Omission]]:
    """Which messages of a plan are still what was planned, by a fresh whole list that watches them.

    What was thawed, has changed, or is another message by the same id is left out; so is what
    the selector does not mean any more. Where our clock was set meanwhile all are, since when a
    message arrived does not tell then whether it is the one before.
    """
    timed = _is_timed_alike(plan, fresh)
    now = {message.id: message for message in fresh.watched}
    meaning = selector.model_copy(update={"limit": None})
    meant = {message.id for message in select(fresh.watched, meaning)}
    tells_all = not fresh.unlisted and fresh.unparsed <= plan.unparsed
    kept: list[Message] = []
    omitted: list[Omission] = []
    for message in pending:
        seen = now.get(message.id)
        if seen is None and tells_all:
            omitted.append(Omission(message.id, "left", "It has left the queue by itself."))
        elif seen is None:
            why = "The list, which does not tell the whole queue, does not show it any more."
            omitted.append(Omission(message.id, "left_out", why))
        elif why := change_of(message, plan.at, seen, fresh.at) if timed else _CLOCK_WAS_SET:
            omitted.append(Omission(message.id, "left_out", why))
        elif message.id not in meant:
            why = f"It is not {describe(meaning)} any more."
            omitted.append(Omission(message.id, "left_out", why))
        else:
            kept.append(message)
    return kept, omitted


_CLOCK_WAS_SET = (
    "This machine's clock was set meanwhile, so that it is not known whether it is that message."
)


def _is_timed_alike(plan: Plan, after: Listing) -> bool:
    """Whether as much time passed by the clock between two lists as has really passed.

    Else the clock was set: a message that stays seems to have arrived at another time then.
    """
    if plan.heard is None or after.heard is None:
        return True
    return abs((after.at - plan.at) - (after.heard - plan.heard)) <= ARRIVAL_SLACK


def still_there(
    planned: Sequence[Message], then: float, after: Listing, *, timed: bool
) -> frozenset[str]:
    """Of messages seen at Unix time `then` those that a list, which watches them, still holds.

    Another message by the id of one that has gone is not it; what is only guessed does not tell,
    nor, unless the two are `timed` by one clock that was not set between them, does an arrival.
    """
    now = {message.id: without_guesses(message) for message in after.watched}
    if not timed:
        now = {id_: replace(message, age=None) for id_, message in now.items()}
    return frozenset(
        message.id
        for message in planned
        if message.id in after.ids
        and not (message.id in now and other_message(message, then, now[message.id], after.at))
    )


@dataclass(frozen=True, slots=True)
class QueueDiff:
    """What listing again tells of a plan."""

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
    """What became of the plan; None when the new list cannot tell."""
    if not after.is_whole or after.unparsed > plan.unparsed:
        return None  # a message that is still there may be among what was not understood
    timed = _is_timed_alike(plan, after)
    still = still_there(plan.messages, plan.at, after, timed=timed)
    gone = plan.ids - still
    if gone and after.unlisted:
        return None  # any of what seems gone may be among what is there and was not listed
    return QueueDiff(
        gone=gone,
        still=still,
        frozen_gone=plan.frozen_beyond - after.ids,
        froze=after.frozen_ids - plan.ids - plan.frozen_beyond,
        left=plan.listed - plan.ids - plan.frozen_beyond - after.ids,
    )


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """How an action ended."""

    outcome: Outcome
    text: str
    detail: Mapping[str, object]


_TOLD_ELSEWHERE = frozenset({Guard.PAUSE, Guard.JOURNAL})
"""Guards that the page, the log and a metric of their own tell: no outcome repeats them."""

_NOT_BY_INTENT = frozenset({Guard.LISTING, Guard.JOURNAL})
"""Guards that stop an action for want of what it takes to go on: nobody meant it to stop."""


def stopped_by(block: Block) -> dict[str, str]:
    """What an outcome's detail `stopped_by` tells of it: of no action that came to its end."""
    return {"guard": block.guard.value, "reason": block.reason}


def was_meant_to_stop(stopped: Block | None) -> bool:
    """Whether an action was stopped by intent, which is no failure of it.

    By a person or a guard, since its alert or host is gone, or because the daemon ends.
    """
    return stopped is not None and stopped.guard not in _NOT_BY_INTENT


_REFUSALS = frozenset(
    {Reason.FORBIDDEN, Reason.UNSUPPORTED, Reason.BAD_REQUEST, Reason.HTTP_STATUS}
)
"""Words of a panel, or of what is before it: that nothing was done only the list proves."""


def verdict_on_messages(
    rule_action: str,
    plan: Plan,
    answers: Sequence[RequestResult],
    seen: QueueDiff | None,
    *,
    expected: bool | None,
    omissions: Sequence[Omission] = (),
    stopped: Block | None = None,
) -> ActionOutcome:
    """How an action on messages ended, by its replies, the list after it and `verify`.

    `expected`: whether what `verify` expects holds; None when nothing is expected.
    `omissions`: what was not asked for since it was not what was planned any more.
    `stopped`: what stopped it in the middle.
    """
    replies = Counter[str](answer.what for answer in answers)
    detail: dict[str, object] = {"planned": len(plan.messages), "replies": dict(replies)}
    detail |= Counter[str](omission.what for omission in omissions)
    if stopped is not None:
        detail["stopped_by"] = stopped_by(stopped)
    asked = [answer for answer in answers if answer.what != "not_asked"]
    if not asked and (answers or not omissions):
        return nothing_asked(stopped, detail)
    if asked and all(answer.what == "failed" for answer in asked):
        return _refused(plan, asked, seen, detail)
    if seen is None:
        text = "What became of the messages could not be seen by listing the queue again."
        return ActionOutcome(Outcome.UNKNOWN, text, detail)
    return _judged(rule_action, plan, answers, seen, expected, omissions, stopped, detail)


def nothing_asked(stopped: Block | None, detail: Mapping[str, object]) -> ActionOutcome:
    """That an action sent no request at all; no failure where it was meant to stop."""
    why = f" {stopped.reason}" if stopped is not None else ""
    outcome = Outcome.OK if was_meant_to_stop(stopped) else Outcome.FAILED
    return ActionOutcome(outcome, f"Nothing was done.{why}", detail)


def _refused(
    plan: Plan, asked: Sequence[RequestResult], seen: QueueDiff | None, detail: dict[str, object]
) -> ActionOutcome:
    """Every request was refused: whether nothing was done is told by the list, not by that."""
    first = asked[0]
    if seen is None and first.reason in _REFUSALS:
        text = (
            f"The panel refused. {first.text} Whether nothing was done could not be seen by "
            "listing the queue again."
        )
        return ActionOutcome(Outcome.FAILED, text, detail)
    ids = {answer.message_id for answer in asked}
    gone = frozenset() if seen is None else seen.gone
    gone = gone if "" in ids else gone & ids
    if not gone:
        return ActionOutcome(Outcome.FAILED, f"Nothing was done. {first.text}", detail)
    detail |= {"gone": len(gone), "still_there": len(plan.messages) - len(gone)}
    text = f"The panel refused, and yet {gone_of(len(gone), len(plan.messages))}. {first.text}"
    return ActionOutcome(Outcome.FAILED, text, detail)


def _judged(
    rule_action: str,
    plan: Plan,
    answers: Sequence[RequestResult],
    seen: QueueDiff,
    expected: bool | None,  # noqa: FBT001 - three values
    omissions: Sequence[Omission],
    stopped: Block | None,
    detail: dict[str, object],
) -> ActionOutcome:
    left_out = {omission.message_id for omission in omissions if omission.what == "left_out"}
    seen = replace(seen, gone=seen.gone - left_out, still=seen.still - left_out)
    asked = [answer for answer in answers if answer.what != "not_asked"]
    own = ours(asked, seen.gone)
    detail |= {"gone": len(seen.gone), "still_there": len(seen.still)}
    if rule_action != "retry":
        detail["removed"] = len(own)
        if alone := len(seen.gone) - len(own):
            detail["left_by_themselves"] = alone
    counted = detail["replies"]
    assert isinstance(counted, dict)  # noqa: S101 - made above
    notes = {**counted, **Counter(omission.what for omission in omissions)}
    parts = [_sentence(rule_action, len(plan.ids - left_out), seen, notes)]
    beyond = _beyond(rule_action, plan, seen, parts, detail)
    belied = sum(a.what in {"gone", "removed"} and a.message_id in seen.still for a in asked)
    if rule_action == "retry" and belied:
        parts.append(f"{integer(belied)} that the panel calls gone are still there.")
    meant = plan.ids - left_out
    if was_meant_to_stop(stopped):
        # The rest is still there since nobody asked for it, and what `verify` expects of all
        # of it is not to be expected.
        meant -= {answer.message_id for answer in answers if answer.what == "not_asked"}
        counted = {what: number for what, number in counted.items() if what != "not_asked"}
        seen = replace(seen, gone=seen.gone & meant, still=seen.still & meant)
        expected = None
    good = _is_good(rule_action, seen, counted, belied, expected=expected)
    if expected is False:
        parts.append("What verify expects did not come true.")
    if stopped is not None and stopped.guard not in _TOLD_ELSEWHERE:
        parts.append(f"Stopped: {stopped.reason}")
    absent = {a.message_id for a in asked if a.what == "gone"}
    absent |= {omission.message_id for omission in omissions if omission.what == "left"}
    if 2 * len(absent & seen.gone) > len(meant):
        parts.append(
            "But most of them were not there when they were asked for: another mail server than "
            "the one that was listed may have answered."
        )
        return ActionOutcome(Outcome.UNKNOWN, " ".join(parts), detail)
    outcome = Outcome.OK if good and not beyond else Outcome.UNVERIFIED
    return ActionOutcome(outcome, " ".join(parts), detail)


class Told(Protocol):
    """An answer, as far as it tells what became of a message."""

    @property
    def what(self) -> str:
        """As of an Answer."""

    @property
    def message_id(self) -> str:
        """As of an Answer."""


def ours(asked: Sequence[Told], gone: frozenset[str]) -> frozenset[str]:
    """Of the planned messages that are gone those that left by this action.

    Not those that did not exist any more, that a delivery held or that were refused: these have
    left by themselves.
    """
    acting = {a.message_id for a in asked if a.what in {"removed", "done", "unknown"}}
    whole = any(not a.message_id and a.what != "failed" for a in asked)
    return gone if whole else gone & acting


def _beyond(
    rule_action: str, plan: Plan, seen: QueueDiff, parts: list[str], detail: dict[str, object]
) -> bool:
    """Tell what left the queue beside the plan; whether that is a failure."""
    if seen.frozen_gone:
        detail["frozen_gone_beyond_the_plan"] = sorted(seen.frozen_gone)[:100]
        lost = len(seen.frozen_gone)
        which = "message that was not meant is" if lost == 1 else "messages that were not meant are"
        parts.append(f"{integer(lost)} frozen {which} gone too.")
    # By id nothing else was asked for. As a whole it is not known whether it was delivered.
    risked = plan.as_a_whole and rule_action == "purge_frozen"
    if seen.left:
        detail["others_left"] = len(seen.left)
        what = "other message" if len(seen.left) == 1 else "other messages"
        more = ", by this action or by themselves" if risked else ""
        parts.append(f"{integer(len(seen.left))} {what} left the queue meanwhile{more}.")
        if risked:
            detail["gone_beyond_the_plan"] = sorted(seen.left)[:100]
    if seen.froze:
        detail["froze_meanwhile"] = len(seen.froze)
        parts.append(f"{integer(len(seen.froze))} more froze meanwhile.")
    return bool(seen.frozen_gone) or (risked and bool(seen.left))


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
    """`3 of 8 messages are gone`, or `left the queue`."""
    noun, verb = ("message", "is") if planned == 1 else ("messages", "are")
    what = "left the queue" if left else f"{verb} gone"
    return f"{integer(gone)} of {integer(planned)} {noun} {what}"

"""What a rule would act on, and what became of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from exporter.config.remediation import RemediationRule
from exporter.journal.entries import Outcome
from exporter.layout import guess_words
from exporter.listing import Listing
from exporter.remediation.actions import Answer
from exporter.remediation.guards import Block, Guard
from exporter.selection import describe
from exporter.snapshot import Message
from exporter.text import integer


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

    @property
    def ids(self) -> frozenset[str]:
        """Of the messages."""
        return frozenset(message.id for message in self.messages)

    def as_seen(self, now: Plan) -> Plan:
        """This plan, once a person has thought about it: nothing goes that he has not seen.

        `now` is the plan that would be made now: when it is another one, this goes by id.
        """
        return replace(self, as_a_whole=now.as_a_whole and now.ids == self.ids)


def plan_of(
    rule: RemediationRule, listing: Listing, approved: Collection[str] | None = None
) -> Plan | Block:
    """The plan for a queue as it is, or why there is none.

    `approved`: the only ids that a person has allowed; None when nobody was asked.
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
    chosen = [m for m in listing.chosen if approved is None or m.id in approved]
    # What may be meant and is not known to be would go with the whole queue.
    if listing.withheld and (not chosen or rule.action == "purge_all"):
        return Block(Guard.LAYOUT, guess_words(listing.host, listing.guessed))
    if not chosen:
        seen = " and among those that were approved" if listing.chosen else ""
        return Block(Guard.NOTHING_TO_DO, f"No message is {describe(rule.selector)}{seen}.")
    everything = len(chosen) == len(listing.chosen)
    whole = everything and (
        rule.action == "purge_all" or (rule.action == "purge_frozen" and listing.is_all_frozen_mail)
    )
    if rule.action == "purge_all" and not whole:
        return Block(Guard.APPROVAL, "The queue holds messages that the person has not seen.")
    ids = {message.id for message in chosen}
    return Plan(
        tuple(chosen),
        describe(rule.selector),
        whole,
        listing.frozen_ids - ids,
        listing.unparsed,
        listing.ids,
    )


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
class Aftermath:
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


def aftermath(plan: Plan, after: Listing) -> Aftermath | None:
    """What became of the plan; None when the new list cannot tell."""
    if not after.is_whole or after.unparsed > plan.unparsed:
        return None  # a message that is still there may be among what was not understood
    gone = plan.ids - after.ids
    if gone and after.unlisted >= len(gone):
        return None  # all that seem gone may be among what is there and was not listed
    return Aftermath(
        gone=gone,
        still=plan.ids & after.ids,
        frozen_gone=plan.frozen_beyond - after.ids,
        froze=after.frozen_ids - plan.ids - plan.frozen_beyond,
        left=plan.listed - plan.ids - plan.frozen_beyond - after.ids,
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an action ended."""

    outcome: Outcome
    text: str
    detail: Mapping[str, object]


def verdict_on_messages(
    rule_action: str,
    plan: Plan,
    answers: Sequence[Answer],
    seen: Aftermath | None,
    *,
    expected: bool | None,
) -> Verdict:
    """How an action on messages ended, by its replies, the list after it and `verify`.

    `expected`: whether what `verify` expects holds; None when nothing is expected.
    """
    replies = Counter[str](answer.what for answer in answers)
    detail: dict[str, object] = {"planned": len(plan.messages), "replies": dict(replies)}
    if all(answer.what in {"failed", "not_asked"} for answer in answers):
        first = next(answer for answer in answers if answer.what == "failed")
        return Verdict(Outcome.FAILED, f"Nothing was done. {first.text}", detail)
    if seen is None:
        text = "What became of the messages could not be seen by listing the queue again."
        return Verdict(Outcome.UNKNOWN, text, detail)
    detail |= {"gone": len(seen.gone), "still_there": len(seen.still)}
    if rule_action != "retry":
        detail["removed"] = len(seen.gone)
    parts = [_sentence(rule_action, plan, seen, replies)]
    if seen.frozen_gone:
        detail["frozen_gone_beyond_the_plan"] = sorted(seen.frozen_gone)[:100]
        lost = len(seen.frozen_gone)
        which = "message that was not meant is" if lost == 1 else "messages that were not meant are"
        parts.append(f"{integer(lost)} frozen {which} gone too.")
    if seen.left:
        detail["others_left"] = len(seen.left)
        what = "other message" if len(seen.left) == 1 else "other messages"
        parts.append(f"{integer(len(seen.left))} {what} left the queue meanwhile.")
    if seen.froze:
        detail["froze_meanwhile"] = len(seen.froze)
        parts.append(f"{integer(len(seen.froze))} more froze meanwhile.")
    belied = sum(a.what in {"gone", "removed"} and a.message_id in seen.still for a in answers)
    if rule_action == "retry" and belied:
        parts.append(f"{integer(belied)} that the panel calls gone are still there.")
    good = _is_good(rule_action, seen, replies, belied, expected=expected)
    if expected is False:
        parts.append("What verify expects did not come true.")
    outcome = Outcome.OK if good and not seen.frozen_gone else Outcome.UNVERIFIED
    return Verdict(outcome, " ".join(parts), detail)


_NOT_TRIED = frozenset[str]({"refused", "failed", "unknown", "not_asked"})
"""Answers after which it is not known that a delivery was tried."""


def _is_good(
    action: str, seen: Aftermath, replies: Mapping[str, int], belied: int, *, expected: bool | None
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


def _sentence(action: str, plan: Plan, seen: Aftermath, replies: Mapping[str, int]) -> str:
    text = gone_of(len(seen.gone), len(plan.messages), left=action == "retry")
    notes = [
        f"{integer(replies[what])} {words}"
        for what, words in (
            ("locked", "locked by a delivery"),
            ("refused", "refused by the mail server"),
            ("failed", "refused by the panel"),
            ("unknown", "without an answer"),
            ("not_asked", "not asked for any more"),
        )
        if replies.get(what)
    ]
    return f"{text} ({', '.join(notes)})." if notes else f"{text}."


def gone_of(gone: int, planned: int, *, left: bool = False) -> str:
    """`3 of 8 messages are gone`, or `left the queue`."""
    noun, verb = ("message", "is") if planned == 1 else ("messages", "are")
    what = "left the queue" if left else f"{verb} gone"
    return f"{integer(gone)} of {integer(planned)} {noun} {what}"

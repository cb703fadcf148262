"""Who wants a rule to act after a poll: the states of one host's rules, and a clock."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.config.models import Config, PollConfig
from exporter.config.remediation import RemediationRule
from exporter.hold_timer import HoldTimer
from exporter.journal import Actor
from exporter.journal.entries import Guard
from exporter.remediation.guards import Block
from exporter.remediation.requests import Request
from exporter.remediation.rule_state import (
    Asked,
    Held,
    HostState,
    RuleState,
    Unknown,
    Unwanted,
    apply_config,
)
from exporter.snapshot import Certainty, HostSnapshot
from tests import builders
from tests.builders import NOW, bad, good, queue, snapshot, stats

ASKED = Request(Actor.ALERTMANAGER, "FrozenStorm")
TRIPPED = Request(why={"queue_frozen_messages > 5": 60.0})
BLOCK = Block(Guard.PAUSE, "Paused by Ann.")


def rule(**keys: Any) -> RemediationRule:
    values = {"name": "purge", "when": "queue_frozen_messages > 5", "action": "purge_frozen"}
    return RemediationRule.model_validate(values | keys)


STORM, FOR, ON_DEMAND = rule(), rule(**{"for": "1m"}), rule(when=[])


def poll(frozen: int | None) -> HostSnapshot:
    """So many frozen messages; None: the queue did not tell."""
    if frozen is None:
        return snapshot(bad("queue"), good("clamav"))
    return snapshot(good("queue", queue(stats=stats(frozen=frozen))), good("clamav"))


def state(rule: RemediationRule, *, asked: Request | None = None, **keys: Any) -> RuleState:
    waiting = {} if asked is None else {"": Asked(asked, NOW)}
    return RuleState(HoldTimer(rule.hold or 0.0, max_gap=180.0), asked=waiting, **keys)


@pytest.mark.parametrize(
    ("rule", "asked", "polls", "wanted"),
    [
        (STORM, None, [60], [TRIPPED]),
        (STORM, None, [3, 60, 3], [None, TRIPPED, None]),
        (STORM, None, [60, None, 60], [TRIPPED, None, TRIPPED]),
        (FOR, None, [60, 60, 60], [None, None, TRIPPED]),
        (FOR, None, [60, None, 60, 60, 60], [None, None, None, None, TRIPPED]),
        # Asked for, it does not wait for its clock, nor for its condition: the run looks at that.
        (FOR, ASKED, [60, 3], [ASKED, ASKED]),
        (STORM, ASKED, [60], [ASKED]),
        # But for a poll that is good in all.
        (STORM, ASKED, [None, 60], [None, ASKED]),
        (ON_DEMAND, ASKED, [None, 3], [None, ASKED]),
        (ON_DEMAND, None, [60], [None]),
    ],
)
def test_who_wants_a_rule_to_act(
    rule: RemediationRule,
    asked: Request | None,
    polls: list[int | None],
    wanted: list[Request | None],
) -> None:
    """Polls are half a minute apart."""
    told = state(rule, asked=asked)
    assert [
        told.on_snapshot(rule, poll(frozen), NOW + 30 * number)
        for number, frozen in enumerate(polls)
    ] == wanted


@pytest.mark.parametrize(
    ("rule", "asked", "frozen", "stands"),
    [
        (STORM, None, 60, True),
        (STORM, None, None, True),
        (STORM, None, 3, False),
        # What is asked for is still held back, whatever the poll says of the condition.
        (STORM, ASKED, 3, True),
        (ON_DEMAND, ASKED, 3, True),
        (ON_DEMAND, ASKED, None, True),
        (ON_DEMAND, None, 3, False),
    ],
)
def test_what_held_a_rule_back_is_forgotten_once_nobody_wants_it(
    rule: RemediationRule, asked: Request | None, frozen: int | None, stands: bool
) -> None:
    told = state(rule, asked=asked, held=Held(BLOCK))
    told.on_snapshot(rule, poll(frozen), NOW)
    assert told.block == (BLOCK if stands else None)


@pytest.mark.parametrize(
    ("rule", "keys", "frozen", "unwanted"),
    [
        (STORM, {}, 3, True),
        (STORM, {}, 60, False),
        (FOR, {}, 60, False),
        (STORM, {}, None, False),
        (STORM, {"asked": ASKED}, 3, False),
        # Whether somebody asked an earlier process for it is not known.
        (ON_DEMAND, {}, 3, False),
        (ON_DEMAND, {"withdrawn": True}, 3, True),
        (ON_DEMAND, {"withdrawn": True, "asked": ASKED}, 3, False),
    ],
)
def test_when_surely_nobody_wants_a_rule_to_act(
    rule: RemediationRule, keys: dict[str, Any], frozen: int | None, unwanted: bool
) -> None:
    told = state(rule, demand=Unknown() if unwanted else Unwanted(), **keys)
    told.on_snapshot(rule, poll(frozen), NOW)
    assert told.is_unwanted is unwanted


def test_the_rules_of_a_host_want_to_act_in_the_order_of_the_config() -> None:
    first, second, third = rule(name="first"), rule(name="second"), rule(name="third")
    calm = rule(name="calm", when="queue_messages > 999")
    host = HostState(builders.host())
    host.rules = {each.name: state(each) for each in (second, calm, first)}
    wanted = host.on_snapshot([first, calm, second, third], poll(60), NOW)
    assert wanted == [(first, TRIPPED), (second, TRIPPED)]
    assert host.heard


@pytest.mark.parametrize(
    ("polls", "wants"),
    [
        ([3], False),
        ([60], False),
        ([60, 60], True),
        ([60, 60, 60], True),
        ([60, 60, None], True),
        ([60, 60, 3], False),
    ],
)
def test_a_host_wants_an_action_that_is_due_by_its_next_poll(
    polls: list[int | None], wants: bool
) -> None:
    """A minute's rule, polled each half."""
    host = HostState(builders.host(), interval=30.0)
    host.rules = {FOR.name: state(FOR)}
    for number, frozen in enumerate(polls):
        host.on_snapshot([FOR], poll(frozen), NOW + 30 * number)
    assert host.wants is wants


def test_a_host_wants_what_it_is_asked_for() -> None:
    host = HostState(builders.host())
    host.rules = {ON_DEMAND.name: state(ON_DEMAND, asked=ASKED)}
    assert host.wants


def config(*rules: dict[str, Any]) -> Config:
    hosts = [{"name": "mx1", "url": "http://127.0.0.1:1", "username": "u", "password": "p"}]
    section = {"mode": "enforce", "rules": rules}
    return Config.model_validate({"hosts": hosts, "remediation": section})


def test_an_interval_is_that_of_the_config() -> None:
    hosts = apply_config({}, (), config())
    assert hosts["mx1"].interval == 60.0
    slower = config().model_copy(update={"poll": PollConfig(interval="5m")})
    assert apply_config(hosts, (), slower)["mx1"].interval == 300.0


PURGE: dict[str, Any] = {"name": "purge", "when": "up == 1", "action": "purge_frozen"}
OTHER: dict[str, Any] = {**PURGE, "name": "other"}


@pytest.mark.parametrize(
    ("before", "after", "heard"),
    [
        ([PURGE], [PURGE], True),
        ([PURGE, OTHER], [PURGE], True),
        ([PURGE], [PURGE, OTHER], False),
        ([PURGE], [{**PURGE, "cooldown": "2h"}], False),
        ([PURGE], [PURGE, {**OTHER, "hosts": {"names": ["web*"]}}], True),
        ([], [PURGE], False),
    ],
)
def test_a_host_is_heard_by_all_of_its_rules(
    before: list[dict[str, Any]], after: list[dict[str, Any]], heard: bool
) -> None:
    old = config(*before)
    hosts = apply_config({}, (), old)
    hosts["mx1"].on_snapshot(old.remediation.rules, poll(3), NOW)
    again = apply_config(hosts, old.remediation.rules, config(*after))
    assert again["mx1"].heard is heard


# --- guesses ------------------------------------------------------------------------------------


def guess(frozen: int, certainty: Certainty = Certainty.GUESSED) -> HostSnapshot:
    told = stats(frozen=frozen, certainty=(("id", Certainty.NAMED), ("frozen", certainty)))
    return snapshot(good("queue", queue(stats=told)))


@pytest.mark.parametrize(
    ("rule", "polls", "doubts"),
    [
        (STORM, [guess(60)], [True]),
        (STORM, [guess(60), guess(3)], [True, False]),
        (FOR, [guess(60), guess(60), guess(60)], [False, False, True]),
        (STORM, [guess(60), guess(60, Certainty.NAMED)], [True, False]),
        (STORM, [guess(60, Certainty.NAMED), guess(60)], [False, True]),
        # What was a guess counts for nothing once it is known.
        (FOR, [guess(60), guess(60), guess(60, Certainty.NAMED)], [False, False, False]),
    ],
)
def test_a_rule_that_would_act_by_a_guess_says_so_and_has_not_tripped(
    rule: RemediationRule, polls: list[HostSnapshot], doubts: list[bool]
) -> None:
    held = state(rule)
    for number, (poll_, doubt) in enumerate(zip(polls, doubts, strict=True)):
        wanted = held.on_snapshot(rule, poll_, NOW + 30 * number)
        assert bool(held.guessed) is doubt
        assert held.guessed in ((), ("frozen",))
        known = dict(poll_.results[0].value.stats.certainty)["frozen"]  # type: ignore[union-attr]
        tripped = known is Certainty.NAMED and rule is STORM
        assert (wanted is not None) is (doubt or tripped)
    assert not held.is_unwanted, "a guess does not say that nobody wants it, either"


def test_a_host_that_wants_by_a_guess_is_none_of_a_storm() -> None:
    host = HostState(builders.host(), rules={STORM.name: state(STORM)})
    host.on_snapshot([STORM], guess(60), NOW)
    assert not host.wants
    host.on_snapshot([STORM], guess(60, Certainty.NAMED), NOW + 30)
    assert host.wants

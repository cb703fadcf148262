"""How the state of a rule changes: by polls, requests, their answers, resolved alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from exporter.config.models import Config, PollConfig
from exporter.config.remediation import RemediationRule
from exporter.journal import Actor
from exporter.journal.entries import Guard
from exporter.remediation.guards import Block
from exporter.remediation.requests import Incident, Request
from exporter.remediation.rule_state import (
    LOOK_AGAIN,
    Asked,
    Held,
    HostState,
    Idle,
    RuleState,
    apply_config,
)
from exporter.snapshot import Certainty, HostSnapshot
from tests import builders
from tests.builders import NOW, bad, good, queue, snapshot, stats

ASKED = Request(Actor.ALERTMANAGER, "FrozenStorm")
TRIPPED = Request(why={"queue_frozen_messages > 5": 60.0})
BLOCK = Block(Guard.PAUSE, "Paused by Ann.")

Change = Callable[[RuleState], RuleState]


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
    new = replace(RuleState.new(rule, max_gap=180.0), **keys)
    return new if asked is None else replace(new, asked={asked.key: Asked(asked, NOW)})


def after(state: RuleState, polls: Iterable[HostSnapshot]) -> Iterator[tuple[RuleState, Any]]:
    """Each state with the request to act, after polls that are half a minute apart."""
    for number, polled in enumerate(polls):
        state, request = state.on_snapshot(polled, NOW + 30 * number)
        yield state, request


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
def test_a_rule_wants_to_act_by_itself_or_because_it_is_asked_to(
    rule: RemediationRule,
    asked: Request | None,
    polls: list[int | None],
    wanted: list[Request | None],
) -> None:
    found = after(state(rule, asked=asked), map(poll, polls))
    assert [request for _, request in found] == wanted


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
    before = state(rule, asked=asked, held=Held(BLOCK))
    now, _ = before.on_snapshot(poll(frozen), NOW)
    assert now.held.block == (BLOCK if stands else None)
    assert before.held.block == BLOCK, "a state is a value"


@pytest.mark.parametrize(
    ("rule", "keys", "frozen", "unwanted"),
    [
        (STORM, {}, 3, True),
        (STORM, {}, 60, False),
        (FOR, {}, 60, False),
        (STORM, {}, None, False),
        (STORM, {"asked": ASKED}, 3, False),
        # Whether an earlier process was asked for it is not known, until all is withdrawn.
        (ON_DEMAND, {}, 3, False),
        (ON_DEMAND, {"demand": Idle.UNWANTED}, 3, True),
        (ON_DEMAND, {"demand": Idle.UNWANTED, "asked": ASKED}, 3, False),
    ],
)
def test_when_surely_nobody_wants_a_rule_to_act(
    rule: RemediationRule, keys: dict[str, Any], frozen: int | None, unwanted: bool
) -> None:
    if rule.when:
        keys |= {"demand": Idle.UNKNOWN if unwanted else Idle.UNWANTED}
    now, _ = state(rule, **keys).on_snapshot(poll(frozen), NOW)
    assert now.is_unwanted is unwanted


FIRST, SECOND = Incident.made("one", "2026-12-01T08:00:00Z"), Incident.made("two", "")
OF_FIRST = Request(Actor.ALERTMANAGER, "One", FIRST.detail("One"))
OF_SECOND = Request(Actor.ALERTMANAGER, "Two", SECOND.detail("Two"))
LATER = Request(Actor.ALERTMANAGER, "One", Incident.made("one", "2026-12-02T08:00:00Z").detail(""))
COSTLY = Block(Guard.NOTHING_TO_DO, "No message is frozen.")


def asks(*requests: Request) -> list[Change]:
    return [partial(RuleState.on_request, asked=Asked(request, NOW)) for request in requests]


def attempt(request: Request, block: Block | None) -> Change:
    return partial(RuleState.on_attempt, request=request, block=block, now=NOW)


def answered(request: Request) -> Change:
    return partial(RuleState.on_answer, request=request)


def resolved(incident: Incident) -> Change:
    return partial(RuleState.on_resolved, incident=incident)


@pytest.mark.parametrize(
    ("rule", "changes", "wanted"),
    [
        (ON_DEMAND, asks(OF_FIRST, OF_SECOND), {"asked": [OF_FIRST, OF_SECOND]}),
        (ON_DEMAND, [*asks(OF_FIRST, OF_SECOND), answered(OF_FIRST)], {"asked": [OF_SECOND]}),
        (ON_DEMAND, [*asks(OF_FIRST), answered(replace(OF_FIRST))], {"asked": [OF_FIRST]}),
        (ON_DEMAND, [*asks(OF_FIRST, OF_SECOND), resolved(FIRST)], {"asked": [OF_SECOND]}),
        (ON_DEMAND, [*asks(LATER), resolved(FIRST)], {"asked": [LATER]}),
        (ON_DEMAND, [RuleState.on_withdrawal], {"demand": Idle.UNWANTED}),
        (ON_DEMAND, [*asks(OF_FIRST), RuleState.on_withdrawal], {"asked": [OF_FIRST]}),
        (STORM, [RuleState.on_withdrawal], {"demand": Idle.UNKNOWN}),
        (STORM, [attempt(OF_FIRST, BLOCK)], {"held": Held(BLOCK, OF_FIRST.key)}),
        (STORM, [attempt(TRIPPED, COSTLY)], {"held": Held(COSTLY, "", NOW + LOOK_AGAIN)}),
        (
            STORM,
            [attempt(TRIPPED, COSTLY), *asks(OF_FIRST)],
            {"held": Held(None, "", NOW + LOOK_AGAIN), "asked": [OF_FIRST]},
        ),
        (
            STORM,
            [attempt(TRIPPED, COSTLY), attempt(TRIPPED, None)],
            {"held": Held(None, "", NOW + LOOK_AGAIN)},
        ),
    ],
)
def test_what_happens_makes_another_state(
    rule: RemediationRule, changes: list[Change], wanted: dict[str, Any]
) -> None:
    now = before = state(rule)
    for change in changes:
        now = change(now)
    found = {name: getattr(now, name) for name in ("demand", "held")}
    found["asked"] = [asked.request for asked in now.asked.values()]
    assert found == {"demand": Idle.UNKNOWN, "held": Held(), "asked": []} | wanted
    assert before == state(rule), "a state is a value"


def test_a_state_of_a_rule_that_was_changed_meanwhile_is_left_alone() -> None:
    host = HostState(builders.host(), rules={STORM.name: state(STORM)})
    host.update(FOR, RuleState.on_withdrawal)
    assert host.state_of(FOR) is None
    assert host.state_of(STORM) == state(STORM)
    host.update(STORM, attempt(TRIPPED, BLOCK))
    assert host.rules[STORM.name].held.block == BLOCK


def test_an_approval_expires_until_that_is_written_down() -> None:
    host = HostState(builders.host(), rules={STORM.name: state(STORM)})
    host.on_snapshot(poll(3), NOW)
    assert host.expiring(lambda _: False) == []
    assert host.expiring(lambda name: name == STORM.name) == [STORM]
    host.on_snapshot(poll(60), NOW + 30)
    assert host.expiring(lambda _: False) == [STORM]
    host.update(STORM, lambda state: replace(state, expires=False))
    assert host.expiring(lambda _: True) == [], "it is wanted again"


def test_the_rules_of_a_host_want_to_act_in_the_order_of_the_config() -> None:
    first, second = rule(name="first"), rule(name="second")
    calm = rule(name="calm", when="queue_messages > 999")
    host = HostState(builders.host())
    host.rules = {each.name: state(each) for each in (first, calm, second)}
    wanted = host.on_snapshot(poll(60), NOW)
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
        host.on_snapshot(poll(frozen), NOW + 30 * number)
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
    hosts = apply_config({}, config())
    assert hosts["mx1"].interval == 60.0
    slower = config().model_copy(update={"poll": PollConfig(interval="5m")})
    assert apply_config(hosts, slower)["mx1"].interval == 300.0


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
    hosts = apply_config({}, old)
    hosts["mx1"].on_snapshot(poll(3), NOW)
    again = apply_config(hosts, config(*after))
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
    found = zip(after(state(rule), polls), polls, doubts, strict=True)
    for (held, wanted), poll_, doubt in found:
        assert bool(held.guessed) is doubt
        assert held.guessed in ((), ("frozen",))
        known = dict(poll_.results[0].value.stats.certainty)["frozen"]  # type: ignore[union-attr]
        tripped = known is Certainty.NAMED and rule is STORM
        assert (wanted is not None) is (doubt or tripped)
        assert not held.is_unwanted, "a guess does not say that nobody wants it, either"


def test_a_host_that_wants_by_a_guess_is_none_of_a_storm() -> None:
    host = HostState(builders.host(), rules={STORM.name: state(STORM)})
    host.on_snapshot(guess(60), NOW)
    assert not host.wants
    host.on_snapshot(guess(60, Certainty.NAMED), NOW + 30)
    assert host.wants

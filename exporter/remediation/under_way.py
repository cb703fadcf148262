"""What may stop a rule between two messages: every guard, as it stands by then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from exporter.config.remediation import RemediationConfig, RemediationRule
from exporter.remediation.guards import (
    Block,
    Guard,
    InForce,
    Situation,
    block_under_way,
    deed_of,
)
from exporter.remediation.silence import silence_of
from exporter.remediation.work import Bench

SILENCE_REST = 1.0
"""The most seconds between two questions about silences."""

SILENCE_SHARE = 3.0
"""They are asked again after so many times the seconds that the last answer took: a fleet's
Alertmanagers are not asked for each of thousands of messages, nor is the action held up."""


class UnderWay:
    """Asks before each message of one action whether it may be sent."""

    def __init__(
        self,
        bench: Bench,
        config: RemediationConfig,
        rule: RemediationRule,
        look: Callable[[], Awaitable[Situation]],
    ) -> None:
        """What it asks.

        Args:
            bench: what the action is done with.
            config: by which it has begun.
            rule: as it was then.
            look: tells the guards' situation, and the config in force, as they are now.
        """
        self._bench = bench
        self._rule = rule
        self._look = look
        self._began_by = InForce(config, rule)
        self._ask_again_at = float("-inf")

    async def block(self) -> Block | None:
        """What speaks against the next message; None when nothing does."""
        silence = await self._silence()
        if silence is not None:
            return silence
        situation = await self._look()
        now = situation.in_force or self._began_by
        if now.against or now.rule is None:
            gone = f"{self._rule.name} is not for this host any more, or has left the config."
            return Block(Guard.CONDITION, now.against or gone)
        if _means(now.rule) != _means(self._rule):
            reason = f"{self._rule.name} means something else in the config that is in force now."
            return Block(Guard.CONDITION, reason)
        if now.rule.respect_silences is not self._rule.respect_silences:
            # It is asked for by the rule as it stands now.
            self._rule, self._ask_again_at = now.rule, float("-inf")
            return await self.block()
        return block_under_way(
            now.rule, now.config, replace(situation, withdrawn=situation.alert_over)
        )

    async def _silence(self) -> Block | None:
        began = self._bench.monotonic()
        if began < self._ask_again_at:
            return None
        block = await silence_of(self._bench.alertmanagers, self._bench.client.host, self._rule)
        ended = self._bench.monotonic()
        self._ask_again_at = ended + min(SILENCE_REST, SILENCE_SHARE * (ended - began))
        return block


def _means(rule: RemediationRule) -> tuple[object, ...]:
    """What a rule does and to which messages, and whether a person must allow it."""
    return deed_of(rule), rule.selector, rule.approval

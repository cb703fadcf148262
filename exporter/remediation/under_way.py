"""What may stop a rule between two messages: every guard, as it stands by then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from exporter.config.remediation import RemediationConfig, RemediationRule
from exporter.journal.entries import Guard
from exporter.remediation.guards import Block, GuardInputs, InForce, block_under_way, deed_of
from exporter.remediation.silence_guard import silence_of
from exporter.remediation.work import HostContext

SILENCE_REST = 1.0
"""The most seconds between two questions about silences."""

SILENCE_SHARE = 3.0
"""They are asked again after so many times the seconds that the last answer took: a fleet's
Alertmanagers are not asked for each of thousands of messages, nor is the action held up."""


class UnderWay:
    """Asks before each message of one action whether it may be sent."""

    def __init__(
        self,
        bench: HostContext,
        config: RemediationConfig,
        rule: RemediationRule,
        look: Callable[[], Awaitable[GuardInputs]],
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
        block, rule = await self._guards()
        if block is None and rule.respect_silences and self._may_ask:
            block = await self._silence(rule)
            if block is None:  # the answer may have taken its time
                block, _ = await self._guards()
        return block

    async def _guards(self) -> tuple[Block | None, RemediationRule]:
        """All but silences, and the rule as it is in the config in force."""
        inputs = await self._look()
        now = inputs.in_force or self._began_by
        if now.against or now.rule is None:
            gone = f"{self._rule.name} is not for this host any more, or has left the config."
            return Block(Guard.CONDITION, now.against or gone), self._rule
        if _means(now.rule) != _means(self._rule):
            reason = f"{self._rule.name} means something else in the config that is in force now."
            return Block(Guard.CONDITION, reason), now.rule
        inputs = replace(inputs, withdrawn=inputs.alert_over)
        return block_under_way(now.rule, now.config, inputs), now.rule

    @property
    def _may_ask(self) -> bool:
        return self._bench.monotonic() >= self._ask_again_at

    async def _silence(self, rule: RemediationRule) -> Block | None:
        began = self._bench.monotonic()
        block = await silence_of(self._bench.alertmanagers(), self._bench.client.host, rule)
        ended = self._bench.monotonic()
        self._ask_again_at = ended + min(SILENCE_REST, SILENCE_SHARE * (ended - began))
        return block


def _means(rule: RemediationRule) -> tuple[object, ...]:
    """What a rule does and to which messages, and whether a person must allow it."""
    return deed_of(rule), rule.selector, rule.approval

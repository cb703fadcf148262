"""What held a rule back, as the journal has it. Pure."""

from __future__ import annotations

from exporter.config.models import HostConfig
from exporter.config.remediation import RemediationRule
from exporter.journal import Entry, Kind
from exporter.journal.entries import Guard
from exporter.remediation.guards import Block
from exporter.remediation.run import Request


def entry_of_block(
    host: HostConfig, rule: RemediationRule, request: Request, block: Block
) -> Entry:
    """The entry that tells of a block."""
    return Entry(
        Kind.BLOCKED,
        host=host.name,
        panel=host.panel,
        rule=rule.name,
        action=rule.action,
        actor=request.signature,
        outcome=block.guard.value,
        text=block.reason,
        detail=dict(request.why),
    )


def is_news(block: Block, before: Block | None) -> bool:
    """Whether a block tells more than the one before it did.

    Most reasons hold figures that change at each look: these are no news.
    """
    if before is None:
        return True
    if block.guard is Guard.APPROVAL:
        return block != before
    return block.guard is not before.guard

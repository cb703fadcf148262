"""The journal: what was done, at whose request, why, and how it ended. It is append-only."""

from exporter.journal.entries import (
    WELL,
    Actor,
    Entry,
    FleetFacts,
    Kind,
    Outcome,
    RuleFacts,
    Unsettled,
)
from exporter.journal.file import JournalError, JournalMissingError
from exporter.journal.store import Journal

__all__ = [
    "WELL",
    "Actor",
    "Entry",
    "FleetFacts",
    "Journal",
    "JournalError",
    "JournalMissingError",
    "Kind",
    "Outcome",
    "RuleFacts",
    "Unsettled",
]

"""The journal: what was done, by whom, why, and how it ended. Only ever added to."""

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

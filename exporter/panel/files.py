"""Want of files: the exporter's own trouble, which says nothing of a panel.

A module of its own, since the process that decodes large lists loads nothing of HTTP.
"""

from __future__ import annotations

import errno

from exporter.panel.errors import PanelError
from exporter.snapshot import Reason


def no_files() -> PanelError:
    """The error when the exporter has no file left to ask with; the panel was not asked."""
    return PanelError(
        Reason.UNEXPECTED,
        "The exporter has too many files open to ask the panel, of which this says nothing.",
        hint=MORE_FILES,
        retryable=True,
        own=True,
    )


WANT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE})
"""Numbers of the errors that say that no more files may be open."""

MORE_FILES = (
    "Let it open more of them (LimitNOFILE= in the unit, ulimit -n), or lower poll.concurrency."
)

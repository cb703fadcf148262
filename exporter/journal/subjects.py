"""Whom an entry of the journal is about: a panel, not the name that it has in the config. Pure.

A name may be given to another panel, and a panel another name. What restrains a rule (actions
begun, failed verifications, stops, rejections) counts for the panel's url under whatever name it
was written, and for entries of the name that tell no panel: those of older versions. What
authorises (a request, an approval) counts for the very same url and pin alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from exporter.journal.entries import Entry, Kind
from exporter.snapshot import PanelId

SUBJECT = "(CASE panel_url WHEN '' THEN 'host ' || host ELSE panel_url END)"
"""`subject_of` to SQLite; the indexes of the schema are on exactly these words."""

AUTHORISING = frozenset({Kind.APPROVAL_REQUESTED, Kind.APPROVED})
"""Kinds that may let something be done."""


def subject_of(entry: Entry) -> str:
    """Whom an entry is about: the panel's url, or its host where it tells no panel."""
    return entry.panel.url or nameless(entry.host)


def nameless(host: str) -> str:
    """Whom entries of a host are about that tell no panel."""
    return f"host {host}"


def subjects(host: str, panel: PanelId) -> tuple[str, ...]:
    """Whom the entries are about that concern a panel which is called `host` now."""
    return tuple(filter(None, (panel.url, nameless(host))))


def concerns(entry: Entry, host: str, panel: PanelId | None) -> bool:
    """Whether an entry counts for a panel that is called `host` now; by the name without one."""
    return entry.host == host if panel is None else subject_of(entry) in subjects(host, panel)


def last_word(words: Iterable[Entry | None], panel: PanelId | None) -> Entry | None:
    """The last word on an approval, of words that concern a panel.

    What would authorise counts only of the very same panel: with another certificate it may be
    another machine.
    """
    counted = [
        word
        for word in words
        if word is not None
        and (panel is None or word.kind not in AUTHORISING or word.panel == panel)
    ]
    return max(counted, key=lambda entry: entry.id, default=None)

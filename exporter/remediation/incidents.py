"""Which alert asks for a rule, and since when: what makes two requests the same. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

LONGEST_TIME = 64
"""Characters that are kept of a time; no RFC 3339 time has as many."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One firing of one alert, from its beginning to its end."""

    key: str = ""
    """What makes it the same when it is told again."""
    alert: str = ""
    """What tells its alert from others."""
    since: str = ""
    """When it began, as Alertmanager writes it (`startsAt`)."""

    @classmethod
    def made(cls, alert: str, since: str) -> Incident:
        """The incident of an alert (Alertmanager's fingerprint, or all its labels) that began so.

        What is kept is short, and nothing that an alert's labels may hold.
        """
        return cls(_digest(f"{alert}\0{since}"), _digest(alert), since[:LONGEST_TIME])

    @classmethod
    def of(cls, detail: Mapping[str, object]) -> Incident:
        """The incident that a request, or an entry of the journal, is about by its detail."""
        key, alert, since = (str(detail.get(name) or "") for name in ("key", "of", "since"))
        return cls(key, alert, since)

    @property
    def detail(self) -> dict[str, object]:
        """What the journal keeps of it."""
        return {"key": self.key, "of": self.alert, "since": self.since}

    def is_over_with(self, ended: Incident) -> bool:
        """Whether the end of `ended` tells that this one is over: of its alert, and no later.

        An alert fires once at a time. Where it cannot be told which of two began first, it is
        over: nothing is done for an alert that may be no more.
        """
        if self.key == ended.key:
            return True
        if self.alert != ended.alert:
            return False
        mine, other = _time(self.since), _time(ended.since)
        return mine is None or other is None or mine <= other


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def _time(text: str) -> datetime | None:
    """An RFC 3339 time; None when it is none. Without a zone it is taken for UTC."""
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        return None
    return told if told.tzinfo is not None else told.replace(tzinfo=UTC)

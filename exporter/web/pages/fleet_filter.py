"""Which hosts are shown, in which order: the same by the URL and by the script. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from exporter.web.pages.rows import STATES, Row

_SORTS: Mapping[str, Callable[[Row], tuple[object, ...]]] = {
    "worst": lambda row: row.rank,
    "host": lambda row: (row.name,),
    "queue": lambda row: (-_or_least(row.messages), row.name),
    "frozen": lambda row: (-_or_least(row.frozen), row.name),
    "oldest": lambda row: (-_or_least(row.oldest), row.name),
    "growth": lambda row: (-_or_least(row.growth), row.name),
}
SORTS = tuple(_SORTS)


def _or_least(value: float | None) -> float:
    """Return a value to sort by: the unknown comes last."""
    return -math.inf if value is None else value


@dataclass(frozen=True, slots=True)
class FleetFilter:
    """A view of the fleet."""

    text: str = ""
    """Part of a name, or of a label."""
    state: str = ""
    """One of STATES; "" for all, "bad" for all but those that are up."""
    label: str = ""
    """name=value; "" for all."""
    sort: str = "worst"
    """One of SORTS."""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> FleetFilter:
        """Return what a URL's query says; what it says wrong is left out."""
        state, sort = query.get("state", ""), query.get("sort", "worst")
        return cls(
            text=query.get("q", "")[:100].strip(),
            state=state if state in {*STATES, "bad"} else "",
            label=query.get("label", "")[:200],
            sort=sort if sort in SORTS else "worst",
        )

    def matches(self, row: Row) -> bool:
        """Return whether a host is shown."""
        labels = [f"{name}={value}" for name, value in row.labels.items()]
        text = self.text.lower()
        return (
            (not text or any(text in what.lower() for what in (row.name, *labels)))
            and (not self.label or self.label in labels)
            and (self.state in {"", row.state} or (self.state == "bad" and row.state != "up"))
        )

    def apply(self, rows: Sequence[Row]) -> list[Row]:
        """Return the hosts that are shown, in order."""
        return sorted((row for row in rows if self.matches(row)), key=_SORTS[self.sort])

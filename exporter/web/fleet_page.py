"""The plain status page: a headline and a table of hosts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from exporter import __version__
from exporter.problems import problems
from exporter.snapshot import SERVICES
from exporter.store import HostRecord, Store
from exporter.text import duration, integer, size
from exporter.view import state_of

_WORST_FIRST = {"down": 0, "partial": 1, "unknown": 2, "up": 3}
_UNKNOWN = "–"


class FleetPage:
    """Renders `/`."""

    def __init__(self) -> None:
        environment = Environment(
            loader=PackageLoader("exporter.web"), autoescape=True, undefined=StrictUndefined
        )
        self._template = environment.get_template("fleet.html")

    def render(self, store: Store, now: float) -> str:
        """The page as of Unix time `now`: hosts with trouble first, then in the config's order."""
        hosts = sorted((_row(record, now) for record in store), key=_rank)
        at = datetime.fromtimestamp(now, UTC)
        return self._template.render(
            hosts=hosts,
            headline=headline(hosts),
            at_iso=at.isoformat(timespec="seconds"),
            at_text=at.strftime("%Y-%m-%d %H:%M:%S UTC"),
            version=__version__,
        )


def _rank(row: dict[str, Any]) -> tuple[int, bool]:
    """Trouble first: hosts that are down, then those where something is wrong."""
    return _WORST_FIRST[row["state"]], not row["problems"]


def headline(hosts: list[dict[str, Any]]) -> str:
    """What matters in one line."""
    states = [host["state"] for host in hosts]
    stopped = sum(host[service] == "stopped" for host in hosts for service in SERVICES)
    parts = [
        f"{states.count(state)} {word}"
        for state, word in (
            ("down", "down"),
            ("partial", "answering in part"),
            ("unknown", "not polled yet"),
        )
        if state in states
    ]
    if stopped:
        parts.append(f"{stopped} {'service' if stopped == 1 else 'services'} stopped")
    return ", ".join(parts) or "All hosts answer"


def _row(record: HostRecord, now: float) -> dict[str, Any]:
    queue = record.queue(now)
    stats = queue.stats if queue else None

    def shown(value: float | None, form: Any) -> str:
        return _UNKNOWN if value is None else form(value)

    services = {name: record.service(name, now) for name in SERVICES}
    return {
        "name": record.host.name,
        "state": state_of(record),
        "messages": shown(queue.messages if queue else None, integer),
        "frozen": shown(stats.frozen if stats else None, integer),
        "oldest": shown(stats.oldest_age if stats else None, duration),
        "size": shown(stats.size_bytes if stats else None, size),
        "polled": f"{duration(now - record.latest.at)} ago" if record.latest else "not yet",
        "problems": problems(record),
        **{
            name: _UNKNOWN if up is None else "up" if up else "stopped"
            for name, up in services.items()
        },
    }

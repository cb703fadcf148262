"""What must be right across the entries of a section: names that differ, and what they need.

Looked at as it is written. A model tells such mistakes only when each entry is right, so that who
has mended those would be told of new ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec

from exporter.config.alerting import alertmanager_name
from exporter.config.document import Document, Problem

_RECEIVERS = ("alertmanagers", "webhooks", "apprise")


def problems_across(main: Document) -> Iterator[Problem]:
    """Every such mistake of the sections `alerting` and `remediation`."""
    if section(main, "alerting").get("apprise") and find_spec("apprise") is None:
        words = "needs the extra: pip install 'brainycp-exporter[apprise]'"
        yield main.problem(("alerting", "apprise"), words)
    yield from _receivers_alike(main)
    yield from _rules_alike(main, "alerting")
    yield from _rules_alike(main, "remediation")
    remediation = section(main, "remediation")
    if remediation.get("rules") and remediation.get("mode") is None:
        words = "is missing: where there are rules it must be off, dry_run or enforce"
        yield main.problem(("remediation", "mode"), words)


def _receivers_alike(main: Document) -> Iterator[Problem]:
    first_of: dict[str, str] = {}
    for key in _RECEIVERS:
        for position, entry in maps_in(main, "alerting", key):
            here, name = f"{key}[{position}]", _receiver(key, entry)
            if name and (first := first_of.setdefault(name, here)) != here:
                words = f"has the same name as {first}: give it another"
                yield main.problem(("alerting", key, position, "name"), words)


def _receiver(key: str, entry: Mapping[str, object]) -> str:
    """The name of a receiver; "" when it cannot be told."""
    name, url = entry.get("name"), entry.get("url")
    if isinstance(name, str):
        return name
    if key == "alertmanagers" and name is None and isinstance(url, str):
        with suppress(ValueError):
            return alertmanager_name(url)
    return ""


def _rules_alike(main: Document, where: str) -> Iterator[Problem]:
    first_of: dict[str, int] = {}
    for position, entry in maps_in(main, where, "rules"):
        name = entry.get("name")
        if isinstance(name, str) and (first := first_of.setdefault(name, position)) != position:
            words = f"is already the name of rules[{first}]"
            yield main.problem((where, "rules", position, "name"), words)


def section(main: Document, name: str) -> Mapping[str, object]:
    """A section as it is written; empty when it is none."""
    written = main.data.get(name) if isinstance(main.data, dict) else None
    return written if isinstance(written, dict) else {}


def maps_in(main: Document, name: str, key: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """The maps in a list of a section as they are written, each with its position."""
    values = section(main, name).get(key)
    for position, value in enumerate(values if isinstance(values, list) else ()):
        if isinstance(value, dict):
            yield position, value

"""The direction in which data goes, kept: what may import what."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "exporter"


def imports(file: Path) -> set[str]:
    """Every module that a file names in an import, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module != "exporter":  # of it only the names taken count
                found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def modules(place: str) -> list[Path]:
    path = PACKAGE / place
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def violations(place: str, forbidden: tuple[str, ...], but: tuple[str, ...] = ()) -> list[str]:
    """`file: module` for each import below a forbidden name."""
    return [
        f"{file.relative_to(ROOT)}: {name}"
        for file in modules(place)
        for name in sorted(imports(file))
        if any(name == f or name.startswith(f"{f}.") for f in forbidden)
        and not any(name == b or name.startswith(f"{b}.") for b in but)
    ]


RULES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # place: (may not import, except)
    "snapshot.py": (("exporter",), ()),
    "config": (("exporter",), ("exporter.config", "exporter.panel.protocol", "exporter.snapshot")),
    "panel/protocol.py": (("exporter",), ("exporter.panel.errors", "exporter.snapshot")),
    "panel": (("exporter",), ("exporter.panel", "exporter.config", "exporter.snapshot",
                              "exporter.__version__")),
    "panel/decode": (("aiohttp", "time", "asyncio", "socket"), ()),
    "schedule.py": (("exporter", "asyncio", "time"), ()),
    "transitions.py": (("asyncio", "time", "structlog"), ()),
    "store.py": (("exporter",), ("exporter.config", "exporter.snapshot")),
    "metrics": (("exporter",), ("exporter.metrics", "exporter.snapshot", "exporter.store",
                                "exporter.config", "exporter.panel.protocol",
                                "exporter.remediation.tally", "exporter.__version__")),
    "rules.py": (("exporter", "time", "asyncio"), ("exporter.config", "exporter.snapshot")),
    "selection.py": (("exporter", "time", "asyncio"), ("exporter.config", "exporter.snapshot",
                                                       "exporter.text")),
    "alerting": (("exporter.metrics", "exporter.web", "exporter.daemon", "exporter.poller",
                  "exporter.panel.client", "exporter.cli"), ()),
    "alerting/alarms.py": (("time", "asyncio", "aiohttp", "exporter.journal"), ()),
    "alerting/groups.py": (("time", "asyncio", "aiohttp", "exporter.journal"), ()),
    "alerting/watches.py": (("time", "asyncio", "aiohttp", "exporter.journal"), ()),
    "journal": (("exporter", "aiohttp"), ("exporter.journal", "exporter.ownership",
                                          "exporter.hostlock", "exporter.snapshot")),
    "listing.py": (("exporter",), ("exporter.config", "exporter.panel", "exporter.selection",
                                   "exporter.snapshot")),
    "remediation/guards.py": (("time", "asyncio", "aiohttp", "exporter.panel"), ()),
    "remediation/plan.py": (("time", "asyncio", "aiohttp", "exporter.panel"), ()),
    "remediation": (("exporter.metrics", "exporter.web", "exporter.store", "exporter.daemon",
                     "exporter.poller"), ()),
    "poller.py": (("exporter.metrics", "exporter.web", "exporter.store", "exporter.daemon"), ()),
    "collect.py": (("exporter.metrics", "exporter.web", "exporter.store", "exporter.daemon"), ()),
    "web": (("exporter.daemon", "exporter.poller", "exporter.panel.client"), ()),
    "standin": (("exporter",), ("exporter.standin", "exporter.panel.protocol")),
    ".": (("exporter.daemon",), ()),
}  # fmt: skip


@pytest.mark.parametrize("place", RULES)
def test_imports_keep_their_direction(place: str) -> None:
    forbidden, but = RULES[place]
    found = violations(place, forbidden, but)
    if place == ".":  # the daemon is what everything is put together in: only commands know it
        found = [line for line in found if not line.startswith("exporter/cli/")]
    assert found == []


def test_the_rules_can_fail() -> None:
    assert violations("daemon.py", ("exporter.poller",)) == [
        "exporter/daemon.py: exporter.poller",
        "exporter/daemon.py: exporter.poller.Poller",
    ]


def test_what_decodes_large_lists_loads_nothing_of_http_or_of_the_config() -> None:
    """The worker process is a copy of what it loads: with these it took twice the memory."""
    heavy = ("aiohttp", "pydantic", "yarl", "structlog", "exporter.config")
    script = f"import sys, exporter.panel.queue_decoder; print(*(set({heavy}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == []

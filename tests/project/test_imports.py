"""The direction in which data goes, kept: what may import what."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
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
    "panel/decode": (("aiohttp", "time", "asyncio", "socket"), ()),
    "polling/schedule.py": (("exporter", "asyncio", "time"), ()),
    "fleet/transitions.py": (("asyncio", "time", "structlog"), ()),
    "conditions.py": (("aiohttp", "time", "asyncio"), ()),
    "hold_timer.py": (("aiohttp", "time", "asyncio"), ()),
    "remediation/selection.py": (("time", "asyncio"), ()),
    "remediation/guards.py": (("time", "asyncio", "aiohttp", "exporter.panel"), ()),
    "remediation/plan.py": (("time", "asyncio", "aiohttp", "exporter.panel"), ()),
    "remediation/outcome.py": (("time", "asyncio", "aiohttp", "exporter.panel"), ()),
    "journal/projection.py": (("time", "asyncio", "aiohttp"), ()),
    "alerting/evaluator.py": (("time", "asyncio", "aiohttp", "exporter.journal"), ()),
    "alerting/notification_log.py": (("time", "asyncio", "aiohttp", "exporter.journal"), ()),
    "alerting/rule_instances.py": (("time", "asyncio", "aiohttp", "exporter.journal"), ()),
    "journal": (("aiohttp",), ()),
    "web": (("exporter.panel.client",), ()),
    "standin": (("exporter",), ("exporter.standin", "exporter.panel.protocol",
                                "exporter.config.panel_api")),
}  # fmt: skip


def packages() -> dict[str, dict[str, list[str]]]:
    """For each package or loose module those that it imports, with the files that do."""
    graph: dict[str, dict[str, list[str]]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        place = file.relative_to(PACKAGE).with_suffix("").parts[0]
        needs = graph.setdefault(place, {})
        for name in sorted(imports(file)):
            _, _, inside = name.partition("exporter.")
            other = inside.partition(".")[0]
            if name.startswith("exporter.") and other not in ("", place, "__version__"):
                needs.setdefault(other, []).append(str(file.relative_to(ROOT)))
    return graph


def cycle_in(graph: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """The cycle, a line for each step with a file that makes it; "" where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        path: list[str] = error.args[1][::-1]
        return "\n".join(f"{a} imports {b}: {graph[a][b][0]}" for a, b in pairwise(path))
    return ""


def test_packages_import_each_other_in_one_direction() -> None:
    assert cycle_in(packages()) == ""


def test_a_cycle_is_shown_with_its_path() -> None:
    graph = {"a": {"b": ["a.py"]}, "b": {"c": ["b.py"]}, "c": {"a": ["c.py"]}}
    assert set(cycle_in(graph).splitlines()) == {
        "a imports b: a.py",
        "b imports c: b.py",
        "c imports a: c.py",
    }


@pytest.mark.parametrize("place", RULES)
def test_imports_keep_their_direction(place: str) -> None:
    forbidden, but = RULES[place]
    assert violations(place, forbidden, but) == []


def test_nothing_but_the_daemon_and_commands_knows_the_composition_root() -> None:
    root = violations(".", ("exporter.app", "exporter.daemon"))
    assert {line.partition(":")[0] for line in root} == {
        "exporter/cli/demo.py",
        "exporter/cli/run.py",
        "exporter/daemon.py",
    }


def test_the_rules_can_fail() -> None:
    assert violations("app.py", ("exporter.polling.poller",)) == [
        "exporter/app.py: exporter.polling.poller",
        "exporter/app.py: exporter.polling.poller.Poller",
    ]


def test_what_decodes_large_lists_loads_nothing_of_http_or_of_the_config() -> None:
    """The worker process is a copy of what it loads: with these it took twice the memory."""
    heavy = ("aiohttp", "pydantic", "yarl", "structlog", "exporter.config.models")
    script = f"import sys, exporter.panel.queue_decoder; print(*(set({heavy}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == []

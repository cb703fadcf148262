"""`make bench`: runs every measurement, prints the table, writes BENCHMARKS.md."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from bench import fleet, lists, page, polling, scrape, served, silent
from bench.timing import Result

SECTIONS: dict[str, Callable[[], list[Result]]] = {
    "polling": polling.measure,
    "scrape": scrape.measure,
    "served": served.measure,
    "lists": lists.measure,
    "fleet": fleet.measure,
    "silent": silent.measure,
    "page": page.measure,
}
REPORT = Path(__file__).parents[1] / "BENCHMARKS.md"
LIBRARIES = ("aiohttp", "msgspec", "prometheus-client", "uvloop")


def main(chosen: list[str]) -> int:
    """Exit code 1 when a limit does not hold. With names given, only those sections run."""
    unknown = set(chosen) - set(SECTIONS)
    if unknown:
        sys.exit(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    console = Console()
    results: list[Result] = []
    for name in chosen or SECTIONS:
        console.print(f"measuring {name} …", style="dim")
        section = SECTIONS[name]()
        console.print(_table(section))
        results += section
    if not chosen:
        REPORT.write_text(_report(results))
        console.print(f"written to {REPORT.name}")
    return 0 if all(result.ok for result in results) else 1


def _cells(result: Result) -> tuple[str, str, str, str, str]:
    ratio = "-" if result.ratio is None else f"{result.ratio:.3g}"
    limit = "-" if result.limit is None else f"{result.limit:.3g}"
    return result.what, result.ours, result.baseline, ratio, limit


def _table(results: list[Result]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("WHAT", overflow="fold", ratio=1)
    for name in ("OURS", "BASELINE", "RATIO", "LIMIT"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        table.add_row(*_cells(result), style=None if result.ok else "bold red")
    return table


def _report(results: list[Result]) -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    memory = psutil.virtual_memory().total / 2**30
    machine = f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}"
    made = f"{datetime.now(UTC):%Y-%m-%d}, {machine}, Python {platform.python_version()}"
    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench`. Each ratio compares both sides within one run, medians of at least",
        "five; absolute figures move with the machine. A ratio must not be above its limit.",
        "",
        f"{made}, {libraries}.",
        "",
        "| what | ours | baseline | ratio | limit | holds |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for result in results:
        holds = "" if result.limit is None else "yes" if result.ok else "**no**"
        lines.append(f"| {' | '.join(_cells(result))} | {holds} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

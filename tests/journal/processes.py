"""Other processes that write the journal, and end as they should not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.journal import Journal
from tests.journal.builders import intent, plan

ROOT = Path(__file__).parents[2]


class Writer:
    """A process that adds entries and then prints the id of each, until it is ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def read(self, count: int) -> list[int]:
        """Return the next ids that it prints; it has written these entries."""
        assert self.process.stdout is not None
        return [int(self.process.stdout.readline()) for _ in range(count)]

    def kill(self) -> list[int]:
        """End it at once; the ids that it had printed and nobody had read."""
        self.process.send_signal(signal.SIGKILL)
        rest, _ = self.process.communicate(timeout=20)
        return [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]


@contextmanager
def writer(path: Path, *, messages: int = 20, entries: int = 10**9) -> Iterator[Writer]:
    """A process that writes so many intents of so many messages, and then waits."""
    arguments = [str(path), str(messages), str(entries)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.journal.processes", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            yield Writer(process)
        finally:
            process.kill()


def crashed(path: Path, entries: int) -> None:
    """Let a process add so many entries and be killed with the file open."""
    with writer(path, entries=entries) as other:
        assert len(other.read(entries)) == entries
        assert other.kill() == []


def in_another_process(code: str, path: Path) -> str:
    """What Python code prints that works on the journal at `path`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{_IMPORTS}{code}", str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    return done.stdout.strip()


def as_ordinary_user(code: str, path: Path) -> str:
    """The same without root's rights."""
    return in_another_process(f"{_DROP_RIGHTS}{code}", path)


# What is imported only later may lie in folders that are root's alone.
_IMPORTS = """
import os, resource, sys, tempfile, urllib.parse
from pathlib import Path
from exporter.journal import *
from tests.journal.builders import *
path = Path(sys.argv[1])
"""
_DROP_RIGHTS = """
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""


def _write(path: Path, messages: int, entries: int) -> None:
    journal = Journal.open(path)
    for number in range(entries):
        added = journal.add(intent(f"r{os.getpid()}-{number}"), plan(messages))
        sys.stdout.write(f"{added.id}\n")
        sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    _write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

"""Notices that files changed, by looking at them again and again.

Looking works where notifications do not: on network file systems, and when a Kubernetes
ConfigMap replaces the symlink above the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from exporter.config.loading import matching_files


class Stamp(NamedTuple):
    """What tells one state of a file from another without reading it."""

    modified_ns: int
    changed_ns: int
    """Moves also when permissions change, or when a copy keeps the modification time."""
    size: int
    inode: int
    device: int


Fingerprint = frozenset[tuple[Path, Stamp | None]]
"""The files that one target stands for, and their stamps; None where there is no file."""

Target = Path | str
"""A file, or the text of an absolute glob."""


def changed_targets(
    before: Mapping[Target, Fingerprint], after: Mapping[Target, Fingerprint]
) -> list[Target]:
    """The targets that are in both but look different."""
    return [target for target in after if after[target] != before.get(target, after[target])]


def fingerprint(target: Target) -> Fingerprint:
    """How a target looks now; symlinks are followed."""
    files = (target,) if isinstance(target, Path) else matching_files([target], Path("/"))
    return frozenset((file, _stamp(file)) for file in files)


def _stamp(file: Path) -> Stamp | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return Stamp(stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino, stat.st_dev)


class FileWatch:
    """Looks at files every `interval` seconds."""

    def __init__(self, *, interval: float) -> None:
        self._interval = interval
        self._seen: dict[Target, Fingerprint] = {}

    def follow(self, *, files: Iterable[Path], globs: Iterable[str]) -> None:
        """Look at these from now on, and at nothing else.

        What was followed before is compared with how it looked then: a change that comes while
        somebody re-reads the files is told at the next look.
        """
        targets: list[Target] = [*files, *globs]
        self._seen = {
            target: self._seen[target] if target in self._seen else fingerprint(target)
            for target in targets
        }

    async def run(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` after every look that found a change; ends by cancellation only.

        A file that is being written may be told more than once.
        """
        while True:
            await asyncio.sleep(self._interval)
            try:
                changed = await self.look()
            except OSError:
                continue  # a file server that is away may come back
            if changed:
                on_change()

    async def look(self) -> list[Target]:
        """Look once: the targets that changed since the last look."""
        before = self._seen
        # In a thread, because a dead file server makes stat wait for minutes.
        after = await asyncio.to_thread(lambda: {target: fingerprint(target) for target in before})
        if self._seen is not before:
            return []  # other files are followed now; the next look is about them
        self._seen = after
        return changed_targets(before, after)

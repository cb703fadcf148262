"""Whether files exist, and a watch for their changes, by polling.

Polling works where notifications do not: on network file systems, and when a Kubernetes ConfigMap
replaces the symlink above the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from exporter.config.loading import matching_files

Stamp = tuple[int, ...]
"""The state of a file, without reading it: times, size and identity."""

Fingerprint = frozenset[tuple[Path, Stamp | None]]
"""The files of one target and their stamps; None where there is no file."""

Target = Path | str
"""A file, or the text of an absolute glob."""


def fingerprint(target: Target) -> Fingerprint:
    """Return the state of a target now; symlinks are followed."""
    files = (target,) if isinstance(target, Path) else matching_files([target], Path("/"))
    return frozenset((file, _stamp(file)) for file in files)


def _stamp(file: Path) -> Stamp | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    # ctime moves also when permissions change, or when a copy keeps the modification time.
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino, stat.st_dev


def file_exists(file: Path | None) -> bool | None:
    """Return whether a file exists, or a link that leads nowhere; None when it is unknown."""
    if file is None:
        return False
    try:
        file.lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return True


class FileWatch:
    """Checks files every `interval` seconds."""

    def __init__(self, *, interval: float) -> None:
        self._interval = interval
        self._seen: dict[Target, Fingerprint] = {}

    def set_targets(self, *, files: Iterable[Path], globs: Iterable[str]) -> None:
        """Watch these from now on, and nothing else.

        What was watched before is compared with its last state: a change that comes while the
        files are re-read is noticed by the next check.
        """
        targets: list[Target] = [*files, *globs]
        self._seen = {
            target: self._seen[target] if target in self._seen else fingerprint(target)
            for target in targets
        }

    async def run(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` after every check that found a change; ends by cancellation only.

        A file that is being written may be noticed more than once.
        """
        while True:
            await asyncio.sleep(self._interval)
            try:
                changed = await self.check()
            except OSError:
                continue  # a file server that is away may come back
            if changed:
                on_change()

    async def check(self) -> list[Target]:
        """Return the targets that changed since the last check."""
        before = self._seen
        # In a thread: a dead file server makes stat wait for minutes.
        after = await asyncio.to_thread(lambda: {target: fingerprint(target) for target in before})
        if self._seen is not before:
            return []  # other files are watched now; the next check is about them
        self._seen = after
        return [target for target in after if after[target] != before[target]]

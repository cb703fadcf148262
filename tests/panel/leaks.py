from __future__ import annotations

from pathlib import Path


def open_sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            count += str(link.readlink()).startswith("socket:")
        except OSError:  # the directory's own descriptor is gone by now
            continue
    return count

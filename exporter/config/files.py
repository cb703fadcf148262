"""What can be known about a file."""

from __future__ import annotations

from pathlib import Path


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

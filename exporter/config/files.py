"""Looks at files."""

from __future__ import annotations

from pathlib import Path


def file_exists(file: Path | None) -> bool | None:
    """Whether a file is there, be it a link that leads nowhere; None when that cannot be known."""
    if file is None:
        return False
    try:
        file.lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return True

"""Durations and sizes as a config and a command line write them."""

from __future__ import annotations

import re

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
# The digits are bounded so that no value becomes infinite.
_NUMBER = r"([0-9]{1,12}(?:\.[0-9]{1,6})?)"
_DURATION_PART = re.compile(_NUMBER + "(ms|[smhdw])")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+")

_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE = re.compile(_NUMBER + " ?(B|[KMG]i?B)")

DURATION_PATTERN = f"^{_DURATION.pattern}$"
SIZE_PATTERN = f"^{_SIZE.pattern}$"


def parse_duration(text: str) -> float:
    """Return the seconds of `30s`, `5m`, `1h30m`, `3d`.

    Raises:
        ValueError: for anything else, a number without a unit included.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError("not a duration: write a number with a unit, as 30s, 5m, 1h or 3d")
    return sum(float(n) * _SECONDS[unit] for n, unit in _DURATION_PART.findall(text))


def parse_size(text: str) -> int:
    """Return the bytes of `64MiB`, `10MB`, `512B`.

    Raises:
        ValueError: for anything else, a number without a unit included.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("not a size: write a number with a unit, as 512KiB, 64MiB or 1GiB")
    return int(float(match[1]) * _BYTES[match[2]])


def format_duration(seconds: float) -> str:
    """Return seconds as a config writes them: `30s`, `0.5s`."""
    return f"{seconds:.6f}".rstrip("0").removesuffix(".") + "s"


def format_size(size: int) -> str:
    """Return bytes as a config writes them, in the largest unit without a fraction."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"

"""Numbers as people read them."""

from __future__ import annotations

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def duration(seconds: float) -> str:
    """`3d 4h`, `5m 12s`, `0s`: the two largest units."""
    return " ".join(f"{count}{unit}" for count, unit in largest_units(seconds))


def largest_units(seconds: float) -> list[tuple[int, str]]:
    """Whole seconds in their two largest units, d, h, m and s, as (count, unit)."""
    rest = max(0, round(seconds))
    parts: list[tuple[int, str]] = []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append((count, unit))
        elif parts:
            break
        if len(parts) == 2:
            break
    return parts or [(0, "s")]


def size(count: float) -> str:
    """Bytes as `512 B`, `2.9 KiB`, `1.4 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"


def integer(count: int) -> str:
    """`1,240`."""
    return f"{count:,}"

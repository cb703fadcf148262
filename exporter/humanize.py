"""Numbers as people read them, and the sentences about fields that are only guessed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from exporter.snapshot import in_order

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def duration(seconds: float) -> str:
    """Return `3d 4h`, `5m 12s`, `0s`: the two largest units."""
    return " ".join(f"{count}{unit}" for count, unit in largest_units(seconds))


def largest_units(seconds: float) -> list[tuple[int, str]]:
    """Return whole seconds in their two largest units, d, h, m and s, as (count, unit)."""
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
    """Return bytes as `512 B`, `2.9 KiB`, `1.4 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"


def integer(count: int) -> str:
    """Return `1,240`."""
    return f"{count:,}"


def quoted(fields: Collection[str]) -> str:
    """Return "`id`, `age` and `frozen`"."""
    names = [f"`{name}`" for name in in_order(fields)]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def guess_words(host: str, fields: Collection[str]) -> str:
    """Return which fields of a host are only guessed, and how to confirm them."""
    are = "is" if len(in_order(fields)) == 1 else "are"
    them = "it" if are == "is" else "them"
    return (
        f"On {host} {quoted(fields)} {are} only guessed from what the list looks like, and nothing "
        f"acts on a guess: see `diagnose {host}`, which says how to name {them} under `fields`."
    )


def untold_words(host: str, untold: Mapping[str, int]) -> str:
    """Return that messages may be meant for which the panel does not report what is asked."""
    counts = " and ".join(
        f"{quoted([name])} of {integer(untold[name])}" for name in in_order(untold)
    )
    return (
        f"Whether more are meant is not known: the list does not tell {counts} messages; "
        f"`diagnose {host}` tells more."
    )

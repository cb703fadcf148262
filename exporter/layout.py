"""What is said of fields that are only guessed. Pure: the same words for rules and commands."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from exporter.snapshot import in_order
from exporter.text import integer


def quoted(fields: Collection[str]) -> str:
    """`id`, `age` and `frozen`."""
    names = [f"`{name}`" for name in in_order(fields)]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def guess_words(host: str, fields: Collection[str]) -> str:
    """Which fields of which host are only guessed, and how a person confirms them."""
    are = "is" if len(in_order(fields)) == 1 else "are"
    them = "it" if are == "is" else "them"
    return (
        f"On {host} {quoted(fields)} {are} only guessed from what the list looks like, and nothing "
        f"acts on a guess: see `diagnose {host}`, which says how to name {them} under `fields`."
    )


def untold_words(host: str, untold: Mapping[str, int]) -> str:
    """That messages may be meant of which the panel does not tell what is asked for."""
    counts = " and ".join(
        f"{quoted([name])} of {integer(untold[name])}" for name in in_order(untold)
    )
    return (
        f"Whether more are meant is not known: the list does not tell {counts} messages; "
        f"`diagnose {host}` tells more."
    )

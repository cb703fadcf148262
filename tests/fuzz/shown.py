"""What a panel shows of a known queue, and what may be expected of who reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.fuzz.truth import Letter


@dataclass(frozen=True, slots=True)
class Shown:
    """The payload of list_msg for a queue."""

    payload: Any
    letters: Sequence[Letter]
    """The truth."""
    exact: frozenset[str] = frozenset()
    """Of age and size, what is shown to the second or byte rather than as Exim rounds it."""
    cut: frozenset[str] = frozenset()
    """Ids of messages part of which is not shown, without any trace of it: these are not held
    against the truth."""
    contradicted: frozenset[str] = frozenset()
    """Ids of messages that several rows tell other things of: none of them is to be believed."""
    separable: bool = False
    """Whether the messages can be separated, so that one that is not understood counts once."""
    damaged: bool = False
    """Whether a wrong guess, marked as such, can be pardoned."""
    without_id: bool = False
    """Whether what remains of an id may look like another."""
    ahead: float = 0.0
    """Seconds by which the moment of the poll is after truth.NOW."""
    fields: Mapping[str, str | int] | None = field(default=None)
    """The host's `fields`."""


Shape = Callable[[Sequence[Letter], Random], Shown]

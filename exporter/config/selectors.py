"""Which hosts a rule is for, and which messages of a queue a rule or a command is about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from exporter.config.base import Count, Duration, Model, Size
from exporter.config.errors import Mistake


class HostSelector(Model):
    """Which hosts a rule is for: a name must match one of the patterns, a label must be equal."""

    names: tuple[str, ...] = ()
    """Patterns of host names, as mx*; none: every name."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Labels that the host must have with these values."""

    def mistakes(self) -> Iterator[Mistake]:
        """Yield what is wrong: an empty list, as a template may write, must not mean all hosts."""
        for key in ("names", "labels"):
            if key in self.model_fields_set and not getattr(self, key):
                yield ("hosts", key), "must not be empty: leave it out where all are meant"

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Return whether a host of this name and these labels is meant."""
        return any(fnmatchcase(name, pattern) for pattern in self.names or ("*",)) and all(
            labels.get(key) == value for key, value in self.labels.items()
        )


_EVERYTHING = re.compile(r"[*?@.]+")
"""A pattern that no address, or hardly one, fails to match."""

_CRITERIA = ("frozen", "bounce", "older_than", "younger_than", "sender", "recipient", "larger_than")


def _glob(value: str) -> str:
    # Addresses are compared without angle brackets: a pattern with them would match nothing.
    if not value.strip() or "<" in value or ">" in value:
        raise ValueError('must be a pattern, as "*@example.com"; for bounces write bounce: true')
    return value


Glob = Annotated[str, AfterValidator(_glob)]


class Selector(Model):
    """Which messages are meant: those for which every criterion is known and holds."""

    frozen: bool | None = None
    """Frozen (Exim) or on hold (Postfix), or not."""
    bounce: bool | None = None
    """From the sender `<>`, as bounces are, or not."""
    older_than: Duration | None = None
    """In the queue for longer than this."""
    younger_than: Duration | None = None
    """In the queue for less than this."""
    sender: Glob | None = None
    """Pattern of the sender's address, without regard to case; a bounce matches none."""
    recipient: Glob | None = None
    """Pattern that the address of every waiting recipient must match."""
    larger_than: Size | None = None
    """Of more bytes than this."""
    limit: Count | None = Field(None, ge=1)
    """At most so many messages, the oldest first; none of those whose age is only guessed."""
    everything: bool = False
    """Said in so many words: every message that was understood."""

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        given = [name for name in _CRITERIA if getattr(self, name) is not None]
        narrow = [
            name
            for name in given
            if name not in {"sender", "recipient"} or not _EVERYTHING.fullmatch(getattr(self, name))
        ]
        if self.everything and given:
            raise ValueError(f"everything: true contradicts {', '.join(given)}: leave one out")
        if not self.everything and not narrow:
            raise ValueError(
                "selects every message; say which, or write everything: true if that is meant"
            )
        if (
            self.older_than is not None
            and self.younger_than is not None
            and self.younger_than <= self.older_than
        ):
            raise ValueError("selects nothing: younger_than must be more than older_than")
        return self


EVERYTHING = Selector(everything=True)

ALL_FROZEN_MAIL = Selector(frozen=True)
"""What deleting frozen mail as a whole deletes. A selector that merely comes to the same now does
not mean it: what freezes next may be a real sender's."""

"""Which hosts of the fleet a rule is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from pydantic import Field

from exporter.config.base import Model


class HostSelector(Model):
    """Which hosts a rule is for: a name must match one of the patterns, a label must be equal."""

    names: tuple[str, ...] = ()
    """Patterns of host names, as mx*; none: every name."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Labels that the host must have with these values."""


def concerns(selector: HostSelector, name: str, labels: Mapping[str, str]) -> bool:
    """Whether a host of this name and these labels is meant."""
    named: Sequence[str] = selector.names or ("*",)
    return any(fnmatchcase(name, pattern) for pattern in named) and all(
        labels.get(key) == value for key, value in selector.labels.items()
    )

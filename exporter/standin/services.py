"""The mail services behind a stand-in panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class MailServices(Protocol):
    """What a panel does with clamav and spamassassin; `service` is one of these names."""

    async def installed(self, service: str) -> bool:
        """Return whether the panel has the service."""

    async def running(self, service: str) -> bool:
        """Return whether the service runs."""

    async def switch(self, service: str, *, on: bool) -> bool:
        """Start or stop the service; return whether it runs then."""


class MemoryServices:
    """clamav and spamassassin as flags; both run at first unless in `stopped` or `absent`."""

    def __init__(self, *, stopped: Sequence[str] = (), absent: Sequence[str] = ()) -> None:
        self._stopped = {*stopped, *absent}
        self._absent = frozenset(absent)

    async def installed(self, service: str) -> bool:
        """Return whether the service is not one of `absent`."""
        return service not in self._absent

    async def running(self, service: str) -> bool:
        """Return whether the service was not stopped."""
        return service not in self._stopped

    async def switch(self, service: str, *, on: bool) -> bool:
        """Set the flag and return it."""
        if on:
            self._stopped.discard(service)
        else:
            self._stopped.add(service)
        return on

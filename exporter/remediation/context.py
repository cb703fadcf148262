"""What actions on one host are done with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from exporter.alertmanager.client import AlertmanagerClient
from exporter.journal.host_lock import HostLocks
from exporter.journal.thread import JournalThread
from exporter.panel.client import PanelClient
from exporter.panel.errors import PanelError
from exporter.panel.queue_decoder import QueueDecoder
from exporter.remediation.listing import Listing, ListQuery, ask_listing
from exporter.snapshot import HostSnapshot, PanelId


class UnsettledError(Exception):
    """What became of an earlier action is not known, since the panel could not be asked."""

    def __init__(self, error: PanelError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class HostContext:
    """What actions on one host are done with."""

    journal: JournalThread
    locks: HostLocks
    client: PanelClient
    decoder: QueueDecoder
    poll: Callable[[], Awaitable[HostSnapshot]]
    """Poll the host now; the snapshot is no older than the call.

    Raises:
        HostGoneError: it left the config.
    """
    parallel: int
    """Requests in flight to the panel."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    """Seconds that have passed, whatever the machine's clock is set to."""
    alertmanagers: Callable[[], Sequence[AlertmanagerClient]] = tuple
    """Asked about silences: those of the config in force."""
    ends: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once nothing more may be sent: the daemon ends, or a person has pressed Ctrl-C."""

    @property
    def host(self) -> str:
        """Name of the host."""
        return self.client.host.name

    @property
    def panel(self) -> PanelId:
        """Identity of the panel, whatever the host is called."""
        return self.client.host.panel

    async def list(self, query: ListQuery) -> Listing:
        """List the queue now.

        Raises:
            PanelError: it could not be had.
        """
        listing = await ask_listing(self.client, self.decoder, query)
        return replace(listing, heard=self.monotonic())

    async def pause(self, seconds: float) -> None:
        """Wait so many seconds, or until `ends` is set."""
        if self.ends.is_set():
            return
        waits = [asyncio.ensure_future(each) for each in (self.sleep(seconds), self.ends.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

"""One request to a panel from its first try to its end, and the hooks that aiohttp offers for it.

The clock that ends a request runs only while the panel is waited for: what the exporter itself
waits for meanwhile, room for the reply or leave to send, is not the panel's to answer for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
from aiohttp.connector import Connection

from exporter.http.errors import EarlyReplyRequest
from exporter.panel.budget import Held
from exporter.panel.error_messages import Attempt, cut_short, exchange_fault
from exporter.panel.errors import NotSentError, PanelError, no_files
from exporter.panel.slots import Place

T = TypeVar("T")

Before = Callable[[], Awaitable[bool]]
"""Asked right before a request goes out, whether it still may."""

CONNECT_TIMEOUT = 10.0
"""Seconds for name look-up, TCP and TLS together; the panel's own time comes on top."""


def connect_seconds(seconds: float) -> float:
    """Return how much of a request's time connecting may take.

    A tenth is left, so that a connection that does not come about is known from a panel that
    does not answer.
    """
    return min(CONNECT_TIMEOUT, 0.9 * seconds)


@dataclass(slots=True)
class InFlight:
    """One request from its first try to its end."""

    form: bytes
    attempt: Attempt
    place: Place
    held: Held
    before: Before | None = None
    clock: asyncio.Timeout | None = None
    """Ends the request; stands still while the exporter itself is waited for."""
    cut: bool = False
    """Whether the request had to give way to another."""
    lacked_files: bool = False
    again: bool = False
    """Whether this is not the first try."""

    @property
    def limit(self) -> aiohttp.ClientTimeout:
        """What aiohttp bounds by itself, connecting; all the rest is the clock's."""
        seconds = self.attempt.connect_seconds
        due = self.clock.when() if self.again and self.clock is not None else None
        if due is not None:
            seconds = min(seconds, connect_seconds(due - asyncio.get_running_loop().time()))
        # aiohttp takes 0 for "no limit".
        return aiohttp.ClientTimeout(total=None, connect=max(seconds, 0.001))

    def give_way(self) -> None:
        """End at once: others wait for the place."""
        if self.clock is not None and not self.clock.expired():
            self.cut = True
            self.clock.reschedule(asyncio.get_running_loop().time())

    def timeout_fault(self, error: TimeoutError) -> PanelError:
        """Return what it means that the time is up."""
        if self.cut:
            waited = asyncio.get_running_loop().time() - self.place.since
            return cut_short(self.attempt, waited)
        return no_files() if self.lacked_files else exchange_fault(self.attempt, error)

    def make_room(self, count: int) -> Awaitable[None] | None:
        """Take `count` bytes more of the reply in; what is returned is to be awaited first."""
        return None if self.held.fits(count) else self._off_the_clock(self.held.grow(count))

    async def check_wanted(self) -> None:
        """Ask whether the request still may go out.

        Raises:
            NotSentError: it may not.
        """
        if self.before is not None and not await self._off_the_clock(self.before()):
            raise NotSentError

    async def _off_the_clock(self, wait: Awaitable[T]) -> T:
        """Wait while the clock stands still and the place cannot be taken away."""
        clock, loop = self.clock, asyncio.get_running_loop()
        due = None if clock is None else clock.when()
        if clock is None or due is None or clock.expired():
            return await wait
        left = due - loop.time()
        give_way, self.place.give_way = self.place.give_way, None
        clock.reschedule(None)
        try:
            return await wait
        finally:
            clock.reschedule(loop.time() + left)
            self.place.give_way = give_way


current_flight: ContextVar[InFlight] = ContextVar("current_flight")
"""The request that the running task sends."""


class CheckedRequest(EarlyReplyRequest):
    """A request that asks at the last moment, once it has a connection, whether it may go out."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Ask, then send."""
        await current_flight.get().check_wanted()
        return await super().send(conn)


class AbortingResponse(aiohttp.ClientResponse):
    """A response whose connection is gone at once when no headers come.

    aiohttp would close it in the orderly way, for which a TLS connection waits up to 30 s for
    a peer that has just shown that it does not answer.
    """

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Wait for the headers."""
        try:
            return await super().start(connection)
        except BaseException:
            abort(connection)
            raise


def abort(connection: Connection | None) -> None:
    """Drop a connection without draining it."""
    if connection is not None and connection.transport is not None:
        connection.transport.abort()

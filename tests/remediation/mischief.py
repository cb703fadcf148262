"""Panels that misbehave: each is set as a stand-in panel's `interfere`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from exporter.config.panel_api import Language
from exporter.panel.protocol import Operation
from exporter.standin.panel import Answer, Interfere, RecordedRequest
from exporter.standin.replies import Reply, ReplyStyle, count_reply, done, encode_reply
from tests.servers.exim import EximQueue

Which = Callable[[RecordedRequest], bool]
"""Picks requests."""

ENGLISH: Language = "en"
CHANGES = frozenset({Operation.CONTROL, Operation.DELETE_FROZEN, Operation.DELETE_ALL})

LOGIN_PAGE = (
    "<!DOCTYPE html>\n<html><head><title>BrainyCP</title></head><body>"
    '<form method="post"><input name="login"><input name="pass" type="password"></form>'
    "</body></html>\n"
)


def said(reply: Reply) -> web.Response:
    """A reply as a panel puts it."""
    return web.Response(body=encode_reply(ReplyStyle(), reply), content_type="text/html")


def is_change(request: RecordedRequest) -> bool:
    return request.operation in CHANGES


def of(*operations: Operation) -> Which:
    """Picks the requests for these operations."""
    return lambda request: request.operation in operations


CONTROL = of(Operation.CONTROL)
"""Picks the requests for one message."""


def later(which: Which, *, skip: int) -> Which:
    """Picks the same but for the first `skip`."""
    left = skip

    def pick(request: RecordedRequest) -> bool:
        nonlocal left
        left -= which(request)
        return left < 0 and which(request)

    return pick


def once(which: Which, *, skip: int = 0) -> Which:
    """Picks one of the same, after `skip` others."""
    left = skip + 1

    def pick(request: RecordedRequest) -> bool:
        nonlocal left
        left -= which(request)
        return left == 0 and which(request)

    return pick


class Hold:
    """Holds one request, the one after `skip` others of its kind, until it is let go.

    `done` says whether the panel has already carried it out by then; else it does so afterwards,
    unless whoever asked has gone away.
    """

    def __init__(self, which: Which, *, skip: int = 0, done: bool = False) -> None:
        self.reached = asyncio.Event()
        self.let_go = asyncio.Event()
        self._which = once(which, skip=skip)
        self._done = done

    async def __call__(self, request: RecordedRequest, answer: Answer) -> web.Response:
        if not self._which(request):
            return await answer()
        response = await answer() if self._done else None
        self.reached.set()
        await self.let_go.wait()
        return response or await answer()

    async def wait(self) -> None:
        """Until the request has come."""
        async with asyncio.timeout(60):
            await self.reached.wait()


async def does_nothing(request: RecordedRequest, answer: Answer) -> web.Response:
    """Says "done" to every change, and makes none."""
    if not is_change(request):
        return await answer()
    assert request.operation is not None
    words = f"Message {request.fields.get('id', '')} has been removed\n"
    return said(done(request.operation, words, ENGLISH))


def deletes_also(queue: EximQueue, *others: str) -> Interfere:
    """Deletes these messages too when it is asked to change anything."""

    async def interfere(request: RecordedRequest, answer: Answer) -> web.Response:
        if is_change(request):
            for message_id in others:
                await queue.delete(message_id)
        return await answer()

    return interfere


def shows_login_page(which: Which, *, status: int = 200) -> Interfere:
    """Answers with its login page instead, and does nothing."""

    async def interfere(request: RecordedRequest, answer: Answer) -> web.Response:
        if not which(request):
            return await answer()
        return web.Response(text=LOGIN_PAGE, content_type="text/html", status=status)

    return interfere


def counts(told: int) -> Interfere:
    """Answers count_msg with this number, whatever the queue holds."""

    async def interfere(request: RecordedRequest, answer: Answer) -> web.Response:
        if request.operation is not Operation.COUNT:
            return await answer()
        return said(count_reply("detail_int", told, ENGLISH))

    return interfere


def meanwhile(which: Which, spec: Callable[[], Awaitable[object]], *, skip: int = 0) -> Interfere:
    """Lets something else happen once, before the panel answers the request after `skip` others."""
    picked = once(which, skip=skip)

    async def interfere(request: RecordedRequest, answer: Answer) -> web.Response:
        if picked(request):
            await spec()
        return await answer()

    return interfere


def refuses(operation: Operation, reply: Reply) -> Interfere:
    """Answers one operation with a code of its own, and does nothing."""

    async def interfere(request: RecordedRequest, answer: Answer) -> web.Response:
        return said(reply) if request.operation is operation else await answer()

    return interfere

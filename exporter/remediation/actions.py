"""The panel's operations that change something, each reply read, nothing repeated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from exporter.panel.client import PanelClient
from exporter.panel.decode import decode_service_reply
from exporter.panel.decode.action_reply import ActionReply, Said, decode_action_reply
from exporter.panel.errors import NotSentError, PanelError
from exporter.panel.in_flight import Before
from exporter.panel.protocol import (
    SERVICE_OPERATIONS,
    MessageCommand,
    Operation,
    ServiceCommand,
)
from exporter.panel.redaction import holds_secret, redact
from exporter.snapshot import (
    Message,
    Reason,
    ServiceState,
)

What = Literal["removed", "gone", "locked", "refused", "done", "failed", "unknown", "not_asked"]
"""What a request came to, as far as its reply tells: a Said, or `failed` (the panel refused),
`unknown` (no answer, or none that is understood), `not_asked` (stopped before its turn)."""

_UNREAD = frozenset({Reason.NOT_JSON, Reason.UNEXPECTED, Reason.TOO_LARGE, Reason.PANEL_ERROR})
"""Of replies that came, but do not tell whether the command was carried out."""

_FOR_ALL = frozenset({Reason.FORBIDDEN, Reason.UNSUPPORTED, Reason.BAD_REQUEST, Reason.HTTP_STATUS})
"""Of refusals that every message would meet: a missing right, no mail server to act on, a web
server that does not lead to the API or is asked too often."""

MAX_LOST_IN_A_ROW = 3
"""Requests without an answer, one after the other, after which no more ids are sent."""


@dataclass(frozen=True, slots=True)
class RequestResult:
    """What one request came to."""

    what: What
    text: str = ""
    """The console's words, or the error's."""
    message_id: str = ""
    """"" for an operation on the whole queue or on a service."""
    reason: Reason | None = None
    """Why it failed or is unknown."""
    host_failed: bool = False
    """Whether further requests would fail alike."""


OnResult = Callable[[RequestResult], Awaitable[bool]]
"""Called for each result as it comes; no further request is sent when it says no, or raises."""


async def delete_frozen(client: PanelClient, *, before: Before | None = None) -> RequestResult:
    """delete_frozen_msg; `not_asked` when `before` says no at the last moment."""
    return await _whole(client, Operation.DELETE_FROZEN, before=before)


async def delete_all(
    client: PanelClient, *, force: bool, before: Before | None = None
) -> RequestResult:
    """delete_all_msg; with `force` also `dellete_forse`. `before` as of `delete_frozen`."""
    return await _whole(client, Operation.DELETE_ALL, force=force, before=before)


async def switch_service(
    client: PanelClient, service: str, *, on: bool, before: Before | None = None
) -> RequestResult:
    """Switch a service on or off; `done` when the reply names the wanted state.

    `before` as of `delete_frozen`.
    """
    operation = SERVICE_OPERATIONS[service]
    command = ServiceCommand.ON if on else ServiceCommand.OFF

    async def read(body: bytes) -> ServiceState:
        return decode_service_reply(body, operation)

    try:
        state = await client.call(operation, read, command=command, before=before)
    except NotSentError:
        return RequestResult("not_asked")
    except PanelError as error:
        return _from_error(error)
    if not state.installed:
        return RequestResult("refused", f"{service} {state.words}.")
    if state.running is on:
        return RequestResult("done", f"{service} {state.words}.")
    return RequestResult(
        "refused", f"{service} {'does not run' if on else 'still runs'} after all."
    )


async def service_state(client: PanelClient, service: str) -> ServiceState:
    """What a service does now.

    Raises:
        PanelError: the panel could not be asked, or its reply was not understood.
    """
    operation = SERVICE_OPERATIONS[service]

    async def read(body: bytes) -> ServiceState:
        return decode_service_reply(body, operation)

    return await client.call(operation, read, command=ServiceCommand.STATUS)


def with_the_rest(
    results: Sequence[RequestResult], messages: Sequence[Message]
) -> list[RequestResult]:
    """The results, and `not_asked` for each message that has none."""
    known = {result.message_id for result in results}
    rest = (RequestResult("not_asked", message_id=m.id) for m in messages if m.id not in known)
    return [*results, *rest]


async def _always() -> bool:
    return True


class Sender:
    """Sends controll_msg for one message after the other, `parallel` at a time, in their order.

    Stops for good when the panel as a whole fails, when MAX_LOST_IN_A_ROW requests in a row get
    no answer, or when `on_result` or `before` says so.
    """

    def __init__(
        self,
        client: PanelClient,
        command: MessageCommand,
        *,
        parallel: int,
        on_result: OnResult,
        before: Callable[[], Awaitable[bool]] = _always,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """What it sends with.

        Args:
            client: the panel.
            command: what is to be done to each message.
            parallel: requests under way at once.
            on_result: called for each result as it comes; no further message is sent when it
                says no, or raises.
            before: asked before each message, and once more right before its request goes out,
                since that may have to wait for its slot; likewise.
            monotonic: seconds that have passed.
        """
        self._client = client
        self._command = command
        self._parallel = parallel
        self._on_result = on_result
        self._before = before
        self._monotonic = monotonic
        self._lost = 0
        self.stopped = False
        """Whether no further message is sent."""
        self.seconds = 0.0
        """That the last result took."""

    async def send(
        self, messages: Sequence[Message], *, until: float | None = None
    ) -> list[RequestResult]:
        """Send for these; the results in the order in which they came.

        After the first no message is sent whose result would, by the panel's speed, come later
        than at the monotonic time `until`.

        What `on_result` or `before` raises is raised once the requests under way have ended.
        """
        batch = _Batch(iter(messages), until)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(self._parallel, len(messages))):
                tasks.create_task(self._work(batch))
        if batch.failures:
            raise batch.failures[0]
        return batch.results

    async def _work(self, batch: _Batch) -> None:
        while not self.stopped:
            message = None if self._is_late(batch.until) and batch.begun else batch.next
            if message is None:
                return
            until = batch.until if batch.begun else None
            batch.begun = True
            try:
                result = await self._ask_for(message.id, until)
                if result is None:
                    return
                batch.results.append(result)
                self._lost = self._lost + 1 if result.what == "unknown" else 0
                if result.host_failed or self._lost >= MAX_LOST_IN_A_ROW:
                    self.stopped = True
                if not await self._on_result(result):
                    self.stopped = True
            except Exception as error:  # noqa: BLE001 - raised by `send`
                batch.failures.append(error)
                self.stopped = True

    def _is_late(self, until: float | None) -> bool:
        return until is not None and self._monotonic() + self.seconds > until

    async def _ask_for(self, message_id: str, until: float | None) -> RequestResult | None:
        """Send for a message; None when it was not sent."""

        async def may_go_out() -> bool:
            # While it waited for its slot what was known of the message may have become old.
            return await self._may_send() and not self._is_late(until)

        if not await self._may_send():
            return None
        began = self._monotonic()
        result = await _one(self._client, self._command, message_id, may_go_out)
        if result.what == "not_asked":
            return None
        self.seconds = self._monotonic() - began
        return result

    async def _may_send(self) -> bool:
        if not await self._before():
            self.stopped = True
        return not self.stopped


@dataclass(slots=True)
class _Batch:
    """What one call of `Sender.send` is at."""

    waiting: Iterator[Message]
    until: float | None
    begun: bool = False
    results: list[RequestResult] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    @property
    def next(self) -> Message | None:
        """The next message; None after the last."""
        return next(self.waiting, None)


async def _one(
    client: PanelClient, command: MessageCommand, message_id: str, before: Before
) -> RequestResult:
    read = _reader(client, Operation.CONTROL)
    try:
        reply = await client.call(
            Operation.CONTROL,
            read,
            command=command,
            message_id=message_id,
            before=before,
        )
    except NotSentError:
        return RequestResult("not_asked", message_id=message_id)
    except PanelError as error:
        return _from_error(error, message_id)
    return RequestResult(reply.said.value, reply.text, message_id)


async def _whole(
    client: PanelClient,
    operation: Operation,
    *,
    force: bool = False,
    before: Before | None = None,
) -> RequestResult:
    read = _reader(client, operation)
    try:
        reply = await client.call(operation, read, force=force, before=before)
    except NotSentError:
        return RequestResult("not_asked")
    except PanelError as error:
        return _from_error(error)
    # Of many messages some may be locked or gone; what became of them is seen by listing.
    said = Said.REFUSED if reply.said is Said.REFUSED else Said.DONE
    return RequestResult(said.value, reply.text)


def _reader(client: PanelClient, operation: Operation) -> Callable[[bytes], Awaitable[ActionReply]]:
    """Reads what a panel says of an action; its words are kept, so they hold no secret."""

    async def read(body: bytes) -> ActionReply:
        reply, secrets = decode_action_reply(body, operation), client.host.secret_values
        clean = redact(body, secrets)
        try:
            text = reply.text if clean == body else decode_action_reply(clean, operation).text
        except PanelError:  # a short secret was a part of the reply's form
            text = ""
        return reply._replace(text="" if holds_secret(text, secrets) else text)

    return read


def _from_error(error: PanelError, message_id: str = "") -> RequestResult:
    unread = error.reason in _UNREAD and not error.own
    what: What = "unknown" if error.lost or unread else "failed"
    failed = what == "failed" and (error.concerns_all(answered=False) or error.reason in _FOR_ALL)
    return RequestResult(what, str(error), message_id, error.reason, failed)

"""The panel's operations that change something, each reply read, nothing repeated."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from exporter.panel.client import PanelClient
from exporter.panel.decode import decode_service_reply
from exporter.panel.decode.action_reply import ActionReply, Said, decode_action_reply
from exporter.panel.errors import NotSentError, PanelError
from exporter.panel.in_flight import Before
from exporter.panel.protocol import SERVICE_OPERATIONS, MessageCommand, Operation, ServiceCommand
from exporter.panel.redaction import holds_secret, redact
from exporter.snapshot import Message, Reason, ServiceState

What = Literal["removed", "gone", "locked", "refused", "done", "failed", "unknown", "not_asked"]
"""What a request came to, as far as its reply says: a Said, or `failed` (the panel refused),
`unknown` (no answer, or none that is understood), `not_asked` (stopped before its turn)."""

_UNREAD = frozenset({Reason.NOT_JSON, Reason.UNEXPECTED, Reason.TOO_LARGE, Reason.PANEL_ERROR})
"""Of replies that came, but do not say whether the command was carried out."""

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


async def request_action(
    client: PanelClient,
    operation: Operation,
    before: Before,
    *,
    message_id: str = "",
    command: MessageCommand | None = None,
    force: bool = False,
) -> RequestResult:
    """Ask for an operation on one message, or on the whole queue, and return what it came to.

    `not_asked` when `before` says no at the last moment. `force`: also `dellete_forse`.
    """
    secrets = client.host.secret_values

    async def read(body: bytes) -> ActionReply:
        # The console's words are kept, so they must hold no secret.
        reply, clean = decode_action_reply(body, operation), redact(body, secrets)
        try:
            text = reply.text if clean == body else decode_action_reply(clean, operation).text
        except PanelError:  # a short secret was a part of the reply's form
            text = ""
        return reply._replace(text="" if holds_secret(text, secrets) else text)

    try:
        reply = await client.call(
            operation,
            read,
            message_id=message_id or None,
            command=command,
            force=force,
            before=before,
        )
    except NotSentError:
        return RequestResult("not_asked", message_id=message_id)
    except PanelError as error:
        return _from_error(error, message_id)
    # Of many messages some may be locked or gone; what became of them is seen by listing.
    unsure = not message_id and reply.said is not Said.REFUSED
    return RequestResult((Said.DONE if unsure else reply.said).value, reply.text, message_id)


async def switch_service(
    client: PanelClient, service: str, before: Before, *, on: bool
) -> RequestResult:
    """Switch a service on or off; `done` when the reply names the wanted state.

    `before` as of `request_action`.
    """
    command = ServiceCommand.ON if on else ServiceCommand.OFF
    try:
        state = await service_state(client, service, command, before)
    except NotSentError:
        return RequestResult("not_asked")
    except PanelError as error:
        return _from_error(error)
    if not state.installed:
        return RequestResult("refused", f"{service} {state.words}.")
    if state.running is on:
        return RequestResult("done", f"{service} {state.words}.")
    found = "does not run" if on else "still runs"
    return RequestResult("refused", f"{service} {found} after all.")


async def service_state(
    client: PanelClient,
    service: str,
    command: ServiceCommand = ServiceCommand.STATUS,
    before: Before | None = None,
) -> ServiceState:
    """Return what a service does now, or after a command.

    Raises:
        NotSentError: `before` said no.
        PanelError: the panel could not be asked, or its reply was not understood.
    """
    operation = SERVICE_OPERATIONS[service]

    async def read(body: bytes) -> ServiceState:
        return decode_service_reply(body, operation)

    return await client.call(operation, read, command=command, before=before)


def with_the_rest(
    results: Sequence[RequestResult], messages: Sequence[Message]
) -> list[RequestResult]:
    """Return the results, and `not_asked` for each message that has none."""
    known = {result.message_id for result in results}
    rest = (RequestResult("not_asked", message_id=m.id) for m in messages if m.id not in known)
    return [*results, *rest]


@dataclass(eq=False)
class Sender:
    """Sends controll_msg for one message after the other, `parallel` at a time, in their order.

    Stops for good when the panel as a whole fails, when MAX_LOST_IN_A_ROW requests in a row get
    no answer, or when `on_result` or `before` says so.
    """

    client: PanelClient
    command: MessageCommand
    parallel: int
    """Requests under way at once."""
    on_result: OnResult
    before: Before
    """Asked before each message, and once more right before its request goes out, since that may
    have to wait for its slot."""
    monotonic: Callable[[], float]
    """Seconds that have passed."""
    stopped: bool = False
    """Whether no further message is sent."""
    seconds: float = 0.0
    """That the last result took."""
    _lost: int = 0

    async def send(self, messages: Sequence[Message], *, until: float) -> list[RequestResult]:
        """Send for these; return the results in the order in which they came.

        After the first no message is sent whose result would, by the panel's speed, come later
        than at the monotonic time `until`.

        What `on_result` or `before` raises is raised once the requests under way have ended.
        """
        batch = _Batch(iter(messages), until)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(self.parallel, len(messages))):
                tasks.create_task(self._work(batch))
        if batch.failures:
            raise batch.failures[0]
        return batch.results

    async def _work(self, batch: _Batch) -> None:
        while not self.stopped:
            until = batch.until if batch.begun else math.inf
            message = None if self._is_late(until) else next(batch.waiting, None)
            if message is None:
                return
            batch.begun = True
            try:
                result = await self._ask_for(message.id, until)
                if result is None:
                    return
                batch.results.append(result)
                self._lost = self._lost + 1 if result.what == "unknown" else 0
                if result.host_failed or self._lost >= MAX_LOST_IN_A_ROW:
                    self.stopped = True
                if not await self.on_result(result):
                    self.stopped = True
            except Exception as error:  # noqa: BLE001 - raised by `send`
                batch.failures.append(error)
                self.stopped = True

    def _is_late(self, until: float) -> bool:
        return self.monotonic() + self.seconds > until

    async def _ask_for(self, message_id: str, until: float) -> RequestResult | None:
        """Send for a message; None when it was not sent."""

        async def may_go_out() -> bool:
            # While it waited for its slot what was known of the message may have become old.
            return await self._may_send() and not self._is_late(until)

        if not await self._may_send():
            return None
        began = self.monotonic()
        result = await request_action(
            self.client, Operation.CONTROL, may_go_out, message_id=message_id, command=self.command
        )
        if result.what == "not_asked":
            return None
        self.seconds = self.monotonic() - began
        return result

    async def _may_send(self) -> bool:
        if not await self.before():
            self.stopped = True
        return not self.stopped


@dataclass(slots=True)
class _Batch:
    """What one call of `Sender.send` is at."""

    waiting: Iterator[Message]
    until: float
    begun: bool = False
    results: list[RequestResult] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)


def _from_error(error: PanelError, message_id: str = "") -> RequestResult:
    unread = error.reason in _UNREAD and not error.own
    what: What = "unknown" if error.lost or unread else "failed"
    failed = what == "failed" and (error.concerns_all(answered=False) or error.reason in _FOR_ALL)
    return RequestResult(what, str(error), message_id, error.reason, failed)

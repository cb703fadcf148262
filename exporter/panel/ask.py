"""One request and what its reply says, counted as what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from exporter.panel.client import Before, PanelClient
from exporter.panel.errors import PanelError
from exporter.panel.protocol import MessageCommand, Operation, ServiceCommand
from exporter.panel.redaction import read_discreetly

T = TypeVar("T")


async def ask(
    client: PanelClient,
    operation: Operation,
    read: Callable[[bytes], Awaitable[T]],
    *,
    command: MessageCommand | ServiceCommand | None = None,
    message_id: str | None = None,
    force: bool = False,
    on_answer: Callable[[], None] | None = None,
    before: Before | None = None,
) -> T:
    """Ask a panel, and read its reply without letting a secret out.

    `on_answer` is called when there is a reply, before it is read. `before` is asked at the last
    moment, whether the request still may go out.

    Raises:
        NotSentError: `before` said no.
        PanelError: there was no reply, or `read` did not accept it.
    """
    reply = await client.request(
        operation, command=command, message_id=message_id, force=force, before=before
    )
    try:
        if on_answer is not None:
            on_answer()
        value = await read_discreetly(reply.body, client.host.secret_values, read)
    except PanelError as error:
        client.judged(reply, "ok" if error.own else error.reason)
        raise
    finally:
        reply.release()
    client.judged(reply, "ok")
    return value

"""The requests that change something, over real connections: each is sent once, and read."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from exporter.config.models import HostConfig, PollConfig
from exporter.panel.client import PanelClient, PanelPool
from exporter.panel.errors import PanelError
from exporter.panel.protocol import MessageCommand, Operation, ServiceCommand
from exporter.remediation import actions
from exporter.remediation.actions import MAX_LOST_IN_A_ROW, RequestResult, Sender, with_the_rest
from exporter.snapshot import (
    Message,
    Reason,
    ServiceState,
)
from tests.builders import message
from tests.daemon.conftest import eventually
from tests.panel.conftest import shorten_what_hangs
from tests.panel.servers import Behaviour, Peer, RawPanel, Request, ServeRaw, answering, http

MakeHost = Callable[..., HostConfig]
Reply = Callable[[Request], Awaitable[bytes | None]]
"""What a panel answers to one request; None: it closes the connection instead."""


async def always() -> bool:
    return True


async def on_each(
    client: PanelClient,
    command: MessageCommand,
    plan: Sequence[Message],
    *,
    parallel: int,
    on_result: Callable[[RequestResult], Awaitable[bool]],
) -> list[RequestResult]:
    """What came of each message of a plan, sent in one batch."""
    sender = Sender(client, command, parallel, on_result, always, time.monotonic)
    return with_the_rest(await sender.send(plan, until=math.inf), plan)


def messages(count: int) -> list[Message]:
    return [message(f"1xVPmh-{n:06d}-2M") for n in range(count)]


def replied(words: object = "", code: int = 0) -> bytes:
    """A reply of a panel."""
    return http(json.dumps({"error": code, "mess": "ok", "detail": words}).encode())


def removed(request: Request) -> bytes:
    return replied(f"Message {request.form['id']} has been removed\n")


def replying(reply: Reply) -> Behaviour:
    """A panel that keeps its connections."""

    async def behave(peer: Peer) -> None:
        while (request := await peer.read_request()) is not None:
            answer = await reply(request)
            if answer is None:
                return
            await peer.send(answer)

    return behave


def scripted(*replies: bytes | None) -> Behaviour:
    """One reply after the other over all connections; then messages are removed."""
    left = list(replies)

    async def reply(request: Request) -> bytes | None:
        return left.pop(0) if left else removed(request)

    return replying(reply)


@dataclass
class Listener:
    """Takes each answer, and stops at the `stop_at`-th."""

    stop_at: int = 10**6
    error: Exception | None = None
    heard: list[RequestResult] = field(default_factory=list)

    async def __call__(self, answer: RequestResult) -> bool:
        self.heard.append(answer)
        if len(self.heard) < self.stop_at:
            return True
        if self.error is not None:
            raise self.error
        return False


Each = Callable[..., Coroutine[Any, Any, list[RequestResult]]]


@pytest.fixture
def each(pool: PanelPool, host: MakeHost) -> Each:
    async def run(
        panel: RawPanel,
        plan: Sequence[Message],
        command: MessageCommand = MessageCommand.DELETE,
        *,
        parallel: int = 1,
        on_result: Callable[[RequestResult], Awaitable[bool]] | None = None,
    ) -> list[RequestResult]:
        return await on_each(
            pool.client(host(panel)),
            command,
            plan,
            parallel=parallel,
            on_result=on_result or Listener(),
        )

    return run


def whats(answers: Sequence[RequestResult]) -> list[str]:
    return [answer.what for answer in answers]


def asked(panel: RawPanel) -> list[str]:
    return [request.form["id"] for request in panel.requests]


# --- one by one ---------------------------------------------------------------------------------


@pytest.mark.parametrize("command", MessageCommand)
async def test_every_message_is_asked_for_once_and_in_order(
    serve: ServeRaw, each: Each, command: MessageCommand
) -> None:
    panel, plan, listener = await serve(scripted()), messages(7), Listener()
    answers = await each(panel, plan, command, on_result=listener)
    assert asked(panel) == [m.id for m in plan]
    assert {request.form["command"] for request in panel.requests} == {command.value}
    assert {request.form["subdo"] for request in panel.requests} == {"controll_msg"}
    assert [answer.message_id for answer in answers] == [m.id for m in plan]
    assert set(whats(answers)) == {"removed"}
    assert listener.heard == answers


async def test_each_reply_is_read(serve: ServeRaw, each: Each) -> None:
    panel = await serve(
        scripted(
            replied("Message 1xVPmh-000000-2M has been removed"),
            replied("Spool data file for 1xVPmh-000001-2M does not exist"),
            replied("Message 1xVPmh-000002-2M is locked"),
            replied("exim: permission denied"),
            replied(""),
        )
    )
    answers = await each(panel, messages(5))
    assert whats(answers) == ["removed", "gone", "locked", "refused", "done"]
    assert answers[2].text == "Message 1aAaAa-000001-00 is locked"
    assert {(answer.reason, answer.host_failed) for answer in answers} == {(None, False)}


async def test_nothing_is_asked_for_without_messages(serve: ServeRaw, each: Each) -> None:
    panel = await serve(scripted())
    assert await each(panel, []) == []
    assert panel.requests == []


# --- in parallel --------------------------------------------------------------------------------


@pytest.mark.parametrize(("parallel", "most"), [(1, 1), (2, 2), (5, 5), (16, 6)])
async def test_so_many_are_under_way_at_once_and_no_more(
    serve: ServeRaw, host: MakeHost, parallel: int, most: int
) -> None:
    under_way, highest = 0, 0
    all_there = asyncio.Event()

    async def reply(request: Request) -> bytes:
        nonlocal under_way, highest
        under_way += 1
        highest = max(highest, under_way)
        if under_way == most:
            all_there.set()
        async with asyncio.timeout(5):
            await all_there.wait()
        await asyncio.sleep(0.01)
        under_way -= 1
        return removed(request)

    panel, plan = await serve(replying(reply)), messages(6)
    async with PanelPool(PollConfig(timeout="9s", requests_per_host=16)) as pool:
        client = pool.client(host(panel))
        answers = await on_each(
            client, MessageCommand.DELETE, plan, parallel=parallel, on_result=Listener()
        )
    assert highest == most
    assert sorted(asked(panel)) == [m.id for m in plan]
    assert whats(answers) == ["removed"] * 6


async def test_a_slow_answer_holds_up_only_its_own_turn(serve: ServeRaw, each: Each) -> None:
    plan, last = messages(5), asyncio.Event()

    async def reply(request: Request) -> bytes:
        if request.form["id"] == plan[0].id:
            await last.wait()
        elif request.form["id"] == plan[-1].id:
            last.set()
        return removed(request)

    answers = await each(await serve(replying(reply)), plan, parallel=2)
    assert [answer.message_id for answer in answers] == [m.id for m in plan[1:] + plan[:1]]


# --- where it stops -----------------------------------------------------------------------------

REFUSED = replied(code=1)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (REFUSED, Reason.AUTH),
        (replied(code=2), Reason.BAD_REQUEST),
        (replied(code=100), Reason.BAD_REQUEST),
        (replied(code=102), Reason.UNSUPPORTED),
        (replied(code=400), Reason.FORBIDDEN),
        (replied(code=1003), Reason.FORBIDDEN),
        (http(status="401 Unauthorized"), Reason.HTTP_401),
        (http(status="403 Forbidden"), Reason.HTTP_403),
        (http(status="404 Not Found"), Reason.HTTP_STATUS),
        (http(status="429 Too Many Requests"), Reason.HTTP_STATUS),
        (http(status="302 Found", Location="/login"), Reason.HTTP_STATUS),
    ],
)
async def test_a_refusal_that_every_message_would_meet_stops_it(
    serve: ServeRaw, each: Each, reply: bytes, reason: Reason
) -> None:
    panel, listener = await serve(scripted(replied("removed"), reply)), Listener()
    answers = await each(panel, messages(6), on_result=listener)
    assert len(panel.requests) == 2
    assert whats(answers) == ["removed", "failed", *["not_asked"] * 4]
    failed = answers[1]
    assert (failed.reason, failed.host_failed) == (reason, True)
    assert listener.heard == answers[:2]


async def test_after_a_login_refusal_no_more_is_sent_than_was_under_way(
    serve: ServeRaw, each: Each
) -> None:
    panel = await serve(answering(REFUSED))
    answers = await each(panel, messages(20), parallel=2)
    assert 1 <= len(panel.requests) <= 2
    assert whats(answers).count("not_asked") == 20 - len(panel.requests)
    assert [a.message_id for a in answers if a.what == "not_asked"] == [
        m.id for m in messages(20) if m.id not in asked(panel)
    ]


async def test_a_refused_connection_is_a_failure_since_nothing_was_sent(
    serve: ServeRaw, each: Each
) -> None:
    panel = await serve(scripted())
    await panel.stop()
    answers = await each(panel, messages(4))
    assert whats(answers) == ["failed", "not_asked", "not_asked", "not_asked"]
    assert (answers[0].reason, answers[0].host_failed) == (Reason.CONNECT, True)
    assert "refuses connections" in answers[0].text


NEVER = http(b"", "500 Internal Server Error")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (None, Reason.CONNECT),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", Reason.TIMEOUT),
        (NEVER, Reason.HTTP_STATUS),
        (http(b"", "502 Bad Gateway"), Reason.HTTP_STATUS),
        (http(b"<html>"), Reason.NOT_JSON),
        (http(b""), Reason.NOT_JSON),
        (http(b'{"detail": []}'), Reason.UNEXPECTED),
        (http(b"[]" * 40_000), Reason.TOO_LARGE),
        (replied(code=77), Reason.PANEL_ERROR),
    ],
)
async def test_without_a_clear_reply_it_is_unknown_and_stops_after_three(
    serve: ServeRaw, pool: PanelPool, each: Each, reply: bytes | None, reason: Reason
) -> None:
    panel = await serve(scripted(*[reply] * 9))
    if reason is Reason.TIMEOUT:
        shorten_what_hangs(pool)
    answers = await each(panel, messages(6))
    assert len(panel.requests) == MAX_LOST_IN_A_ROW == 3
    assert whats(answers) == [*["unknown"] * 3, *["not_asked"] * 3]
    assert {(answer.reason, answer.host_failed) for answer in answers[:3]} == {(reason, False)}


async def test_a_panel_that_hangs_makes_unknown_of_what_it_was_asked(
    serve: ServeRaw, pool: PanelPool, each: Each
) -> None:
    async def reply(request: Request) -> bytes:
        await asyncio.Event().wait()
        return removed(request)

    panel = await serve(replying(reply))
    shorten_what_hangs(pool)
    answers = await each(panel, messages(6), parallel=2)
    lost = len(panel.requests)
    assert lost in {MAX_LOST_IN_A_ROW, MAX_LOST_IN_A_ROW + 1}, "and the one under way beside it"
    assert sorted(whats(answers)) == [*["not_asked"] * (6 - lost), *["unknown"] * lost]
    hung = next(answer for answer in answers if answer.what == "unknown")
    assert hung.reason is Reason.TIMEOUT
    assert "Whether the panel carried the command out is not known." in hung.text
    assert "Look at the queue before you try again." in hung.text


async def test_only_lost_answers_in_a_row_stop_it(serve: ServeRaw, each: Each) -> None:
    good = replied("has been removed")
    replies = [NEVER, NEVER, good, NEVER, NEVER, good, NEVER]
    panel = await serve(scripted(*replies))
    answers = await each(panel, messages(9))
    lost = {NEVER: "unknown", good: "removed"}
    assert whats(answers) == [*(lost[reply] for reply in replies), "removed", "removed"]


async def test_a_request_that_fails_is_not_sent_again(serve: ServeRaw, each: Each) -> None:
    """Not even where a read-only one would be: when an idle connection was just dropped."""
    panel = await serve(scripted(replied("removed"), None, NEVER, replied("removed")))
    answers = await each(panel, messages(5))
    assert asked(panel) == [m.id for m in messages(5)]
    assert whats(answers) == ["removed", "unknown", "unknown", "removed", "removed"]


# --- listeners ----------------------------------------------------------------------------------


@pytest.mark.parametrize("parallel", [1, 3])
async def test_it_stops_when_it_is_asked_to(serve: ServeRaw, each: Each, parallel: int) -> None:
    panel, listener = await serve(scripted()), Listener(stop_at=2)
    answers = await each(panel, messages(9), parallel=parallel, on_result=listener)
    assert 2 <= len(panel.requests) <= 2 + parallel - 1
    assert len(listener.heard) == len(panel.requests)
    assert whats(answers).count("not_asked") == 9 - len(panel.requests)


async def test_each_answer_is_taken_before_the_next_message_is_sent(
    serve: ServeRaw, each: Each
) -> None:
    panel = await serve(scripted())
    sent_before: list[int] = []

    async def listen(_: RequestResult) -> bool:
        await asyncio.sleep(0.01)
        sent_before.append(len(panel.requests))
        return True

    await each(panel, messages(4), on_result=listen)
    assert sent_before == [1, 2, 3, 4]


class WrittenNotError(Exception):
    """As a journal raises."""


async def test_what_the_listener_raises_is_raised_when_requests_under_way_have_ended(
    serve: ServeRaw, each: Each
) -> None:
    plan, arrived, raised = messages(9), asyncio.Event(), asyncio.Event()

    async def reply(request: Request) -> bytes:
        if request.form["id"] == plan[1].id:
            arrived.set()
            await raised.wait()
        else:
            await arrived.wait()  # both are under way
        return removed(request)

    panel = await serve(replying(reply))
    heard: list[str] = []

    async def listen(answer: RequestResult) -> bool:
        heard.append(answer.message_id)
        if answer.message_id == plan[0].id:
            raised.set()
            raise WrittenNotError("The disk is full.")
        return True

    with pytest.raises(WrittenNotError, match="The disk is full"):
        await each(panel, plan, parallel=2, on_result=listen)
    assert heard == [plan[0].id, plan[1].id]
    assert sorted(asked(panel)) == heard, "they come by two connections, in any order"


async def test_of_several_errors_the_first_is_raised(serve: ServeRaw, each: Each) -> None:
    both = asyncio.Barrier(2)

    async def listen(answer: RequestResult) -> bool:
        await both.wait()
        raise WrittenNotError(answer.message_id)

    panel = await serve(scripted())
    with pytest.raises(WrittenNotError) as caught:
        await each(panel, messages(9), parallel=2, on_result=listen)
    assert len(panel.requests) == 2
    assert str(caught.value) in asked(panel)


async def test_a_cancelled_run_sends_no_more(serve: ServeRaw, each: Each) -> None:
    async def reply(request: Request) -> bytes:
        if len(panel.requests) > 2:
            await asyncio.Event().wait()
        return removed(request)

    panel = await serve(replying(reply))
    listener = Listener()
    task = asyncio.create_task(each(panel, messages(9), on_result=listener))
    async with asyncio.timeout(5):
        while len(panel.requests) < 3:
            panel.asked.clear()
            await panel.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(panel.requests) == 3
    assert len(listener.heard) == 2


# --- the whole queue ----------------------------------------------------------------------------

PURGED = "".join(f"Message 1xVPmh-{n:06d}-2M has been removed\n" for n in range(300))


@pytest.mark.parametrize(
    ("reply", "what", "reason"),
    [
        (replied(PURGED), "done", None),
        (replied(""), "done", None),
        # Of many messages some may be locked or gone; only listing shows.
        (replied(f"{PURGED}Message 1xVPmh-000300-2M is locked\n"), "done", None),
        (replied(f"{PURGED}Spool data file for 1xVPmh-000300-2M does not exist\n"), "done", None),
        (replied("exim: permission denied"), "refused", None),
        (replied(code=1), "failed", Reason.AUTH),
        (replied(code=100), "failed", Reason.UNSUPPORTED),
        (replied(code=400), "failed", Reason.FORBIDDEN),
        (replied(code=77), "unknown", Reason.PANEL_ERROR),
        (http(b"PHP Fatal error"), "unknown", Reason.NOT_JSON),
        (http(b"", "500 Internal Server Error"), "unknown", Reason.HTTP_STATUS),
    ],
)
@pytest.mark.parametrize("operation", [Operation.DELETE_FROZEN, Operation.DELETE_ALL])
async def test_an_operation_on_the_whole_queue_is_one_request(
    serve: ServeRaw,
    pool: PanelPool,
    host: MakeHost,
    operation: Operation,
    reply: bytes,
    what: str,
    reason: Reason | None,
) -> None:
    panel = await serve(scripted(reply))
    client = pool.client(host(panel))
    answer = await actions.request_action(client, operation, always)
    assert [request.form["subdo"] for request in panel.requests] == [operation.value]
    assert (answer.what, answer.reason, answer.message_id) == (what, reason, "")
    assert len(answer.text) <= 500


@pytest.mark.parametrize("force", [True, False])
async def test_force_is_asked_for_only_where_it_is_meant(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, force: bool
) -> None:
    panel = await serve(scripted(replied("")))
    client = pool.client(host(panel))
    await actions.request_action(client, Operation.DELETE_ALL, always, force=force)
    assert ("dellete_forse" in panel.requests[0].form) is force


# --- services -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "reply", "what", "text"),
    [
        (True, replied("Running"), "done", "clamav runs."),
        (True, replied("Запущен"), "done", "clamav runs."),
        (True, replied("start failed"), "refused", "clamav does not run after all."),
        (True, replied("Stopped"), "refused", "clamav does not run after all."),
        (False, replied("Остановлен"), "done", "clamav is stopped."),
        (False, replied("Running"), "refused", "clamav still runs after all."),
        (True, replied(code=400), "failed", 'Give the account\'s group the right "antispam"'),
        (True, replied("Not installed"), "refused", "clamav is not installed."),
        (False, replied("Not installed"), "refused", "clamav is not installed."),
        (True, replied("?"), "unknown", ""),
        (True, None, "unknown", "Whether the panel carried the command out is not known."),
    ],
)
async def test_a_service_is_switched(
    serve: ServeRaw,
    pool: PanelPool,
    host: MakeHost,
    on: bool,
    reply: bytes | None,
    what: str,
    text: str,
) -> None:
    panel = await serve(scripted(reply))
    answer = await actions.switch_service(pool.client(host(panel)), "clamav", always, on=on)
    assert answer.what == what
    assert text in answer.text
    (request,) = panel.requests
    command = ServiceCommand.ON if on else ServiceCommand.OFF
    assert (request.form["subdo"], request.form["command"]) == ("clamav", command.value)


async def test_what_a_service_does(serve: ServeRaw, pool: PanelPool, host: MakeHost) -> None:
    panel = await serve(
        scripted(replied("Running"), replied("Stopped"), replied("Not installed"), replied(code=1))
    )
    client = pool.client(host(panel))
    states: list[Any] = [await actions.service_state(client, "spamassassin") for _ in range(3)]
    assert states == [
        ServiceState(running=True),
        ServiceState(running=False),
        ServiceState(running=False, installed=False),
    ]
    with pytest.raises(PanelError):
        await actions.service_state(client, "spamassassin")
    assert {request.form["command"] for request in panel.requests} == {"status"}


@pytest.mark.parametrize("what", ["frozen", "all", "service"])
async def test_a_request_that_is_not_wanted_any_more_once_it_has_its_slot_is_not_sent(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, what: str
) -> None:
    held, let_go = asyncio.Event(), asyncio.Event()

    async def reply(request: Request) -> bytes:
        held.set()
        await let_go.wait()
        return http(b'{"code":"0","detail":"0"}')

    panel = await serve(replying(reply))
    pool.update(PollConfig(timeout="2s", requests_per_host=1))
    client = pool.client(host(panel))
    poll = asyncio.create_task(client.request(Operation.COUNT))
    await held.wait()
    wanted, asked = True, 0

    async def before() -> bool:
        nonlocal asked
        asked += 1
        return wanted

    asks = {
        "frozen": actions.request_action(client, Operation.DELETE_FROZEN, before),
        "all": actions.request_action(client, Operation.DELETE_ALL, before, force=True),
        "service": actions.switch_service(client, "clamav", before, on=False),
    }
    spec = asyncio.ensure_future(asks.pop(what))
    for other in asks.values():
        other.close()

    async def waits() -> bool:
        return client.slots.waiting == 1

    await eventually(waits)
    assert asked == 0
    wanted = False
    let_go.set()
    await poll
    assert (await spec).what == "not_asked"
    assert asked == 1
    assert [request.form.get("count_msg") for request in panel.requests] == ["count_msg"]
    assert client.slots.in_use == 0

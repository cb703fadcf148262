"""How hosts are polled: what one failure says of the rest, and what nothing may end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from aiohttp import web

from exporter.config.models import Config
from exporter.panel.client import PanelPool
from exporter.panel.decode import ListOptions, decode_queue_update
from exporter.panel.errors import PanelError
from exporter.panel.queue_decoder import INLINE_LIMIT, QueueDecoder
from exporter.polling.collect import PollContext, QueueMemory, poll_host
from exporter.polling.poller import Poller
from exporter.snapshot import (
    EMPTY_QUEUE,
    HostGoneError,
    HostSnapshot,
    QueueState,
    Reason,
    ServiceState,
)
from exporter.standin import console
from exporter.standin.memory import MemoryQueue
from exporter.standin.panel import PanelOptions, serving
from exporter.standin.queue import QueuedMessage, queue_id
from exporter.standin.traffic import CALM, EMPTY, STORM
from tests import builders
from tests.daemon.conftest import StartDaemon, eventually, host
from tests.fixtures.standin import ServePanel

Answers = dict[str, Any]

GOOD: Answers = {
    "count_msg": {"error": 0, "detail": 5},
    "list_msg": {"error": 0, "detail": []},
    "clamav": {"error": 0, "detail": "Running"},
    "spamassassin": {"error": 0, "detail": "Running"},
}

GONE = {"error": 0, "detail": 0}


class Scripted:
    """A panel that answers by operation: a value, or an exception for breaking off."""

    def __init__(self, **answers: Any) -> None:
        self.answers = GOOD | answers
        self.asked: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        operation = str((await request.post())["subdo"])
        self.asked.append(operation)
        answer = self.answers[operation]
        if answer == "hang":
            await asyncio.sleep(60)
        if answer == "break off":
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b"{")
            assert request.transport is not None
            request.transport.abort()
            return response
        if isinstance(answer, bytes):
            return web.Response(body=answer)
        return web.json_response(answer)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/api/api.php", self.handle)
        return app


async def poll(panel: Scripted, **keys: Any) -> HostSnapshot:
    """One poll of a scripted panel."""
    (snapshot,) = await polls(panel, {}, **keys)
    return snapshot


async def polls(panel: Scripted, *answers: Answers, **keys: Any) -> list[HostSnapshot]:
    """A poll of a scripted panel for each of these changes of what it answers."""
    timeout = "1s" if "hang" in panel.answers.values() else "30s"
    async with serving(panel.app()) as url:
        config = Config.model_validate(
            {"poll": {"timeout": timeout}, "hosts": [host("mx1", url, **keys)]}
        )
        config = config.model_copy(update={"hosts": (builders.host("mx1", url=url, **keys),)})
        async with PanelPool(config.poll) as pool:
            decoder = QueueDecoder()
            poller = Poller(pool, decoder, lambda *_: None, lambda *_: None)
            await poller.apply_config(config)
            try:
                snapshots = []
                for changed in answers:
                    panel.answers |= changed
                    snapshots.append(await poller.poll("mx1"))
                return snapshots
            finally:
                await poller.stop(0)
                decoder.close()


def reasons(snapshot: HostSnapshot) -> list[Reason | None]:
    return [result.failure.reason if result.failure else None for result in snapshot.results]


@pytest.mark.parametrize(
    ("answer", "reason"), [("hang", Reason.TIMEOUT), ("break off", Reason.CONNECT)]
)
async def test_a_list_that_fails_does_not_take_the_services_with_it(
    answer: str, reason: Reason
) -> None:
    assert reasons(await poll(Scripted(list_msg=answer))) == [reason, None, None]


def frozen(number: int) -> str:
    """So many messages as `exim -bp` lists them, always the same ids."""
    now = 1_785_000_000.0
    messages = (
        QueuedMessage(queue_id("exim", now, n), 60, 900, "", ("ann@example.com",), frozen=True)
        for n in range(number)
    )
    return console.exim_listing([*messages])


def listing(text: str) -> Answers:
    return {"list_msg": {"error": 0, "detail": text}}


def queues(snapshots: Iterable[HostSnapshot]) -> list[QueueState]:
    values = [snapshot.results[0].value for snapshot in snapshots]
    assert all(isinstance(value, QueueState) for value in values)
    return cast("list[QueueState]", values)


def moved(snapshots: Iterable[HostSnapshot]) -> list[tuple[int | None, int | None]]:
    return [(queue.entered, queue.left) for queue in queues(snapshots)]


EMPTY_LIST: Answers = {"list_msg": {"error": 100}}


async def test_a_list_without_rows_tells_of_no_message_that_came_or_left() -> None:
    full = listing(frozen(5))
    snapshots = await polls(Scripted(), full, EMPTY_LIST, full, {"count_msg": GONE} | EMPTY_LIST)
    assert moved(snapshots) == [(None, None), (None, None), (0, 0), (0, 5)]


async def test_rows_that_are_understood_no_more_have_not_left() -> None:
    ids = [queue_id("exim", 1_785_000_000.0, n) for n in range(6)]
    rows = [{"id": id_} for id_ in ids]
    unread = [{"id": f"#{id_}"} for id_ in ids]
    snapshots = await polls(
        Scripted(),
        *(
            {"list_msg": {"error": 0, "detail": detail}}
            for detail in (
                rows[:5],
                rows[:3] + unread[3:5],  # two flip
                rows[:5],
                unread[:5],
                rows[:5],
                rows[:2] + rows[5:] + unread[3:5],  # two flip, one leaves, one comes
                [*rows[:1], {"id": ids[0], "again": 1}, *rows[1:5]],  # a repeated row hides none
            )
        ),
    )
    assert moved(snapshots)[1:] == [(0, 0), (0, 0), (0, 0), (0, 0), (1, 1), (1, 1)]


async def test_a_list_that_is_cut_tells_of_no_message_that_came_or_left() -> None:
    some = {"count_msg": {"error": 0, "detail": 40}}
    panel = Scripted(**some)
    snapshots = await polls(
        panel, listing(frozen(40)), listing(frozen(20)), listing(frozen(12)), listing(frozen(38))
    )
    assert moved(snapshots) == [(None, None), (None, None), (None, None), (0, 2)]
    assert [queue.unlisted for queue in queues(snapshots)] == [0, 20, 28, 0]


def rows(count: int, **keys: Any) -> Answers:
    ids = [queue_id("exim", 1_785_000_000.0, n) for n in range(count)]
    return {"list_msg": {"error": 0, "detail": [{"id": id_} | keys for id_ in ids]}}


@pytest.mark.parametrize(
    ("keys", "read"),
    [
        ({"age": "25m", "size": "2.9K"}, 2),
        ({"age": "25m", "size": 900_000_000}, 2),
        # What these say changes with the time, though not one byte of it does.
        ({"arrived": 1_785_000_000}, 4),
        ({"arrived": 1.785e9}, 4),
        ({"arrived": "2026-07-25 12:00:00 +0000"}, 4),
    ],
)
async def test_a_list_that_is_as_before_is_not_read_again(
    keys: Answers, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, bodies = QueueDecoder.run, list[bytes]()

    async def counted(self: QueueDecoder, decode: Callable[[bytes], Any], body: bytes) -> Any:
        bodies.append(body)
        return await run(self, decode, body)

    monkeypatch.setattr(QueueDecoder, "run", counted)
    snapshots = await polls(Scripted(), rows(4, **keys), {}, {}, rows(5, **keys))
    assert moved(snapshots) == [(None, None), (0, 0), (0, 0), (1, 0)]
    assert [queue.stats and queue.stats.listed for queue in queues(snapshots)] == [4, 4, 4, 5]
    assert len(bodies) == read


async def test_that_all_is_gone_rests_on_the_list_too() -> None:
    panel = Scripted()
    none_at_all = {"list_msg": {"error": 0, "detail": None}}
    snapshots = await polls(
        panel,
        listing(frozen(5)),
        {"count_msg": GONE},  # of a panel that counts no frozen mail, or fails to count
        none_at_all,
        {},
    )
    assert [queue.stats and queue.stats.frozen for queue in queues(snapshots)] == [5, 5, 0, 0]
    assert moved(snapshots) == [(None, None), (0, 0), (0, 5), (0, 0)]
    assert panel.asked.count("list_msg") == 3


async def test_a_panel_that_never_answers_is_asked_once() -> None:
    panel = Scripted(count_msg="hang")
    assert reasons(await poll(panel)) == [Reason.TIMEOUT] * 3
    assert panel.asked == ["count_msg"]


async def test_a_refused_login_is_sent_once() -> None:
    panel = Scripted(count_msg={"code": 1, "message": "Not perm2"})
    assert reasons(await poll(panel)) == [Reason.AUTH] * 3
    assert panel.asked == ["count_msg"]


async def test_a_missing_right_concerns_one_collector() -> None:
    panel = Scripted(clamav={"error": 400})
    assert reasons(await poll(panel)) == [None, Reason.FORBIDDEN, None]


async def test_what_a_panel_sends_back_of_its_password_is_quoted_nowhere() -> None:
    secret = 'pa"ss/wörd'
    panel = Scripted(
        count_msg={"error": 7, "mess": f"you sent {secret}"},
        clamav={"error": 0, "detail": {secret: "?"}},
    )
    snapshot = await poll(panel, password=secret)
    assert reasons(snapshot)[:2] == [Reason.PANEL_ERROR, Reason.UNEXPECTED]
    shown = repr(snapshot)
    assert "you sent" in shown
    for part in ("ss/w", "wörd", "w\\u00f6rd"):
        assert part not in shown


async def test_long_replies_are_not_remembered() -> None:
    panel = Scripted()
    async with serving(panel.app()) as url:
        mx1 = builders.host("mx1", url=url)
        config = Config.model_validate({"hosts": [host("mx1", url)]})
        async with PanelPool(config.poll) as pool:
            context = PollContext(mx1, pool.client(mx1), QueueDecoder(), QueueMemory(), 1000)

            async def poll_once(number: int) -> None:
                notice = f"{number:06d}" * 25_000
                for operation, good in GOOD.items():
                    panel.answers[operation] = good | {"notice": notice}
                assert (await poll_host(context)).ok

            await poll_once(0)
            tracemalloc.start()
            try:
                for number in range(1, 6):
                    await poll_once(number)
                panel.answers = dict(GOOD)
                await poll_host(context)
                held, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    assert held < 2**20  # of the 2.2 MB that were sent


async def test_a_list_without_rows_tells_nothing_of_messages_that_are_there() -> None:
    snapshot = await poll(Scripted())
    queue = snapshot.results[0].value
    assert queue.messages == 5  # type: ignore[union-attr]
    assert queue.stats.frozen is None  # type: ignore[union-attr]
    assert queue.stats.oldest_age is None  # type: ignore[union-attr]


async def test_replies_are_counted_by_what_came_of_them(
    start_daemon: StartDaemon, serve_panel: ServePanel
) -> None:
    panel = await serve_panel(MemoryQueue(EMPTY))
    running = await start_daemon({"hosts": [host("mx1", panel.url, password="wrong")]})
    await running.poll("mx1")
    requests = {"operation": "count_msg", "outcome": "auth"}
    assert (await running.value("api_requests_total", **requests) or 0) >= 1
    assert await running.value("api_requests_total", **(requests | {"outcome": "ok"})) is None


async def test_a_bug_after_a_poll_does_not_end_the_schedule(serve_panel: ServePanel) -> None:
    panel = await serve_panel(MemoryQueue(EMPTY))
    polled = 0
    enough = asyncio.Event()

    def broken(*_: object) -> None:
        nonlocal polled
        polled += 1
        if polled == 3:
            enough.set()
        raise RuntimeError("a bug")

    configured = builders.host("mx1", url=panel.url, username="monitor", password="stand-in")
    config = Config.model_validate({"poll": {"interval": "50ms"}})
    config = config.model_copy(update={"hosts": (configured,)})
    async with PanelPool(config.poll) as pool:
        poller = Poller(pool, QueueDecoder(), broken, lambda *_: None)
        await poller.apply_config(config)
        await asyncio.wait_for(enough.wait(), 10)
        await poller.stop(1)
        await poller.apply_config(config)  # a reload that comes too late starts nothing
        with pytest.raises(HostGoneError):
            await poller.poll("mx1")


async def test_a_probe_of_a_host_that_leaves_is_answered_so(
    start_daemon: StartDaemon, serve_panel: ServePanel
) -> None:
    panel = await serve_panel(MemoryQueue(EMPTY), PanelOptions(delay=5))
    running = await start_daemon({"hosts": [host("mx1", panel.url), host("mx2", panel.url)]})
    probe = asyncio.create_task(running.get("/probe?target=mx1", 503))

    async def asked() -> bool:
        return len(panel.panel.requests) > 0

    await eventually(asked)
    running.write({"hosts": [host("mx2", panel.url)]})
    await running.post("/-/reload")
    assert "left the config" in await probe


async def test_a_reload_under_way_does_not_outlive_the_daemon(
    start_daemon: StartDaemon, serve_panel: ServePanel
) -> None:
    panel = await serve_panel(MemoryQueue(EMPTY))
    running = await start_daemon({"hosts": [host("mx1", panel.url)]})
    reload = asyncio.create_task(running.daemon.reload())
    await asyncio.sleep(0)
    running.daemon.stop()
    await asyncio.gather(reload, return_exceptions=True)
    await running.task
    assert [t for t in asyncio.all_tasks() if t.get_name().startswith("schedule")] == []


@pytest.fixture
def decoder() -> Iterator[QueueDecoder]:
    made = QueueDecoder()
    yield made
    made.close()


def large_list(rows: int = 2000) -> bytes:
    body = json.dumps(
        {
            "error": 0,
            "detail": [
                {"id": f"1kXpJb-{n:06d}-7Q", "time": "25m", "size": "2.9K", "status": "Frozen"}
                for n in range(rows)
            ],
        }
    ).encode()
    assert len(body) > INLINE_LIMIT
    return body


DECODE = partial(decode_queue_update, options=ListOptions(builders.NOW))


async def test_a_large_list_is_decoded_in_another_process(decoder: QueueDecoder) -> None:
    update = await decoder.run(DECODE, large_list())
    assert update.stats.frozen == 2000
    (worker,) = workers()
    for number in (signal.SIGINT, signal.SIGTERM):  # as a terminal or systemd sends them
        os.kill(worker.pid, number)
    assert (await decoder.run(DECODE, large_list())).stats == update.stats


async def test_a_signal_cannot_hit_it_while_it_starts(decoder: QueueDecoder) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    await decoder.run(DECODE, large_list())
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    (worker,) = workers()
    status = Path(f"/proc/{worker.pid}/status").read_text()
    # What it was born with: nothing in it changes the mask.
    blocked = int(status.split("SigBlk:")[1].split()[0], 16)
    for number in (signal.SIGINT, signal.SIGTERM):
        assert blocked & 1 << number - 1


def workers() -> list[psutil.Process]:
    """The processes that decode, without multiprocessing's own helper."""
    children = psutil.Process().children()
    living = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in living if "spawn_main" in " ".join(child.cmdline())]


async def test_the_process_that_dies_is_replaced(decoder: QueueDecoder) -> None:
    await decoder.run(DECODE, large_list())
    (worker,) = workers()
    worker.suspend()  # so that it dies over this list and not before
    decoding = asyncio.create_task(decoder.run(DECODE, large_list()))
    await asyncio.sleep(0)
    worker.kill()
    with pytest.raises(PanelError, match="died over this reply") as caught:
        await decoding
    assert caught.value.reason is Reason.UNEXPECTED
    assert (await decoder.run(DECODE, large_list())).stats.frozen == 2000


async def test_a_process_that_died_idle_is_replaced_unseen(decoder: QueueDecoder) -> None:
    before = set(threading.enumerate())
    await decoder.run(DECODE, large_list())
    (worker,) = workers()
    assert set(threading.enumerate()) - before
    worker.kill()
    # The executor's own thread notices, and ends with it.
    while set(threading.enumerate()) - before:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert (await decoder.run(DECODE, large_list())).stats.frozen == 2000


async def test_decoding_that_takes_too_long_is_ended(
    decoder: QueueDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.panel.queue_decoder.DECODE_TIMEOUT", 0.01)
    with pytest.raises(PanelError, match="took longer"):
        await decoder.run(DECODE, large_list(50_000))
    assert workers() == []


async def test_a_cancelled_poll_leaves_no_decoding_behind(decoder: QueueDecoder) -> None:
    decoding = asyncio.create_task(decoder.run(DECODE, large_list(50_000)))
    while not workers():  # noqa: ASYNC110 - another process starts
        await asyncio.sleep(0.01)
    decoding.cancel()
    await asyncio.gather(decoding, return_exceptions=True)
    assert workers() == []
    assert (await decoder.run(DECODE, large_list())).stats.frozen == 2000


async def test_storms_are_decoded_as_calm_queues_are(
    start_daemon: StartDaemon, serve_panel: ServePanel
) -> None:
    storm, calm = await serve_panel(MemoryQueue(STORM)), await serve_panel(MemoryQueue(CALM))
    running = await start_daemon({"hosts": [host("mx1", storm.url), host("mx2", calm.url)]})
    await asyncio.gather(running.poll("mx1"), running.poll("mx2"))
    for name, panel in (("mx1", storm), ("mx2", calm)):
        messages = await panel.panel.queue.messages()
        assert await running.value("queue_listed_messages", host=name) == len(messages)


AWK = {"count_msg": {"error": 0, "message": "Number of messages", "detail": ""}}
"""What awk makes of "Mail queue is empty"."""


LONG = "a-password-in-no-sentence"


@pytest.mark.parametrize(
    "listed",
    [EMPTY_LIST, listing(""), listing("Mail queue is empty\n"), {"list_msg": GOOD["list_msg"]}],
)
async def test_an_empty_text_for_a_count_is_0_beside_an_empty_list(listed: Answers) -> None:
    panel = Scripted()
    (queue,) = queues(await polls(panel, AWK | listed))
    assert (queue.messages, queue.stats) == (0, EMPTY_QUEUE)
    assert panel.asked.count("list_msg") == 1


@pytest.mark.parametrize(
    ("listed", "reason", "said"),
    [
        (listing(frozen(2)), Reason.UNEXPECTED, "is an empty text"),
        (listing("Segmentation fault"), Reason.UNEXPECTED, "is an empty text"),
        (
            {"list_msg": {"error": 0, "detail": None}},
            Reason.UNEXPECTED,
            "neither a list nor a text",
        ),
        ({"list_msg": {"error": 400}}, Reason.FORBIDDEN, "does not let this account"),
        ({"list_msg": b""}, Reason.NOT_JSON, "could not encode its list"),
    ],
)
async def test_an_empty_text_for_a_count_is_no_number_beside_anything_else(
    listed: Answers, reason: Reason, said: str
) -> None:
    (snapshot,) = await polls(Scripted(), AWK | listed, password=LONG)
    failure = snapshot.results[0].failure
    assert failure is not None
    assert (failure.reason, said in failure.message) == (reason, True)


@pytest.mark.parametrize("count", [5, 0, "-- 4 Kbytes in 5 Requests."])
@pytest.mark.parametrize("body", [b"", b"\n\n", b"\xef\xbb\xbf"])
async def test_an_empty_body_for_a_list_is_reported_as_such(count: object, body: bytes) -> None:
    counted = {"count_msg": {"error": 0, "detail": count}}
    (snapshot,) = await polls(Scripted(), counted | {"list_msg": body}, password=LONG)
    result = snapshot.results[0]
    assert result.value is None
    assert result.failure is not None
    assert result.failure.reason is Reason.NOT_JSON
    assert "could not encode its list" in result.failure.message
    assert "no UTF-8" in result.failure.hint
    assert "dialect" not in result.failure.sentence


async def test_an_empty_body_for_the_count_still_speaks_of_the_dialect() -> None:
    (snapshot,) = await polls(Scripted(), {"count_msg": b"", "list_msg": b""}, password=LONG)
    assert snapshot.results[0].failure is not None
    assert "dialect" in snapshot.results[0].failure.hint


async def test_a_service_that_is_not_installed_is_no_failed_poll() -> None:
    absent = {"clamav": {"error": 0, "message": "Enabled", "detail": "Сервіс не встановлено"}}
    (snapshot,) = await polls(Scripted(), absent)
    assert snapshot.ok
    assert snapshot.results[1].value == ServiceState(running=False, installed=False)


@pytest.mark.parametrize("payload", [None, "", [], "Status", "не доступен", "不可用"])
async def test_a_status_is_never_read_from_the_text_beside_it(payload: object) -> None:
    status = {"clamav": {"error": 0, "message": "启用", "detail": payload}}
    (snapshot,) = await polls(Scripted(), status)
    assert reasons(snapshot) == [None, Reason.UNEXPECTED, None]

from __future__ import annotations

import asyncio
import resource
import socket
from base64 import b64decode
from collections.abc import Callable

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from exporter.config.access import BasicAuth
from exporter.config.models import HostConfig, PollConfig
from exporter.panel.client import SHORT_REPLY, PanelClient, PanelPool, PanelReply, raise_file_limit
from exporter.panel.errors import PanelError
from exporter.panel.protocol import MessageCommand, Operation, ServiceCommand
from exporter.snapshot import Reason
from tests.panel.conftest import BASIC_SECRET, SECRET
from tests.panel.servers import Peer, RawPanel, ServeRaw, answering, http, sending, silent

MakeHost = Callable[..., HostConfig]


async def test_a_request_as_the_panel_sees_it(
    serve: ServeRaw, pool: PanelPool, host: MakeHost
) -> None:
    panel = await serve(answering(http(b"reply")))
    client = pool.client(host(panel))
    reply = await client.request(
        Operation.CONTROL, message_id="1kXpJb-0004Uv-7Q", command=MessageCommand.DELETE
    )
    assert reply.body == b"reply"
    assert 0 < reply.duration < 0.5
    (request,) = panel.requests
    assert request.line == "POST /api/api.php HTTP/1.1"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["accept-encoding"] == "gzip, deflate"
    assert request.headers["user-agent"].startswith("brainycp-exporter/")
    assert request.headers["host"] == f"127.0.0.1:{panel.port}"
    assert "authorization" not in request.headers
    assert "cookie" not in request.headers
    assert request.form == {
        "username": "monitor",
        "password": SECRET,
        "login": "monitor",
        "pass": SECRET,
        "mailserver": "mailserver",
        "module": "mailserver",
        "controll_msg": "controll_msg",
        "subdo": "controll_msg",
        "language": "en",
        "id": "1kXpJb-0004Uv-7Q",
        "command": "delete",
    }


async def test_each_operation_is_asked_as_it_was_called(
    serve: ServeRaw, pool: PanelPool, host: MakeHost
) -> None:
    panel = await serve(answering(http()))
    client = pool.client(host(panel, dialect="documented", language="ru"))
    await client.request(Operation.CLAMAV, command=ServiceCommand.STATUS)
    await client.request(Operation.CLAMAV, command=ServiceCommand.ON)
    await client.request(Operation.DELETE_ALL)
    await client.request(Operation.DELETE_ALL, force=True)
    for message_id in ("1kXpJb-0004Uv-7Q", "1kXpJb-0004Uv-7R"):
        command = MessageCommand.RESHIP
        await client.request(Operation.CONTROL, message_id=message_id, command=command)
    always = {"username", "password", "mailserver", "language"}
    seen = [{k: v for k, v in r.form.items() if k not in always} for r in panel.requests]
    assert seen == [
        {"clamav": "clamav", "command": "status"},
        {"clamav": "clamav", "command": "on"},
        {"delete_all_msg": "delete_all_msg"},
        {"delete_all_msg": "delete_all_msg", "dellete_forse": "1"},
        {"controll_msg": "controll_msg", "id": "1kXpJb-0004Uv-7Q", "command": "reship"},
        {"controll_msg": "controll_msg", "id": "1kXpJb-0004Uv-7R", "command": "reship"},
    ]


async def test_basic_auth(serve: ServeRaw, pool: PanelPool, host: MakeHost) -> None:
    panel = await serve(answering(http()))
    auth = BasicAuth(username="опс", password=BASIC_SECRET)
    await pool.client(host(panel, basic_auth=auth)).request(Operation.COUNT)
    kind, _, value = panel.requests[0].headers["authorization"].partition(" ")
    assert (kind, b64decode(value).decode()) == ("Basic", f"опс:{BASIC_SECRET}")


async def test_no_cookie_is_sent_back(serve: ServeRaw, pool: PanelPool, host: MakeHost) -> None:
    panel = await serve(answering(http(Set_Cookie="session=1; path=/")))
    client = pool.client(host(panel))
    for _ in range(2):
        await client.request(Operation.COUNT)
    assert "cookie" not in panel.requests[1].headers


@pytest.mark.parametrize(
    "reply",
    [
        http(b"12345", Content_Type="text/html"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n12\r\n3\r\n345\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + http(b"12345"),
    ],
)
async def test_requests_share_one_connection(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, reply: bytes
) -> None:
    panel = await serve(answering(reply))
    client = pool.client(host(panel))
    for _ in range(4):
        assert (await client.request(Operation.COUNT)).body == b"12345"
    assert panel.connections == 1


async def test_a_reply_that_ends_with_the_connection(
    serve: ServeRaw, pool: PanelPool, host: MakeHost
) -> None:
    panel = await serve(sending(b"HTTP/1.0 200 OK\r\n\r\n", b"to the end"))
    client = pool.client(host(panel))
    for _ in range(2):
        assert (await client.request(Operation.COUNT)).body == b"to the end"
    assert panel.connections == 2


async def test_an_empty_reply_is_a_reply(serve: ServeRaw, pool: PanelPool, host: MakeHost) -> None:
    panel = await serve(answering(http(b""), b"HTTP/1.1 204 No Content\r\n\r\n"))
    client = pool.client(host(panel))
    assert (await client.request(Operation.COUNT)).body == b""
    reply = await client.request(Operation.COUNT)
    assert reply.body == b""


@pytest.mark.parametrize("name", ["localhost", "panel.localhost"])
async def test_names_that_need_no_dns(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, name: str
) -> None:
    panel = await serve(answering(http(b"found")))
    client = pool.client(host(panel, url=f"http://{name}:{panel.port}"))
    assert (await client.request(Operation.COUNT)).body == b"found"


async def test_ipv6(serve: ServeRaw, pool: PanelPool, host: MakeHost) -> None:
    panel = await serve(answering(http(b"found")), address="::1")
    assert (await pool.client(host(panel)).request(Operation.COUNT)).body == b"found"


async def dropping_the_second(peer: Peer) -> None:
    """Answer the first request of the first connection, and close it at the second one."""
    for _ in range(2 if peer.number == 1 else 100):
        if await peer.read_request() is None:
            return
        if len(peer.panel.requests) != 2:
            await peer.send(http())


@pytest.mark.parametrize(
    ("operation", "command"),
    [
        (Operation.COUNT, None),
        (Operation.LIST, None),
        (Operation.SPAMASSASSIN, ServiceCommand.STATUS),
    ],
)
async def test_a_read_only_request_survives_that_an_idle_connection_was_dropped(
    serve: ServeRaw,
    pool: PanelPool,
    host: MakeHost,
    operation: Operation,
    command: ServiceCommand | None,
) -> None:
    panel = await serve(dropping_the_second)
    client = pool.client(host(panel))
    await client.request(Operation.COUNT)
    await client.request(operation, command=command)
    assert (panel.connections, len(panel.requests)) == (2, 3)


@pytest.mark.parametrize(
    ("operation", "command"),
    [
        (Operation.CONTROL, MessageCommand.DELETE),
        (Operation.DELETE_FROZEN, None),
        (Operation.DELETE_ALL, None),
        (Operation.CLAMAV, ServiceCommand.OFF),
    ],
)
async def test_an_action_is_never_sent_twice(
    serve: ServeRaw,
    pool: PanelPool,
    host: MakeHost,
    operation: Operation,
    command: MessageCommand | ServiceCommand | None,
) -> None:
    panel = await serve(dropping_the_second)
    client = pool.client(host(panel))
    await client.request(Operation.COUNT)
    with pytest.raises(PanelError, match="Whether the panel carried the command out") as caught:
        await client.request(operation, command=command)
    assert caught.value.reason is Reason.CONNECT
    assert not caught.value.retryable
    assert len(panel.requests) == 2


async def test_a_new_connection_that_is_dropped_is_not_tried_again(
    serve: ServeRaw, pool: PanelPool, host: MakeHost
) -> None:
    panel = await serve(sending())
    with pytest.raises(PanelError, match="closed the connection without an answer") as caught:
        await pool.client(host(panel)).request(Operation.COUNT)
    assert (caught.value.reason, caught.value.retryable) == (Reason.CONNECT, True)
    assert panel.connections == 1


class Gate:
    """A panel that replies when it is asked to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        while await peer.read_request() is not None:
            await self.open.wait()
            await peer.send(http())


async def requests_reach(panel: RawPanel, count: int) -> None:
    while len(panel.requests) < count:
        panel.asked.clear()
        await panel.asked.wait()


async def quiet() -> None:
    """Long enough for a request to arrive if one were sent."""
    await asyncio.sleep(0.03)


async def test_requests_to_one_panel_are_bounded(serve: ServeRaw, host: MakeHost) -> None:
    gate = Gate()
    panel = await serve(gate)
    async with PanelPool(PollConfig(requests_per_host=2)) as pool, asyncio.TaskGroup() as tasks:
        client = pool.client(host(panel))
        for _ in range(5):
            tasks.create_task(client.request(Operation.COUNT))
        await requests_reach(panel, 2)
        await quiet()
        assert len(panel.requests) == 2
        gate.open.set()
    assert len(panel.requests) == 5
    assert panel.connections == 2


async def test_requests_over_all_panels_are_bounded_until_a_reload_allows_more(
    serve: ServeRaw, host: MakeHost
) -> None:
    gate = Gate()
    panel = await serve(gate)
    poll = PollConfig(concurrency=3, requests_per_host=1)
    async with PanelPool(poll) as pool, asyncio.TaskGroup() as tasks:
        for number in range(8):
            client = pool.client(host(panel, name=f"mx{number}"))
            tasks.create_task(client.request(Operation.COUNT))
        extra = tasks.create_task(pool.client(host(panel, name="mx0")).request(Operation.COUNT))
        await requests_reach(panel, 3)
        await quiet()
        assert len(panel.requests) == 3
        pool.update(PollConfig(concurrency=7, requests_per_host=2))
        await requests_reach(panel, 7)
        await quiet()
        assert len(panel.requests) == 7
        gate.open.set()
    assert extra.done()


async def test_the_wait_for_a_turn_does_not_count_as_the_request(
    serve: ServeRaw, host: MakeHost
) -> None:
    async def slow(peer: Peer) -> None:
        while await peer.read_request() is not None:
            await asyncio.sleep(0.25)
            await peer.send(http())

    panel = await serve(slow)
    async with PanelPool(PollConfig(timeout="1s", requests_per_host=1)) as pool:
        client = pool.client(host(panel))
        replies = await asyncio.gather(*(client.request(Operation.COUNT) for _ in range(5)))
    assert all(0.24 < reply.duration < 1 for reply in replies)


async def test_a_wait_for_the_shared_limit_that_ends_frees_the_panels_own(
    serve: ServeRaw, host: MakeHost
) -> None:
    panel = await serve(silent)
    async with PanelPool(PollConfig(concurrency=1)) as pool:
        first = asyncio.create_task(pool.client(host(panel)).request(Operation.COUNT))
        await panel.asked.wait()
        other = pool.client(host(panel, name="mx2"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await other.request(Operation.COUNT)
        assert other.slots.in_use == 0
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_each_request_is_counted_once(serve: ServeRaw, host: MakeHost) -> None:
    panel = await serve(answering(http(), http(status="500 Oops"), http(b"x" * 2000)))
    seen: list[tuple[Operation, str]] = []

    def observe(operation: Operation, outcome: str, seconds: float) -> None:
        assert 0 < seconds < 1
        seen.append((operation, outcome))

    async with PanelPool(PollConfig(max_response="1KiB"), observe=observe) as pool:
        client = pool.client(host(panel))
        for operation in (Operation.COUNT, Operation.LIST, Operation.DELETE_FROZEN):
            (outcome,) = await asyncio.gather(client.request(operation), return_exceptions=True)
            if isinstance(outcome, PanelReply):
                assert seen == [], "a reply is counted once it was read"
                client.record_outcome(outcome, "auth")
    assert seen == [
        (Operation.COUNT, "auth"),
        (Operation.LIST, "http_status"),
        (Operation.DELETE_FROZEN, "too_large"),
    ]


async def test_cancelling_closes_the_connection_and_frees_the_slots(
    serve: ServeRaw, pool: PanelPool, host: MakeHost
) -> None:
    panel = await serve(silent)
    client = pool.client(host(panel))
    task = asyncio.create_task(client.request(Operation.COUNT))
    await panel.asked.wait()
    assert client.slots.in_use == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.slots.in_use == 0
    await panel.left.wait()


async def test_cancelling_in_the_middle_of_a_body_closes_the_connection(
    serve: ServeRaw, pool: PanelPool, host: MakeHost
) -> None:
    async def half(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await peer.gone()

    panel = await serve(half)
    task = asyncio.create_task(pool.client(host(panel)).request(Operation.COUNT))
    await panel.asked.wait()
    await quiet()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await panel.left.wait()


async def test_a_client_is_kept_for_its_config(pool: PanelPool, host: MakeHost) -> None:
    panel = RawPanel(silent, url="http://127.0.0.1:1")
    client = pool.client(host(panel))
    assert pool.client(host(panel)) is client
    assert pool.client(host(panel, language="ru")) is not client


@pytest.mark.parametrize("how", ["forget", "replace", "close"])
async def test_what_is_not_wanted_any_more_is_closed(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, how: str
) -> None:
    panel = await serve(answering(http()))
    await pool.client(host(panel)).request(Operation.COUNT)
    assert not panel.left.is_set()
    match how:
        case "forget":
            pool.forget(host(panel))
        case "replace":
            pool.client(host(panel, language="ru"))
        case _:
            await pool.close()
    await panel.left.wait()


async def test_only_that_very_host_is_forgotten(
    serve: ServeRaw, pool: PanelPool, host: MakeHost
) -> None:
    panel = await serve(answering(http()))
    client = pool.client(host(panel))
    await client.request(Operation.COUNT)
    pool.forget(host(panel, name="other"))
    pool.forget(host(panel, language="ru"))
    pool.update(PollConfig())
    await client.request(Operation.COUNT)
    assert panel.connections == 1


async def test_other_labels_need_no_other_client(pool: PanelPool, host: MakeHost) -> None:
    panel = RawPanel(silent, url="http://127.0.0.1:1")
    client = pool.client(host(panel))
    labelled = host(panel, labels={"dc": "msk1"}, interval="30s")
    assert pool.client(labelled) is client
    assert client.host is labelled
    with pool.lease(labelled) as leased:
        assert leased is client


@pytest.mark.parametrize("how", ["forget", "replace"])
async def test_a_client_lives_as_long_as_its_leases(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, how: str
) -> None:
    panel = await serve(answering(http()))
    pool.client(host(panel))
    with pool.lease(host(panel)) as client, pool.lease(host(panel)) as again:
        assert again is client
        await client.request(Operation.COUNT)
        if how == "forget":
            pool.forget(host(panel))
        else:
            assert pool.client(host(panel, language="ru")) is not client
        await client.request(Operation.COUNT)
        assert not panel.left.is_set()
        with pool.lease(host(panel)) as third:
            assert third is not client, "the host is asked otherwise now, or not at all"
            await third.request(Operation.COUNT)
        await client.request(Operation.COUNT)
        panel.left.clear()
    await panel.left.wait()
    with pytest.raises(PanelError, match="has closed its connections") as caught:
        await client.request(Operation.COUNT)
    assert not caught.value.lost


async def test_a_closed_pool_keeps_no_lease(
    serve: ServeRaw, pool: PanelPool, host: MakeHost
) -> None:
    panel = await serve(answering(http()))
    with pool.lease(host(panel)) as client:
        await client.request(Operation.COUNT)
        await pool.close()
        await panel.left.wait()
        with pytest.raises(PanelError):
            await client.request(Operation.COUNT)


async def test_a_reload_changes_timeout_and_size(
    serve: ServeRaw, pool: PanelPool, host: MakeHost
) -> None:
    panel = await serve(answering(http(b"x" * 2000)))
    client = pool.client(host(panel))
    await client.request(Operation.COUNT)
    pool.update(PollConfig(timeout="0.5s", max_response="1KiB"))
    with pytest.raises(PanelError, match=r"larger than poll\.max_response \(1KiB\)"):
        await client.request(Operation.COUNT)
    pool.update(PollConfig(timeout="0.05s"))
    hanging = await serve(silent)
    with pytest.raises(PanelError, match=r"within 0\.05s"):
        await pool.client(host(hanging, name="mx2")).request(Operation.COUNT)


class Names(AbstractResolver):
    """A DNS that moves a name to another address when it is asked again."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - aiohttp passes it
    ) -> list[ResolveResult]:
        address = self.addresses[min(self.asked, len(self.addresses) - 1)]
        self.asked += 1
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        return None


async def client_with(pool: PanelPool, names: Names, host: HostConfig) -> PanelClient:
    await pool.resolver.close()
    pool.resolver = names
    return pool.client(host)


async def test_a_name_is_looked_up_once_as_long_as_it_answers(
    serve: ServeRaw, pool: PanelPool, host: MakeHost
) -> None:
    panel = await serve(sending(http()))
    names = Names("127.0.0.1")
    client = await client_with(pool, names, host(panel, url=f"http://panel.test:{panel.port}"))
    for _ in range(3):
        await client.request(Operation.COUNT)
    assert (panel.connections, names.asked) == (3, 1)


async def test_a_panel_that_moved_is_found_again_at_the_next_request(
    serve: ServeRaw, pool: PanelPool, host: MakeHost
) -> None:
    panel = await serve(answering(http(b"moved")))
    names = Names("127.0.0.2", "127.0.0.1")
    client = await client_with(pool, names, host(panel, url=f"http://panel.test:{panel.port}"))
    with pytest.raises(PanelError) as caught:
        await client.request(Operation.COUNT)
    assert caught.value.reason is Reason.CONNECT
    assert (await client.request(Operation.COUNT)).body == b"moved"


def test_the_limit_of_open_files_is_raised_to_what_is_allowed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_only_a_list_may_be_long(serve: ServeRaw, host: MakeHost) -> None:
    body = b"x" * (SHORT_REPLY + 1)
    panel = await serve(answering(http(body), http(body)))
    async with PanelPool(PollConfig()) as roomy:
        client = roomy.client(host(panel))
        with pytest.raises(PanelError, match="256 KiB") as caught:
            await client.request(Operation.COUNT)
        assert caught.value.reason is Reason.TOO_LARGE
        assert (await client.request(Operation.LIST)).body == body


async def test_what_waits_for_its_place_while_its_panel_is_dropped_is_said_so(
    serve: ServeRaw, host: MakeHost
) -> None:
    """Not as a bug: a reload drops panels, and nothing was sent."""
    panel = await serve(answering(http(b"reply")))
    async with PanelPool(PollConfig(concurrency=1)) as pool:
        client, slots = pool.client(host(panel)), pool.slots
        place = await slots.acquire()
        request = asyncio.create_task(client.request(Operation.LIST))
        await asyncio.sleep(0)
        pool.forget(client.host)
        await client.close()
        slots.release(place)
        with pytest.raises(PanelError, match="has closed its connections") as caught:
            await request
        assert caught.value.reason is Reason.CONNECT
        assert (panel.requests, slots.in_use, client.slots.in_use) == ([], 0, 0)

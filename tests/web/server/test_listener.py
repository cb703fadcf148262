from __future__ import annotations

import asyncio
import errno
import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from exporter.web.server import connections, listener
from exporter.web.server.access_control import Handler
from exporter.web.server.listener import Listeners
from exporter.web.server.passwords import hash_password
from exporter.web.server.sockets import ListenError
from exporter.web.server.web_config import WebSettings
from tests.daemon.conftest import eventually
from tests.web.server.clients import Client, get
from tests.web.server.pki import PAIR, Pki, load

PLAIN = WebSettings()


async def serving(path: str, handler: Handler) -> Listeners:
    """Serve one route of the test's own; the test closes it."""
    app = web.Application()
    listeners = Listeners(app)
    app.router.add_get(path, handler)
    await listeners.start(["127.0.0.1:0"], PLAIN)
    return listeners


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield f"127.0.0.1:{other.getsockname()[1]}"


async def refused(url: str) -> bool:
    try:
        await get(url)
    except ConnectionRefusedError:
        return True
    return False


async def test_every_address_serves(listeners: Listeners) -> None:
    await listeners.start(["127.0.0.1:0", "[::1]:0", ":0", "[::]:0", "0.0.0.0:0"], PLAIN)
    hosts = [url.rpartition(":")[0] for url in listeners.urls]
    v4, v6, every = "http://127.0.0.1", "http://[::1]", "http://localhost"
    assert hosts == [v4, v6, every, v6, every]
    for url in listeners.urls:
        assert (await get(url)).body == "hello /hello"


async def test_all_or_nothing(listeners: Listeners, taken: str) -> None:
    with pytest.raises(ListenError, match="in use by another program") as caught:
        await listeners.start(["127.0.0.1:0", taken], PLAIN)
    assert (listeners.urls, caught.value.address) == ([], taken)


async def test_new_addresses_wait_for_a_restart(listeners: Listeners) -> None:
    await listeners.start(["127.0.0.1:0"], PLAIN)
    (url,) = listeners.urls
    headers = {"X-Frame-Options": "deny"}
    async with Client(url) as client:
        await client.get()
        with capture_logs() as logs:
            listeners.apply_config(["127.0.0.1:0", "[::1]:0"], WebSettings(headers=headers))
        assert [(entry["event"], entry["new"]) for entry in logs] == [
            ("a new web.listen needs a restart; the old one stays", ["127.0.0.1:0", "[::1]:0"])
        ]
        assert (listeners.urls, listeners.addresses) == ([url], ("127.0.0.1:0",))
        assert (await client.get()).headers["X-Frame-Options"] == "deny"


async def test_what_guards_an_old_address_stays_until_the_restart(
    listeners: Listeners, folder: Path, trusting: ssl.SSLContext
) -> None:
    users = {"ann": hash_password("sesame", cost=4)}
    guarded = replace(load(folder), users=users)
    await listeners.start(["127.0.0.1:0"], guarded)
    for weaker, lost in (
        (replace(guarded, users={}), ["basic_auth_users"]),
        (replace(guarded, tls=None), ["tls_server_config"]),
        (PLAIN, ["basic_auth_users", "tls_server_config"]),
    ):
        with capture_logs() as logs:
            listeners.apply_config(["127.0.0.1:9"], weaker)
        assert logs[-1]["without"] == lost
        assert (await get(listeners.urls[0], context=trusting)).status == 401
    # Without a word of other addresses the config means these.
    listeners.apply_config(["127.0.0.1:0"], PLAIN)
    assert (await get(listeners.urls[0])).status == 200


async def test_no_connection_is_refused_while_the_certificate_changes(
    listeners: Listeners, folder: Path, pki: Pki, trusting: ssl.SSLContext
) -> None:
    await listeners.start(["127.0.0.1:0"], load(folder))
    url = listeners.urls[0]
    served = 0
    stop = asyncio.Event()

    async def ask() -> None:
        nonlocal served
        while not stop.is_set():
            assert (await get(url, context=trusting)).status == 200
            served += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(ask())
        for _ in range(5):
            pki.write_server(folder)
            settings = await asyncio.to_thread(load, folder)
            listeners.apply_config(["127.0.0.1:0"], settings)
        stop.set()
    assert served > 5


async def test_a_renewed_certificate_is_for_new_connections(
    listeners: Listeners, folder: Path, pki: Pki, trusting: ssl.SSLContext
) -> None:
    await listeners.start(["127.0.0.1:0"], load(folder))
    url = listeners.urls[0]
    async with Client(url, trusting) as old:
        assert (await old.get()).status == 200
        pki.write_server(folder)
        listeners.apply_config(["127.0.0.1:0"], load(folder))
        assert (await old.get()).status == 200
        async with Client(url, trusting) as new:
            assert (await new.get()).status == 200
            assert new.certificate != old.certificate


async def test_tls_comes_and_goes(
    listeners: Listeners, folder: Path, trusting: ssl.SSLContext
) -> None:
    await listeners.start(["127.0.0.1:0"], PLAIN)
    async with Client(listeners.urls[0]) as clear:
        await clear.get()
        listeners.apply_config(["127.0.0.1:0"], load(folder))
        assert await clear.ended()
    url = listeners.urls[0]
    assert url.startswith("https://")
    assert (await get(url, context=trusting)).status == 200
    listeners.apply_config(["127.0.0.1:0"], PLAIN)
    assert (await get(listeners.urls[0])).status == 200


async def test_a_stricter_policy_ends_older_connections(
    listeners: Listeners, folder: Path, trusting: ssl.SSLContext
) -> None:
    await listeners.start(["127.0.0.1:0"], load(folder))
    async with Client(listeners.urls[0], trusting) as lax:
        await lax.get()
        strict = PAIR + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
        listeners.apply_config(["127.0.0.1:0"], load(folder, strict))
        assert await lax.ended()


async def test_versions_and_ciphers_are_enforced(
    listeners: Listeners, folder: Path, pki: Pki
) -> None:
    only = "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n"
    await listeners.start(["127.0.0.1:0"], load(folder, PAIR + only))
    url = listeners.urls[0]
    async with Client(url, pki.client_context()) as client:
        assert client.tls.cipher() == ("ECDHE-RSA-AES256-GCM-SHA384", "TLSv1.2", 256)
    other = pki.client_context()
    other.maximum_version = ssl.TLSVersion.TLSv1_2
    other.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await get(url, context=other)
    listeners.apply_config(["127.0.0.1:0"], load(folder, PAIR + "  min_version: TLS13\n"))
    old = pki.client_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await get(url, context=old)
    async with Client(url, pki.client_context()) as client:
        assert client.tls.version() == "TLSv1.3"


async def test_the_only_curve_is_enforced(listeners: Listeners, folder: Path, pki: Pki) -> None:
    await listeners.start(
        ["127.0.0.1:0"], load(folder, PAIR + "  curve_preferences: [CurveP384]\n")
    )
    url = listeners.urls[0]
    other, same = pki.client_context(), pki.client_context()
    other.set_ecdh_curve("prime256v1")
    same.set_ecdh_curve("secp384r1")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await get(url, context=other)
    assert (await get(url, context=same)).status == 200


CLIENTS = "  client_ca_file: ca.pem\n  client_auth_type: "


@pytest.mark.parametrize(
    ("demanded", "shown", "served"),
    [
        ("RequireAndVerifyClientCert", "known", True),
        ("RequireAndVerifyClientCert", "stranger", False),
        ("RequireAndVerifyClientCert", "none", False),
        ("VerifyClientCertIfGiven", "known", True),
        ("VerifyClientCertIfGiven", "stranger", False),
        ("VerifyClientCertIfGiven", "none", True),
    ],
)
async def test_client_certificates(
    listeners: Listeners, folder: Path, pki: Pki, demanded: str, shown: str, *, served: bool
) -> None:
    await listeners.start(["127.0.0.1:0"], load(folder, PAIR + CLIENTS + demanded + "\n"))
    identities = {
        "known": pki.ca.issue_cert("client.test"),
        "stranger": pki.stranger.issue_cert("client.test"),
        "none": None,
    }
    context = pki.client_context(identities[shown])
    try:
        reply = await get(listeners.urls[0], context=context)
    except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
        assert not served
    else:
        assert served
        assert reply.status == 200


async def test_closing_waits_for_requests_within_the_grace() -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        started.set()
        await go.wait()
        return web.Response(text="done")

    listeners = await serving("/slow", slow)
    url = listeners.urls[0]
    async with Client(url) as busy, Client(url) as idle:
        asking = asyncio.create_task(busy.get("/slow"))
        await started.wait()
        closing = asyncio.create_task(listeners.close(grace=10))
        assert await idle.ended()
        assert await refused(url)
        assert not closing.done()
        go.set()
        assert (await asking).body == "done"
        await closing
    assert listeners.urls == []


async def test_closing_does_not_wait_longer(folder: Path) -> None:
    started = asyncio.Event()
    cancelled = asyncio.Event()

    async def stuck(request: web.Request) -> web.Response:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    listeners = await serving("/stuck", stuck)
    async with Client(listeners.urls[0]) as client:
        await client.send(b"GET /stuck HTTP/1.1\r\nHost: h\r\n\r\n")
        await started.wait()
        # The release of its connection has a longer grace than the closing.
        listeners.apply_config(["127.0.0.1:0"], load(folder))
        async with asyncio.timeout(5):
            await listeners.close(grace=0.2)
            assert await client.ended()
            await cancelled.wait()


async def test_closing_what_never_listened() -> None:
    listeners = Listeners(web.Application())
    await listeners.close(grace=1)
    assert listeners.urls == []


async def test_a_slow_head_is_cut_off(
    listeners: Listeners, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "KEEPALIVE", 0.3)
    await listeners.start(["127.0.0.1:0"], PLAIN)
    async with Client(listeners.urls[0]) as slow, asyncio.timeout(10):
        await slow.send(b"GET /hello HTTP/1.1\r\nHost: h\r\nX-Slow: ")
        assert await slow.ended()


async def test_a_head_too_large_is_refused(listeners: Listeners) -> None:
    await listeners.start(["127.0.0.1:0"], PLAIN)
    reply = await get(listeners.urls[0], head=f"X-Large: {'x' * 9000}\r\n")
    assert reply.status == 400


@pytest.mark.parametrize(
    ("sent", "ended_by"),
    [
        (b"", "its time"),
        (b"\x16\x03\x01", "a new policy"),  # the first bytes of a TLS record
        (b"GET / HTTP/1.1\r\n\r\n", "itself"),
    ],
)
async def test_a_connection_without_a_whole_handshake_ends(
    listeners: Listeners,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    sent: bytes,
    ended_by: str,
) -> None:
    if ended_by == "its time":
        monkeypatch.setattr(connections, "HANDSHAKE_TIMEOUT", 0.2)
    await listeners.start(["127.0.0.1:0"], load(folder))
    async with Client(listeners.urls[0].replace("https", "http")) as client, asyncio.timeout(5):
        await client.send(sent)
        if ended_by == "a new policy":
            strict = load(folder, PAIR + "  min_version: TLS13\n")
            listeners.apply_config(["127.0.0.1:0"], strict)
        assert await client.ended()


@pytest.mark.parametrize(
    ("failure", "logged"),
    [(ConnectionAbortedError(), False), (OSError(errno.EMFILE, "Too many open files"), True)],
)
async def test_accepting_goes_on_after_a_failure(
    listeners: Listeners,
    monkeypatch: pytest.MonkeyPatch,
    failure: OSError,
    *,
    logged: bool,
) -> None:
    monkeypatch.setattr(listener, "ACCEPT_PAUSE", 0.05)
    real_accept = socket.socket.accept
    failures = [failure]

    def accept(self: socket.socket) -> object:
        if failures:
            raise failures.pop()
        return real_accept(self)

    await listeners.start(["127.0.0.1:0"], PLAIN)
    monkeypatch.setattr(socket.socket, "accept", accept)
    with capture_logs() as logs:
        assert (await get(listeners.urls[0])).status == 200
    assert [entry["cause"] for entry in logs] == ["Too many open files"] * logged


@pytest.fixture
def four_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "ACCEPT_PAUSE", 0.02)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The limit is only reported lower: this process has the clients' files open, too.
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8, files[1]))


@pytest.mark.usefixtures("four_at_most")
async def test_clients_take_no_more_than_half_of_the_files() -> None:
    let_go = asyncio.Event()
    arrived = asyncio.Semaphore(0)

    async def busy(_: web.Request) -> web.Response:
        arrived.release()
        await let_go.wait()
        return web.Response(text="done")

    listeners = await serving("/busy", busy)
    url = listeners.urls[0]
    try:
        with capture_logs() as logs:
            asked = [asyncio.create_task(get(url, "/busy")) for _ in range(4)]
            for _ in range(4):
                await arrived.acquire()
            # Only now: for it those make room that have not asked for anything yet.
            asked.append(asyncio.create_task(get(url, "/busy")))

            async def full() -> bool:
                return bool(logs)

            await eventually(full)
            assert arrived.locked(), "the fifth waits"
            let_go.set()
            # What was under way when there was no more room is answered all the same.
            assert [(await each).status for each in asked] == [200] * 5
        assert {entry["cause"] for entry in logs} == {"as many are open as may be"}
    finally:
        await listeners.close(grace=1)


@pytest.mark.usefixtures("four_at_most")
async def test_clients_that_ask_for_nothing_keep_nobody_out(listeners: Listeners) -> None:
    await listeners.start(["127.0.0.1:0"], PLAIN)
    url = listeners.urls[0]
    async with AsyncExitStack() as open_ones:
        for number in range(6):
            client = await open_ones.enter_async_context(Client(url))
            if number % 2:
                await client.send(b"GET / HTTP/1.1\r\nHost: loc")  # and never the rest
        assert (await asyncio.wait_for(get(url), 10)).status == 200


async def test_requests_pass_while_settings_change(listeners: Listeners) -> None:
    await listeners.start(["127.0.0.1:0"], PLAIN)
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(get(listeners.urls[0])) for _ in range(20)]
        changes = [{"X-Frame-Options": value} for value in ("deny", "sameorigin")]
        for headers in changes:
            listeners.apply_config(["127.0.0.1:0"], WebSettings(headers=headers))
    assert {task.result().status for task in asking} == {200}


async def test_a_reload_that_comes_after_the_close_listens_nowhere(listeners: Listeners) -> None:
    await listeners.start(["127.0.0.1:0"], PLAIN)
    (url,) = listeners.urls
    await listeners.close(0)
    listeners.apply_config(["127.0.0.1:0"], PLAIN)
    assert listeners.urls == []
    assert await refused(url)

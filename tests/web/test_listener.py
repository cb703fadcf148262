from __future__ import annotations

import asyncio
import errno
import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from exporter.web import connections, listener
from exporter.web.listener import ListenError, Listeners
from exporter.web.web_config import WebSettings, load_web_config
from tests.daemon.conftest import eventually
from tests.web.clients import Client, get
from tests.web.pki import Pki

PLAIN = WebSettings()
PAIR = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"


def load(folder: Path, text: str = PAIR) -> WebSettings:
    (folder / "web.yaml").write_text(text)
    return load_web_config(folder / "web.yaml")


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield f"127.0.0.1:{other.getsockname()[1]}"


async def address_of(listeners: Listeners) -> str:
    """Bind a free port, and tell its address so that it can be asked for again."""
    await listeners.apply(["127.0.0.1:0"], PLAIN)
    address = listeners.urls[0].removeprefix("http://")
    await listeners.apply([], PLAIN)
    await listeners.apply([address], PLAIN)
    return address


async def refused(url: str) -> bool:
    try:
        await get(url)
    except ConnectionRefusedError:
        return True
    return False


async def test_every_address_serves(listeners: Listeners) -> None:
    await listeners.apply(["127.0.0.1:0", "[::1]:0", ":0", "[::]:0", "0.0.0.0:0"], PLAIN)
    hosts = [url.rpartition(":")[0] for url in listeners.urls]
    v4, v6, every = "http://127.0.0.1", "http://[::1]", "http://localhost"
    assert hosts == [v4, v6, every, v6, every]
    for url in listeners.urls:
        assert (await get(url)).body == "hello /hello"


async def test_an_address_that_stays_keeps_its_connections(listeners: Listeners) -> None:
    await listeners.apply(["127.0.0.1:0"], PLAIN)
    kept = listeners.urls[0]
    async with Client(kept) as client:
        assert (await client.get()).status == 200
        await listeners.apply(["127.0.0.1:0", "[::1]:0"], PLAIN)
        assert listeners.urls[0] == kept
        assert (await client.get()).status == 200
        added = listeners.urls[1]
        await listeners.apply(["127.0.0.1:0"], PLAIN)
        assert (await client.get()).status == 200
    assert await refused(added)


async def test_connections_of_a_released_address_end(listeners: Listeners) -> None:
    await listeners.apply(["127.0.0.1:0"], PLAIN)
    old = listeners.urls[0]
    async with Client(old) as idle:
        await idle.get()
        await listeners.apply(["[::1]:0"], PLAIN)
        assert await idle.ended()
    assert await refused(old)
    assert (await get(listeners.urls[0])).status == 200


async def test_all_or_nothing(listeners: Listeners, taken: str) -> None:
    with pytest.raises(ListenError, match="in use by another program"):
        await listeners.apply(["127.0.0.1:0", taken], PLAIN)
    assert listeners.urls == []
    await listeners.apply(["127.0.0.1:0"], PLAIN)
    before = listeners.urls
    async with Client(before[0]) as client:
        await client.get()
        with pytest.raises(ListenError) as caught:
            await listeners.apply(
                ["[::1]:0", taken], WebSettings(headers={"X-Frame-Options": "deny"})
            )
        assert caught.value.address == taken
        assert listeners.urls == before
        assert "X-Frame-Options" not in (await client.get()).headers


@pytest.mark.parametrize("wide", ["", "0.0.0.0"])
async def test_the_same_port_may_become_wider_and_narrower(listeners: Listeners, wide: str) -> None:
    narrow = await address_of(listeners)
    wider = f"{wide}:{narrow.rpartition(':')[2]}"
    for addresses in ([wider], [narrow], [wider]):
        async with Client(f"http://{narrow}") as client:
            await client.get()
            await listeners.apply(addresses, PLAIN)
            assert await client.ended()
        assert (await get(f"http://{narrow}")).status == 200


async def test_no_connection_is_refused_while_the_certificate_changes(
    listeners: Listeners, folder: Path, pki: Pki, trusting: ssl.SSLContext
) -> None:
    await listeners.apply(["127.0.0.1:0"], load(folder))
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
            await listeners.apply(["127.0.0.1:0"], settings)
        stop.set()
    assert served > 5


async def test_a_renewed_certificate_is_for_new_connections(
    listeners: Listeners, folder: Path, pki: Pki, trusting: ssl.SSLContext
) -> None:
    await listeners.apply(["127.0.0.1:0"], load(folder))
    url = listeners.urls[0]
    async with Client(url, trusting) as old:
        assert (await old.get()).status == 200
        pki.write_server(folder)
        await listeners.apply(["127.0.0.1:0"], load(folder))
        assert (await old.get()).status == 200
        async with Client(url, trusting) as new:
            assert (await new.get()).status == 200
            assert new.certificate != old.certificate


async def test_tls_comes_and_goes(
    listeners: Listeners, folder: Path, trusting: ssl.SSLContext
) -> None:
    await listeners.apply(["127.0.0.1:0"], PLAIN)
    async with Client(listeners.urls[0]) as clear:
        await clear.get()
        await listeners.apply(["127.0.0.1:0"], load(folder))
        assert await clear.ended()
    url = listeners.urls[0]
    assert url.startswith("https://")
    assert (await get(url, context=trusting)).status == 200
    await listeners.apply(["127.0.0.1:0"], PLAIN)
    assert (await get(listeners.urls[0])).status == 200


async def test_a_stricter_policy_ends_older_connections(
    listeners: Listeners, folder: Path, trusting: ssl.SSLContext
) -> None:
    await listeners.apply(["127.0.0.1:0"], load(folder))
    async with Client(listeners.urls[0], trusting) as lax:
        await lax.get()
        strict = PAIR + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
        await listeners.apply(["127.0.0.1:0"], load(folder, strict))
        assert await lax.ended()


async def test_versions_and_ciphers_are_enforced(
    listeners: Listeners, folder: Path, pki: Pki
) -> None:
    only = "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n"
    await listeners.apply(["127.0.0.1:0"], load(folder, PAIR + only))
    url = listeners.urls[0]
    async with Client(url, pki.client_context()) as client:
        assert client.tls.cipher() == ("ECDHE-RSA-AES256-GCM-SHA384", "TLSv1.2", 256)
    other = pki.client_context()
    other.maximum_version = ssl.TLSVersion.TLSv1_2
    other.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await get(url, context=other)
    await listeners.apply(["127.0.0.1:0"], load(folder, PAIR + "  min_version: TLS13\n"))
    old = pki.client_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await get(url, context=old)
    async with Client(url, pki.client_context()) as client:
        assert client.tls.version() == "TLSv1.3"


async def test_the_only_curve_is_enforced(listeners: Listeners, folder: Path, pki: Pki) -> None:
    await listeners.apply(
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
    await listeners.apply(["127.0.0.1:0"], load(folder, PAIR + CLIENTS + demanded + "\n"))
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

    app = web.Application()
    listeners = Listeners(app)
    app.router.add_get("/slow", slow)
    await listeners.apply(["127.0.0.1:0"], PLAIN)
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


async def test_closing_does_not_wait_longer() -> None:
    started = asyncio.Event()
    cancelled = asyncio.Event()

    async def stuck(request: web.Request) -> web.Response:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    app = web.Application()
    listeners = Listeners(app)
    app.router.add_get("/stuck", stuck)
    await listeners.apply(["127.0.0.1:0"], PLAIN)
    async with Client(listeners.urls[0]) as client:
        await client.send(b"GET /stuck HTTP/1.1\r\nHost: h\r\n\r\n")
        await started.wait()
        await listeners.apply([], PLAIN)  # its release has a longer grace than the closing
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
    await listeners.apply(["127.0.0.1:0"], PLAIN)
    async with Client(listeners.urls[0]) as slow, asyncio.timeout(10):
        await slow.send(b"GET /hello HTTP/1.1\r\nHost: h\r\nX-Slow: ")
        assert await slow.ended()


async def test_a_head_too_large_is_refused(listeners: Listeners) -> None:
    await listeners.apply(["127.0.0.1:0"], PLAIN)
    reply = await get(listeners.urls[0], head=f"X-Large: {'x' * 9000}\r\n")
    assert reply.status == 400


async def test_a_handshake_that_does_not_come_is_cut_off(
    listeners: Listeners, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE_TIMEOUT", 0.2)
    await listeners.apply(["127.0.0.1:0"], load(folder))
    async with Client(listeners.urls[0].replace("https", "http")) as mute, asyncio.timeout(10):
        assert await mute.ended()


async def test_a_handshake_under_way_does_not_outlive_its_policy(
    listeners: Listeners, folder: Path
) -> None:
    await listeners.apply(["127.0.0.1:0"], load(folder))
    async with Client(listeners.urls[0].replace("https", "http")) as mute, asyncio.timeout(5):
        await mute.send(b"\x16\x03\x01")  # the first bytes of a TLS record
        await listeners.apply(["127.0.0.1:0"], load(folder, PAIR + "  min_version: TLS13\n"))
        assert await mute.ended()


async def test_what_is_no_handshake_ends_the_connection(listeners: Listeners, folder: Path) -> None:
    await listeners.apply(["127.0.0.1:0"], load(folder))
    async with Client(listeners.urls[0].replace("https", "http")) as clear, asyncio.timeout(5):
        await clear.send(b"GET / HTTP/1.1\r\n\r\n")
        assert await clear.ended()


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

    await listeners.apply(["127.0.0.1:0"], PLAIN)
    monkeypatch.setattr(socket.socket, "accept", accept)
    with capture_logs() as logs:
        assert (await get(listeners.urls[0])).status == 200
    assert [entry["cause"] for entry in logs] == ["Too many open files"] * logged


@pytest.fixture
def four_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "ACCEPT_PAUSE", 0.02)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Told of a lower limit, not given it: this process has the clients' files open, too.
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8, files[1]))


@pytest.mark.usefixtures("four_at_most")
async def test_clients_take_no_more_than_half_of_the_files() -> None:
    let_go = asyncio.Event()
    arrived = asyncio.Semaphore(0)

    async def busy(_: web.Request) -> web.Response:
        arrived.release()
        await let_go.wait()
        return web.Response(text="done")

    app = web.Application()
    listeners = Listeners(app)
    app.router.add_get("/busy", busy)
    await listeners.apply(["127.0.0.1:0"], PLAIN)
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
    await listeners.apply(["127.0.0.1:0"], PLAIN)
    url = listeners.urls[0]
    async with AsyncExitStack() as open_ones:
        for number in range(6):
            client = await open_ones.enter_async_context(Client(url))
            if number % 2:
                await client.send(b"GET / HTTP/1.1\r\nHost: loc")  # and never the rest
        assert (await asyncio.wait_for(get(url), 10)).status == 200


async def test_an_address_given_up_while_accepting_pauses_stays_given_up(
    listeners: Listeners, monkeypatch: pytest.MonkeyPatch
) -> None:
    await listeners.apply(["127.0.0.1:0"], PLAIN)
    binding = listeners._bindings["127.0.0.1:0"]
    await listeners.apply([], PLAIN)
    binding._resume()
    with pytest.raises(OSError, match="Bad file descriptor"):
        binding.socket.accept()


async def test_requests_pass_while_settings_change(listeners: Listeners) -> None:
    await listeners.apply(["127.0.0.1:0"], PLAIN)
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(get(listeners.urls[0])) for _ in range(20)]
        changes = [{"X-Frame-Options": value} for value in ("deny", "sameorigin")]
        for headers in changes:
            await listeners.apply(["127.0.0.1:0"], WebSettings(headers=headers))
    assert {task.result().status for task in asking} == {200}


async def test_an_apply_that_comes_after_the_close_listens_nowhere(listeners: Listeners) -> None:
    await listeners.apply(["127.0.0.1:0"], PLAIN)
    url = listeners.urls[0]
    await listeners.close(0)
    await listeners.apply([url.removeprefix("http://")], PLAIN)
    assert listeners.urls == []
    assert await refused(url)

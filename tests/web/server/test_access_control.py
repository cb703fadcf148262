from __future__ import annotations

import asyncio
import base64
import threading
from pathlib import Path

import bcrypt
import pytest
import trustme

from exporter.web.server import auth, listener
from exporter.web.server.access_control import MAX_BODY_BYTES, TokenBucket, alternative_names
from exporter.web.server.listener import Listeners
from exporter.web.server.passwords import hash_password
from exporter.web.server.web_config import RateLimit, WebSettings
from tests.web.server.clients import Client, get
from tests.web.server.conftest import Bcrypt
from tests.web.server.pki import PAIR, Pki, load

GOOD = {"prometheus": hash_password("sesame", cost=4)}
NEW = {"prometheus": hash_password("changed", cost=4)}


def login(user: str, password: str) -> str:
    return f"Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}\r\n"


@pytest.fixture
async def client(listeners: Listeners) -> Client:
    await listeners.start(["127.0.0.1:0"], WebSettings())
    return Client(listeners.urls[0])


@pytest.mark.parametrize("path", ["/hello", "/", "/-/healthy", "/no/such/path", "/static/x"])
async def test_every_path_asks_who_is_there(
    listeners: Listeners, client: Client, path: str
) -> None:
    listeners.apply_config(["127.0.0.1:0"], WebSettings(users=GOOD))
    async with client:
        for head in (
            "",
            login("prometheus", "wrong"),
            login("nobody", "sesame"),
            "Authorization: x\r\n",
        ):
            reply = await client.get(path, head=head)
            assert reply.status == 401
            assert reply.headers["WWW-Authenticate"].startswith("Basic ")
        assert (await client.get(path, head=login("prometheus", "sesame"))).status in {200, 404}
        assert (await client.get(path, method="POST")).status == 401


async def test_a_scrape_costs_no_bcrypt(listeners: Listeners, client: Client, runs: Bcrypt) -> None:
    listeners.apply_config(["127.0.0.1:0"], WebSettings(users=GOOD))
    async with client:
        for _ in range(5):
            assert (await client.get(head=login("prometheus", "sesame"))).status == 200
        assert len(runs.hashes) == 1
        # A reload that leaves the users alone forgets nothing.
        again = WebSettings(users=dict(GOOD), headers={"X-Frame-Options": "deny"})
        listeners.apply_config(["127.0.0.1:0"], again)
        assert (await client.get(head=login("prometheus", "sesame"))).status == 200
        assert len(runs.hashes) == 1


async def test_users_come_change_and_go_on_open_connections(
    listeners: Listeners, client: Client
) -> None:
    async with client:
        assert (await client.get()).status == 200
        listeners.apply_config(["127.0.0.1:0"], WebSettings(users=GOOD))
        assert (await client.get()).status == 401
        assert (await client.get(head=login("prometheus", "sesame"))).status == 200
        listeners.apply_config(["127.0.0.1:0"], WebSettings(users=NEW))
        assert (await client.get(head=login("prometheus", "sesame"))).status == 401
        assert (await client.get(head=login("prometheus", "changed"))).status == 200
        listeners.apply_config(["127.0.0.1:0"], WebSettings())
        assert (await client.get()).status == 200


async def test_guesses_beyond_the_bound_are_turned_away(
    listeners: Listeners, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    listeners.apply_config(["127.0.0.1:0"], WebSettings(users=GOOD))
    url = listeners.urls[0]
    go = threading.Event()
    monkeypatch.setattr(bcrypt, "checkpw", lambda *_: go.wait(10) and False)
    monkeypatch.setattr(auth, "MAX_WAITING", 4)
    guesses = [asyncio.create_task(get(url, head=login("prometheus", str(n)))) for n in range(5)]
    done, waiting = await asyncio.wait(guesses, return_when=asyncio.FIRST_COMPLETED)
    go.set()
    assert [task.result().status for task in done] == [429]
    assert done.pop().result().headers["Retry-After"] == "1"
    assert {reply.status for reply in await asyncio.gather(*waiting)} == {401}


@pytest.mark.parametrize("named", ["prometheus", "nobody"])
async def test_a_guesser_behind_the_same_proxy_locks_nobody_out(
    listeners: Listeners, client: Client, named: str
) -> None:
    """Many connections from one address guess as fast as they are answered."""
    users = GOOD | {"ops": hash_password("open", cost=4)}
    listeners.apply_config(
        ["127.0.0.1:0"],
        WebSettings(users=users, rate_limit=RateLimit.model_construct(interval=60, burst=20)),
    )
    url, stop = listeners.urls[0], asyncio.Event()
    answers = set[int]()

    async def guess(number: int) -> None:
        async with Client(url) as connection:
            for attempt in range(10_000):
                if stop.is_set():
                    return
                head = login(named, f"{number}-{attempt}")
                answers.add((await connection.get(head=head)).status)

    async with client:
        assert (await client.get(head=login("prometheus", "sesame"))).status == 200
        listeners.apply_config(["127.0.0.1:0"], WebSettings(users=users))
        guessing = [asyncio.create_task(guess(n)) for n in range(40)]
        await asyncio.sleep(0.2)
        for user, password in (("prometheus", "sesame"), ("ops", "open")) * 3:
            reply = await asyncio.wait_for(client.get(head=login(user, password)), 20)
            assert reply.status == 200
        stop.set()
        await asyncio.gather(*guessing)
    assert answers == {401}


async def test_a_rate_limit_that_a_guesser_uses_up_is_not_that_of_who_is_known(
    listeners: Listeners, client: Client
) -> None:
    limited = WebSettings(users=GOOD, rate_limit=RateLimit.model_construct(interval=3600, burst=3))
    listeners.apply_config(["127.0.0.1:0"], limited)
    right, wrong = login("prometheus", "sesame"), login("prometheus", "wrong")
    async with client:
        assert (await client.get(head=right)).status == 200
        assert [(await client.get(head=wrong)).status for _ in range(3)] == [401, 401, 429]
        assert [(await client.get(head=right)).status for _ in range(4)] == [200, 200, 200, 429]


async def test_configured_headers_are_on_every_response(
    listeners: Listeners, client: Client
) -> None:
    headers = {"X-Frame-Options": "deny", "Content-Security-Policy": "default-src 'self'"}
    async with client:
        listeners.apply_config(["127.0.0.1:0"], WebSettings(headers=headers))
        for path in ("/hello", "/none"):
            assert headers.items() <= (await client.get(path)).headers.items()
        listeners.apply_config(["127.0.0.1:0"], WebSettings(users=GOOD, headers=headers))
        reply = await client.get()
        assert reply.status == 401
        assert headers.items() <= reply.headers.items()


async def test_the_rate_limit_holds_and_survives_a_reload(
    listeners: Listeners, client: Client
) -> None:
    limited = WebSettings(rate_limit=RateLimit.model_construct(interval=3600, burst=3))
    async with client:
        listeners.apply_config(["127.0.0.1:0"], limited)
        assert [(await client.get()).status for _ in range(2)] == [200, 200]
        listeners.apply_config(["127.0.0.1:0"], limited)
        assert [(await client.get()).status for _ in range(2)] == [200, 429]
        listeners.apply_config(["127.0.0.1:0"], WebSettings())
        assert (await client.get()).status == 200


async def test_a_large_body_is_not_waited_for(
    listeners: Listeners, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "LINGER", 0.1)
    await listeners.start(["127.0.0.1:0"], WebSettings())
    client = Client(listeners.urls[0])
    async with client, asyncio.timeout(10):
        reply = await client.get(method="POST", head=f"Content-Length: {MAX_BODY_BYTES + 1}\r\n")
        assert reply.status == 413
        assert reply.headers["Connection"] == "close"
        assert await client.ended()


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["prometheus.test"], 200),
        (["other.test", "10.1.2.3"], 200),
        (["2001:db8::1"], 200),
        (["other.test"], 403),
        (["sub.prometheus.test"], 403),
    ],
)
async def test_only_allowed_names_of_client_certificates(
    listeners: Listeners, folder: Path, pki: Pki, names: list[str], status: int
) -> None:
    allowed = (
        "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
        "  client_allowed_sans: [prometheus.test, 10.1.2.3, '2001:db8::1']\n"
    )
    await listeners.start(["127.0.0.1:0"], load(folder, PAIR + allowed))
    context = pki.client_context(pki.ca.issue_cert(*names, key_type=trustme.KeyType.RSA))
    assert (await get(listeners.urls[0], context=context)).status == status


def test_every_kind_of_alternative_name_counts() -> None:
    certificate = {
        "subjectAltName": (
            ("DNS", "a.test"),
            ("email", "a@b.test"),
            ("URI", "spiffe://a"),
            ("IP Address", "2001:DB8:0:0:0:0:0:1"),
            ("DirName", "x"),
        )
    }
    assert alternative_names(certificate) == {"a.test", "a@b.test", "spiffe://a", "2001:db8::1"}
    assert alternative_names({}) == set()


def test_a_burst_then_one_an_interval() -> None:
    bucket = TokenBucket(RateLimit.model_construct(interval=2.0, burst=3), now=100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(101.0)
    assert bucket.take(102.0)
    assert not bucket.take(102.0)


def test_a_long_quiet_time_allows_no_more_than_the_burst() -> None:
    bucket = TokenBucket(RateLimit.model_construct(interval=1.0, burst=2), now=0.0)
    assert [bucket.take(1000.0) for _ in range(3)] == [True, True, False]

"""Whatever a stranger sends over a raw socket: no 500, and nothing in the log."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from exporter.web.server.listener import Listeners
from exporter.web.server.passwords import hash_password
from exporter.web.server.web_config import WebSettings
from tests.daemon.conftest import (
    RunningDaemon,
    StartDaemon,
    eventually,
    start_daemon,  # noqa: F401 - a fixture
)
from tests.web.server.clients import Client, get

USERS = {"prometheus": hash_password("sesame", cost=4)}

HEADERS = (
    "Expect", "Host", "Content-Length", "Transfer-Encoding", "Accept", "Accept-Encoding",
    "Accept-Language", "Cookie", "Authorization", "Origin", "Range", "If-Modified-Since",
    "If-None-Match", "If-Range", "Connection", "Upgrade", "X-Prometheus-Scrape-Timeout-Seconds",
    "X-Forwarded-For", "Content-Type", "Content-Encoding", "Sec-Fetch-Site", "Last-Event-ID",
)  # fmt: skip
VALUES = (
    b"", b"\xe9", b"\xff\xfe", b"\xed\xa0\x80", b"x", b"-1", b"9" * 30, b"nan", b"1e400",
    b"chunked", b"gzip", b"100-continue", b"100-Continue\xe9", b"200-ok", b"bytes=5-1",
    b"bytes=0-0,1-1", b'"', b"[::1", b"]", b"a:b:c", b"%ff", b";q=x", b"Basic",
    b"Basic \xe9", b"Basic Og==", b"Thu, 99 Foo 2020", b"*", b"W/", b"\x01", b"a=b; c=\xe9",
    "\u0661".encode(), b"+5", b"x" * 7000,
)  # fmt: skip
LINES = (
    b"GET \xe9 HTTP/1.1", b"GET /%ff HTTP/1.1", b"GET /%00 HTTP/1.1", b"GET http://[/ HTTP/1.1",
    b"GET //[ HTTP/1.1", b"OPTIONS * HTTP/1.1", b"CONNECT [ HTTP/1.1", b"G\xe9T / HTTP/1.1",
    b"GET / HTTP/9.9", b"GET /?a=%ff&b=\xe9 HTTP/1.1", b"GET /hosts/%ff HTTP/1.1", b"\0",
    b"GET /static/%00 HTTP/1.1", b"GET /static/" + b"a" * 300 + b" HTTP/1.1", b"",
    b"GET /static/" + b"a/" * 2000 + b" HTTP/1.1", b"GET /static/..%2f..%2f HTTP/1.1",
    b"GET /journal?page=%C2%B2&run=%ff HTTP/1.1", b"GET /probe?target=%ED%A0%80 HTTP/1.1",
    b"GET /api/v1/journal?since=x&limit=%C2%B2 HTTP/1.1", b"PRI * HTTP/2.0",
    b"FOO /metrics HTTP/1.1",
)  # fmt: skip


def requests(paths: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    found = []
    for method, path in paths:
        for header in HEADERS:
            for value in VALUES:
                host = b"" if header == "Host" else b"Host: localhost\r\n"
                head = method + b" " + path + b" HTTP/1.1\r\n" + host
                found.append(head + header.encode() + b": " + value + b"\r\nConnection: close")
    return found + [line + b"\r\nHost: localhost\r\nConnection: close" for line in LINES]


async def statuses(url: str, sent: Iterable[bytes], *, hang_up: bool = False) -> Counter[int]:
    """The status of the answer to each request; 0 where the connection ended without one."""
    host, _, port = url.partition("://")[2].rpartition(":")
    found, at_once = Counter[int](), asyncio.Semaphore(16)

    async def send(request: bytes) -> None:
        async with at_once:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(request + b"\r\n\r\n")
            answer = b""
            try:
                async with asyncio.timeout(0.0 if hang_up else 0.5):
                    answer = await reader.readuntil(b"\r\n")
            except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
                pass  # a body was promised that does not come
            writer.transport.abort()
            found[int(answer.split()[1]) if answer else 0] += 1

    await asyncio.gather(*map(send, sent))
    return found


@pytest.mark.parametrize("value", ["\xe9", "x", "200-ok", "100-continue, x", "\udcff"])
async def test_an_odd_expectation_is_417(
    listeners: Listeners, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"X-Frame-Options": "deny"}
    await listeners.start(["127.0.0.1:0"], WebSettings(users=USERS, headers=headers))
    async with Client(listeners.urls[0]) as client:
        raw = value.encode("latin-1", "surrogateescape") if value != "\udcff" else b"\xff"
        await client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: " + raw + b"\r\n\r\n")
        reply = await client.reply()
    assert reply.status == 417
    assert headers.items() <= reply.headers.items()
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


async def test_who_expects_to_go_on_is_asked_for_the_password(listeners: Listeners) -> None:
    await listeners.start(["127.0.0.1:0"], WebSettings(users=USERS))
    async with Client(listeners.urls[0]) as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n")
        assert (await client.reply()).status == 100
        assert (await client.reply()).status == 401
    assert (await get(listeners.urls[0])).status == 401


@pytest.mark.slow
@pytest.mark.parametrize("users", [USERS, {}], ids=["with users", "open"])
async def test_no_request_ends_in_a_traceback(
    start_daemon: StartDaemon,  # noqa: F811 - the fixture
    tmp_path: Any,
    users: dict[str, str],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "web.yaml").write_text(
        "".join(f"basic_auth_users: {{{n}: {h}}}" for n, h in users.items())
    )
    host = {"name": "mx1", "url": "http://127.0.0.1:9", "username": "u", "password": "p"}
    config = {
        "hosts": [host],
        "web": {"listen": "127.0.0.1:0", "config_file": "web.yaml"},
        "log": {"level": "info"},
    }
    running = await start_daemon(config)

    async def asked() -> bool:
        return "host is down" in capfd.readouterr().err

    await eventually(asked)
    sent = requests([(b"GET", b"/"), (b"GET", b"/metrics"), (b"POST", b"/-/nothing")])
    found = await statuses(running.url, sent)
    gone = await statuses(running.url, sent[:500], hang_up=True)
    assert found[500] == 0
    assert found.keys() <= {0, 100, 200, 303, 400, 401, 403, 404, 405, 415, 417, 501, 503}
    assert found[401 if users else 200] > 1000
    assert sum(gone.values()) == 500
    assert not [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert "Traceback" not in capfd.readouterr().err


async def test_a_reload_with_a_wrong_type_is_400(start_daemon: StartDaemon, tmp_path: Any) -> None:  # noqa: F811
    web = tmp_path / "web.yaml"
    web.write_text("")
    running: RunningDaemon = await start_daemon(
        {
            "hosts": [{"name": "a", "url": "http://127.0.0.1:9", "username": "u", "password": "p"}],
            "web": {"listen": "127.0.0.1:0", "config_file": "web.yaml"},
        }
    )
    for wrong in ("{interval: [1]}", "{interval: {}}", "[1]", "{burst: [[]]}", "{interval: 1s}"):
        web.write_text(f"rate_limit: {wrong}\n")
        text = await running.post("/-/reload", status=400)
        assert "web.yaml:1: rate_limit" in text
    web.write_text("")
    assert await running.post("/-/reload") == "Reloaded.\n"

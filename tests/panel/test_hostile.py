"""Panels that fail in every way that the contract has a reason for, and in some more."""

from __future__ import annotations

import asyncio
import gzip
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from exporter.config.access import BasicAuth, TlsConfig
from exporter.config.models import HostConfig
from exporter.panel.client import PanelClient, PanelPool
from exporter.panel.errors import PanelError
from exporter.panel.protocol import MessageCommand, Operation
from exporter.snapshot import Reason
from tests.panel.conftest import BASIC_SECRET, SECRET, shorten_what_hangs
from tests.panel.pki import Pki
from tests.panel.servers import (
    Behaviour,
    Peer,
    RawPanel,
    ServeRaw,
    answering,
    http,
    sending,
    sending_endlessly,
    silent,
)

MakeHost = Callable[..., HostConfig]

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n"


async def resetting(peer: Peer) -> None:
    await peer.read_request()
    peer.reset()


async def resetting_in_the_body(peer: Peer) -> None:
    await peer.read_request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await asyncio.sleep(0.02)
    peer.reset()


async def dripping(peer: Peer) -> None:
    await peer.read_request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    while True:
        await peer.send(b"x")
        await asyncio.sleep(0.05)


async def dripping_headers(peer: Peer) -> None:
    await peer.read_request()
    await peer.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        await peer.send(b"H")
        await asyncio.sleep(0.05)


def chunked(body: bytes, *, at_once: bool) -> Behaviour:
    """A chunked body, together with its headers or on its own."""

    async def behave(peer: Peer) -> None:
        await peer.read_request()
        if at_once:
            await peer.send(CHUNKED + body)
        else:
            await peer.send(CHUNKED)
            await asyncio.sleep(0.02)
            await peer.send(body)
        await peer.gone()

    return behave


def saying(*data: bytes) -> Behaviour:
    """Send this before any request, and wait for the client to go."""

    async def behave(peer: Peer) -> None:
        for part in data:
            await peer.send(part)
        await peer.gone()

    return behave


async def saying_nothing(peer: Peer) -> None:
    """Wait for the first bytes and hang up."""
    await peer.read_some()


@dataclass(frozen=True)
class Case:
    behave: Behaviour
    reason: Reason
    retryable: bool
    text: str
    """In message or hint."""
    https: bool = False
    """Whether the client expects TLS there; the panel speaks none."""


CASES = {
    "no answer": Case(silent, Reason.TIMEOUT, True, "did not answer in full within 1s"),
    "slow body": Case(dripping, Reason.TIMEOUT, True, "did not answer in full"),
    "slow headers": Case(dripping_headers, Reason.TIMEOUT, True, "did not answer in full"),
    "closed": Case(sending(), Reason.CONNECT, True, "closed the connection without an answer"),
    "reset": Case(resetting, Reason.CONNECT, True, "closed the connection without an answer"),
    "reset in the body": Case(resetting_in_the_body, Reason.CONNECT, True, "broke off"),
    "short body": Case(
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"),
        Reason.CONNECT,
        True,
        "broke off",
    ),
    "short head": Case(
        sending(b"HTTP/1.1 200 OK\r\nContent-"),
        Reason.CONNECT,
        True,
        "closed the connection without an answer",
    ),
    "short chunk": Case(sending(CHUNKED, b"9\r\nshort"), Reason.CONNECT, True, "broke off"),
    "no last chunk": Case(sending(CHUNKED, b"2\r\nok\r\n"), Reason.CONNECT, True, "broke off"),
    "long body": Case(
        sending(http(b"x" * 65537)),
        Reason.TOO_LARGE,
        False,
        "larger than poll.max_response (64KiB)",
    ),
    "announced as long": Case(
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
        Reason.TOO_LARGE,
        False,
        "larger than poll.max_response",
    ),
    "endless body": Case(
        sending_endlessly(ENDLESS, b"x" * 5000), Reason.TOO_LARGE, False, "larger than"
    ),
    "endless chunks": Case(
        sending_endlessly(CHUNKED, b"4\r\nmore\r\n" * 1000), Reason.TOO_LARGE, False, "larger than"
    ),
    "endless list of headers": Case(
        sending_endlessly(b"HTTP/1.1 200 OK\r\n", b"X-Some: header\r\n" * 100),
        Reason.TOO_LARGE,
        False,
        "headers of the reply",
    ),
    "endless header": Case(
        sending_endlessly(b"HTTP/1.1 200 OK\r\nX-Endless: ", b"x" * 1000),
        Reason.TOO_LARGE,
        False,
        "headers of the reply",
    ),
    "endless status": Case(
        sending_endlessly(b"HTTP/1.1 200 ", b"O" * 1000),
        Reason.TOO_LARGE,
        False,
        "headers of the reply",
    ),
    "endless early hints": Case(
        sending_endlessly(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        Reason.TIMEOUT,
        True,
        "did not answer in full",
    ),
    "gzip bomb": Case(
        sending(http(gzip.compress(b"\0" * 2**24), Content_Encoding="gzip")),
        Reason.TOO_LARGE,
        False,
        "larger than",
    ),
    "no gzip": Case(
        sending(http(b"<html>", Content_Encoding="gzip")),
        Reason.UNEXPECTED,
        True,
        "cannot be decompressed",
    ),
    "brotli": Case(
        sending(http(b"x", Content_Encoding="br")), Reason.UNEXPECTED, False, "not asked for"
    ),
    "not HTTP": Case(saying(b"SSH-2.0-OpenSSH_9.2\r\n"), Reason.UNEXPECTED, False, "is not HTTP"),
    "http on an https port": Case(
        saying(b"\x15\x03\x01\x00\x02\x02\x0a"), Reason.UNEXPECTED, False, "write https://"
    ),
    "http on an https port of nginx": Case(
        sending(http(b"<html>", "400 Bad Request")), Reason.HTTP_STATUS, False, "write https://"
    ),
    "two lengths": Case(
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
        Reason.UNEXPECTED,
        False,
        "is not HTTP",
    ),
    "forbidden": Case(
        sending(http(b"no", "403 Forbidden")), Reason.HTTP_403, False, "list of IPs with API access"
    ),
    "behind htpasswd": Case(
        sending(http(b"no", "401 Unauthorized")), Reason.HTTP_401, False, "Set basic_auth"
    ),
    "not found": Case(
        sending(http(b"no", "404 Not Found")), Reason.HTTP_STATUS, False, "at the path /api/api.php"
    ),
    "busy": Case(
        sending(http(b"no", "429 Too Many Requests")),
        Reason.HTTP_STATUS,
        True,
        "Raise the interval",
    ),
    "crashed": Case(
        sending(http(b"<html>oops", "500 Internal Server Error")),
        Reason.HTTP_STATUS,
        True,
        "HTTP 500 Internal Server Error",
    ),
    "odd status": Case(sending(http(b"", "799 Odd")), Reason.HTTP_STATUS, True, "(HTTP 799)"),
    "not modified": Case(
        sending(b"HTTP/1.1 304 Not Modified\r\n\r\n"), Reason.HTTP_STATUS, False, "(HTTP 304)"
    ),
    "https on an http port": Case(
        saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        Reason.TLS,
        False,
        "write http://",
        https=True,
    ),
    "hanging up in the handshake": Case(
        saying_nothing, Reason.TLS, True, "in the middle of the TLS handshake", https=True
    ),
    "TLS garbage": Case(saying(b"\x16\x03\x03\x00\x05garba"), Reason.TLS, False, "TLS", https=True),
    "old TLS": Case(
        saying(b"\x15\x03\x01\x00\x02\x02\x46"), Reason.TLS, False, "older than 1.2", https=True
    ),
    "no common cipher": Case(
        saying(b"\x15\x03\x03\x00\x02\x02\x28"),
        Reason.TLS,
        False,
        "failed (sslv3 alert handshake failure)",
        https=True,
    ),
}

for _name, _body in {
    "no number": b"zz\r\n",
    "negative": b"-5\r\n",
    "huge": b"f" * 40 + b"\r\n",
    "longer than announced": b"2\r\nlonger\r\n0\r\n\r\n",
}.items():
    for _at_once in (True, False):
        _name_of_case = f"chunk size {_name}{', at once' if _at_once else ''}"
        CASES[_name_of_case] = Case(
            chunked(_body, at_once=_at_once), Reason.UNEXPECTED, False, "is not HTTP"
        )


def shorten_if_it_hangs(pool: PanelPool, case: Case) -> None:
    # What is not HTTP is known by the end of the time, too, where it comes behind the headers.
    if case.reason is Reason.TIMEOUT or case.text == "is not HTTP":
        shorten_what_hangs(pool)


async def failure_of(client: PanelClient, operation: Operation = Operation.COUNT) -> PanelError:
    command = MessageCommand.DELETE if operation is Operation.CONTROL else None
    with pytest.raises(PanelError) as caught:
        await client.request(operation, command=command)
    return caught.value


def assert_nothing_secret(error: PanelError, *others: object) -> None:
    """Not in what is shown of it, nor in what hangs on it."""
    shown = [str(error), repr(error), repr(error.failure), *(repr(other) for other in others)]
    shown += traceback.format_exception(error)
    assert error.__context__ is None or isinstance(error.__context__, PanelError | OSError)
    for text in shown:
        assert SECRET not in text
        assert BASIC_SECRET not in text
    assert error.message.endswith(".")


@pytest.mark.parametrize("name", CASES)
async def test_each_failure_is_explained(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, name: str
) -> None:
    case = CASES[name]
    shorten_if_it_hangs(pool, case)
    panel = await serve(case.behave, scheme="https" if case.https else "http")
    client = pool.client(host(panel))
    error = await failure_of(client)
    assert error.reason is case.reason, error
    assert error.retryable is case.retryable
    assert case.text in str(error)
    assert_nothing_secret(error, pool, client)
    assert client.slots.in_use == 0


UNSENT = {
    "https on an http port",
    "hanging up in the handshake",
    "TLS garbage",
    "old TLS",
    "no common cipher",
}
REFUSED = {
    "http on an https port of nginx",
    "forbidden",
    "behind htpasswd",
    "not found",
    "busy",
    "not modified",
}


@pytest.mark.asyncio(loop_factories=["uvloop"])  # nothing new about loops here
@pytest.mark.parametrize("name", CASES)
async def test_an_action_that_may_have_been_carried_out_is_not_to_be_retried(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, name: str
) -> None:
    case = CASES[name]
    shorten_if_it_hangs(pool, case)
    panel = await serve(case.behave, scheme="https" if case.https else "http")
    error = await failure_of(pool.client(host(panel)), Operation.CONTROL)
    assert error.reason is case.reason
    unknown = "Whether the panel carried the command out is not known" in error.message
    assert unknown is (name not in UNSENT | REFUSED)
    if unknown:
        assert not error.retryable
        assert error.hint.startswith("Look at the queue")


@pytest.mark.parametrize("password", [BASIC_SECRET, "wrong" + BASIC_SECRET])
async def test_htpasswd(serve: ServeRaw, pool: PanelPool, host: MakeHost, password: str) -> None:
    async def htpasswd(peer: Peer) -> None:
        request = await peer.read_request()
        assert request is not None
        right = "Basic b3BzOmJhc2ljOnNlY3JldCsx"  # ops:basic:secret+1
        if request.headers["authorization"] == right:
            await peer.send(http(b"welcome"))
        else:
            await peer.send(http(b"no", "401 Unauthorized", WWW_Authenticate="Basic"))

    panel = await serve(htpasswd)
    auth = BasicAuth(username="ops", password=password)
    client = pool.client(host(panel, basic_auth=auth))
    if password == BASIC_SECRET:
        assert (await client.request(Operation.COUNT)).body == b"welcome"
        return
    error = await failure_of(client)
    assert error.reason is Reason.HTTP_401
    assert "refused the user or password" in error.message
    assert_nothing_secret(error, client)
    assert len(panel.requests) == 1, "a wrong password sent again may lock the account"


OTHER = "https://other.example.com"


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        (f"{OTHER}:8443/api/api.php", f"to {OTHER}:8443/api/api.php ("),
        ("https://u:p@other.example.com/x?token=t#f", f"to {OTHER}/x ("),
        ("/panel/api.php?password=hunter2", "/panel/api.php ("),
        ("//other.example.com/", "to http://other.example.com/ ("),
        (f"{OTHER}/{SECRET}".encode().decode("latin1"), "redirects (HTTP"),
        (f"{OTHER}/{quote(SECRET, safe='')}", "redirects (HTTP"),
        ("javascript:alert(1)", "redirects (HTTP"),
        ("http://[::1", "redirects (HTTP"),
        (f"{OTHER}/{'x' * 300}", "redirects (HTTP"),
        ("", "redirects (HTTP"),
    ],
)
@pytest.mark.parametrize("status", ["301 Moved Permanently", "307 Temporary Redirect"])
async def test_a_redirect_is_shown_but_not_followed(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, location: str, shown: str, status: str
) -> None:
    head = f"HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    panel = await serve(sending(head.encode("latin1")))
    client = pool.client(host(panel))
    error = await failure_of(client)
    assert (error.reason, error.retryable) == (Reason.HTTP_STATUS, False)
    assert shown in error.message
    for secret in ("token", "u:p", "password=", "hunter2"):
        assert secret not in str(error)
    assert_nothing_secret(error, client)
    assert len(panel.requests) == 1


async def test_nothing_listens(pool: PanelPool, host: MakeHost) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for address in ("127.0.0.1", "localhost"):  # localhost has two addresses
        panel = RawPanel(silent, url=f"http://{address}:{port}")
        client = pool.client(host(panel))
        error = await failure_of(client)
        assert (error.reason, error.retryable) == (Reason.CONNECT, True)
        assert error.message == f"{address}:{port} refuses connections."
        assert_nothing_secret(error, client)


async def test_a_machine_that_does_not_answer(pool: PanelPool, host: MakeHost) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        # The queue of connections that nobody accepts is full after these.
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        panel = RawPanel(silent, url=f"http://127.0.0.1:{address[1]}")
        error = await failure_of(pool.client(host(panel)))
        for filler in fillers:
            filler.close()
    assert error.retryable
    assert error.reason in {Reason.CONNECT, Reason.TIMEOUT}  # kernels differ in what is full


async def test_a_name_that_is_none(pool: PanelPool, host: MakeHost) -> None:
    name = "x" * 64 + ".test"  # a part has at most 63 letters, so no server is asked
    client = pool.client(host(RawPanel(silent, url=f"http://{name}:8002")))
    error = await failure_of(client)
    assert (error.reason, error.retryable) == (Reason.DNS, True)
    assert error.message == f"The name {name} was not resolved: Misformatted domain name."
    assert_nothing_secret(error, client)


async def test_an_address_in_short(pool: PanelPool, host: MakeHost) -> None:
    """The system's resolver would make 127.0.0.1 of it; nothing else agrees on that."""
    error = await failure_of(pool.client(host(RawPanel(silent, url="http://127.1:8002"))))
    assert error.reason in {Reason.CONNECT, Reason.DNS}


@pytest.mark.parametrize("pinned", [True, False])
async def test_tls_failures_show_no_secret(
    serve: ServeRaw, pool: PanelPool, host: MakeHost, pki: Pki, pinned: bool
) -> None:
    context, _ = pki.self_signed_server()
    panel = await serve(answering(http()), tls=context)
    keys: dict[str, Any] = {"tls": TlsConfig(fingerprint_sha256="0" * 64)} if pinned else {}
    auth = BasicAuth(username="ops", password=BASIC_SECRET)
    client = pool.client(host(panel, basic_auth=auth, **keys))
    error = await failure_of(client)
    assert error.reason is (Reason.TLS_PIN if pinned else Reason.TLS)
    assert_nothing_secret(error, client)


async def test_a_stale_reply_is_not_taken_for_the_next_one(
    serve: ServeRaw, pool: PanelPool, host: MakeHost
) -> None:
    """Two replies to one request: the second must not answer another question."""
    panel = await serve(answering(http(b"first") + http(b"smuggled"), http(b"second")))
    client = pool.client(host(panel))
    assert (await client.request(Operation.COUNT)).body == b"first"
    assert (await client.request(Operation.LIST)).body == b"second"

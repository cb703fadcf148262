"""How a request to a receiver fails: by a webhook, for what it replies does not matter."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import uvloop

from exporter.alerting.apprise import AppriseReceiver
from exporter.alerting.webhook import Webhook
from exporter.alertmanager.alert import Notification
from exporter.alertmanager.client import AlertmanagerClient
from exporter.config.alerting import AppriseConfig
from exporter.http.errors import DeliveryError
from tests.alerting.values import alert, alertmanager_config, webhook_config
from tests.fixtures.receiver import Conversation, Misbehave, Receive
from tests.panel.pki import Pki

NOTIFICATION = Notification("MailQueueFrozen", (alert(),))
SOON = 0.5
"""Seconds that a request may take where it shall take too long."""

NewWebhook = Callable[..., Webhook]


@pytest.fixture
async def webhook() -> AsyncIterator[NewWebhook]:
    made: list[Webhook] = []

    def new(url: str, *, seconds: float = 10, **keys: Any) -> Webhook:
        made.append(Webhook(webhook_config(url, **keys), timeout=seconds))
        return made[-1]

    yield new
    for one in made:
        await one.close()


async def fault(hook: Webhook) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await hook.send(NOTIFICATION)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_success_is_one(receive: Receive, webhook: NewWebhook, status: int) -> None:
    receiver = await receive()
    receiver.answer_with(status)
    await webhook(receiver.url).send(NOTIFICATION)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("status", "reason", "retryable", "message"),
    [
        (400, "http_status", False, "refused the request (HTTP 400). See its log."),
        (401, "http_401", False, "wants a login (HTTP 401). Set basic_auth or bearer_token."),
        (403, "http_403", False, "does not let this machine or login in (HTTP 403). Check"),
        (404, "http_status", False, "has nothing at this path (HTTP 404). Check the receiver's"),
        (408, "http_status", True, "failed (HTTP 408)"),
        (413, "http_status", False, "takes no request of this size (HTTP 413)"),
        (429, "http_status", True, "is asked too often (HTTP 429)"),
        (500, "http_status", True, "failed (HTTP 500)"),
        (503, "http_status", True, "failed (HTTP 503)"),
        (599, "http_status", True, "failed (HTTP 599)"),
        (301, "http_status", False, "redirects, which is not followed (HTTP 301)"),
        (304, "http_status", False, "redirects, which is not followed (HTTP 304)"),
    ],
)
async def test_what_a_status_means(
    receive: Receive,
    webhook: NewWebhook,
    status: int,
    reason: str,
    retryable: bool,
    message: str,
) -> None:
    receiver = await receive()
    receiver.answer_with(status, "", Location=f"{receiver.url}/elsewhere")
    error = await fault(webhook(receiver.url))
    assert (error.reason, error.retryable) == (reason, retryable)
    assert str(error).startswith(f"The receiver ops {message}")
    assert len(receiver.requests) == 1  # nothing is followed or tried again


@pytest.mark.parametrize(
    "login",
    [{"bearer_token": "t0ken"}, {"basic_auth": {"username": "ops", "password": "wrong"}}],
)
async def test_a_login_that_is_refused(
    receive: Receive, webhook: NewWebhook, login: dict[str, Any]
) -> None:
    receiver = await receive()
    receiver.answer_with(401)
    error = await fault(webhook(receiver.url, **login))
    assert "refused the user, password or token (HTTP 401)" in str(error)


def saying(*pieces: bytes, then: str = "close") -> Conversation:
    """Answer a request with these bytes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
        await writer.drain()
        while then == "flood":
            writer.write(b"x" * 2**16)
            await writer.drain()
        if then == "hang":
            await reader.read()  # until the other side has enough

    return talk


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("talk", "reason", "retryable", "message"),
    [
        (saying(), "connect", True, "closed the connection without an answer"),
        (saying(b"220 mx1 ESMTP\r\n"), "unexpected", False, "something that is not HTTP"),
        (saying(b"\x15\x03\x01\x00\x02\x02\x46"), "unexpected", False, "that is not HTTP"),
        (saying(b"HTTP/1.1 2"), "connect", True, "closed the connection without an answer"),
        (
            saying(OK + b"X: " + b"x" * 100_000 + b"\r\n\r\n"),
            "too_large",
            False,
            "headers that are too large",
        ),
        (saying(then="hang"), "timeout", True, "did not answer in full within 0.5s"),
        (saying(OK, then="hang"), "timeout", True, "did not answer in full within 0.5s"),
        (saying(OK + b"\r\n", then="close"), "", True, ""),
        # It was taken; what is said of it does not matter.
        (saying(OK + b"Content-Length: 9\r\n\r\nx", then="close"), "", True, ""),
        (saying(OK + b"Content-Length: 9\r\n\r\nx", then="hang"), "", True, ""),
        (
            saying(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
            "unexpected",
            False,
            "that is not HTTP",
        ),
        (saying(OK + b"Content-Encoding: gzip\r\n\r\nxxxx"), "", True, ""),
        (saying(OK + b"\r\n", then="flood"), "", True, ""),
        (
            saying(b"HTTP/1.1 500 No\r\n\r\n", then="flood"),
            "http_status",
            True,
            "failed (HTTP 500)",
        ),
    ],
)
async def test_odd_answers(
    misbehave: Misbehave,
    webhook: NewWebhook,
    talk: Conversation,
    reason: str,
    retryable: bool,
    message: str,
) -> None:
    hook = webhook(await misbehave(talk), seconds=SOON)
    began = time.monotonic()
    if reason:
        error = await fault(hook)
        assert (error.reason, error.retryable) == (reason, retryable)
        assert message in str(error)
    else:
        await hook.send(NOTIFICATION)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_peer_that_speaks_first(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """The bytes may be here before the request is written, which then fails by itself."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx1 ESMTP\r\n")
        await reader.read()
        writer.close()

    async def send() -> DeliveryError:
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        hook = Webhook(
            webhook_config(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"), timeout=10
        )
        try:
            return await fault(hook)
        finally:
            await hook.close()
            server.close()
            await server.wait_closed()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        error = runner.run(send())
    assert (error.reason, error.retryable) == ("unexpected", False)
    assert "something that is not HTTP" in str(error)


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        (saying(OK + b"Content-Length: 9\r\n\r\n[", then="close"), "connect"),
        (saying(OK + b"Content-Length: 9\r\n\r\n[", then="hang"), "timeout"),
        (saying(OK + b"\r\n[", then="flood"), "too_large"),
        (saying(OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b", then="close"), "not_json"),
    ],
)
async def test_a_question_is_answered_in_full_or_not_at_all(
    misbehave: Misbehave, talk: Conversation, reason: str
) -> None:
    seconds = SOON if reason == "timeout" else 10
    client = AlertmanagerClient(alertmanager_config(await misbehave(talk)), timeout=seconds)
    with pytest.raises(DeliveryError) as caught:
        await client.silenced("mx1", {})
    await client.close()
    assert caught.value.reason == reason


async def test_nobody_listens(dead_url: str, webhook: NewWebhook) -> None:
    error = await fault(webhook(dead_url))
    assert (error.reason, error.retryable) == ("connect", True)
    assert str(error) == (
        "The receiver ops refuses connections. Check that it runs, and the port in its url."
    )


async def test_a_name_that_does_not_exist(webhook: NewWebhook) -> None:
    error = await fault(webhook("http://s3cret.invalid/"))
    assert (error.reason, error.retryable) == ("dns", True)
    assert "s3cret" not in str(error)


async def test_one_that_does_not_take_connections(webhook: NewWebhook) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # Once the backlog is full, the kernel drops further attempts.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        port = listener.getsockname()[1]
        # A tenth of it is left after connecting: on a busy machine the event loop may be late by
        # more than a tenth of SOON, and then the whole request has timed out, too.
        error = await fault(webhook(f"http://127.0.0.1:{port}", seconds=6 * SOON))
    assert (error.reason, error.retryable) == ("connect", True)
    assert "was not connected to within 2.7s" in str(error)


async def test_its_certificate_must_be_trusted(
    receive: Receive, webhook: NewWebhook, tmp_path: Path
) -> None:
    pki = Pki(tmp_path)
    ca = {"ca_file": str(pki.ca_file)}
    good = await receive(tls=pki.server())
    await webhook(good.url, tls=ca).send(NOTIFICATION)
    await webhook(good.url, tls={"insecure_skip_verify": True}).send(NOTIFICATION)
    causes = {
        "self-signed or of an authority": (good, {}),
        "has expired": (await receive(tls=pki.expired_server()), ca),
        "is not valid yet": (await receive(tls=pki.future_server()), ca),
        "is for another address": (await receive(tls=pki.server("mx1.example.com")), ca),
    }
    for cause, (receiver, tls) in causes.items():
        error = await fault(webhook(receiver.url, tls=tls))
        assert (error.reason, error.retryable) == ("tls", False)
        assert f"a certificate that {cause}" in str(error) or cause in str(error)
    named = causes["is for another address"][0].url.replace("127.0.0.1", "localhost")
    assert "is for another name" in str(await fault(webhook(named, tls=ca)))
    assert len(good.requests) == 2


async def test_a_pin_decides_alone_and_before_anything_is_sent(
    receive: Receive, webhook: NewWebhook, tmp_path: Path
) -> None:
    context, pin = Pki(tmp_path).self_signed_server()
    receiver = await receive(tls=context)
    await webhook(receiver.url, tls={"fingerprint_sha256": pin}).send(NOTIFICATION)
    other = "0" * 64
    error = await fault(webhook(receiver.url, tls={"fingerprint_sha256": other}))
    assert (error.reason, error.retryable) == ("tls_pin", False)
    assert pin in str(error)
    assert len(receiver.requests) == 1


async def test_the_authorities_are_read_anew(
    receive: Receive, webhook: NewWebhook, tmp_path: Path
) -> None:
    pki = Pki(tmp_path)
    receiver = await receive(tls=pki.server())
    ca_file = tmp_path / "receiver.pem"
    ca_file.write_bytes(pki.stranger_file.read_bytes())
    hook = webhook(receiver.url, tls={"ca_file": str(ca_file)})
    assert (await fault(hook)).reason == "tls"
    ca_file.write_bytes(pki.ca_file.read_bytes())
    await hook.send(NOTIFICATION)
    ca_file.unlink()
    error = await fault(hook)
    assert error.reason == "tls"
    assert f"cannot be used: {ca_file}: No such file" in str(error)


async def test_plain_http_where_tls_is_wanted_and_the_reverse(
    receive: Receive, webhook: NewWebhook, tmp_path: Path
) -> None:
    plain = await receive()
    error = await fault(webhook(plain.url.replace("http:", "https:")))
    assert (error.reason, error.retryable) == ("tls", False)
    assert "could not agree on TLS" in str(error)
    encrypted = await receive(tls=Pki(tmp_path).server())
    error = await fault(webhook(encrypted.url.replace("https:", "http:")))
    assert error.reason in {"connect", "unexpected"}


async def test_a_token_that_no_header_can_hold(receive: Receive, webhook: NewWebhook) -> None:
    receiver = await receive()
    for token in ("two\r\nX: lines", "пароль"):
        error = await fault(webhook(receiver.url, bearer_token=token))
        assert (error.reason, error.retryable) == ("http_401", False)
        assert token not in str(error)
    assert receiver.requests == []


SECRET = "S3CRET"


async def raised(send: Callable[[], Any]) -> BaseException:
    try:
        await send()
    except DeliveryError as error:
        return error
    raise AssertionError("it was taken")


async def test_secrets_are_in_no_text(
    receive: Receive,
    misbehave: Misbehave,
    dead_url: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither URLs nor logins nor what is sent, nor what is answered."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    sent = Notification("MailQueueFrozen", (alert(annotations={"summary": SECRET}),))
    echoing = await receive()
    echoing.answer = lambda request: _echo(request.path)
    urls = [
        echoing.url,
        dead_url,
        dead_url.replace("http:", "https:"),
        echoing.url.replace("http:", "https:"),
        "http://s3cret.invalid",
        await misbehave(saying(b"HTTP/1.1 S3CRET\r\n\r\n")),
        await misbehave(saying(OK + b"S3CRET\r\n\r\n")),
        await misbehave(saying(then="hang")),
    ]
    logins: list[dict[str, Any]] = [
        {"bearer_token": SECRET},
        {"basic_auth": {"username": "ops", "password": SECRET}},
    ]
    texts: list[str] = []
    for url, login in [*((echoing.url, one) for one in logins), *zip(urls, cycle(logins))]:
        hook = Webhook(webhook_config(f"{url}/{SECRET}?t={SECRET}", **login), timeout=SOON)
        client = AlertmanagerClient(alertmanager_config(f"{url}/x", **login), timeout=SOON)
        for send in (
            lambda hook=hook: hook.send(sent),
            lambda client=client: client.send(sent.alerts, ends_at=time.time()),
            lambda client=client: client.silenced("mx1", {}),
        ):
            error = await raised(send)
            texts += [str(error), repr(error), "".join(traceback.format_exception(error))]
        texts += [repr(hook), str(hook), repr(client)]
        await hook.close()
        await client.close()
    for address in (f"json://127.0.0.1:1/{SECRET}", f"nonsense://{SECRET}"):
        config = AppriseConfig.model_validate({"name": "chat", "url": address})
        receiver = AppriseReceiver(config)
        error = await raised(lambda receiver=receiver: receiver.send(sent))  # type: ignore[misc]
        texts += [
            str(error),
            repr(error),
            "".join(traceback.format_exception(error)),
            repr(receiver),
        ]
    gc.collect()
    await asyncio.sleep(0)  # the loop reports what went wrong in callbacks
    output = capfd.readouterr()
    texts += [output.out, output.err]
    # Debug mode names what the tests' own servers do; nobody runs the daemon so.
    texts += [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG]
    assert len(texts) > 100
    assert [text for text in texts if SECRET in text or "s3cret" in text] == []


def _echo(path: str) -> Any:
    from aiohttp import web

    return web.Response(status=400, reason=SECRET, text=f"{path} {SECRET}")

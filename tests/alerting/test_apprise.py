from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from exporter.alerting import apprise_child as child
from exporter.alerting.apprise import AppriseReceiver, mistake_in
from exporter.alerting.delivery import Receiver
from exporter.alertmanager.alert import Notification
from exporter.config.alerting import AppriseConfig
from exporter.http.errors import DeliveryError
from tests.alerting.values import alert
from tests.fixtures.receiver import PATIENCE, Misbehave, Receive


def config(url: str) -> AppriseConfig:
    return AppriseConfig.model_validate({"name": "chat", "url": url})


def json_url(url: str, path: str = "/S3CRET") -> str:
    """Apprise's json:// for a loopback receiver."""
    return url.replace("http://", "json://") + path


FIRING = Notification("MailQueueFrozen", (alert(), alert("mx2", resolved=True)))


async def test_a_notification_is_sent(receive: Receive) -> None:
    receiver = await receive()
    one: Receiver = AppriseReceiver(config(json_url(receiver.url)))
    await one.send(FIRING)  # the receiver is in this loop, which so must have gone on
    request = await receiver.next()
    assert request.path == "/S3CRET"
    assert request.json["title"] == "[FIRING:1] MailQueueFrozen: mx1"
    assert request.json["message"].startswith("mx1: 240 frozen messages (warning)\nhttp://")
    assert request.json["message"].endswith("mx2: 240 frozen messages")
    assert request.json["type"] == "warning"
    assert len(receiver.requests) == 1
    assert one.name == "chat"
    await one.close()


@pytest.mark.parametrize(
    ("keys", "kind"),
    [({"labels": {"severity": "critical"}}, "failure"), ({"resolved": True}, "success")],
)
async def test_the_type_is_how_bad_it_is(receive: Receive, keys: dict[str, Any], kind: str) -> None:
    receiver = await receive()
    one = AppriseReceiver(config(json_url(receiver.url)))
    await one.send(Notification("MailQueueFrozen", (alert(**keys),)))
    assert (await receiver.next()).json["type"] == kind


async def refused(url: str, seconds: float = PATIENCE) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await AppriseReceiver(config(url), timeout=seconds).send(FIRING)
    return caught.value


async def test_what_is_not_accepted_may_be_sent_again(receive: Receive, dead_url: str) -> None:
    receiver = await receive()
    receiver.answer_with(500, "S3CRET")
    for url in (receiver.url, dead_url):
        error = await refused(json_url(url))
        assert (error.reason, error.retryable) == ("failed", True)
        assert str(error) == (
            "The receiver chat was not told: Apprise reports a failure. "
            "Check its URL and that its service can be reached from here."
        )
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("url", ["nonsense://S3CRET/x", "S3CRET", "https://", "tgram://S3CRET"])
async def test_a_url_that_apprise_does_not_know_is_a_mistake(url: str) -> None:
    error = await refused(url)
    assert (error.reason, error.retryable) == ("failed", False)
    assert "has a URL that Apprise does not know" in str(error)
    assert "S3CRET" not in str(error)
    mistake = mistake_in(config(url))
    assert mistake.startswith("has a URL that Apprise does not know: look it up in ")
    assert "S3CRET" not in mistake


async def test_one_receiver_is_one_url(receive: Receive) -> None:
    receiver = await receive()
    url = f"{json_url(receiver.url)}, {json_url(receiver.url, '/other')}"
    error = await refused(url)
    assert "has several URLs" in str(error)
    assert not error.retryable
    assert receiver.requests == []
    assert "has several URLs" in mistake_in(config(url))


async def test_a_good_url_is_no_mistake_and_gets_no_notification(receive: Receive) -> None:
    receiver = await receive()
    assert mistake_in(config(json_url(receiver.url))) == ""
    assert receiver.requests == []


async def test_the_extra_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receive: Receive
) -> None:
    receiver = await receive()
    (tmp_path / "apprise.py").write_text("raise ImportError('no module named apprise')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    error = await refused(json_url(receiver.url))
    assert str(error) == (
        "The receiver chat needs Apprise, which is not installed. "
        "Run: pip install 'brainycp-exporter[apprise]'."
    )
    assert not error.retryable
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert mistake_in(config(json_url(receiver.url))) == (
        "needs Apprise, which is not installed: run: pip install 'brainycp-exporter[apprise]'"
    )


def children() -> set[int]:
    """The processes that this one has started and not yet seen end."""
    listing = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return {int(pid) for pid in listing.split()}


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never ends, and never is silent long enough for a socket's own timeout."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def test_one_that_hangs_is_given_up_and_leaves_nothing_behind(misbehave: Misbehave) -> None:
    before = children()
    url = await misbehave(drip)
    began = time.monotonic()
    error = await refused(json_url(url), seconds=2)
    assert time.monotonic() - began < 10
    assert (error.reason, error.retryable) == ("timeout", True)
    assert str(error) == (
        "The receiver chat was not told within 2s. "
        "Its service hangs or cannot be reached from here."
    )
    assert children() <= before


async def test_one_that_hangs_ends_with_the_call_that_is_cancelled(misbehave: Misbehave) -> None:
    connected = asyncio.Event()
    before = children()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await drip(reader, writer)

    one = AppriseReceiver(config(json_url(await misbehave(hang))))
    call = asyncio.create_task(one.send(FIRING))
    async with asyncio.timeout(PATIENCE):
        await connected.wait()
    assert children() > before
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert children() <= before


@pytest.mark.parametrize(
    "order", [b"", b"not json", b"[]", b'{"url": 1}', b'{"url": "json://127.0.0.1", "body": 1}']
)
def test_the_child_says_nothing_whatever_happens(order: bytes) -> None:
    ended = subprocess.run(
        [sys.executable, "-P", child.__file__], input=order, capture_output=True, check=False
    )
    assert ended.returncode in {child.FAILED, child.UNKNOWN_URL}
    assert (ended.stdout, ended.stderr) == (b"", b"")


async def test_the_child_says_nothing_of_the_url(
    receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = await receive()
    answers: list[Callable[[], web.Response]] = [
        lambda: web.Response(text="S3CRET"),
        lambda: web.Response(status=403, text="S3CRET"),
    ]
    for make in answers:
        receiver.answer = lambda _, make=make: make()  # type: ignore[misc]
        order = {"url": json_url(receiver.url), "title": "t", "body": "b", "type": "info"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", child.__file__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        said = await process.communicate(json.dumps(order).encode())
        assert said == (b"", b"")
    assert len(receiver.requests) == 2


def test_apprise_is_not_loaded_into_the_daemon() -> None:
    code = "import sys, exporter.alerting.apprise; sys.exit('apprise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

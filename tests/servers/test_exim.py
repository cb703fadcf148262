from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from exporter.standin.console import EXIM_NO_IDS, exim_absent, exim_listing
from exporter.standin.queue import QueuedMessage
from exporter.standin.roles import demo_roles
from exporter.standin.traffic import BUSY, GROWING, STORM, Profile
from tests.fixtures.standin import NewEximQueue, ServePanel, held
from tests.servers import exim, spool
from tests.servers.exim import (
    CommandTimeoutError,
    EximBackend,
    EximError,
    EximMissingError,
    EximQueue,
    Submission,
    run,
)

MINUTE, HOUR, DAY = 60, 3600, 86400


def exim4(queue: EximQueue, *arguments: str) -> str:
    program = shutil.which("exim4", path="/usr/sbin:/usr/bin")
    assert program, "exim4 is not installed: apt install exim4-daemon-light"
    command = [program, "-C", str(queue.config), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def spooled(queue: EximQueue, serial: int, age: float = 0, **changes: object) -> QueuedMessage:
    values: dict[str, object] = {
        "id": queue.new_id(age, serial),
        "age": age,
        "size": 1000,
        "sender": "s@shop.example",
        "recipients": ("a@ok.test", "b@mail.example"),
    }
    return QueuedMessage(**(values | changes))  # type: ignore[arg-type]  # by name, as given


def removed(message_id: str) -> str:
    return f"Message {message_id} has been removed\n"


async def test_spool_files_are_shown_by_exim_as_they_were_meant(exim_queue: NewEximQueue) -> None:
    queue = await exim_queue()
    ages = [30, 59 * MINUTE, 91 * MINUTE, 25 * HOUR, 80 * HOUR, 40 * DAY]
    written = [
        *(spooled(queue, n, age + 0.5) for n, age in enumerate(ages)),
        spooled(queue, 10, HOUR, sender="", frozen=True),
        spooled(queue, 11, HOUR, delivered=("a@ok.test",)),
        spooled(queue, 12, 2 * HOUR, size=4 * 1024 * 1024),
        spooled(queue, 13, 2 * HOUR, size=15_000),
        spooled(queue, 14, 3 * HOUR, sender='"x> *** frozen ***"@shop.example'),
        spooled(queue, 15, 3 * HOUR, sender="почта@пример.example"),
        spooled(
            queue,
            16,
            4 * HOUR,
            recipients=tuple(f"{c}@mail.example" for c in "abcdefg"),
            delivered=tuple(f"{c}@mail.example" for c in "bdefg"),
        ),
    ]
    queue.put(written)

    console = await queue.console()
    messages = await queue.messages()

    assert console == exim4(queue, "-bp") == exim_listing(messages)
    assert console.count(" *** frozen ***\n") == 1  # the quoted sender only looks like it
    assert await queue.count() == int(exim4(queue, "-bpc")) == len(written)
    by_id = {message.id: message for message in messages}
    for message in written:
        shown = by_id[message.id]
        assert shown.age == pytest.approx(message.age, abs=5)
        for field in ("size", "sender", "recipients", "delivered", "frozen"):
            assert getattr(shown, field) == getattr(message, field)


async def test_injected_messages(exim_queue: NewEximQueue) -> None:
    queue = await exim_queue()
    bounce, list_mail = await queue.inject(
        [
            Submission("", ("postmaster@mail.example",)),
            Submission("list@news.test", ("a@mail.example", "b@club.test"), size=5000),
        ]
    )
    assert await queue.freeze(bounce) == f"Message {bounce} is now frozen\n"
    await queue.mark_delivered(list_mail, "b@club.test")

    first, second = await queue.messages()

    assert (first.id, first.sender, first.frozen) == (bounce, "", True)
    assert (second.recipients, second.delivered) == (
        ("a@mail.example", "b@club.test"),
        ("b@club.test",),
    )
    assert 5000 < second.size < 6000
    assert await queue.console() == exim_listing([first, second])
    assert await queue.thaw(bounce) == f"Message {bounce} is no longer frozen\n"
    assert not any(message.frozen for message in await queue.messages())


async def test_deletes_one(exim_queue: NewEximQueue) -> None:
    queue = await exim_queue()
    first, second = await queue.inject([Submission("s@a.test", ("r@b.test",))] * 2)
    assert await queue.delete(first) == removed(first)
    assert await queue.delete(first) == exim_absent(first)
    assert await queue.delete("foo") == "exim: malformed message id foo after -Mrm option\n"
    with held(queue, second):
        assert await queue.delete(second) == f"Message {second} is locked\n"
        assert await queue.retry(second) == ""
        assert await queue.count() == 1


async def test_retry_delivers_what_can_be_delivered_and_is_silent(
    exim_queue: NewEximQueue,
) -> None:
    queue = await exim_queue()
    good, bad = await queue.inject(
        [Submission("s@a.test", ("r@ok.test",)), Submission("s@a.test", ("r@b.test",))]
    )
    await queue.freeze(bad)
    assert await queue.retry(good) == await queue.retry(bad) == ""
    (left,) = await queue.messages()
    assert (left.id, left.frozen) == (bad, False)


async def test_deletes_frozen(exim_queue: NewEximQueue) -> None:
    queue = await exim_queue()
    queue.put([spooled(queue, n, HOUR, frozen=n % 2 == 0) for n in range(8)])
    gone = [m.id for m in await queue.messages() if m.frozen]
    text = await queue.delete_frozen()
    assert sorted(text.splitlines(keepends=True)) == sorted(removed(i) for i in gone)
    assert await queue.count() == 4
    assert await queue.delete_frozen() == EXIM_NO_IDS


async def test_deletes_all_by_force_also_what_is_locked(exim_queue: NewEximQueue) -> None:
    queue = await exim_queue()
    queue.put([spooled(queue, n) for n in range(1200)])
    (locked, *_) = spool.spooled_ids(queue.input)
    with held(queue, locked):
        text = await queue.delete_all(force=False)
        assert f"Message {locked} is locked\n" in text
        assert await queue.count() == 1
        await queue.delete_all(force=True)
        assert await queue.count() == 0
    assert list(queue.input.iterdir()) == []


async def test_spoilt_files_are_listed_by_exim_alone(exim_queue: NewEximQueue) -> None:
    queue = await exim_queue()
    messages = [spooled(queue, n, HOUR) for n in range(4)]
    queue.put(messages)
    spoilt, cut, bodiless, sound = (message.id for message in messages)
    (queue.input / f"{spoilt}-H").write_text("rubbish\n")
    head = (queue.input / f"{cut}-H").read_bytes()
    (queue.input / f"{cut}-H").write_bytes(head[: head.index(b"-deliver_firsttime")])
    (queue.input / f"{bodiless}-D").unlink()
    assert await queue.count() == 4
    assert "spool format error" in await queue.console()
    assert [message.id for message in await queue.messages()] == [sound]


LIVELY = Profile(60, 3 * DAY, 3, 0.2, 0.6, 3, 600)


@pytest.mark.parametrize("profile", [LIVELY, BUSY, GROWING])
async def test_lives_by_its_profile(exim_queue: NewEximQueue, profile: Profile) -> None:
    queue = await exim_queue(profile)
    assert await queue.count() == profile.initial
    before = {message.id for message in await queue.messages()}

    await queue.step(20)

    messages = await queue.messages()
    now = {message.id for message in messages}
    assert await queue.console() == exim_listing(messages)
    assert now - before
    if profile is not GROWING:
        assert before - now
        assert any(message.delivered for message in messages)
    if profile is LIVELY:
        assert any(m.frozen and m.id not in before for m in messages)


async def test_a_storm_comes_back_after_a_purge(exim_queue: NewEximQueue) -> None:
    queue = await exim_queue(STORM)
    assert await queue.count() == 3000
    assert (await queue.delete_frozen()).count("has been removed") > 2800
    await queue.step(10)
    frozen = [message for message in await queue.messages() if message.frozen]
    assert 20 < len(frozen) <= 50


async def test_a_retry_by_hand_in_a_living_queue(exim_queue: NewEximQueue) -> None:
    queue = await exim_queue(Profile(10, HOUR, 0, 0.5, 1, 600, 600))
    for message in await queue.messages():
        await queue.retry(message.id)
    left = await queue.messages()
    assert left
    assert all(message.sender == "" and message.frozen for message in left)


async def test_a_queue_without_a_profile_stands_still(exim_queue: NewEximQueue) -> None:
    queue = await exim_queue()
    await queue.inject([Submission("s@a.test", ("r@b.test",))])
    await queue.step(1000)
    assert await queue.count() == 1


async def test_tells_when_exim_does_not_take_a_message(exim_queue: NewEximQueue) -> None:
    queue = await exim_queue()
    with pytest.raises(EximError, match="Exim took 0 of 1 messages"):
        await queue.inject([Submission("s@a.test", ("not an address",))])


async def test_a_panel_shows_what_exim_prints(
    exim_queue: NewEximQueue, serve_panel: ServePanel
) -> None:
    import aiohttp

    from exporter.panel.protocol import Operation, request_fields
    from exporter.standin.panel import PanelOptions
    from exporter.standin.replies import ReplyStyle

    queue = await exim_queue()
    queue.put([spooled(queue, 1, HOUR, frozen=True)])
    options = PanelOptions(style=ReplyStyle("console_text", content_type="application/json"))
    server = await serve_panel(queue, options)
    fields = request_fields(Operation.LIST, username="monitor", password="stand-in")
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.url, data=fields) as reply,
    ):
        assert (await reply.json())["detail"] == exim4(queue, "-bp")
    # Exim tells nobody when its queue changes, so that nothing may be kept.
    await queue.delete_all(force=False)
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.url, data=fields) as reply,
    ):
        assert (await reply.json())["error"] == 100


def test_tells_when_exim_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tests.servers.exim.DAEMON_FOLDER", str(tmp_path))
    with pytest.raises(EximMissingError, match="exim4 is not installed"):
        EximQueue(tmp_path)


async def test_tells_when_exim_hangs(
    exim_queue: NewEximQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = await exim_queue()
    monkeypatch.setattr(exim, "COMMAND_TIMEOUT", 0.0)
    with pytest.raises(EximError, match="did not end within 0 s"):
        await queue.count()


WITHOUT_PRIVILEGE = """
import asyncio, concurrent.futures.thread, os, pathlib, sys
from exporter.standin.console import exim_listing
from exporter.standin.traffic import CALM
from tests.servers.exim import EximQueue, Submission

async def main(directory):
    queue = await EximQueue(directory / "queue", profile=CALM).create()
    await queue.inject([Submission("", ("a@b.test",))])
    await queue.step(30)
    assert await queue.console() == exim_listing(await queue.messages())
    assert (await queue.delete_all(force=False)).count("has been removed") > 5
    print("left", await queue.count())

if os.getuid() == 0:
    # Only now, because the interpreter may be where nobody else can read it.
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


@pytest.mark.usefixtures("exim4")
def test_works_without_privilege() -> None:
    # A directory that the other user can reach, unlike the test's own.
    with tempfile.TemporaryDirectory(prefix="standin-") as directory:
        if os.getuid() == 0:
            os.chown(directory, 65534, 65534)
        command = [sys.executable, "-c", WITHOUT_PRIVILEGE, directory]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "left 0\n"), done.stderr


async def test_a_command_and_its_children_end_in_time(tmp_path: Path) -> None:
    marker = tmp_path / "child"
    script = f"(echo $BASHPID; exec sleep 600) > {marker} & wait"
    with pytest.raises(CommandTimeoutError, match=r"bash did not end within 0\.5 s"):
        await run(["bash", "-c", script], timeout=0.5)
    async with asyncio.timeout(5):
        await asyncio.to_thread(_wait_for_the_end_of, int(marker.read_text()))


def _wait_for_the_end_of(process: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(process).wait(5)


async def test_a_commands_output_is_that_of_both_its_channels() -> None:
    assert await run(["sh", "-c", "cat; echo e >&2; exit 3"], stdin=b"in ", timeout=5) == "in e\n"


def test_no_host_of_a_fleet_with_exim_has_postfix() -> None:
    roles = [EximBackend().adapt(role) for role in demo_roles(20)]
    assert not any(role.ids == "postfix" for role in roles)
    assert not any(role.style.shape.startswith("postqueue") for role in roles)

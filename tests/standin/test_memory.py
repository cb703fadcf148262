from __future__ import annotations

from exporter.standin.console import EXIM_NO_IDS, exim_absent, exim_listing
from exporter.standin.memory import MemoryQueue
from exporter.standin.traffic import CALM, EMPTY, STORM, Profile

NOBODY_TAKES = Profile(6, 600, 0, 0.5, 0, 60, 600)


async def ids(queue: MemoryQueue) -> list[str]:
    return [message.id for message in await queue.messages()]


async def test_console_count_and_messages_agree() -> None:
    queue = MemoryQueue(STORM, started=1_700_000_000)
    messages = await queue.messages()
    assert await queue.count() == len(messages) == 3000
    assert await queue.console() == exim_listing(messages)
    ages = [message.age for message in messages]
    assert ages == sorted(ages, reverse=True)


async def test_deletes_as_exim_does() -> None:
    queue = MemoryQueue(CALM, ids="exim_long")
    first, second, *_ = await ids(queue)
    queue.locked.add(second)

    assert await queue.delete(first) == f"Message {first} has been removed\n"
    assert await queue.delete(first) == exim_absent(first)
    assert await queue.delete(second) == f"Message {second} is locked\n"
    assert await queue.delete("foo") == "exim: malformed message id foo after -Mrm option\n"
    assert await queue.count() == 11


async def test_deletes_all_but_the_locked_unless_forced() -> None:
    queue = MemoryQueue(CALM)
    first, *_ = await ids(queue)
    queue.locked.add(first)
    text = await queue.delete_all(force=False)
    assert text.startswith(f"Message {first} is locked\n")
    assert await ids(queue) == [first]
    assert await queue.delete_all(force=True) == f"Message {first} has been removed\n"
    assert await queue.count() == 0


async def test_deletes_frozen() -> None:
    queue = MemoryQueue(NOBODY_TAKES)
    frozen = [m.id for m in await queue.messages() if m.frozen]
    assert frozen
    text = await queue.delete_frozen()
    assert text == "".join(f"Message {i} has been removed\n" for i in frozen)
    assert not any(m.frozen for m in await queue.messages())
    assert await queue.delete_frozen() == EXIM_NO_IDS


async def test_retry_is_silent_and_delivers_what_can_be_delivered() -> None:
    queue = MemoryQueue(Profile(3, 600, 0, 0, 1, 600, 600))
    first, second, _ = await ids(queue)
    queue.locked.add(second)
    assert await queue.retry(first) == ""
    assert await queue.retry(second) == ""
    assert await queue.retry(first) == ""
    assert first not in await ids(queue)
    assert second in await ids(queue)
    assert await queue.retry("foo") == "exim: malformed message id foo after -M option\n"


async def test_revision_follows_time_and_actions() -> None:
    queue = MemoryQueue(CALM)
    seen = {queue.revision}
    assert queue.revision in seen
    await queue.step(1)
    seen.add(queue.revision)
    await queue.delete((await ids(queue))[0])
    seen.add(queue.revision)
    await queue.retry((await ids(queue))[0])
    seen.add(queue.revision)
    assert len(seen) == 4


async def test_a_postfix_queue_speaks_as_postfix() -> None:
    queue = MemoryQueue(CALM, ids="postfix", started=1_700_000_000)
    assert queue.mta == "postfix"
    first, *_ = await ids(queue)
    assert (await queue.console()).startswith("-Queue ID-")
    assert await queue.retry(first) == ""
    deleted = await queue.delete_all(force=False)
    assert deleted.splitlines()[-1].startswith("postsuper: Deleted: ")
    assert await queue.console() == "Mail queue is empty\n"


async def test_an_empty_queue_prints_nothing() -> None:
    queue = MemoryQueue(EMPTY)
    assert (await queue.count(), await queue.console(), await queue.messages()) == (0, "", [])
    assert await queue.delete_all(force=False) == EXIM_NO_IDS

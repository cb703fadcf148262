from __future__ import annotations

import asyncio

import pytest

from exporter.panel.slots import ResizableSemaphore


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_than_the_limit_hold_one_and_the_first_to_wait_is_served_first() -> None:
    slots, order = ResizableSemaphore(2), list[int]()

    async def hold(number: int, until: asyncio.Event) -> None:
        await slots.acquire()
        order.append(number)
        await until.wait()
        slots.release()

    done = [asyncio.Event() for _ in range(5)]
    tasks = [asyncio.create_task(hold(n, done[n])) for n in range(5)]
    await _settle()
    assert (order, slots.in_use) == ([0, 1], 2)
    for n in range(5):
        done[n].set()
        await _settle()
    assert (order, slots.in_use) == ([0, 1, 2, 3, 4], 0)
    await asyncio.gather(*tasks)


async def test_whoever_gives_up_waiting_leaves_the_queue() -> None:
    slots = ResizableSemaphore(1)
    await slots.acquire()
    impatient, patient = (asyncio.create_task(slots.acquire()) for _ in range(2))
    await _settle()
    impatient.cancel()
    await _settle()
    slots.release()
    await patient
    assert slots.in_use == 1


async def test_a_slot_handed_over_to_someone_who_is_cancelled_goes_to_the_next() -> None:
    slots = ResizableSemaphore(1)
    await slots.acquire()
    cancelled, next_one = (asyncio.create_task(slots.acquire()) for _ in range(2))
    await _settle()
    slots.release()
    cancelled.cancel()  # before it could run
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await next_one
    slots.release()
    assert slots.in_use == 0


async def test_all_that_wait_can_be_cancelled_at_once() -> None:
    slots = ResizableSemaphore(1)
    await slots.acquire()
    waiting = [asyncio.create_task(slots.acquire()) for _ in range(10)]
    await _settle()
    for task in waiting:
        task.cancel()
    slots.release()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert slots.in_use == 0


async def test_a_higher_limit_lets_more_in_at_once() -> None:
    slots = ResizableSemaphore(1)
    await slots.acquire()
    waiting = [asyncio.create_task(slots.acquire()) for _ in range(3)]
    await _settle()
    slots.resize(3)
    await _settle()
    assert [task.done() for task in waiting] == [True, True, False]
    slots.release()
    await waiting[2]


async def test_a_lower_limit_holds_once_enough_have_ended() -> None:
    slots = ResizableSemaphore(2)
    await slots.acquire()
    await slots.acquire()
    slots.resize(1)
    late = asyncio.create_task(slots.acquire())
    slots.release()
    await _settle()
    assert not late.done()
    slots.release()
    await late
    assert slots.in_use == 1

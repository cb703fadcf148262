from __future__ import annotations

import asyncio
import random

import pytest

from exporter.panel.budget import FREE, Budget, Held
from exporter.panel.slots import SharedSlots

MIB = 2**20


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def grown(held: Held, more: int) -> None:
    if not held.fits(more):
        await held.grow(more)


async def test_what_is_short_never_waits() -> None:
    budget = Budget(MIB)
    large = Held(budget)
    await grown(large, 100 * MIB)
    waiting = asyncio.ensure_future(grown(Held(budget), MIB))
    await settle()
    assert not waiting.done()
    small = Held(budget)
    assert small.fits(FREE)
    assert not small.fits(1)
    large.release()
    await waiting


async def test_a_reply_larger_than_the_budget_passes_alone() -> None:
    budget = Budget(MIB)
    for _ in range(2):
        held = Held(budget)
        await grown(held, 50 * MIB)
        await grown(held, 50 * MIB)
        assert budget.in_use == 100 * MIB - FREE
        held.release()
        held.release()
    assert budget.in_use == 0


async def test_replies_that_grow_against_each_other_all_end() -> None:
    """Each holds a part and wants more than there is: the first goes on, then the next."""
    budget = Budget(4 * MIB)
    ended: list[int] = []

    async def read(number: int) -> None:
        held = Held(budget)
        try:
            for _ in range(48):
                await grown(held, MIB // 16)
                await asyncio.sleep(0)
            ended.append(number)
        finally:
            held.release()

    async with asyncio.timeout(10):
        await asyncio.gather(*(read(n) for n in range(20)))
    assert sorted(ended) == list(range(20))
    assert budget.in_use == 0
    assert budget.peak <= (4 + 3) * MIB


async def test_a_list_that_was_long_waits_before_it_is_asked() -> None:
    budget = Budget(10 * MIB)
    first, second, third = (Held(budget) for _ in range(3))
    await budget.reserve(first, 8 * MIB)
    waiting = asyncio.ensure_future(budget.reserve(second, 8 * MIB))
    await settle()
    assert not waiting.done()
    await budget.reserve(third, FREE)
    assert third.size == 0, "a short one is asked at once"
    assert first.fits(MIB)
    first.settle()
    await waiting
    assert budget.in_use == MIB - FREE + 8 * MIB - FREE


async def test_a_request_that_gives_up_waiting_keeps_nothing() -> None:
    budget = Budget(MIB)
    first, second, third = (Held(budget) for _ in range(3))
    await grown(first, 2 * MIB)
    gone = asyncio.ensure_future(grown(second, MIB))
    stays = asyncio.ensure_future(grown(third, MIB))
    await settle()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    second.release()
    first.release()
    await stays
    third.release()
    assert budget.in_use == 0


async def test_a_larger_budget_lets_more_in_at_once() -> None:
    budget = Budget(MIB)
    first = Held(budget)
    await grown(first, MIB)
    waiting = asyncio.ensure_future(grown(Held(budget), 2 * MIB))
    await settle()
    assert not waiting.done()
    budget.resize(4 * MIB)
    await waiting


@pytest.mark.parametrize("seed", range(5))
async def test_any_course_ends_within_the_bound(seed: int) -> None:
    choose = random.Random(seed)
    budget, most = Budget(8 * MIB), 3 * MIB
    last = 0

    async def read() -> None:
        held, left = Held(budget), choose.randrange(1, most)
        try:
            async with asyncio.timeout(choose.choice((0.01, 30))):
                await budget.reserve(held, choose.choice((0, left, most)))
                while left > 0:
                    step = min(left, choose.randrange(1, MIB))
                    await grown(held, step)
                    left -= step
                    await asyncio.sleep(choose.random() * 0.001)
                held.settle()
                await asyncio.sleep(0.001)
        except TimeoutError:
            pass
        finally:
            held.release()

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for _ in range(200):
            tasks.create_task(read())
            last += 1
            if last % 20 == 0:
                await asyncio.sleep(0.005)
    assert budget.in_use == 0
    assert 8 * MIB - MIB < budget.peak <= 8 * MIB + most
    assert budget.take(Held(budget), 1)
    assert budget.take(Held(budget), 1), "where one is held, a second one has room if none waits"


@pytest.mark.parametrize("begun", [True, False])
async def test_room_that_is_reserved_for_what_waits_for_its_place_holds_up_no_reply(
    begun: bool,
) -> None:
    """Places end with the files that may be open, and those that have them wait for room."""
    budget, slots = Budget(2 * MIB), SharedSlots(8, young=0.01, files=6)
    comes, order = asyncio.Event(), list[str]()

    async def list_(name: str, size: int, *, known: bool = False) -> None:
        held = Held(budget)
        if known:
            await budget.reserve(held, size)
        place = await slots.acquire()
        budget.take_off(held)
        try:
            if begun and not known:
                await grown(held, FREE + 1)
            if not known:
                await comes.wait()
            for _ in range(size // (MIB // 4)):
                await grown(held, MIB // 4)
                await asyncio.sleep(0)
            order.append(name)
        finally:
            held.release()
            slots.release(place)

    tasks = []
    for number in range(6):
        tasks.append(asyncio.create_task(list_(f"new {number}", 2 * MIB)))
        await asyncio.sleep(0.02)
    tasks.append(asyncio.create_task(list_("known", 7 * MIB // 4, known=True)))
    await asyncio.sleep(0.02)
    assert slots.in_use == 6
    comes.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)
    assert len(order) == 7
    assert (budget.in_use, slots.in_use) == (0, 0)
    assert budget.peak <= 2 * MIB + 2 * MIB
    slots.close()

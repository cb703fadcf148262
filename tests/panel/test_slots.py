from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from exporter.panel.slots import Place, ResizableSemaphore, SharedSlots, requests_by_files

YOUNG = 0.02


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# --- of one panel -------------------------------------------------------------------------------


async def test_no_more_than_the_limit_hold_one_and_the_first_to_wait_is_served_first() -> None:
    slots, order = ResizableSemaphore(2), list[int]()

    async def hold(number: int, until: asyncio.Event) -> None:
        await slots.acquire()
        order.append(number)
        await until.wait()
        slots.release()

    done = [asyncio.Event() for _ in range(5)]
    tasks = [asyncio.create_task(hold(n, done[n])) for n in range(5)]
    await settle()
    assert (order, slots.in_use) == ([0, 1], 2)
    for n in range(5):
        done[n].set()
        await settle()
    assert (order, slots.in_use) == ([0, 1, 2, 3, 4], 0)
    await asyncio.gather(*tasks)


async def test_a_waiter_that_gives_up_leaves_the_queue() -> None:
    slots = ResizableSemaphore(1)
    await slots.acquire()
    impatient, patient = (asyncio.create_task(slots.acquire()) for _ in range(2))
    await settle()
    impatient.cancel()
    await settle()
    slots.release()
    await patient
    assert slots.in_use == 1


async def test_a_slot_handed_over_to_a_waiter_that_is_cancelled_goes_to_the_next() -> None:
    slots = ResizableSemaphore(1)
    await slots.acquire()
    cancelled, next_one = (asyncio.create_task(slots.acquire()) for _ in range(2))
    await settle()
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
    await settle()
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
    await settle()
    slots.resize(3)
    await settle()
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
    await settle()
    assert not late.done()
    slots.release()
    await late
    assert slots.in_use == 1


# --- of all panels ------------------------------------------------------------------------------


def in_flight(slots: SharedSlots, *, silent: bool = False) -> asyncio.Task[Place]:
    return asyncio.ensure_future(slots.acquire(silent=silent))


async def test_first_come_first_served_up_to_the_limit() -> None:
    slots, order = SharedSlots(2), list[int]()

    async def hold(number: int, until: asyncio.Event) -> None:
        place = await slots.acquire()
        order.append(number)
        await until.wait()
        slots.release(place)

    done = [asyncio.Event() for _ in range(5)]
    tasks = [asyncio.create_task(hold(n, done[n])) for n in range(5)]
    await settle()
    assert (order, slots.in_use) == ([0, 1], 2)
    for n in range(5):
        done[n].set()
        await settle()
    assert (order, slots.in_use) == ([0, 1, 2, 3, 4], 0)
    await asyncio.gather(*tasks)
    slots.close()


async def test_what_has_been_silent_for_long_makes_room_for_what_waits() -> None:
    slots = SharedSlots(2, young=YOUNG)
    silent = [await slots.acquire() for _ in range(2)]
    waiting = [in_flight(slots) for _ in range(2)]
    await settle()
    assert not any(task.done() for task in waiting), "at first nothing is known of them"
    places = await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert slots.in_use == 4
    for place in (*silent, *places):
        slots.release(place)
    assert slots.in_use == 0
    slots.close()


async def test_what_takes_long_is_within_the_limit_as_long_as_nothing_waits() -> None:
    slots = SharedSlots(2, young=YOUNG)
    old = await slots.acquire()
    await asyncio.sleep(2 * YOUNG)
    slots.release(old)
    assert [slots.in_use, slots.limit] == [0, 2]
    slots.close()


async def test_the_silent_have_a_small_share_and_take_nothing_from_the_others() -> None:
    slots = SharedSlots(8, young=YOUNG)
    dead = [in_flight(slots, silent=True) for _ in range(10)]
    await settle()
    assert sum(task.done() for task in dead) == 2, "one for each four of the others"
    live = [in_flight(slots) for _ in range(8)]
    await settle()
    assert all(task.done() for task in live)
    assert slots.in_use == 10
    for task in dead:
        if task.done():
            slots.release(task.result())
    await settle()
    assert sum(task.done() for task in dead) == 4
    for task in dead:
        task.cancel()
    await asyncio.gather(*dead, return_exceptions=True)
    slots.close()


async def test_where_files_are_few_the_oldest_give_way_and_actions_do_not() -> None:
    slots = SharedSlots(3, young=YOUNG, files=4)
    assert slots.limit == 3
    ended: list[str] = []
    places = {name: await slots.acquire() for name in ("action", "first", "second")}
    for name in ("first", "second"):
        places[name].give_way = lambda name=name: ended.append(name)
    held = [await asyncio.wait_for(slots.acquire(), 5)]  # four files: there is one left
    waiting = in_flight(slots)
    await asyncio.sleep(3 * YOUNG)
    assert ended == ["first"]
    assert not waiting.done(), "its file is free only when it has ended"
    slots.release(places["first"])
    held.append(await waiting)
    assert slots.in_use == 4
    assert "second" not in ended, "nothing ends that need not"
    slots.close()


async def test_both_shares_fit_into_the_files() -> None:
    for files in range(2, 200):
        slots = SharedSlots(256, files=files)
        tasks = [in_flight(slots, silent=n % 2 == 0) for n in range(2 * files)]
        await settle()
        assert slots.in_use <= files
        assert 0 < sum(task.done() for task in tasks) <= files
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        slots.close()


async def test_a_waiter_that_gives_up_takes_no_place() -> None:
    slots = SharedSlots(1)
    place = await slots.acquire()
    impatient, handed, patient = (in_flight(slots) for _ in range(3))
    await settle()
    impatient.cancel()
    await settle()
    slots.release(place)
    handed.cancel()  # in the moment in which it is handed over
    with pytest.raises(asyncio.CancelledError):
        await handed
    slots.release(await patient)
    assert slots.in_use == 0
    slots.close()


async def test_a_limit_that_changes_holds_for_what_comes() -> None:
    slots = SharedSlots(1)
    places = [await slots.acquire()]
    waiting = [in_flight(slots) for _ in range(3)]
    await settle()
    slots.resize(3)
    await settle()
    assert [task.done() for task in waiting] == [True, True, False]
    slots.resize(1)
    slots.release(places[0])
    slots.release(waiting[0].result())
    await settle()
    assert not waiting[2].done()
    slots.release(waiting[1].result())
    slots.release(await waiting[2])
    assert slots.in_use == 0
    slots.close()


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_leaves_nothing_behind_and_keeps_the_bounds(seed: int) -> None:
    choose = random.Random(seed)
    slots = SharedSlots(4, young=0.001, files=9)
    seen = Counter[str]()

    async def request() -> None:
        silent = choose.random() < 0.4
        try:
            async with asyncio.timeout(choose.choice((0.02, 30.0))):
                place = await slots.acquire(silent=silent)
        except TimeoutError:
            seen["gave up"] += 1
            return
        ended = asyncio.Event()
        if choose.random() < 0.7:
            place.give_way = ended.set
        try:
            assert slots.in_use <= 9
            async with asyncio.timeout(choose.random() * 0.1):
                await ended.wait()
                seen["gave way"] += 1
        except TimeoutError:
            seen["done"] += 1
        finally:
            slots.release(place)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(150):
            tasks.create_task(request())
            await asyncio.sleep(choose.random() * 0.001)
    assert slots.in_use == 0
    assert min(seen["done"], seen["gave way"]) > 0
    slots.close()


@pytest.mark.parametrize(
    ("files", "requests"),
    [(-1, 2**20), (65536, 61376), (1024, 448), (256, 64), (64, 16), (8, 2), (0, 2)],
)
def test_requests_leave_files_to_the_rest(files: int, requests: int) -> None:
    assert requests_by_files(files) == requests

"""Large lists: decoding 100,000 messages in every shape, and what that does to the event loop."""

from __future__ import annotations

import asyncio
import statistics
import time
from functools import partial

import psutil
import uvloop

from bench.bench_decode import ROWS, body
from bench.bench_decode import measure as measure_shapes
from bench.timing import Result, milliseconds
from exporter.panel.decode import ListOptions, decode_queue_update
from exporter.panel.queue_decoder import INLINE_LIMIT, QueueDecoder

STALL_LIMIT = 0.025
ROUNDS = 5
SHAPE = "exim -bp lines"
"""The one whose decoding takes the most memory for its size."""


def measure() -> list[Result]:
    """Time against json.loads and a naive pass; stall of the loop; memory of both processes."""
    results = []
    for shape in measure_shapes():
        what = f"list_msg of {ROWS:,} messages, {shape.shape}: bytes to statistics"
        results.append(
            Result(
                what,
                milliseconds(shape.ours),
                milliseconds(shape.baseline),
                shape.ours / shape.baseline,
                1.0,
            )
        )
        what = "the same with arrivals and departures by id"
        results.append(Result(what, milliseconds(shape.with_changes), "-", None, None))
    return results + uvloop.run(_in_the_daemon())


async def _in_the_daemon() -> list[Result]:
    """The way the daemon decodes: handed to a worker process while the loop goes on."""
    reply = body(SHAPE)
    decoder = QueueDecoder()
    process = psutil.Process()
    stalls: list[float] = []  # the longest of each round: one alone may be another process's
    without = _rss(process)
    # The first list starts the worker process, whose fixed cost is told apart.
    first = partial(decode_queue_update, options=ListOptions(0.0))
    await decoder.run(first, body(SHAPE, 2 * INLINE_LIMIT // 100))
    before = peak = _rss(process)

    async def peak_rss() -> None:
        nonlocal peak
        while True:
            peak = max(peak, _rss(process))
            await asyncio.sleep(0.005)

    measuring = asyncio.create_task(peak_rss())
    ids = None
    try:
        for _ in range(ROUNDS):
            late: list[float] = []
            watching = asyncio.create_task(_watch(late))
            options = ListOptions(time.time())
            decode = partial(decode_queue_update, options=options, previous_ids=ids)
            update = await decoder.run(decode, reply)
            ids = update.ids
            watching.cancel()
            stalls.append(max(late))
    finally:
        measuring.cancel()
        decoder.close()
    growth = (peak - before) / len(reply)
    stall = statistics.median(stalls)
    size = f"{len(reply) / 2**20:.1f} MiB"
    return [
        Result(
            "the same in the daemon: longest stall of the event loop, median of the lists",
            milliseconds(stall),
            milliseconds(STALL_LIMIT),
            stall / STALL_LIMIT,
            1.0,
        ),
        Result(
            "the same in the daemon: RSS growth of daemon and worker, times the body",
            f"{(peak - before) / 2**20:.0f} MiB",
            size,
            growth,
            5.0,
        ),
        Result(
            "the worker process itself, once the first large list came",
            f"{(before - without) / 2**20:.0f} MiB",
            "-",
            None,
            None,
        ),
    ]


async def _watch(late: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.001
        await asyncio.sleep(0.001)
        late.append(loop.time() - due)


def _rss(process: psutil.Process) -> int:
    """RSS of a process and its children."""
    return sum(p.memory_info().rss for p in (process, *process.children(recursive=True)))

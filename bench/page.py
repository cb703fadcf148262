"""The status page of 500 hosts: its size, what it costs the daemon, and when it is seen."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from queue import SimpleQueue

from aiohttp import ClientSession, StreamReader, web
from isal import igzip
from playwright.sync_api import sync_playwright

from bench.samples import fleet, snapshot
from bench.timing import RUNS, Result, milliseconds
from exporter.alerting.delivery import DeliveryStats
from exporter.alerting.evaluator import AlertEvaluator
from exporter.fleet.history import History
from exporter.journal.projection import JournalProjection
from exporter.web.pages.change_feed import ChangeFeed, PageData
from exporter.web.pages.fleet import Fleet
from exporter.web.pages.fleet_filter import FleetFilter
from exporter.web.pages.live import FLEET, Live
from exporter.web.pages.render import Renderer, page
from exporter.web.pages.routes import STATIC
from exporter.web.pages.translator import translator

HOSTS = 500
POLLS = 120
"""Of each host before the page is looked at: its small chart is full then."""

LARGEST = 300 * 1024
"""Bytes of a page, compressed."""

FIRST_PAINT = 1.0
"""Seconds."""

STALL = 0.1
"""Seconds for which the event loop may be held."""

BROWSER = "/usr/bin/chromium"


def measure() -> list[Result]:
    """Every line of this section."""
    feed = _feed_of_polled_hosts()
    return asyncio.run(_made(feed)) + asyncio.run(_told(feed)) + _seen(feed)


def _feed_of_polled_hosts() -> ChangeFeed:
    store, histories, now = fleet(HOSTS), dict[str, History](), time.time()
    for number, record in enumerate(store):
        history = histories[record.host.name] = History()
        for poll in range(POLLS):
            at = now - 60 * (POLLS - 1 - poll)
            history.add(replace(snapshot(record.host.name, number + poll), at=at))
    data = PageData(
        store,
        histories,
        AlertEvaluator(),
        DeliveryStats(),
        JournalProjection(),
        lambda _: (),
        time.time,
    )
    return ChangeFeed(data)


async def _made(feed: ChangeFeed) -> list[Result]:
    """What a page takes to make while every row has changed, and how large it is."""
    shown, english = Fleet(feed, Renderer()), translator("en")
    times, stalls, html = list[float](), list[float](), ""
    for _ in range(RUNS):
        for record in feed.data.store:
            feed.changed(record.host.name)
        longest = [0.0]
        watch = asyncio.create_task(_watch(longest))
        begin = time.perf_counter()
        html = await shown.page(FleetFilter(), english)
        times.append(time.perf_counter() - begin)
        await asyncio.sleep(0)
        watch.cancel()
        stalls.append(longest[0])
    raw, packed = len(html.encode()), len(igzip.compress(html.encode()))
    stall, took = statistics.median(stalls), statistics.median(times)
    what = f"page of {HOSTS} hosts"
    return [
        Result(
            f"{what} ({raw // 1024} KiB of HTML): compressed",
            f"{packed // 1024} KiB",
            f"{LARGEST // 1024} KiB",
            packed / LARGEST,
            1,
        ),
        Result(f"{what}, every row anew: time to make", milliseconds(took), "-", None, None),
        Result(
            f"{what}, every row anew: longest stall of the event loop",
            milliseconds(stall),
            milliseconds(STALL),
            stall / STALL,
            1,
        ),
    ]


async def _watch(longest: list[float]) -> None:
    while True:
        begin = time.perf_counter()
        await asyncio.sleep(0)
        longest[0] = max(longest[0], time.perf_counter() - begin)


async def _told(feed: ChangeFeed) -> list[Result]:
    """How large a live update is, as it goes to one page over loopback."""
    shown = Fleet(feed, Renderer())
    live = Live(feed, shown)
    await shown.view()
    names = [record.host.name for record in feed.data.store]
    async with (
        _serving([web.get("/events", live.events)]) as url,
        ClientSession(auto_decompress=False, headers={"Accept-Encoding": "gzip"}) as session,
    ):
        query = {"watch": FLEET, "seen": feed.position()}
        feed.changed(names[0])
        async with session.get(f"{url}/events", params=query) as stream:
            unpacker = zlib.decompressobj(31)
            # The first one tells the order of all hosts, too.
            await _event(stream.content, unpacker)
            sizes: list[int] = []
            for changed in (names[:1], names):
                for name in changed:
                    feed.changed(name)
                sizes.append(await _event(stream.content, unpacker))
        await live.close()
    return [
        Result(
            f"live update of a page of {HOSTS} hosts, {what}: compressed",
            _kib(size),
            "-",
            None,
            None,
        )
        for what, size in zip(("one polled", "every one polled"), sizes, strict=True)
    ]


def _kib(size: int) -> str:
    return f"{size / 1024:.1f} KiB"


async def _event(stream: StreamReader, unpacker: zlib._Decompress) -> int:
    """Bytes, compressed, up to the end of the next event that tells rows."""
    size, text = 0, b""
    while b"event: fleet" not in text or not text.endswith(b"\n\n"):
        packed = await stream.readany()
        size += len(packed)
        text += unpacker.decompress(packed)
    return size


@asynccontextmanager
async def _serving(routes: Iterable[web.AbstractRouteDef]) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@contextmanager
def _served(feed: ChangeFeed) -> Iterator[str]:
    """The page on loopback, from a thread: the browser's driver blocks this one."""
    shown, ready, stop = Fleet(feed, Renderer()), SimpleQueue[str](), SimpleQueue[None]()

    async def show(request: web.Request) -> web.Response:
        return page(request, await shown.page(FleetFilter(), translator("en")))

    async def serve() -> None:
        async with _serving([web.get("/", show), web.static("/static", STATIC)]) as url:
            ready.put(url)
            await asyncio.to_thread(stop.get)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield ready.get(timeout=10)
    finally:
        stop.put(None)
        thread.join()


def _seen(feed: ChangeFeed) -> list[Result]:
    """When the browser paints it for the first time."""
    paints: list[float] = []
    with _served(feed) as url, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        for _ in range(RUNS):
            context = browser.new_context(viewport={"width": 1300, "height": 900})
            tab = context.new_page()
            tab.goto(url)
            tab.wait_for_function(_PAINTED)
            paints.append(tab.evaluate(_FIRST) / 1000)
            context.close()
        browser.close()
    paint = statistics.median(paints)
    return [
        Result(
            f"page of {HOSTS} hosts in Chromium: first contentful paint",
            milliseconds(paint),
            milliseconds(FIRST_PAINT),
            paint / FIRST_PAINT,
            1,
        )
    ]


_PAINTED = "() => performance.getEntriesByName('first-contentful-paint').length > 0"
_FIRST = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"

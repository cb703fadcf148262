"""Streams to pages whose requests end otherwise than by the page."""

from __future__ import annotations

import asyncio
import time

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from exporter.alerting.delivery import DeliveryStats
from exporter.alerting.evaluator import AlertEvaluator
from exporter.fleet.store import Store
from exporter.journal.projection import JournalProjection
from exporter.web.pages.change_feed import ChangeFeed, PageData
from exporter.web.pages.fleet import Fleet
from exporter.web.pages.live import Live
from exporter.web.pages.render import Renderer


async def test_a_stream_ends_with_its_request() -> None:
    data = PageData(
        Store(), {}, AlertEvaluator(), DeliveryStats(), JournalProjection(), lambda _: (), time.time
    )
    feed = ChangeFeed(data)
    live = Live(feed, Fleet(feed, Renderer()))
    requests: list[asyncio.Task[object]] = []

    async def events(request: web.Request) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        requests.append(task)
        return await live.events(request)

    app = web.Application()
    app.router.add_get("/events", events)
    async with TestServer(app) as server, aiohttp.ClientSession() as client:
        async with client.get(server.make_url("/events?watch=all")) as response:
            await response.content.readany()
            (stream,) = (task for task in asyncio.all_tasks() if task.get_name() == "events")
            requests[0].cancel()  # as when what is served is changed, and it takes too long
            await asyncio.wait([stream])
        # An exception would be one that nobody asks for, and asyncio would tell the log of it.
        assert stream.cancelled()

"""Requests that wait for their slot when something comes to speak against them: none goes out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from exporter.journal import Actor, Entry, Kind
from exporter.panel.protocol import Operation
from exporter.standin.panel import Answer, RecordedRequest
from tests.daemon.conftest import eventually
from tests.fixtures.standin import PanelServer
from tests.remediation.conftest import (
    BY_ID,
    Site,
    StartSite,
    freeze,
    ids_asked,
    one_at_a_time,
    rule,
    write_journal,
)
from tests.remediation.mischief import CONTROL, Hold
from tests.servers.exim import EximQueue


class Behind:
    """Holds the first action, or none; then a poll, behind which the next action waits."""

    def __init__(self, *, actions: int) -> None:
        self._actions = actions
        self.action = Hold(CONTROL, skip=max(0, actions - 1))
        self.poll = Hold(lambda request: request.operation is Operation.COUNT and self.armed)
        self.armed = False

    async def __call__(self, request: RecordedRequest, answer: Answer) -> web.Response:
        async def of_the_action() -> web.Response:
            return await self.action(request, answer)

        return await self.poll(request, of_the_action if self._actions else answer)


def settings(panel: PanelServer, **keys: Any) -> dict[str, Any]:
    return one_at_a_time(panel, rules=[rule(**keys)], remediation={"pause_file": "pause"})


async def stop(site: Site, _: PanelServer) -> None:
    site.running.daemon.stop()

    async def ends() -> bool:
        return site.running.daemon.app.controller.fleet.ends.is_set()

    await eventually(ends)


async def pause_file(site: Site, _: PanelServer) -> None:
    (site.path.parent / "pause").touch()


async def pause(site: Site, _: PanelServer) -> None:
    write_journal(site.path, Entry(Kind.PAUSED, actor=Actor.PERSON, text="Paused by ann."))


async def no_rule(site: Site, panel: PanelServer) -> None:
    await site.reload({**settings(panel), "remediation": {"mode": "enforce"}})


async def mode_off(site: Site, panel: PanelServer) -> None:
    made = settings(panel, **BY_ID)
    made["remediation"]["mode"] = "off"
    await site.reload(made)


Say = Callable[[Site, PanelServer], Awaitable[None]]


@pytest.mark.parametrize("say", [stop, pause_file, pause, no_rule, mode_off])
async def test_a_message_that_waits_for_its_slot_is_not_sent(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, say: Say
) -> None:
    freeze(queue, 8)
    behind = panel.panel.interfere = Behind(actions=3)
    site = await start_site(settings(panel, **BY_ID), wait=False)
    await behind.action.wait()
    polling = asyncio.create_task(site.running.poll("mx1"))
    app = site.running.daemon.app
    slots = app.pool.client(app.controller.fleet.hosts["mx1"].config).slots

    async def poll_waits() -> bool:
        return slots.waiting == 1

    await eventually(poll_waits)
    behind.armed = True
    behind.action.let_go.set()
    await behind.poll.wait()
    await eventually(poll_waits)  # it is the next message now
    await say(site, panel)
    behind.poll.let_go.set()
    await asyncio.gather(polling, return_exceptions=True)
    await (site.running.task if say is stop else site.quiet())
    assert len(ids_asked(panel)) == 3
    assert await queue.count() == 5
    story = site.story(rule="purge")
    assert story[:4] == [("intent", ""), *[("reply", "removed")] * 3]
    (outcome,) = site.journal(Kind.OUTCOME)
    assert outcome.detail["removed"] == 3
    assert outcome.detail["replies"] == {"removed": 3, "not_asked": 5}

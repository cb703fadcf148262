"""Whole daemons with rules, over panels with real Exim spools, and the journal that they write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from exporter.config.access import panel_url
from exporter.journal import Entry, Journal, JournalError, Kind
from exporter.panel.protocol import Operation, ServiceCommand
from exporter.snapshot import Message, PanelId
from exporter.standin.panel import RecordedRequest
from exporter.standin.queue import QueuedMessage
from tests.daemon.conftest import RunningDaemon, StartDaemon, eventually, host, start_daemon
from tests.fixtures.standin import NewEximQueue, PanelServer, ServePanel
from tests.remediation.mischief import CONTROL, Hold
from tests.servers.exim import EximQueue

__all__ = ["start_daemon"]

HOUR, DAY = 3600, 86400
FROZEN = "queue_frozen_messages > 5"


def rule(**keys: Any) -> dict[str, Any]:
    """A rule that trips at once when more than five messages are frozen, and deletes these."""
    return {"name": "purge", "when": [FROZEN], "action": "purge_frozen", **keys}


BY_ID: dict[str, Any] = {"action": "delete", "select": {"frozen": True}}
"""The same by id."""


def message(queue: EximQueue, serial: int, **keys: Any) -> QueuedMessage:
    """A frozen bounce of 30 hours ago."""
    age = keys.pop("age", 30 * HOUR)
    bounce = QueuedMessage(
        queue.new_id(age, serial), age, 900, "", (f"user{serial}@example.com",), frozen=True
    )
    return replace(bounce, **keys)


def freeze(queue: EximQueue, count: int = 8, *, first: int = 1, **keys: Any) -> list[str]:
    """Put so many frozen bounces into a spool; their ids."""
    made = [message(queue, serial, **keys) for serial in range(first, first + count)]
    queue.put(made)
    return [each.id for each in made]


def spool_files(queue: EximQueue, message_id: str) -> dict[str, bytes]:
    """The files of a message, byte for byte."""
    return {file.name: file.read_bytes() for file in queue.input.glob(f"{message_id}-*")}


def changing(panel: PanelServer) -> list[RecordedRequest]:
    """The requests that were to change anything."""
    harmless = {Operation.COUNT, Operation.LIST}
    return [
        request
        for request in panel.panel.requests
        if request.operation not in harmless
        and request.fields.get("command") != ServiceCommand.STATUS
    ]


def ids_asked(panel: PanelServer) -> list[str]:
    """The ids for which controll_msg was asked, as often as it was."""
    return [
        request.fields["id"]
        for request in panel.panel.requests
        if request.operation is Operation.CONTROL
    ]


def operations(panel: PanelServer) -> list[Operation | None]:
    """What was asked that changes something, in order."""
    return [request.operation for request in changing(panel)]


def read_journal(path: Path, *kinds: Kind, **filters: Any) -> list[Entry]:
    """Entries of a journal, read as by a process that does not write it."""
    with closing(Journal.open_to_read(path)) as journal:
        return journal.entries(kinds=kinds, **filters)


def written_so_far(path: Path, *kinds: Kind) -> list[Entry]:
    """The same; none while somebody is just making the journal."""
    try:
        return read_journal(path, *kinds)
    except JournalError:
        return []


def planned(path: Path, entry: Entry) -> list[Message]:
    """The messages that were written with an entry."""
    with closing(Journal.open_to_read(path)) as journal:
        return journal.messages(entry.id)


def panel_of(server: PanelServer) -> PanelId:
    """Which panel entries of the journal say that it is."""
    return PanelId(panel_url(server.url))


def write_journal(path: Path, entry: Entry) -> None:
    """Write an entry as another process does."""
    with closing(Journal.open(path)) as journal:
        journal.add(entry)


def short(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """Kind and outcome of each."""
    return [(entry.kind.value, entry.outcome) for entry in entries]


@dataclass(slots=True)
class Site:
    """A daemon with rules, and where its journal is."""

    running: RunningDaemon
    path: Path

    def journal(self, *kinds: Kind, **filters: Any) -> list[Entry]:
        return read_journal(self.path, *kinds, **filters)

    def story(self, **filters: Any) -> list[tuple[str, str]]:
        """Kind and outcome of every entry."""
        return short(self.journal(**filters))

    def plan(self, entry: Entry) -> list[str]:
        """The ids of the messages that were written with an entry."""
        return [each.id for each in planned(self.path, entry)]

    def blocks(self, host: str | None = None) -> list[str]:
        """The guards that are written down."""
        return [entry.outcome for entry in self.journal(Kind.BLOCKED, host=host)]

    async def look(self, host: str = "mx1") -> None:
        """Poll a host now, and wait for what the rules make of it."""
        await self.running.poll(host)
        await self.quiet()

    async def reload(self, config: Mapping[str, Any]) -> None:
        """Have the daemon go by another config."""
        self.running.write(config)
        await self.running.post("/-/reload")

    async def end(self) -> None:
        """Stop the daemon, and wait until it is gone."""
        self.running.daemon.stop()
        await self.running.task

    async def quiet(self) -> None:
        """Wait until no rule is at work on anything."""
        await self.running.daemon.app.controller.wait_idle()

    async def metric(self, name: str, **labels: str) -> float | None:
        """A value of /metrics once every entry of the journal is counted."""
        await self.running.daemon.app.controller.follower.read_journal()
        return await self.running.value(f"remediation_{name}", **labels)

    async def outcomes(self, **labels: str) -> float | None:
        return await self.metric("actions_total", **labels)

    async def blocked(self, guard: str, rule: str = "purge") -> float | None:
        return await self.metric("blocked_total", rule=rule, guard=guard)


def config(*panels: PanelServer, rules: Sequence[Mapping[str, Any]], **keys: Any) -> dict[str, Any]:
    """A config for panels mx1, mx2, ... that polls each once, and then only when asked."""
    collectors = keys.pop("collectors", ["queue"])
    section = {"mode": "enforce", "rules": list(rules), **keys.pop("remediation", {})}
    return {
        "hosts": [
            host(f"mx{number}", panel.url, collectors=collectors)
            for number, panel in enumerate(panels, start=1)
        ],
        "poll": {"interval": "1h", "timeout": "10s"},
        "state": {"path": "journal.db"},
        "remediation": section,
        **keys,
    }


def one_at_a_time(*panels: PanelServer, **keys: Any) -> dict[str, Any]:
    """The same with one request at a time to each, which may take long."""
    made = config(*panels, **keys)
    made["poll"] |= {"requests_per_host": 1, "timeout": "60s"}
    return made


class StartSite(Protocol):
    """Run a daemon by a config, and wait until its first polls and what came of them are over."""

    async def __call__(self, config: Mapping[str, Any], *, wait: bool = True) -> Site: ...


@pytest.fixture
async def start_site(start_daemon: StartDaemon, tmp_path: Path) -> StartSite:
    async def start(config: Mapping[str, Any], *, wait: bool = True) -> Site:
        running = await start_daemon(config)
        site = Site(running, tmp_path / "journal.db")
        if wait:
            await ready(running)
            await site.quiet()
        return site

    return start


async def in_the_middle(
    start_site: StartSite, panel: PanelServer, made: Mapping[str, Any], *, skip: int
) -> tuple[Site, Hold]:
    """A daemon whose panel holds back the request for one message, after `skip` others."""
    hold = panel.panel.interfere = Hold(CONTROL, skip=skip)
    site = await start_site(made, wait=False)
    await hold.wait()
    return site, hold


async def ready(running: RunningDaemon) -> None:
    """Wait until every host was polled."""

    async def polled() -> bool:
        async with running.session.get(f"{running.url}/-/ready") as response:
            return response.status == 200

    await eventually(polled)


@pytest.fixture
async def queue(exim_queue: NewEximQueue) -> EximQueue:
    return await exim_queue()


@pytest.fixture
async def panel(serve_panel: ServePanel, queue: EximQueue) -> PanelServer:
    return await serve_panel(queue)

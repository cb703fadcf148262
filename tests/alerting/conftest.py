"""Whole daemons with alerts, over panels whose mail the test puts there and takes away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from exporter.alerting import service
from exporter.standin import console
from exporter.standin.panel import PanelOptions
from exporter.standin.queue import Mta, QueuedMessage, queue_id
from tests.daemon.conftest import RunningDaemon, StartDaemon, eventually, host, series, start_daemon
from tests.fixtures.receiver import HttpReceiver, Received
from tests.fixtures.standin import PanelServer, ServePanel

__all__ = ["start_daemon"]

FROZEN: dict[str, Any] = {
    "name": "Frozen",
    "when": ["queue_frozen_messages > 5"],
    "clear": ["queue_frozen_messages < 3"],
    "annotations": {
        "summary": "{{ host }}: {{ value }} of more than {{ threshold }}, from {{ senders }}"
    },
}
DOWN: dict[str, Any] = {
    "name": "HostDown",
    "when": ["panel_up == 0"],
    "severity": "critical",
    "annotations": {"summary": "{{ host }} cannot be polled: {{ failure }}"},
}
QUICK: dict[str, Any] = {"group_wait": "300ms", "group_interval": "300ms"}
"""For receivers that wait for others."""


class Mail:
    """A queue with as many frozen messages as the test wants, the oldest of 30 hours ago."""

    mta: Mta = "exim"
    revision = None

    def __init__(self, frozen: int = 0) -> None:
        self.frozen = frozen

    @property
    def now(self) -> float:
        return time.time()

    async def count(self) -> int:
        return self.frozen

    async def console(self) -> str:
        return console.exim_listing(await self.messages())

    async def messages(self) -> list[QueuedMessage]:
        age = 30 * 3600.0
        return [
            QueuedMessage(
                queue_id("exim", self.now - age, serial),
                age,
                900,
                "" if serial % 2 else "list@example.org",
                (f"user{serial}@example.com",),
                frozen=True,
            )
            for serial in range(self.frozen)
        ]

    async def delete(self, message_id: str) -> str:
        raise NotImplementedError

    async def retry(self, message_id: str) -> str:
        raise NotImplementedError

    async def delete_frozen(self) -> str:
        raise NotImplementedError

    async def delete_all(self, *, force: bool) -> str:
        raise NotImplementedError

    async def step(self, seconds: float) -> None:
        raise NotImplementedError


@dataclass(slots=True)
class Clock:
    """The Unix time of alerting, which a test may set forward and back."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass(slots=True)
class Fleet:
    """A daemon over panels mx1, mx2, ..., each polled only when the test says so."""

    running: RunningDaemon
    config: dict[str, Any]
    mail: dict[str, Mail]
    panels: dict[str, PanelServer]
    clock: Clock

    async def freeze(self, **counts: int) -> None:
        """Freeze so many messages on these hosts, and poll them."""
        for name, count in counts.items():
            self.mail[name].frozen = count
        for name in counts:
            await self.running.poll(name)

    async def down(self, name: str, *, down: bool = True) -> None:
        """Close a panel, or open it again, and poll it."""
        self.panels[name].panel.options = PanelOptions(closed=down)
        await self.running.poll(name)

    async def pass_time(self, seconds: float) -> None:
        """Advance the clock; a reload wakes the receivers."""
        self.clock.ahead += seconds
        await self.running.post("/-/reload")

    async def reload(self, **alerting: Any) -> None:
        """Apply another section `alerting`."""
        self.config["alerting"] = self.config["alerting"] | alerting
        self.running.write(self.config)
        await self.running.post("/-/reload")

    async def accepted(self, receiver: str, times: int) -> None:
        """Wait until a receiver has accepted so many notifications."""

        async def known() -> bool:
            return (await self.outcomes(receiver)).get("ok") == times

        await eventually(known)

    async def stop(self) -> None:
        """End the daemon in the orderly way."""
        self.running.daemon.stop()
        await self.running.task

    async def alerts(self) -> list[tuple[str, str, str]]:
        """State, name and host of each by the JSON API."""
        alerts = json.loads(await self.running.get("/api/v1/alerts"))["alerts"]
        return [(a["state"], a["labels"]["alertname"], a["labels"]["host"]) for a in alerts]

    async def outcomes(self, receiver: str) -> dict[str, float]:
        """Deliveries to a receiver by outcome, by /metrics."""
        return {
            dict(labels)["outcome"]: value
            for (name, labels), value in series(await self.running.get("/metrics")).items()
            if name == "brainycp_notifications_total" and dict(labels)["receiver"] == receiver
        }


class StartFleet(Protocol):
    """Run a daemon with rules FROZEN and DOWN over so many hosts, polled once.

    Args:
        hosts: how many.
        config: other sections of its config.
        ahead: how far its clock is ahead, in seconds.
        keys: of the section `alerting`.
    """

    async def __call__(
        self,
        hosts: int = 1,
        *,
        config: Mapping[str, Any] | None = None,
        ahead: float = 0.0,
        **keys: Any,
    ) -> Fleet: ...


@pytest.fixture
def start_fleet(
    start_daemon: StartDaemon, serve_panel: ServePanel, monkeypatch: pytest.MonkeyPatch
) -> StartFleet:
    monkeypatch.setattr(service, "SHORTEST_PAUSE", 0.02)

    async def start(
        hosts: int = 1,
        *,
        config: Mapping[str, Any] | None = None,
        ahead: float = 0.0,
        **keys: Any,
    ) -> Fleet:
        clock = Clock(ahead)
        mail = {f"mx{number}": Mail() for number in range(1, hosts + 1)}
        panels = {name: await serve_panel(queue) for name, queue in mail.items()}
        complete = config_of(panels, **keys) | dict(config or {})
        running = await start_daemon(complete, clock=clock)
        fleet = Fleet(running, complete, mail, panels, clock)
        for name in mail:
            await running.poll(name)
        return fleet

    return start


def config_of(panels: Mapping[str, PanelServer], **alerting: Any) -> dict[str, Any]:
    """A config whose hosts are polled at the start, and then only when somebody asks."""
    return {
        "hosts": [
            host(name, panel.url, collectors=["queue"], labels={"dc": "msk1"})
            for name, panel in panels.items()
        ],
        "poll": {"interval": "1h", "timeout": "10s"},
        "state": {"path": "journal.db"},
        "alerting": {"builtin_rules": False, "rules": [FROZEN, DOWN], **QUICK, **alerting},
    }


def short(request: Received) -> list[str]:
    """The alerts of a webhook's request: hosts in their order, a resolved one in brackets."""
    return [
        alert["labels"]["host"] if alert["status"] == "firing" else f"({alert['labels']['host']})"
        for alert in request.json["alerts"]
    ]


def lists(*hosts: str) -> Callable[[Received], bool]:
    """Whether a request lists exactly these, in any order."""
    return lambda request: sorted(short(request)) == sorted(hosts)


def all_sent(receiver: HttpReceiver) -> list[list[str]]:
    """What a webhook was sent so far."""
    return [short(request) for request in receiver.requests]

"""A fault in one consumer of polls keeps no other from seeing the poll."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.fleet.consumers import Consumer, notify
from exporter.fleet.store import HostRecord
from exporter.snapshot import HostSnapshot
from exporter.standin.memory import MemoryQueue
from exporter.standin.traffic import CALM
from tests.builders import host
from tests.daemon.conftest import StartDaemon, start_daemon
from tests.daemon.conftest import host as host_config
from tests.fixtures.standin import ServePanel

__all__ = ["start_daemon"]

SNAPSHOT = HostSnapshot("mx1", 0.0, ())
NAMES = ("store", "metrics", "remediation", "alerting", "history", "pages", "log")


def raises(*_: object) -> None:
    raise ZeroDivisionError("a bug")


@pytest.mark.parametrize("faulty", range(3))
def test_the_others_are_called_in_order(faulty: int) -> None:
    called: list[int] = []

    def consumer(number: int) -> Consumer:
        def on_snapshot(record: HostRecord, snapshot: HostSnapshot) -> None:
            called.append(number)
            if number == faulty:
                raises(record, snapshot)

        return Consumer(f"part {number}", on_snapshot)

    record = HostRecord(host("mx1"), 60.0, 3.0)
    with capture_logs() as logs:
        notify([consumer(number) for number in range(3)], record, SNAPSHOT)
    assert called == [0, 1, 2]
    ((entry),) = logs
    assert (entry["consumer"], entry["host"], entry["exc_info"]) == (f"part {faulty}", "mx1", True)


@pytest.mark.parametrize("faulty", NAMES)
async def test_a_fault_in_a_part_of_the_daemon_stays_there(
    start_daemon: StartDaemon, serve_panel: ServePanel, faulty: str
) -> None:
    panel = await serve_panel(MemoryQueue(CALM))
    running = await start_daemon({"hosts": [host_config("mx1", panel.url)]})
    await running.daemon.wait_idle()
    app, seen = running.daemon.app, []

    def watched(consumer: Consumer) -> Consumer:
        def on_snapshot(*what: Any) -> None:
            seen.append(consumer.name)
            (raises if consumer.name == faulty else consumer.on_snapshot)(*what)

        return Consumer(consumer.name, on_snapshot)

    app.consumers = tuple(map(watched, app.consumers))
    with capture_logs() as logs:
        await running.poll("mx1")
    assert seen == [*NAMES]
    assert [entry["consumer"] for entry in logs if "consumer" in entry] == [faulty]
    await running.daemon.wait_idle()

"""The whole way on a real mail queue: what /metrics says is what Exim says."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections import Counter
from collections.abc import Sequence

import pytest

from exporter.panel.protocol import Operation
from exporter.standin.panel import PanelOptions
from exporter.standin.queue import QueuedMessage
from exporter.standin.replies import ReplyStyle
from tests.daemon.conftest import RunningDaemon, StartDaemon, host
from tests.fixtures.standin import NewEximQueue, ServePanel
from tests.servers.daemons import Daemon as ServiceDaemon
from tests.servers.daemons import RealServices
from tests.servers.exim import EximQueue, Submission

SHAPES = ("objects", "page_arrays", "exim_arrays", "console_text", "console_lines")


async def command(*words: str) -> list[str]:
    """What a command prints, line by line, without blank ones."""
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    done = await asyncio.to_thread(
        subprocess.run, words, capture_output=True, check=True, text=True, env=environment
    )
    return [line for line in done.stdout.splitlines() if line.strip()]


async def exim(queue: EximQueue, *words: str) -> list[str]:
    return await command("exim4", "-C", str(queue.config), *words)


async def exipick(queue: EximQueue, *words: str) -> list[str]:
    """Ids that exipick chooses from the same spool."""
    return await command("exipick", "-C", str(queue.config), "-i", *words)


@pytest.fixture
async def queue(exim_queue: NewEximQueue) -> EximQueue:
    """Mail of many ages, some of it frozen, half delivered, or from nobody."""
    made = await exim_queue()
    hour, day = 3600, 86400

    def message(serial: int, age: float, sender: str, *to: str, **more: object) -> QueuedMessage:
        return QueuedMessage(made.new_id(age, serial), age, 900, sender, to, **more)  # type: ignore[arg-type]

    made.put(
        [
            message(1, 3 * day, "user@example.org", "a@example.com"),
            message(2, 26 * hour, "", "postmaster@example.com", frozen=True),
            message(
                3,
                2 * hour,
                "list@example.org",
                "x@ok.test",
                "y@example.net",
                delivered=("x@ok.test",),
            ),
            message(4, 5 * day, '"x> *** frozen ***"@example.org', "b@example.com"),
            message(5, 90, "", "c@example.com", "d@example.net", frozen=True),
        ]
    )
    await made.inject(
        [
            Submission("fresh@example.org", ("huge@example.com",), size=4_900_000),
            Submission("", ("lost@example.com",)),
        ]
    )
    return made


@pytest.mark.parametrize("shape", SHAPES)
async def test_metrics_say_what_exim_says(
    start_daemon: StartDaemon, serve_panel: ServePanel, queue: EximQueue, shape: str
) -> None:
    style = ReplyStyle(shape=shape)  # type: ignore[arg-type]
    panel = await serve_panel(queue, PanelOptions(style=style))
    running = await start_daemon({"hosts": [host("mx1", panel.url)]})
    await running.poll("mx1")
    (count,) = await exim(queue, "-bpc")
    assert await value(running, "queue_messages") == int(count) == 7
    assert await value(running, "queue_listed_messages") == 7
    assert await value(running, "queue_unparsed_messages") == 0
    frozen = await exipick(queue, "-z")
    assert await value(running, "queue_frozen_messages") == len(frozen) == 2
    bounces = await exipick(queue, "-f", "^$")
    assert await value(running, "queue_bounce_messages") == len(bounces) == 3
    assert await value(running, "queue_oldest_message_age_seconds") == 5 * 86400
    older = await exipick(queue, "$message_age > 3600")
    infinite = await running.value("queue_message_age_seconds_bucket", host="mx1", le="+Inf")
    within = await running.value("queue_message_age_seconds_bucket", host="mx1", le="3600.0")
    assert infinite == 7
    assert (infinite or 0) - (within or 0) == len(older) == 4
    domains = await domain_counts(running, "recipient", ["example.com", "example.net", "ok.test"])
    # Only the console's text marks the recipients that a message has reached already.
    assert domains == [6, 2, None if shape.startswith("console") else 1]
    assert await value(running, "queue_size_bytes") == pytest.approx(4_900_000, rel=0.05)


async def value(running: RunningDaemon, metric: str) -> float | None:
    return await running.value(metric, host="mx1")


async def domain_counts(
    running: RunningDaemon, role: str, domains: Sequence[str]
) -> list[float | None]:
    return [
        await running.value("queue_domain_messages", host="mx1", role=role, domain=domain)
        for domain in domains
    ]


async def test_arrivals_and_departures_are_counted(
    start_daemon: StartDaemon, serve_panel: ServePanel, queue: EximQueue
) -> None:
    panel = await serve_panel(queue, PanelOptions(style=ReplyStyle(shape="console_text")))
    running = await start_daemon({"hosts": [host("mx1", panel.url)]})
    await running.poll("mx1")
    gone = (await exipick(queue, "-z"))[0]
    await queue.delete(gone)
    await queue.inject([Submission("new@example.org", ("a@example.com",)) for _ in range(3)])
    await running.poll("mx1")
    assert await value(running, "queue_entered_messages_total") == 3
    assert await value(running, "queue_left_messages_total") == 1
    assert await value(running, "queue_frozen_messages") == 1
    await queue.delete_all(force=True)
    await running.poll("mx1")
    assert await value(running, "queue_messages") == 0
    assert await value(running, "queue_left_messages_total") == 10
    assert await value(running, "queue_oldest_message_age_seconds") == 0
    await running.poll("mx1")
    asked = Counter(request.operation for request in panel.panel.requests)
    assert asked[Operation.COUNT] == asked[Operation.LIST] + 1, "nothing again spares list_msg"


async def test_frozen_and_thawed(
    start_daemon: StartDaemon, serve_panel: ServePanel, queue: EximQueue
) -> None:
    panel = await serve_panel(queue)
    running = await start_daemon({"hosts": [host("mx1", panel.url)]})
    ids = await exipick(queue, "!-z")
    await queue.freeze(*ids[:2])
    await running.poll("mx1")
    assert await value(running, "queue_frozen_messages") == len(await exipick(queue, "-z")) == 4
    await queue.thaw(*await exipick(queue, "-z"))
    await running.poll("mx1")
    assert await value(running, "queue_frozen_messages") == 0


async def test_services_are_what_clamd_and_spamd_are(
    start_daemon: StartDaemon,
    serve_panel: ServePanel,
    exim_queue: NewEximQueue,
    clamd: ServiceDaemon,
    spamd: ServiceDaemon,
) -> None:
    services = RealServices({"clamav": clamd, "spamassassin": spamd})
    panel = await serve_panel(await exim_queue(), services=services)
    running = await start_daemon({"hosts": [host("mx1", panel.url)]})

    async def states() -> list[float | None]:
        await running.poll("mx1")
        return [
            await running.value("service_up", host="mx1", service=name)
            for name in ("clamav", "spamassassin")
        ]

    assert await states() == [1, 1]
    await clamd.stop()
    assert await states() == [0, 1]
    await clamd.start()
    await spamd.stop()
    assert await states() == [1, 0]

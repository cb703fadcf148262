"""One poll of some hosts without a daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from exporter.config.models import Config, HostConfig
from exporter.fleet.store import HostRecord
from exporter.panel.client import PanelPool
from exporter.panel.queue_decoder import QueueDecoder
from exporter.polling.collect import PollContext, QueueMemory, poll_host


async def poll_hosts(
    config: Config, hosts: Sequence[HostConfig], on_done: Callable[[HostRecord], None]
) -> list[HostRecord]:
    """Poll each host once, all at once within `poll.concurrency`.

    `on_done` is called as each host's poll ends; the records come in the order of `hosts`.
    """
    decoder = QueueDecoder()
    try:
        async with PanelPool(config.poll) as pool, asyncio.TaskGroup() as tasks:
            polls = [
                tasks.create_task(_poll(config, host, pool, decoder, on_done)) for host in hosts
            ]
    finally:
        decoder.close()
    return [poll.result() for poll in polls]


async def _poll(
    config: Config,
    host: HostConfig,
    pool: PanelPool,
    decoder: QueueDecoder,
    on_done: Callable[[HostRecord], None],
) -> HostRecord:
    limit = config.poll.queue_detail_limit
    record = HostRecord(host, config.interval_of(host), config.poll.stale_after)
    record.add(await poll_host(PollContext(host, pool.client(host), decoder, QueueMemory(), limit)))
    on_done(record)
    return record

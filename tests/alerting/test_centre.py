"""The daemon's side of alerting, with a journal of its own and no daemon around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from exporter.alerting import service
from exporter.alerting.service import ALERTS, AlertingService
from exporter.config.models import Config
from exporter.fleet.store import HostRecord
from exporter.journal.projection import JournalProjection
from exporter.journal.thread import JournalThread
from exporter.snapshot import CollectorResult
from tests.alerting.site import AT_ONCE, frozen
from tests.builders import NOW, good, host, queue, snapshot


class Office:
    """A centre that follows one host, and a clock that a poll moves on by a minute."""

    def __init__(self, journal: JournalThread) -> None:
        self.now = NOW
        self.journal = journal
        self.alerting_service = AlertingService(
            journal, JournalProjection(), clock=lambda: self.now
        )

    async def follow(self, rule: dict[str, Any], **keys: Any) -> None:
        """Follow one rule on mx1."""
        config = Config.model_validate({"alerting": {"rules": [rule], "builtin_rules": False}})
        mx1 = host("mx1", **keys)
        await self.alerting_service.configure(
            config.model_copy(update={"hosts": (mx1,)}), "http://page"
        )
        self.record = HostRecord(mx1, 60.0, 3.0)

    def poll(self, result: CollectorResult) -> None:
        self.now += 60
        poll = snapshot(result, at=self.now)
        self.record.add(poll)
        self.alerting_service.observe(self.record, poll)


@asynccontextmanager
async def office(folder: Path) -> AsyncIterator[Office]:
    journal = JournalThread(folder / "state.db")
    opened = Office(journal)
    try:
        yield opened
    finally:
        await opened.alerting_service.stop()
        await journal.close()


async def test_the_queue_of_another_panel_has_not_grown(tmp_path: Path) -> None:
    growing = {"name": "Growing", "when": ["queue_growth_messages > 500"]}
    async with office(tmp_path) as opened:
        await opened.follow(growing, url="https://old.example:8002")
        opened.poll(good("queue", queue(100), at=opened.now))
        await opened.follow(growing, url="https://new.example:8002")
        opened.poll(good("queue", queue(900), at=opened.now))
        assert list(opened.alerting_service.fired()) == []
        opened.poll(good("queue", queue(1500), at=opened.now))
        assert list(opened.alerting_service.fired()) == [("mx1", "Growing", "warning")]


async def test_what_polls_change_is_written_soon_and_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "KEEP_SOON", 0.0)
    async with office(tmp_path) as opened:

        async def written() -> list[str]:
            for _ in range(10):  # who waits for a change hands it to the journal's thread
                await asyncio.sleep(0)
            kept = await opened.journal.do(lambda journal: journal.states(ALERTS))
            return sorted(key for key, value in kept.items() if "alert" in value)

        await opened.follow(AT_ONCE)
        keeping = asyncio.create_task(opened.alerting_service.run())
        try:
            assert await written() == []
            opened.poll(frozen(300))
            assert await written() == ["mx1/Frozen"]
            monkeypatch.setattr(service, "KEEP_SOON", 3600.0)
            opened.poll(frozen(0))
            assert await written() == ["mx1/Frozen"]
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        await opened.alerting_service.stop()
        assert await written() == []

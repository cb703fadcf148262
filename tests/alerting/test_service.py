"""The alerting service, with a journal of its own and no daemon around it."""

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


class Service:
    """An alerting service over one host, and a clock that a poll advances by a minute."""

    def __init__(self, journal: JournalThread) -> None:
        self.now = NOW
        self.journal = journal
        self.alerting = AlertingService(journal, JournalProjection(), clock=lambda: self.now)

    async def apply_config(self, rule: dict[str, Any], **keys: Any) -> None:
        """Apply a config with one rule, and the host mx1."""
        config = Config.model_validate({"alerting": {"rules": [rule], "builtin_rules": False}})
        mx1 = host("mx1", **keys)
        await self.alerting.apply_config(config.model_copy(update={"hosts": (mx1,)}), "http://page")
        self.record = HostRecord(mx1, 60.0, 3.0)

    def poll(self, result: CollectorResult) -> None:
        self.now += 60
        poll = snapshot(result, at=self.now)
        self.record.add(poll)
        self.alerting.on_snapshot(self.record, poll)


@asynccontextmanager
async def new_service(folder: Path) -> AsyncIterator[Service]:
    journal = JournalThread(folder / "state.db")
    opened = Service(journal)
    try:
        yield opened
    finally:
        await opened.alerting.stop()
        await journal.close()


async def test_the_queue_of_another_panel_has_not_grown(tmp_path: Path) -> None:
    growing = {"name": "Growing", "when": ["queue_growth_messages > 500"]}
    async with new_service(tmp_path) as opened:
        await opened.apply_config(growing, url="https://old.example:8002")
        opened.poll(good("queue", queue(100), at=opened.now))
        await opened.apply_config(growing, url="https://new.example:8002")
        opened.poll(good("queue", queue(900), at=opened.now))
        assert list(opened.alerting.firing_labels()) == []
        opened.poll(good("queue", queue(1500), at=opened.now))
        assert list(opened.alerting.firing_labels()) == [("mx1", "Growing", "warning")]


async def test_what_polls_change_is_written_soon_and_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "SAVE_DELAY", 0.0)
    async with new_service(tmp_path) as opened:

        async def written() -> list[str]:
            for _ in range(10):  # the task that saves hands it to the journal's thread
                await asyncio.sleep(0)
            saved = await opened.journal.do(lambda journal: journal.states(ALERTS))
            return sorted(key for key, value in saved.items() if "alert" in value)

        await opened.apply_config(AT_ONCE)
        saving = asyncio.create_task(opened.alerting.run())
        try:
            assert await written() == []
            opened.poll(frozen(300))
            assert await written() == ["mx1/Frozen"]
            monkeypatch.setattr(service, "SAVE_DELAY", 3600.0)
            opened.poll(frozen(0))
            assert await written() == ["mx1/Frozen"]
        finally:
            saving.cancel()
            await asyncio.gather(saving, return_exceptions=True)
        await opened.alerting.stop()
        assert await written() == []

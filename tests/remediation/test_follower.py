"""What follows the journal goes on, whatever it meets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NoReturn

import pytest

from exporter.config.remediation import RemediationConfig
from exporter.journal import JournalError
from exporter.journal.projection import JournalProjection
from exporter.journal.thread import JournalThread
from exporter.remediation.follower import JournalFollower


class Enough(Exception):  # noqa: N818 - ends what would go on for ever
    """It was seen often enough."""


@pytest.mark.parametrize("trouble", [JournalError("It is damaged."), AttributeError("a bug")])
async def test_neither_a_journal_nor_a_bug_ends_it(tmp_path: Path, trouble: Exception) -> None:
    left = 2

    class Troubled(JournalThread):
        async def do(self, _: object) -> NoReturn:
            raise trouble

    async def sleep(_: float) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Enough

    rules = {"mode": "off", "rules": [{"name": "purge", "action": "purge_frozen"}]}
    projection = JournalProjection()
    journal = Troubled(tmp_path / "journal.db")
    follower = JournalFollower(journal, projection, sleep=sleep)
    follower.config = RemediationConfig.model_validate(rules)
    async with asyncio.timeout(10):
        with pytest.raises(Enough):
            await follower.run()
        await journal.close()
    assert not projection.known

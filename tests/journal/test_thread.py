from __future__ import annotations

from pathlib import Path

import pytest

from exporter.journal import JournalError
from exporter.journal.thread import JournalThread


async def test_a_journal_that_was_closed_says_so(tmp_path: Path) -> None:
    journal = JournalThread(tmp_path / "journal.db")
    await journal.do(lambda _: None)
    await journal.close()
    with pytest.raises(JournalError, match="ending"):
        await journal.do(lambda _: None)

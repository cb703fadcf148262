"""By hand nothing goes by an age where the panel's clock and this machine's disagree."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path

import pytest
from aiohttp import web

from exporter.journal import Kind
from exporter.standin.panel import Answer, RecordedRequest
from tests.cli.shell import run, write_config
from tests.daemon.conftest import host
from tests.fixtures.standin import PanelServer
from tests.remediation.conftest import changing, freeze, ids_asked, panel, queue, read_journal
from tests.servers.exim import EximQueue

__all__ = ["panel", "queue"]


def skewed(panel: PanelServer, seconds: float | None) -> None:
    """Let the panel tell a time that is so much ahead of ours; None: none at all."""

    async def interfere(request: RecordedRequest, answer: Answer) -> web.Response:
        response = await answer()
        reported = "" if seconds is None else formatdate(time.time() + seconds, usegmt=True)
        response.headers["Date"] = reported
        return response

    panel.panel.interfere = interfere


@pytest.mark.parametrize("skew", [3600.0, -3600.0, 95 * 86400.0, -95 * 86400.0, None])
@pytest.mark.parametrize(
    "arguments",
    [
        ("delete", "mx1", "--older-than", "1h"),
        ("delete", "mx1", "--frozen", "--younger-than", "9d"),
        ("retry", "mx1", "--frozen", "--limit", "2"),
    ],
)
async def test_nothing_is_chosen_by_age_where_the_clocks_disagree(
    panel: PanelServer,
    queue: EximQueue,
    tmp_path: Path,
    skew: float | None,
    arguments: tuple[str, ...],
) -> None:
    freeze(queue, 8)
    skewed(panel, skew)
    file = write_config(tmp_path, host("mx1", panel.url))
    code, out, err = await run("queue", *arguments, "--yes", "--config", file)
    reported = " ".join((out + err).split())
    assert code == 1
    assert "held back by clock" in reported
    words = "tell no Date" if skew is None else "The panel's clock is"
    assert words in reported
    if skew is not None:
        side = "ahead of" if skew > 0 else "behind"
        assert f"{side} this machine's" in reported
        assert "timedatectl" in reported
    assert arguments[-2].removeprefix("--").replace("-", "_") in reported
    assert changing(panel) == []
    assert await queue.count() == 8
    (entry,) = read_journal(tmp_path / "journal.db")
    assert (entry.kind, entry.outcome, entry.rule) == (Kind.BLOCKED, "clock", "")
    assert words in entry.text
    assert entry.actor.startswith("person")


async def test_what_goes_by_no_age_is_done_by_hand_whatever_the_clocks_say(
    panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    frozen = freeze(queue, 3)
    skewed(panel, -95 * 86400.0)
    file = write_config(tmp_path, host("mx1", panel.url))
    code, out, err = await run("queue", "delete", "mx1", "--frozen", "--yes", "--config", file)
    assert code == 0, out + err
    assert sorted(ids_asked(panel)) == sorted(frozen)
    assert [e.kind for e in read_journal(tmp_path / "journal.db")][-1] is Kind.OUTCOME


async def test_clocks_that_agree_hold_nobody_back(
    panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    frozen = freeze(queue, 3)
    skewed(panel, 250.0)
    file = write_config(tmp_path, host("mx1", panel.url))
    code, out, err = await run(
        *("queue", "delete", "mx1", "--older-than", "1h", "--yes", "--config", file)
    )
    assert code == 0, out + err
    assert sorted(ids_asked(panel)) == sorted(frozen)

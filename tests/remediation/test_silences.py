"""Rules that respect silences: whoever wants a host left alone says so at a real Alertmanager."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from exporter.journal import Kind
from exporter.panel.protocol import Operation
from exporter.remediation.rule_state import LOOK_AGAIN
from tests.cli.shell import run, write_config
from tests.daemon.conftest import eventually
from tests.fixtures.alertmanager import Alertmanager, NewAlertmanager, matcher
from tests.fixtures.standin import PanelServer
from tests.remediation.conftest import (
    Site,
    StartSite,
    config,
    freeze,
    operations,
    read_journal,
    rule,
)
from tests.servers.exim import EximQueue

RULE = rule(respect_silences=True, cooldown="1ms")
ALERT = {"name": "Frozen", "when": ["queue_frozen_messages > 1"]}
"""Fires before the rule trips."""


def asking(panel: PanelServer, *urls: str) -> dict[str, Any]:
    """A config whose rule asks these Alertmanagers, which get one alert of its host."""
    managers = [{"url": url, "name": f"am{n}"} for n, url in enumerate(urls, 1)]
    alerting = {"builtin_rules": False, "rules": [ALERT], "alertmanagers": managers}
    return config(panel, rules=[RULE], alerting=alerting)


@pytest.fixture
async def manager(alertmanager: NewAlertmanager) -> Alertmanager:
    return await alertmanager()


async def reason(site: Site) -> str:
    """Why it is held back, as the journal has it."""
    assert await site.blocked("silence") == len(site.blocks())
    return site.journal()[-1].text


async def test_nothing_that_is_not_silenced_is_held_back(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, manager: Alertmanager
) -> None:
    await manager.expire(await manager.silence(matcher("host", "mx1")))
    await manager.silence(matcher("host", "mx2"))
    await manager.silence(matcher("host", "mx1"), matcher("remediation", "other"))
    await manager.silence(matcher("host", "mx1"), begins_in=3600)
    freeze(queue, 8)
    site = await start_site(asking(panel, manager.url))
    await site.look()
    assert operations(panel) == [Operation.DELETE_FROZEN]
    assert site.blocks() == []
    assert await queue.count() == 0


@pytest.mark.parametrize(
    ("matchers", "words"),
    [
        ([matcher("host", "mx1")], "mx1 is silenced at am1"),
        ([matcher("host", "mx.*", regex=True)], "mx1 is silenced at am1"),
        ([matcher("remediation", "purge")], "mx1 is silenced at am1"),
    ],
    ids=["host", "expression", "rule"],
)
async def test_a_silence_holds_a_rule_back_until_it_ends(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    manager: Alertmanager,
    matchers: list[dict[str, str | bool]],
    words: str,
) -> None:
    silence = await manager.silence(*matchers)
    freeze(queue, 8)
    site = await start_site(asking(panel, manager.url))
    await site.look()
    assert operations(panel) == []
    told = await reason(site)
    assert words in told
    assert f"silence {silence} by ann: maintenance" in told
    await manager.expire(silence)
    site.running.daemon.app.controller.monotonic = lambda: time.monotonic() + LOOK_AGAIN
    await site.look()
    assert operations(panel) == [Operation.DELETE_FROZEN]


async def test_a_silence_of_any_alert_of_the_host_holds_it_back(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, manager: Alertmanager
) -> None:
    """Whoever silences the alert by its name means the host it is about."""
    await manager.silence(matcher("alertname", "Frozen"))
    site = await start_site(asking(panel, manager.url))
    freeze(queue, 3)
    await site.look()

    async def has_alerts() -> bool:
        return bool(await manager.alerts())

    await eventually(has_alerts)
    freeze(queue, 8, first=10)
    await site.look()
    assert operations(panel) == []
    assert "The alert Frozen of mx1 is silenced at am1" in await reason(site)


@pytest.mark.parametrize("others", ["none", "well"])
async def test_an_alertmanager_that_cannot_be_asked_blocks(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    manager: Alertmanager,
    dead_url: str,
    others: str,
) -> None:
    freeze(queue, 8)
    urls = [manager.url] if others == "well" else []
    site = await start_site(asking(panel, *urls, dead_url))
    await site.look()
    assert operations(panel) == []
    told = await reason(site)
    assert told.startswith("Whether it is silenced is not known: The receiver am")
    assert "refuses connections" in told


@pytest.mark.parametrize("silenced", ["not", "silenced", "unknown"])
async def test_by_hand_it_is_the_same(
    tmp_path: Path,
    panel: PanelServer,
    queue: EximQueue,
    manager: Alertmanager,
    dead_url: str,
    silenced: str,
) -> None:
    freeze(queue, 8)
    if silenced == "silenced":
        await manager.silence(matcher("host", "mx1"))
    keys = asking(panel, *([manager.url, dead_url] if silenced == "unknown" else [manager.url]))
    file = write_config(tmp_path, *keys.pop("hosts"), **{**keys, "state": {"path": "journal.db"}})
    code, out, err = await run("remediation", "run", "purge", "mx1", "--yes", "--config", file)
    blocked = [entry.outcome for entry in read_journal(tmp_path / "journal.db", Kind.BLOCKED)]
    if silenced == "not":
        assert (code, operations(panel), blocked) == (0, [Operation.DELETE_FROZEN], []), err
        return
    assert (code, operations(panel), blocked) == (1, [], ["silence"])
    words = {"silenced": "mx1 is silenced at am1", "unknown": "Whether it is silenced is not known"}
    assert words[silenced] in " ".join((out + err).split())

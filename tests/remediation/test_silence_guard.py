"""When a rule that respects silences asks for them: before the panel, and again before it acts."""

from __future__ import annotations

from typing import Any

from exporter.journal import Kind
from exporter.panel.protocol import Operation
from tests.fixtures.alertmanager import Alertmanager, NewAlertmanager, matcher
from tests.fixtures.standin import PanelServer
from tests.remediation.conftest import Site, StartSite, changing, config, freeze, rule
from tests.remediation.mischief import meanwhile, of
from tests.servers.exim import EximQueue

LIST = of(Operation.LIST)


def settings(panel: PanelServer, *alertmanagers: Alertmanager) -> dict[str, Any]:
    made = config(panel, rules=[rule(respect_silences=True)])
    alerting = {"builtin_rules": False, "alertmanagers": [{"url": a.url} for a in alertmanagers]}
    return {**made, "alerting": alerting}


def reason(site: Site) -> str:
    """Why it was held back, by the silence guard alone."""
    (block,) = site.journal(Kind.BLOCKED)
    assert block.outcome == "silence"
    return block.text


async def test_a_silence_holds_it_back_before_the_panel_is_asked(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, alertmanager: NewAlertmanager
) -> None:
    freeze(queue, 8)
    one, other = await alertmanager(), await alertmanager()
    await other.silence(matcher("remediation", "purge"), matcher("host", "mx1"))
    site = await start_site(settings(panel, one, other))
    assert "by ann: maintenance" in reason(site)
    assert len(panel.panel.requests) == 2, "count_msg and list_msg of the poll"
    assert changing(panel) == []


async def test_one_that_comes_while_the_plan_is_made_holds_it_back(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, alertmanager: NewAlertmanager
) -> None:
    freeze(queue, 8)
    asked = await alertmanager()

    async def silence() -> None:
        await asked.silence(matcher("host", "mx1"))

    panel.panel.interfere = meanwhile(LIST, silence, skip=2)
    site = await start_site(settings(panel, asked))
    assert "by ann: maintenance" in reason(site)
    assert changing(panel) == []

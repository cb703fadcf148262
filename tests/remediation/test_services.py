"""Services that are switched on and off, with a real clamd."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from exporter.journal import Kind
from exporter.panel.protocol import Operation, ServiceCommand
from exporter.standin.services import MemoryServices
from tests.fixtures.standin import PanelServer, ServePanel
from tests.remediation.conftest import Site, StartSite, changing, config
from tests.remediation.mischief import later, of, shows_login_page
from tests.servers.daemons import Daemon, RealServices
from tests.servers.exim import EximQueue

LABELS = {"host": "mx1", "rule": "antivirus"}


def rule(**keys: Any) -> dict[str, Any]:
    return {
        "name": "antivirus",
        "when": 'service_up{service="clamav"} == 0',
        "action": "service_on",
        "service": "clamav",
        "verify": {"within": "50ms", "expect": 'service_up{service="clamav"} == 1'},
        **keys,
    }


async def start(start_site: StartSite, panel: PanelServer, **keys: Any) -> Site:
    return await start_site(config(panel, rules=[rule(**keys)], collectors=["queue", "clamav"]))


def switches(panel: PanelServer) -> list[tuple[Operation | None, str]]:
    return [(each.operation, each.fields["command"]) for each in changing(panel)]


async def test_a_stopped_clamd_is_started(
    start_site: StartSite, serve_panel: ServePanel, queue: EximQueue, clamd: Daemon
) -> None:
    panel = await serve_panel(queue, services=RealServices({"clamav": clamd}))
    await clamd.stop()

    site = await start(start_site, panel)

    assert await clamd.running()
    assert switches(panel) == [(Operation.CLAMAV, ServiceCommand.ON)]
    assert await site.running.value("service_up", host="mx1", service="clamav") == 1
    intent, reply, outcome = site.journal()
    assert (intent.kind, intent.action, intent.detail["service"]) == (
        Kind.INTENT,
        "service_on",
        "clamav",
    )
    assert intent.detail["why"] == {'service_up{service="clamav"} == 0': 0}
    assert (reply.kind, reply.outcome) == (Kind.REPLY, "done")
    assert (outcome.outcome, outcome.text) == ("ok", "clamav runs.")
    assert await site.outcomes(**LABELS, action="service_on", outcome="ok") == 1

    # It stays written down, also when the service has long been up and the daemon starts anew.
    await site.look()
    await site.end()
    again = await start(start_site, panel)
    assert again.journal() == [intent, reply, outcome]
    assert await again.outcomes(**LABELS, action="service_on", outcome="ok") == 1
    assert len(switches(panel)) == 1


async def test_a_service_that_runs_is_left_alone(
    start_site: StartSite, serve_panel: ServePanel, queue: EximQueue, clamd: Daemon
) -> None:
    panel = await serve_panel(queue, services=RealServices({"clamav": clamd}))
    site = await start(start_site, panel)
    assert await clamd.running()
    assert (switches(panel), site.journal()) == ([], [])


async def test_a_running_clamd_is_stopped(
    start_site: StartSite, serve_panel: ServePanel, queue: EximQueue, clamd: Daemon
) -> None:
    panel = await serve_panel(queue, services=RealServices({"clamav": clamd}))
    off = {"when": 'service_up{service="clamav"} == 1', "action": "service_off", "verify": None}
    site = await start(start_site, panel, **off)
    assert not await clamd.running()
    assert switches(panel) == [(Operation.CLAMAV, ServiceCommand.OFF)]
    assert site.story() == [("intent", ""), ("reply", "done"), ("outcome", "ok")]
    assert site.journal()[-1].text == "clamav is stopped."


async def test_what_is_not_known_any_more_does_not_hold(
    start_site: StartSite, serve_panel: ServePanel, queue: EximQueue
) -> None:
    panel = await serve_panel(queue, services=MemoryServices(stopped=["clamav"]))
    status = of(Operation.CLAMAV)
    panel.panel.interfere = shows_login_page(later(status, skip=1))
    site = await start(start_site, panel)
    assert switches(panel) == []
    assert site.story() == [("blocked", "condition")]
    text = site.journal()[0].text
    assert text.startswith(
        'Looked at again, it cannot be told whether it holds: service_up{service="clamav"} == 0 '
        "(not told). "
    )
    assert "login page" in text


async def test_a_dry_run_switches_nothing(
    start_site: StartSite, serve_panel: ServePanel, queue: EximQueue
) -> None:
    panel = await serve_panel(queue, services=MemoryServices(stopped=["clamav"]))
    keys = config(
        panel,
        rules=[rule()],
        collectors=["queue", "clamav"],
        remediation={"mode": "dry_run"},
    )
    site = await start_site(keys)
    await site.look()
    assert switches(panel) == []
    assert site.story() == [("intent", ""), ("outcome", "dry_run"), ("blocked", "cooldown")]
    assert site.journal()[1].text == "Would turn clamav on."


async def test_a_service_that_starts_may_not_be_all_that_is_expected(
    start_site: StartSite, serve_panel: ServePanel, queue: EximQueue
) -> None:
    panel = await serve_panel(queue, services=MemoryServices(stopped=["clamav"]))
    verify = {"within": "50ms", "expect": "queue_messages > 0"}
    site = await start(start_site, panel, verify=verify)
    assert site.story() == [("intent", ""), ("reply", "done"), ("outcome", "verify_failed")]
    assert site.journal()[-1].text == "clamav runs. What verify expects did not come true."


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({}, "clamav is stopped. What verify expects did not come true."),
        # What is asked for is looked at even where nothing more is expected.
        ({"verify": None}, "clamav is stopped."),
        # ... and where what is expected holds anyhow.
        ({"verify": {"within": "50ms", "expect": "queue_messages == 0"}}, "clamav is stopped."),
    ],
)
async def test_a_service_that_does_not_start_fails_to_verify(
    start_site: StartSite,
    serve_panel: ServePanel,
    queue: EximQueue,
    keys: dict[str, Any],
    text: str,
) -> None:
    async def silent() -> bool:
        return False

    async with Daemon([sys.executable, "-c", ""], silent) as dies_at_once:
        panel = await serve_panel(queue, services=RealServices({"clamav": dies_at_once}))
        site = await start(start_site, panel, **keys)
        assert switches(panel) == [(Operation.CLAMAV, ServiceCommand.ON)]
        assert site.story() == [("intent", ""), ("reply", "refused"), ("outcome", "verify_failed")]
        outcome = site.journal()[-1]
        assert outcome.text == text
        await site.look()
        assert len(switches(panel)) == 1, "the cooldown holds it back"
        assert site.blocks() == ["cooldown"]
    assert await site.outcomes(**LABELS, action="service_on", outcome="verify_failed") == 1


async def test_a_service_that_is_not_installed_is_left_alone(
    start_site: StartSite, serve_panel: ServePanel, queue: EximQueue
) -> None:
    panel = await serve_panel(queue, services=MemoryServices(absent=["clamav"]))
    site = await start(start_site, panel)
    await site.look()
    assert await site.running.value("service_up", host="mx1", service="clamav") == 0
    assert await site.running.value("service_installed", host="mx1", service="clamav") == 0
    assert await site.running.value("up", host="mx1") == 1
    assert (switches(panel), site.journal()) == ([], [])


async def test_nor_is_it_switched_for_another_reason(
    start_site: StartSite, serve_panel: ServePanel, queue: EximQueue
) -> None:
    panel = await serve_panel(queue, services=MemoryServices(absent=["clamav"]))
    site = await start(start_site, panel, when="queue_messages >= 0")
    await site.look()
    assert (switches(panel), site.journal()) == ([], [])

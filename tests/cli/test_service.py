"""`service`: what it says of a mail service, and what it switches."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from exporter.cli import main
from exporter.cli.session import requester
from exporter.journal import Entry, Journal
from exporter.journal.host_lock import HostLocks
from exporter.panel.protocol import Operation, ServiceCommand
from exporter.standin.memory import MemoryQueue
from exporter.standin.panel import PanelOptions
from exporter.standin.services import MemoryServices
from exporter.standin.traffic import EMPTY
from tests.cli.shell import SECRET, run, write_config
from tests.daemon.conftest import host
from tests.fixtures.standin import PanelServer, ServePanel
from tests.remediation.mischief import of, shows_login_page
from tests.servers.daemons import Daemon, RealServices


@pytest.fixture
async def panel(serve_panel: ServePanel) -> PanelServer:
    services = MemoryServices(stopped=["clamav"])
    return await serve_panel(MemoryQueue(EMPTY), PanelOptions(password=SECRET), services=services)


@pytest.fixture
def config(tmp_path: Path, panel: PanelServer) -> Path:
    return write_config(tmp_path, host("mx1", panel.url, password=SECRET))


def entries(config: Path) -> list[Entry]:
    with closing(Journal.open_to_read(config.with_name("journal.db"))) as journal:
        return journal.entries()


async def test_status_shows_whether_it_runs(config: Path) -> None:
    reported = await run("service", "status", "mx1", "spamassassin", "--config", config)
    assert reported == (0, "mx1: spamassassin runs.\n", "")
    reported = await run("service", "status", "mx1", "clamav", "--config", config)
    assert reported == (1, "mx1: clamav is stopped.\n", "")
    code, out, _ = await run(
        "service", "status", "mx1", "clamav", "--config", config, "--format", "json"
    )
    known = {"host": "mx1", "service": "clamav", "running": False, "installed": True}
    assert (code, json.loads(out)) == (1, known)
    assert not config.with_name("journal.db").exists(), "looking needs no journal"


async def test_a_service_that_is_not_installed_is_said_to_be_so(
    tmp_path: Path, serve_panel: ServePanel
) -> None:
    services = MemoryServices(absent=["clamav"])
    panel = await serve_panel(MemoryQueue(EMPTY), services=services)
    config = write_config(tmp_path, host("mx1", panel.url))
    reported = await run("service", "status", "mx1", "clamav", "--config", config)
    assert reported == (1, "mx1: clamav is not installed.\n", "")
    _, out, _ = await run(
        "service", "status", "mx1", "clamav", "--config", config, "--format", "json"
    )
    known = {"host": "mx1", "service": "clamav", "running": False, "installed": False}
    assert json.loads(out) == known
    code, out, _ = await run("poll", "mx1", "--config", config)
    assert (code, "not installed" in out) == (0, True)
    code, out, _ = await run("diagnose", "mx1", "--config", config)
    assert "clamav is not installed" in out
    code, out, _ = await run("service", "on", "mx1", "clamav", "--config", config)
    assert (code, "clamav is not installed." in out) == (1, True)


async def test_status_that_cannot_be_known_is_no_yes(config: Path, panel: PanelServer) -> None:
    panel.panel.interfere = shows_login_page(of(Operation.CLAMAV))
    code, out, err = await run("service", "status", "mx1", "clamav", "--config", config)
    assert (code, out) == (1, "")
    assert err.startswith("Error: mx1: ")


async def test_switching_is_journalled(config: Path, panel: PanelServer) -> None:
    code, out, err = await run("service", "on", "mx1", "clamav", "--config", config)
    assert (code, err) == (0, "")
    intent, reply, outcome = entries(config)
    assert out == f"mx1: clamav runs.\nIn the journal as run {intent.run[:8]}.\n"
    assert (intent.action, intent.actor) == ("service_on", f"person:{requester()}")
    assert intent.detail["service"] == "clamav"
    assert (reply.outcome, outcome.outcome) == ("done", "ok")

    code, out, _ = await run(
        "service", "off", "mx1", "spamassassin", "--config", config, "--format", "json"
    )
    view = json.loads(out)
    assert (code, view["action"], view["service"]) == (0, "service_off", "spamassassin")
    assert view["outcome"]["text"] == "spamassassin is stopped."
    assert not await panel.panel.services.running("spamassassin")


async def test_a_real_daemon_is_started_again(
    tmp_path: Path, serve_panel: ServePanel, clamd: Daemon
) -> None:
    await clamd.stop()
    services = RealServices({"clamav": clamd})
    panel = await serve_panel(MemoryQueue(EMPTY), PanelOptions(password=SECRET), services=services)
    config = write_config(tmp_path, host("mx1", panel.url, password=SECRET))
    assert (await run("service", "on", "mx1", "clamav", "--config", config))[0] == 0
    assert await clamd.running()
    assert (await run("service", "off", "mx1", "clamav", "--config", config))[0] == 0
    assert not await clamd.running()


class Broken(MemoryServices):
    """Services that do not start, whoever switches them on."""

    async def switch(self, service: str, *, on: bool) -> bool:
        return await super().switch(service, on=on and service != "clamav")


async def test_a_service_that_does_not_start_is_reported(
    tmp_path: Path, serve_panel: ServePanel
) -> None:
    services = Broken(stopped=["clamav"])
    panel = await serve_panel(MemoryQueue(EMPTY), PanelOptions(password=SECRET), services=services)
    config = write_config(tmp_path, host("mx1", panel.url, password=SECRET))
    code, out, _ = await run("service", "on", "mx1", "clamav", "--config", config)
    assert code == 1
    assert "mx1: clamav is stopped." in out
    assert "[verify_failed]" in out


async def test_a_panel_without_the_right_is_reported(
    tmp_path: Path, serve_panel: ServePanel
) -> None:
    options = PanelOptions(password=SECRET, rights=frozenset())
    panel = await serve_panel(MemoryQueue(EMPTY), options)
    config = write_config(tmp_path, host("mx1", panel.url, password=SECRET))
    code, out, _ = await run("service", "on", "mx1", "clamav", "--config", config)
    assert code == 1
    said = " ".join(out.split())
    assert said.startswith("mx1: Nothing was done.")
    assert '"antispam"' in said
    assert "[failed]" in said


async def test_a_host_on_which_somebody_is_at_work_is_left_alone(
    config: Path, panel: PanelServer
) -> None:
    with HostLocks(config.with_name("journal.db")).hold(panel.url):
        code, _, err = await run("service", "off", "mx1", "clamav", "--config", config)
    assert code == 1
    assert "somebody else is at work on this host" in err
    assert [r for r in panel.panel.requests if r.fields["command"] != ServiceCommand.STATUS] == []


def test_a_service_that_is_none(tmp_path: Path) -> None:
    config = write_config(tmp_path, host("mx1", "http://127.0.0.1:1"))
    result = CliRunner().invoke(main, ["service", "on", "mx1", "clamd", "--config", str(config)])
    assert result.exit_code == 2
    assert "'clamd' is not one of 'clamav', 'spamassassin'" in result.stderr

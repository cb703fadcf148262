"""The daemon as a process that is killed, or ended, while alerts fire."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from exporter.alerting.alertmanager_sender import ENDS_AFTER
from tests.alerting.conftest import Mail, all_sent, config_of, lists, short
from tests.fixtures.alertmanager import NewAlertmanager
from tests.fixtures.receiver import Receive
from tests.fixtures.standin import ServePanel
from tests.remediation.processes import Exporter, exporter

SECRET = "T0ken-of-a-chat"


async def end(daemon: Exporter, number: signal.Signals) -> None:
    daemon.process.send_signal(number)
    await daemon.process.wait()
    await daemon.reader


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_after_a_restart_nothing_is_sent_twice_and_no_resolution_is_lost(
    number: signal.Signals,
    tmp_path: Path,
    serve_panel: ServePanel,
    receive: Receive,
    alertmanager: NewAlertmanager,
) -> None:
    mail = {name: Mail(8) for name in ("mx1", "mx2")}
    panels = {name: await serve_panel(queue) for name, queue in mail.items()}
    hook, passed_on = await receive(), await receive()
    manager = await alertmanager(passed_on.url)
    config = config_of(
        panels,
        group_interval="10ms",
        webhooks=[{"name": "ops", "url": f"{hook.url}/{SECRET}"}],
        alertmanagers=[{"url": manager.url, "bearer_token": SECRET}],
    )
    logs = []
    async with exporter(tmp_path, config) as daemon:
        logs.append(daemon.log)
        await hook.until(lists("mx1", "mx2"))
        await passed_on.until(lists("mx1", "mx2"))
        # What it accepted is written at once; a poll and its answer come after that.
        await daemon.poll()
        await end(daemon, number)
    sent = len(hook.requests)

    # One host is well again when the daemon is back, the other is not.
    mail["mx1"].frozen = 0
    async with exporter(tmp_path, config) as daemon:
        logs.append(daemon.log)
        assert short(await hook.next()) == ["mx2", "(mx1)"]
        await passed_on.until(lists("mx2", "(mx1)"))
        await daemon.poll()
        await end(daemon, number)

    # The other gets well, and nobody sees it; then its host leaves the config.
    mail["mx2"].frozen = 0
    config["hosts"].pop()
    async with exporter(tmp_path, config) as daemon:
        logs.append(daemon.log)
        assert short(await hook.next()) == ["(mx2)"]
        await passed_on.until(lambda request: request.json["status"] == "resolved")
        assert ENDS_AFTER > 60, "it was not the time that ended it"
        await end(daemon, number)
    assert len(hook.requests) == sent + 2
    assert sum("(mx1)" in each for each in all_sent(hook)) == 1
    assert SECRET not in str(logs)

"""`alerts` and `test-notification`."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from exporter.alerting.persistence import dump_alert
from exporter.alerting.service import ALERTS
from exporter.cli import main
from exporter.cli.alerts import SHOWN_RESOLVED
from exporter.journal import Journal
from tests.alerting.values import alert
from tests.cli.shell import SECRET, command, run, write_config
from tests.daemon.conftest import host
from tests.fixtures.alertmanager import NewAlertmanager
from tests.fixtures.receiver import Receive

HOSTS = [host("mx1", "http://127.0.0.1:1"), host("mx2", "http://[::1]:1")]
RULE = {"name": "MailQueueFrozen", "when": ["queue_frozen_messages > 5"], "for": "10m"}
WHEN = "queue_frozen_messages > 5"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    alerting = {"builtin_rules": False, "rules": [RULE]}
    return write_config(tmp_path, *HOSTS, alerting=alerting)


def show(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["alerts", "--config", str(config), *arguments])


def fires(name: str, **keys: Any) -> dict[str, Any]:
    """What a daemon keeps of an alert that fires."""
    fired = alert(name, **keys)
    state = {"host": name, "watch": "MailQueueFrozen", "when": WHEN, "since": fired.since}
    return state | {"held": 600.0, "last": fired.fired_at, "alert": dump_alert(fired)}


def pends(name: str) -> dict[str, Any]:
    now = time.time()
    state = {"host": name, "watch": "MailQueueFrozen", "when": WHEN, "since": now - 120}
    return state | {"held": 120.0, "last": now, "alert": None}


def ended(name: str = "mx1", **keys: Any) -> dict[str, Any]:
    return {"resolved": dump_alert(alert(name, resolved=True, **keys))}


def keep(config: Path, *values: Mapping[str, Any]) -> None:
    with closing(Journal.open(config.with_name("journal.db"))) as journal:
        journal.keep_states({ALERTS: {str(n): dict(value) for n, value in enumerate(values)}})


def test_it_lists_what_fires_pends_and_has_resolved(config: Path) -> None:
    keep(config, fires("mx1"), pends("mx2"), ended("mx2"))
    result = show(config)
    assert result.exit_code == 0
    summary = "1 alert firing, 1 pending, 1 resolved within a week. Times are local: "
    assert result.output.startswith(summary)
    shown = [line for line in result.output.splitlines() if line.startswith(("f", "p", "r"))]
    assert [line.split()[:5] for line in shown] == [
        ["firing", "warning", "MailQueueFrozen", "on", "mx1,"],
        ["pending", "warning", "MailQueueFrozen", "on", "mx2,"],
        ["resolved", "warning", "MailQueueFrozen", "on", "mx2,"],
    ]
    assert "    mx1: 240 frozen messages\n" in result.output
    assert "    fires in 8m if that goes on\n" in result.output


def test_one_host_alone_and_everything_as_json(config: Path) -> None:
    keep(config, fires("mx1"), pends("mx2"), ended("mx2"))
    shown = json.loads(show(config, "--format", "json").output)
    assert [(a["state"], a["labels"]["host"]) for a in shown] == [
        ("firing", "mx1"),
        ("pending", "mx2"),
        ("resolved", "mx2"),
    ]
    assert shown[0]["annotations"]["summary"] == "mx1: 240 frozen messages"
    shown = json.loads(show(config, "--format", "json", "--host", "mx2").output)
    assert [a["state"] for a in shown] == ["pending", "resolved"]
    wrong = show(config, "--host", "mx9")
    assert (wrong.exit_code, "mx9" in wrong.output) == (2, True)


def test_of_many_that_have_resolved_the_last_are_shown(config: Path) -> None:
    keep(config, *(ended(fired_at=time.time() - 1000 + n) for n in range(SHOWN_RESOLVED + 5)))
    result = show(config)
    assert result.output.count("resolved  warning") == SHOWN_RESOLVED
    assert "and 5 resolved earlier; --format json shows them" in result.output
    assert len(json.loads(show(config, "--format", "json").output)) == SHOWN_RESOLVED + 5


def test_without_a_state_file_there_is_nothing(config: Path) -> None:
    result = show(config)
    assert (result.exit_code, result.output.count("\n")) == (0, 1)
    assert result.output.startswith("No daemon has kept any alert in ")
    assert json.loads(show(config, "--format", "json").output) == []
    assert not config.with_name("journal.db").exists()


@pytest.mark.parametrize("content", [b"not a database" * 100, b""], ids=["damaged", "empty"])
def test_a_state_file_that_cannot_be_read_is_reported(config: Path, content: bytes) -> None:
    config.with_name("journal.db").write_bytes(content)
    result = show(config)
    assert result.exit_code in {0, 1}
    assert (result.exit_code == 1) == bool(content)
    assert "Traceback" not in result.output
    assert "journal.db" in result.output
    assert config.with_name("journal.db").read_bytes() == content


@pytest.mark.parametrize("columns", [60, 80])
def test_it_fits_the_terminal_and_hostile_texts_are_inert(config: Path, columns: int) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\u202eevil\r\nfiring    critical  Fake on mx1 " * 5
    keep(
        config,
        fires("mx1", annotations={"summary": evil}),
        ended("mx2", annotations={"summary": "[red]no markup[/red] " + "x" * 200}),
        ended("\x1b[2Jhost", labels={"severity": "\x1b[5m", "service": "\x1b[6m"}),
    )
    shown = at_terminal(columns, "alerts", "--config", config)
    colours = shown.replace("\x1b[0m", "").replace("\x1b[33m", "").replace("\x1b[2m", "")
    assert not any(c in colours for c in "\x1b\x07\u202e")
    assert "[red]no markup[/red]" in shown
    lines = colours.replace("\r", "").splitlines()
    assert max(map(len, lines)) <= columns
    assert sum(line.startswith("firing") for line in lines) == 1


def at_terminal(columns: int, *arguments: str | Path) -> str:
    """What a command shows on a terminal of so many columns."""
    terminal, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = os.environ | {"TERM": "xterm", "COLUMNS": str(columns)}
    with subprocess.Popen(command(*arguments), stdout=inner, stdin=inner, env=environment) as done:
        os.close(inner)
        shown = b""
        try:
            while data := os.read(terminal, 65536):
                shown += data
        except OSError:
            pass  # it has ended
    os.close(terminal)
    assert done.returncode == 0
    return shown.decode()


# --- test-notification --------------------------------------------------------------------------


def receivers(tmp_path: Path, **alerting: Any) -> Path:
    return write_config(tmp_path, *HOSTS, alerting=alerting)


async def test_each_kind_of_receiver_is_sent_a_test(
    tmp_path: Path, receive: Receive, alertmanager: NewAlertmanager
) -> None:
    hook, chat, manager = await receive(), await receive(), await alertmanager()
    config = receivers(
        tmp_path,
        alertmanagers=[{"url": manager.url, "name": "am"}],
        webhooks=[{"name": "ops", "url": f"{hook.url}/{SECRET}", "bearer_token": SECRET}],
        apprise=[{"name": "chat", "url": f"{chat.url.replace('http', 'json')}/{SECRET}"}],
    )
    for name in ("am", "ops", "chat"):
        done = await run("test-notification", name, "--config", config)
        assert done == (0, f"{name} took the test.\n", "")
    assert [a["labels"]["alertname"] for a in await manager.alerts()] == ["TestNotification"]
    (sent,) = (await hook.next()).json["alerts"]
    assert (sent["status"], sent["labels"]["severity"]) == ("firing", "info")
    assert sent["annotations"]["summary"].startswith("This is a test of brainycp-exporter")
    assert "This is a test" in (await chat.next()).json["message"]


async def test_a_name_that_is_not_there(tmp_path: Path) -> None:
    hooks = [{"name": "ops", "url": f"http://127.0.0.1:1/{SECRET}"}]
    config = receivers(tmp_path, webhooks=hooks)
    code, out, err = await run("test-notification", "opps", "--config", config)
    assert (code, out) == (2, "")
    assert "in the config; it has ops" in err
    code, _, err = await run("test-notification", "ops", "--config", write_config(tmp_path, *HOSTS))
    assert code == 2
    assert "in the config; it has none" in err


@pytest.mark.parametrize("kind", ["alertmanagers", "webhooks", "apprise"])
async def test_a_dead_receiver_is_reported_without_its_secret(
    tmp_path: Path, dead_url: str, kind: str
) -> None:
    url = dead_url.replace("http", "json") if kind == "apprise" else dead_url
    keys = {} if kind == "apprise" else {"bearer_token": SECRET}
    config = receivers(tmp_path, **{kind: [{"name": "it", "url": f"{url}/{SECRET}", **keys}]})
    code, out, err = await run("test-notification", "it", "--config", config)
    assert (code, out) == (1, "")
    assert err.startswith("Error: The receiver it ")


async def test_a_receiver_that_repeats_the_secret(tmp_path: Path, receive: Receive) -> None:
    hook = await receive()
    hook.answer_with(400, SECRET)
    config = receivers(tmp_path, webhooks=[{"name": "it", "url": f"{hook.url}/{SECRET}"}])
    code, _, err = await run("test-notification", "it", "--config", config)
    assert (code, "HTTP 400" in err) == (1, True)

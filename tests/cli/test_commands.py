"""The commands as a user runs them: what they print, and their exit codes."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml
from click.testing import CliRunner

from exporter import __version__
from exporter.cli import main
from exporter.journal import Entry, Journal, Kind
from exporter.snapshot import PanelId
from exporter.standin.memory import MemoryQueue
from exporter.standin.panel import PanelOptions
from exporter.standin.replies import ReplyStyle
from exporter.standin.services import MemoryServices
from exporter.standin.traffic import CALM, STORM
from tests.cli.shell import SECRET, run, run_process
from tests.daemon.conftest import host
from tests.fixtures.standin import ServePanel


def write(folder: Path, *hosts: dict[str, Any]) -> Path:
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"hosts": list(hosts)}))
    file.chmod(0o600)
    return file


@pytest.fixture
async def config(tmp_path: Path, serve_panel: ServePanel, unused_url: str) -> Path:
    """One panel in a storm with a stopped clamav, and one that is down."""
    options, services = PanelOptions(password=SECRET), MemoryServices(stopped=["clamav"])
    panel = await serve_panel(MemoryQueue(STORM), options, services=services)
    urls = {"mx1": panel.url, "mx2": unused_url}
    return write(tmp_path, *(host(name, url, password=SECRET) for name, url in urls.items()))


async def test_poll_prints_a_table_of_80_columns(config: Path) -> None:
    code, out, _ = await run("poll", "--config", config)
    assert code == 1, "one host is down"
    lines = out.splitlines()
    assert lines[0].split() == [
        "HOST",
        "STATE",
        "QUEUE",
        "FROZEN",
        "OLDEST",
        "CLAMAV",
        "SPAMASSASSIN",
    ]
    assert lines[1].split()[:2] == ["mx1", "up"]
    assert lines[1].split()[-2:] == ["stopped", "up"]
    assert lines[2].split() == ["mx2", "down", "-", "-", "-", "-", "-"]
    assert max(map(len, lines)) <= 80
    assert "mx1: clamav is stopped." in out
    assert out.count("mx2: ") == 1


async def test_poll_of_named_hosts_as_json(config: Path) -> None:
    code, out, _ = await run("poll", "mx1", "--config", config, "--format", "json")
    assert code == 0
    (view,) = json.loads(out)
    assert (view["host"], view["state"]) == ("mx1", "up")
    assert view["queue"]["frozen"] > 100


async def test_poll_of_a_host_that_is_not_there(config: Path) -> None:
    code, _, err = await run("poll", "mx9", "--config", config)
    assert code == 2
    assert "no host mx9 in the config; it has mx1, mx2" in err


async def test_diagnose_shows_how_replies_were_understood(config: Path, tmp_path: Path) -> None:
    saved = tmp_path / "replies.yaml"
    code, out, _ = await run("diagnose", "mx1", "--config", config, "--save", saved)
    assert code == 0, out
    for words in ("count_msg  ok", "list_msg  ok", "clamav is stopped", "spamassassin runs"):
        assert words in out
    assert "0 of them not understood" in out
    document = yaml.safe_load(saved.read_text())
    assert document["version"] == __version__
    assert set(document["replies"]) == {"count_msg", "list_msg", "clamav", "spamassassin"}
    text = saved.read_text()
    for mine in (SECRET, "monitor", "news.test", "blog.example.org"):
        assert mine not in text


async def test_diagnose_of_a_host_that_is_down(config: Path) -> None:
    code, out, _ = await run("diagnose", "mx2", "--config", config)
    assert code == 1
    assert "count_msg  connect" in out


async def test_diagnose_proposes_fields_for_a_shape_it_does_not_know(
    tmp_path: Path, serve_panel: ServePanel
) -> None:
    style = ReplyStyle(shape="postqueue_text")
    panel = await serve_panel(MemoryQueue(CALM, ids="postfix"), PanelOptions(style=style))
    file = write(tmp_path, host("mx1", panel.url))
    code, out, _ = await run("diagnose", "mx1", "--config", file)
    assert code == 1
    assert "time_zone" in out, "dates without a zone are reported"


async def test_poll_shows_what_to_write_for_half_of_the_api_path(
    tmp_path: Path, serve_panel: ServePanel
) -> None:
    panel = await serve_panel(MemoryQueue(CALM), PanelOptions(password=SECRET))
    file = write(tmp_path, host("mx1", panel.url.removesuffix("api.php")))
    code, out, _ = await run("poll", "--config", file)
    assert code == 1
    reported = " ".join(out.split())
    assert "no API at the path /api/; leave it out of `url` for /api/api.php." in reported


async def test_check_config_shows_every_mistake(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("poll: {interval: 60}\nhosts:\n  - name: mx1\n    urll: x\n")
    code, out, err = await run("check-config", file)
    assert code == 2
    assert out == ""
    assert f"{file}:1: poll.interval: not a duration" in err
    assert f"{file}:4: hosts[0].urll: unknown key; did you mean url?" in err
    assert err.endswith("mistakes in the config.\n")


async def test_check_config_of_a_good_one(config: Path) -> None:
    assert await run("check-config", config) == (0, f"{config}: good, 2 hosts.\n", "")


def lost(folder: Path) -> None:
    """A journal of rules that were stopped, approved and at work on panels of other days."""
    here, gone = PanelId("https://mx1.example.com/api/api.php"), PanelId("https://gone/api/api.php")

    def entry(kind: Kind, rule: str, panel: PanelId, **keys: Any) -> Entry:
        return Entry(kind, run="r" * 32, host="mx1", rule=rule, panel=panel, **keys)

    with closing(Journal.open(folder / "journal.db")) as journal:
        journal.add(entry(Kind.STOPPED, "old", here, text="Stopped: three failed."))
        journal.add(entry(Kind.APPROVAL_REQUESTED, "purge", gone))
        journal.add(entry(Kind.APPROVED, "purge", gone))
        journal.add(entry(Kind.INTENT, "narrow", here))
        # What is as it was: the host alone has got another name.
        journal.add(entry(Kind.STOPPED, "purge", here, text="Stopped here."))
        # And what was resumed holds nothing back.
        journal.add(entry(Kind.STOPPED, "older", here, text="Stopped."))
        journal.add(entry(Kind.RULE_RESUMED, "older", here))


HERE = "https://mx1.example.com/api/api.php"
LOST = (
    (
        f"narrow on mx1 ({HERE}) acted a moment ago, for which its cooldown and max_per_day count. "
        "That counts no more, since narrow is not for renamed by its `hosts`"
    ),
    (
        f"old on mx1 ({HERE}) is stopped (Stopped: three failed). "
        "That counts no more, since the config has no remediation rule old"
    ),
    (
        "purge on mx1 (https://gone/api/api.php) is approved. "
        "That counts no more, since no host of the config has the url https://gone/api/api.php"
    ),
)


async def test_what_a_rename_loses_is_reported(tmp_path: Path) -> None:
    rule = {"name": "purge", "when": "queue_messages > 5", "action": "purge_frozen"}
    narrow = {**rule, "name": "narrow", "hosts": {"names": ["mx*"]}}
    file = tmp_path / "config.yaml"
    config = {
        "hosts": [host("renamed", "https://mx1.example.com:443/"), host("mx2", "https://mx2")],
        "state": {"path": "journal.db"},
        "remediation": {"mode": "enforce", "rules": [rule, narrow]},
    }
    file.write_text(yaml.safe_dump(config))
    file.chmod(0o600)
    assert (await run("check-config", file))[0] == 0
    assert not (tmp_path / "journal.db").exists()

    lost(tmp_path)
    code, out, err = await run("check-config", file)
    assert (code, out) == (0, f"{file}: good, 2 hosts.\n")
    err = re.sub(r"acted \d+s ago", "acted a moment ago", err)
    reported = [line.partition(": to what was renamed")[0] for line in err.splitlines()]
    assert reported == [f"warning: {file}: {words}" for words in LOST]

    code, out, _ = await run("remediation", "status", "--config", file)
    out = re.sub(r"acted \d+s ago", "acted a moment ago", " ".join(out.split()))
    assert [words for words in LOST if words not in out] == []
    code, out, _ = await run("remediation", "status", "--format", "json", "--config", file)
    assert [(e["rule"], e["panel"]) for e in json.loads(out)["lost"]] == [
        ("narrow", "https://mx1.example.com/api/api.php"),
        ("old", "https://mx1.example.com/api/api.php"),
        ("purge", "https://gone/api/api.php"),
    ]
    (stopped,) = [e for e in json.loads(out)["rules"] if e["stopped"]]
    assert (stopped["rule"], stopped["host"], stopped["stopped"]) == (
        "purge",
        "renamed",
        "Stopped here.",
    )


async def test_check_config_reads_the_web_config_too(config: Path) -> None:
    text = yaml.safe_load(config.read_text()) | {"web": {"config_file": "web.yaml"}}
    config.write_text(yaml.safe_dump(text))
    (config.parent / "web.yaml").write_text("basic_auth_users: {ops: not-a-hash}\n")
    code, _, err = await run("check-config", config)
    assert code == 2
    assert "web.yaml:1: basic_auth_users.ops" in err


async def test_check_config_reports_every_file_and_url_in_one_round(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "poll: {interval: 60}\n"
        "web: {listen: 9897, config_file: web.yaml}\n"
        "alerting:\n  apprise:\n"
        f"  - {{name: sound, url: tgramm://{SECRET}}}\n"
        f"  - {{name: not sound, url: tgramm://{SECRET}}}\n"
    )
    (tmp_path / "web.yaml").write_text("basic_auth_users: {ops: not-a-hash}\n")
    code, _, err = await run("check-config", file)
    assert code == 2
    assert [line.removeprefix(f"{tmp_path}/")[:60] for line in err.splitlines()] == [
        "config.yaml:1: poll.interval: not a duration: write a number",
        "config.yaml:2: web.listen: must be ADDRESS:PORT, as 127.0.0.",
        "config.yaml:5: alerting.apprise[0]: has a URL that Apprise d",
        "config.yaml:6: alerting.apprise[1].name: must be letters, di",
        "web.yaml:1: basic_auth_users.ops: is not a bcrypt hash: make",
        "5 mistakes in the config.",
    ]
    assert SECRET not in err


async def test_the_schema_is_the_committed_one() -> None:
    code, out, _ = await run("check-config", "--schema")
    assert code == 0
    committed = Path(__file__).parents[2] / "config.schema.json"
    assert out == await asyncio.to_thread(committed.read_text)


async def test_check_config_without_a_file() -> None:
    code, _, err = await run("check-config")
    assert code == 2
    assert "Missing argument 'FILE'" in err


@pytest.mark.parametrize("command", ["run", "poll"])
async def test_a_bad_config_is_exit_code_2(command: str, tmp_path: Path) -> None:
    code, _, err = await run(command, "--config", tmp_path / "none.yaml")
    assert code == 2
    assert "none.yaml: cannot be read: No such file or directory" in err


async def test_run_says_when_an_address_is_taken(config: Path, unused_url: str) -> None:
    taken = unused_url.split("/")[2]
    text = yaml.safe_load(config.read_text()) | {"web": {"listen": taken}}
    config.write_text(yaml.safe_dump(text))
    code, _, err = await run_process("run", "--config", config)
    assert code == 1
    assert taken in err


async def test_hash_password_reads_standard_input() -> None:
    code, out, _ = await run("hash-password", stdin="correct horse\n")
    assert code == 0
    assert bcrypt.checkpw(b"correct horse", out.strip().encode())


async def test_hash_password_refuses_an_empty_one() -> None:
    code, _, err = await run("hash-password", stdin="\n")
    assert code == 1
    assert "empty" in err


@pytest.mark.parametrize(
    "command",
    [
        *("", "run", "check-config", "poll", "diagnose", "demo", "hash-password"),
        *(f"queue {name}" for name in ("", "count", "list", "retry", "delete")),
        *("queue purge-frozen", "queue purge-all", "journal"),
        *(f"service {name}" for name in ("", "status", "on", "off")),
        *(f"remediation {name}" for name in ("", "status", "pause", "resume", "approve")),
        *("remediation reject", "remediation run"),
    ],
)
def test_help_fits_80_columns_and_teaches(command: str) -> None:
    arguments = [*command.split(), "--help"]
    result = CliRunner().invoke(main, arguments, prog_name="brainycp-exporter")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stdout.startswith(f"Usage: brainycp-exporter {command}".rstrip())
    if command in {"queue", "service", "remediation", "journal"} or " " in command:
        assert f"\n  brainycp-exporter {command}" in result.stdout, "it has an example"
        assert "..." not in result.stdout.partition("Commands:")[2], "every summary is whole"


async def test_version() -> None:
    assert (await run_process("--version"))[1] == f"brainycp-exporter, version {__version__}\n"


@pytest.mark.slow
def test_demo_shows_its_story_and_ends_by_itself() -> None:
    # The slow panel's poll under way takes ten seconds, and gets as long to end.
    # One that hangs says where.
    script = (
        "import faulthandler; faulthandler.dump_traceback_later(250, exit=True);"
        "from exporter import __main__, app; app.GRACE = 0.1; __main__.main()"
    )
    demo = ("demo", "--seconds", "3", "--listen", "127.0.0.1:0")
    done = subprocess.run(
        [sys.executable, "-c", script, *demo], capture_output=True, text=True, check=False
    )
    out, err = done.stdout, done.stderr
    assert done.returncode == 0, err
    for words in ("status page", "/metrics", "storm of frozen bounces", "bad password"):
        assert words in out
    assert "host is down" in err
    assert max(len(line) for line in out.splitlines() if "config.yaml" not in line) <= 80


async def test_demo_wants_an_address() -> None:
    code, _, err = await run("demo", "--listen", "nowhere")
    assert code == 2
    assert "ADDRESS:PORT" in err

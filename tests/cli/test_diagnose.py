"""`diagnose`: what it shows of a list's rows, what it proposes, and what --write changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config.loading import load_config
from exporter.standin.memory import MemoryQueue
from exporter.standin.panel import Panel, PanelOptions
from exporter.standin.replies import ReplyStyle
from exporter.standin.traffic import STORM
from tests.cli.shell import SECRET, run, write_config
from tests.daemon.conftest import host
from tests.fixtures.standin import ServePanel

ARRAYS = ReplyStyle(shape="page_arrays")

CERTAIN = "Certain: every field is named, or follows from the mail server's own grammar."


async def serve(serve_panel: ServePanel, style: ReplyStyle = ARRAYS) -> str:
    options = PanelOptions(password=SECRET, style=style)
    return (await serve_panel(MemoryQueue(STORM), options)).url


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
async def config(tmp_path: Path, serve_panel: ServePanel) -> Path:
    """A config for a panel that shows arrays, which nothing names."""
    return write_config(tmp_path, host("mx1", await serve(serve_panel), password=SECRET))


async def test_a_guess_is_shown_with_its_values_and_what_to_paste(config: Path) -> None:
    code, out, _ = await run("diagnose", "mx1", "--config", config)
    assert code == 0, "understood, though not certain"
    assert max(map(len, out.splitlines())) <= 80
    for heading in ("FIELD", "FROM", "CERTAINTY", "VALUES", "MISSING"):
        assert heading in out
    assert "position 5" in out
    assert out.count("guessed") >= 5
    assert '"<>"' in out, "values as they came"
    assert "fields: {id: 1, age: 0, size: 4, sender: 2, recipients: 3, frozen: 5}" in out
    assert "Not certain yet: only guessed, so that nothing acts on it" in one_line(out)


async def test_write_adds_it_and_a_second_diagnose_says_certain(config: Path) -> None:
    before = config.read_text()
    code, out, err = await run("diagnose", "mx1", "--config", config, "--write")
    assert code == 0, err
    reported = one_line(out)
    assert f"Written into {config}" in reported
    assert f"With it: {CERTAIN}" in reported
    fields = {"id": 1, "age": 0, "size": 4, "sender": 2, "recipients": 3, "frozen": 5}
    assert load_config(config).config.hosts[0].fields == fields
    added = [line for line in config.read_text().splitlines() if line not in before.splitlines()]
    assert [line.strip() for line in added] == [f"fields: {json.dumps(fields)}".replace('"', "")]

    code, out, _ = await run("diagnose", "mx1", "--config", config)
    assert code == 0
    assert CERTAIN in one_line(out)
    assert "fields: {" not in out, "no proposal comes twice"
    assert out.count("named") >= 6

    again = config.read_text()
    code, out, _ = await run("diagnose", "mx1", "--config", config, "--write")
    assert (code, config.read_text()) == (0, again)
    assert "Nothing was written: there is nothing to propose." in one_line(out)


async def test_objects_with_known_keys_need_no_word(
    tmp_path: Path, serve_panel: ServePanel
) -> None:
    url = await serve(serve_panel, ReplyStyle())
    config = write_config(tmp_path, host("mx1", url, password=SECRET))
    code, out, _ = await run("diagnose", "mx1", "--config", config)
    assert code == 0
    assert CERTAIN in one_line(out)
    assert "fields: {" not in out


@pytest.mark.parametrize("shape", ["exim_arrays", "console_text", "console_lines"])
async def test_the_other_shapes_end_in_certainty(
    tmp_path: Path, serve_panel: ServePanel, shape: Any
) -> None:
    url = await serve(serve_panel, ReplyStyle(shape=shape))
    config = write_config(tmp_path, host("mx1", url, password=SECRET))
    code, out, _ = await run("diagnose", "mx1", "--config", config, "--write")
    assert code == 0
    code, out, _ = await run("diagnose", "mx1", "--config", config)
    assert code == 0
    assert CERTAIN in one_line(out)
    assert "fields: {" not in out


async def test_what_is_saved_is_masked(config: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved.yaml"
    code, out, _ = await run("diagnose", "mx1", "--config", config, "--save", saved)
    assert code == 0
    shown = [word.strip('"') for word in out.split() if "@" in word]
    assert shown, "whole on the terminal"
    text = saved.read_text()
    document = yaml.safe_load(text)
    lines = {line["field"]: line for line in document["fields"]}
    assert lines["frozen"]["certainty"] == "guessed"
    assert lines["frozen"]["from"] == [5]
    assert lines["recipients"]["values"]
    for address in shown:
        assert address not in text
    assert saved.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("target", ["elsewhere", "missing"])
async def test_save_follows_no_link(config: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    link = tmp_path / "saved.yaml"
    link.symlink_to(tmp_path / target)
    code, _, err = await run("diagnose", "mx1", "--config", config, "--save", link)
    assert code == 2
    assert "--save" in err
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert not (tmp_path / "missing").exists()


async def test_save_writes_into_the_file_that_it_made(
    tmp_path: Path, serve_panel: ServePanel
) -> None:
    """What stands at its name by then may be a link that somebody has put there."""
    server = await serve_panel(MemoryQueue(STORM), PanelOptions(password=SECRET, style=ARRAYS))
    saved, other = tmp_path / "saved.yaml", tmp_path / "other"
    other.write_text("mine")

    def put_a_link() -> None:
        if not saved.is_symlink():
            saved.unlink()
            saved.symlink_to(other)

    meanwhile_ = _when_asked(server.panel, put_a_link)
    config = write_config(tmp_path, host("mx1", server.url, password=SECRET))
    code, _, err = await run("diagnose", "mx1", "--config", config, "--save", saved)
    assert code == 0, err
    assert meanwhile_, "it was put there while the panel was asked"
    assert other.read_text() == "mine"


def _when_asked(panel: Panel, act: Any) -> list[int]:
    """Do something at each request of a panel; how often it was done."""
    done: list[int] = []
    messages = panel.queue.messages

    async def asked() -> Any:
        act()
        done.append(1)
        return await messages()

    panel.queue.messages = asked  # type: ignore[method-assign]  # of this one alone
    return done


async def test_write_refuses_a_file_that_changed_meanwhile(
    tmp_path: Path, serve_panel: ServePanel
) -> None:
    server = await serve_panel(MemoryQueue(STORM), PanelOptions(password=SECRET, style=ARRAYS))
    config = write_config(tmp_path, host("mx1", server.url, password=SECRET))
    mine = config.read_text() + "# mine\n"
    done = _when_asked(server.panel, lambda: config.write_text(mine))
    code, _, err = await run("diagnose", "mx1", "--config", config, "--write")
    assert code == 1
    assert done
    assert "changed meanwhile" in one_line(err)
    assert config.read_text() == mine
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


async def test_write_goes_into_the_hosts_file_and_keeps_its_mode(
    tmp_path: Path, serve_panel: ServePanel
) -> None:
    url = await serve(serve_panel)
    hosts = tmp_path / "hosts.d" / "a.yaml"
    hosts.parent.mkdir()
    text = (
        "# the panels\n"
        "-   name: mx0   # not asked\n"
        "    url: http://127.0.0.1:1\n"
        "    username: u\n    password: p\n"
        "\n"
        "-   name: 'mx1'   # the old one\n"
        f"    url:  {url}   # loopback\n"
        f'    username: "monitor"\n    password: {SECRET}\n'
    )
    hosts.write_text(text)
    hosts.chmod(0o640)
    config = tmp_path / "config.yaml"
    config.write_text("hosts_files: [hosts.d/*.yaml]\n")
    code, _, err = await run("diagnose", "mx1", "--config", config, "--write")
    assert code == 0, err
    line = "    fields: {id: 1, age: 0, size: 4, sender: 2, recipients: 3, frozen: 5}\n"
    at = text.index("# loopback\n") + len("# loopback\n")
    assert hosts.read_text() == text[:at] + line + text[at:]
    assert hosts.stat().st_mode & 0o777 == 0o640
    assert config.read_text() == "hosts_files: [hosts.d/*.yaml]\n"


async def test_a_config_that_is_a_link_is_not_replaced(config: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(config)
    before = config.read_text()
    code, _, err = await run("diagnose", "mx1", "--config", link, "--write")
    assert code == 1
    assert "it is a link" in one_line(err)
    assert config.read_text() == before
    assert link.readlink() == config


async def test_a_shape_that_cannot_be_read_ends_with_the_next_step(
    tmp_path: Path, serve_panel: ServePanel
) -> None:
    class Strange(MemoryQueue):
        async def console(self) -> str:
            return "nothing\nthat anybody\nhas seen"

    options = PanelOptions(password=SECRET, style=ReplyStyle(shape="console_lines"))
    server = await serve_panel(Strange(STORM), options)
    config = write_config(tmp_path, host("mx1", server.url, password=SECRET))
    code, out, _ = await run("diagnose", "mx1", "--config", config)
    assert code == 1
    reported = one_line(out)
    assert "Next: `diagnose mx1 --save FILE`" in reported
    assert "send it to the project" in reported

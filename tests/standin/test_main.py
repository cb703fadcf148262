from __future__ import annotations

import asyncio
import signal
import sys

import click
import pytest
import yaml
from click.testing import CliRunner

from exporter.panel.protocol import Operation
from exporter.standin.__main__ import main
from exporter.standin.fleet import DemoHost
from tests.standin.test_fleet import ask, number_in


def printed_config(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[dict[str, object]]:
    """The hosts of the config that the command prints; it is terminated as soon as it has."""
    printed: list[str] = []

    def echo(text: str) -> None:
        printed.append(text)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(click, "echo", echo)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    hosts: list[dict[str, object]] = yaml.safe_load(printed[0])["hosts"]
    return hosts


def test_prints_what_a_host_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = printed_config(monkeypatch, "--hosts", "16")
    assert [host["name"] for host in hosts] == [f"mx{n}" for n in range(1, 17)]
    assert hosts[0] | {"url": ""} == {
        "name": "mx1",
        "url": "",
        "username": "monitor",
        "password": "stand-in-mx1",
        "labels": {"story": "calm"},
    }
    assert [host["name"] for host in hosts if "tls" in host] == ["mx8"]
    assert [host["name"] for host in hosts if "time_zone" in host] == ["mx16"]


def test_all_over_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = printed_config(monkeypatch, "--hosts", "3", "--tls", "--single-port")
    assert all("tls" in host for host in hosts)
    assert str(hosts[2]["url"]).endswith("/h3/api/api.php")


async def test_serves_until_it_is_terminated() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter.standin", "--still", "--hosts", "2"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            text = await process.stdout.readuntil(b"\n\n")
            first, _ = yaml.safe_load(text)["hosts"]
            del first["labels"]
            assert number_in(await ask(DemoHost(**first, story=""), Operation.COUNT)) == 12
            process.terminate()
            await process.communicate()
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

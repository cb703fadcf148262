"""The shipped rules and scrape configs: checked, tested, mutated, and run in a real Prometheus."""

from __future__ import annotations

import copy
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config.alerting import BUILTIN
from exporter.config.units import parse_duration
from exporter.metrics.families import HOST_FAMILIES
from exporter.standin.memory import MemoryQueue
from exporter.standin.traffic import STORM
from tests.daemon.conftest import StartDaemon, eventually, host
from tests.daemon.test_prometheus import README, documented_jobs
from tests.fixtures.prometheus import prometheus_with
from tests.fixtures.standin import ServePanel
from tests.project.test_documentation import own_metrics

SHIPPED = Path(__file__).parents[2] / "dashboards" / "prometheus"
RULES: dict[str, Any] = yaml.safe_load((SHIPPED / "rules.yaml").read_text())
ALERTS = {
    rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule
}


CASES = [file.name for file in sorted(SHIPPED.glob("rules*_test.yaml"))]
PATIENCE = 120.0
"""Seconds by which a case tells too soon or too late; of a day, ten minutes."""


def promtool(*command: str, folder: Path = SHIPPED) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *command], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "command",
    [
        ("check", "rules", "rules.yaml"),
        ("check", "config", "scrape.yaml"),
        ("check", "config", "scrape-probe.yaml"),
        ("test", "rules", *CASES),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("promtool")
def test_promtool_finds_nothing_wrong(command: tuple[str, ...]) -> None:
    done = promtool(*command)
    assert done.returncode == 0, done.stdout + done.stderr


def never(rule: dict[str, Any]) -> None:
    rule.pop("for", None)
    rule["expr"] = "vector(0) > 1"


def always(rule: dict[str, Any]) -> None:
    rule.pop("for", None)
    rule["expr"] = "vector(1)"


def later(rule: dict[str, Any]) -> None:
    hold = parse_duration(rule["for"])
    rule["for"] = f"{hold + max(PATIENCE, hold / 144):.0f}s"


def sooner(rule: dict[str, Any]) -> None:
    hold = parse_duration(rule["for"])
    rule["for"] = f"{hold - max(PATIENCE, hold / 144):.0f}s"


def forgetful(rule: dict[str, Any]) -> None:
    """Fires by what is known now alone: it neither holds what is unknown nor clears later."""
    rule["expr"], count = re.subn(
        r'ALERTS\{alertname="\w+"', 'ALERTS{alertname="none"', rule["expr"]
    )
    assert count == 1


@pytest.mark.parametrize(
    ("mutate", "of"),
    [
        (never, ""),
        (always, ""),
        (later, "for"),
        (sooner, "for"),
        (forgetful, "ALERTS"),
    ],
)
@pytest.mark.usefixtures("promtool")
def test_the_cases_of_each_alert_can_fail(
    mutate: Callable[[dict[str, Any]], None], of: str, tmp_path: Path
) -> None:
    rules = copy.deepcopy(RULES)
    mutated = set()
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        if "alert" in rule and (not of or of in rule or of in rule["expr"]):
            mutate(rule)
            mutated.add(rule["alert"])
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    for file in CASES:
        shutil.copy(SHIPPED / file, tmp_path)
    done = promtool("test", "rules", *CASES, folder=tmp_path)
    assert done.returncode == 1
    assert set(re.findall(r"alertname: (\w+)", done.stderr)) >= mutated
    assert len(mutated) > 10


def test_they_are_equal_to_the_builtin_alerts() -> None:
    for rule in BUILTIN:
        shipped = ALERTS[rule.name]
        assert shipped["labels"]["severity"] == rule.severity, rule.name
        assert parse_duration(shipped.get("for", "0s")) == (rule.hold or 0), rule.name
        for condition in (*rule.when, *rule.clear):
            value = condition.value
            forms = {f"{value:g}", f"{value / 86400:g} * 86400"}
            assert any(re.search(rf"[<>=] {re.escape(f)}\b", shipped["expr"]) for f in forms), (
                rule.name
            )


def test_every_alert_says_what_it_is_about() -> None:
    for name, rule in ALERTS.items():
        assert set(rule["annotations"]) == {"summary", "description"}, name
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, name


def test_the_readme_names_every_alert() -> None:
    missing = [name for name in ALERTS if f"`{name}`" not in README.read_text()]
    assert missing == []


def test_every_metric_that_they_name_exists() -> None:
    known = {family.name for family in HOST_FAMILIES} | own_metrics()
    text = (SHIPPED / "rules.yaml").read_text()
    named = set(re.findall(r"(?<![:\w])brainycp_\w+", text))
    assert named - known == set()
    recorded = [rule["record"] for g in RULES["groups"] for rule in g["rules"] if "record" in rule]
    assert set(re.findall(r"\w+:brainycp_\w+:\w+", text)) == set(recorded)


def test_the_readme_shows_the_shipped_probe_job() -> None:
    shipped = yaml.safe_load((SHIPPED / "scrape-probe.yaml").read_text())["scrape_configs"][0]
    assert shipped in documented_jobs()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("file", ["scrape.yaml", "scrape-probe.yaml"])
@pytest.mark.usefixtures("prometheus")
async def test_the_storm_fires_outlives_the_exporter_and_resolves_in_a_real_prometheus(
    file: str,
    start_daemon: StartDaemon,
    serve_panel: ServePanel,
    dead_url: str,
    unused_port: int,
    tmp_path: Path,
) -> None:
    queue = MemoryQueue(STORM)
    panel = await serve_panel(queue)
    address = f"127.0.0.1:{unused_port}"
    config = {
        "hosts": [host("mx1", panel.url, interval="1s"), host("mx2", dead_url, interval="1s")],
        "poll": {"stale_after": 30},
        "web": {"listen": address},
    }
    running = await start_daemon(config)
    rules = copy.deepcopy(RULES)
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        rule.pop("for", None)  # as shipped, but without patience
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    shipped = yaml.safe_load((SHIPPED / file).read_text().replace("127.0.0.1:9897", address))
    del shipped["alerting"]
    shipped["global"] = {"evaluation_interval": "1s"}
    for job in shipped["scrape_configs"]:
        job |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    async with prometheus_with(shipped, tmp_path) as prometheus:

        async def firing() -> set[tuple[str, str]]:
            # Without patience a probe that happens to take long is told, too.
            ours = 'ALERTS{alertstate="firing", alertname!="BrainycpProbeFailing"}'
            alerts = await prometheus.query(ours)
            return {(a["metric"]["alertname"], a["metric"].get("host", "")) for a in alerts}

        storm, down = ("MailQueueFrozen", "mx1"), ("HostDown", "mx2")
        gone = ("BrainycpExporterDown", "")

        async def fires() -> bool:
            return await firing() == {storm, down}

        await eventually(fires, seconds=60)
        running.daemon.stop()
        await running.task

        async def nothing_is_known() -> bool:
            known = await prometheus.query('{__name__=~"brainycp_.*"}')
            return not known and gone in await firing()

        await eventually(nothing_is_known, seconds=60)
        assert await firing() == {storm, down, gone}
        await queue.delete_frozen()
        await start_daemon(config)

        async def resolved() -> bool:
            return await firing() == {down}

        await eventually(resolved, seconds=60)
        data = await prometheus.get("rules")
        health = {rule["name"]: rule["health"] for g in data["groups"] for rule in g["rules"]}
        assert set(health.values()) == {"ok"}
        assert set(ALERTS) <= set(health)

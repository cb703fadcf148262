"""The shipped rules and scrape configs: checked, tested, mutated, and run in a real Prometheus."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config.builtin_alerts import BUILTIN
from exporter.config.units import parse_duration
from exporter.standin.memory import MemoryQueue
from exporter.standin.traffic import STORM
from tests.daemon.conftest import StartDaemon, eventually, host
from tests.daemon.test_prometheus import documented_jobs
from tests.fixtures.prometheus import prometheus_with
from tests.fixtures.standin import ServePanel
from tests.project.test_documentation import own_metrics

SHIPPED = Path(__file__).parents[2] / "dashboards" / "prometheus"
RULES: dict[str, Any] = yaml.safe_load((SHIPPED / "rules.yaml").read_text())
ALERTS = {
    rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule
}


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
        ("test", "rules", "rules_test.yaml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(command: tuple[str, ...]) -> None:
    done = promtool(*command)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("mutant", ["vector(0) > 1", "vector(1)"], ids=["never", "always"])
def test_the_cases_of_each_alert_can_fail(mutant: str, tmp_path: Path) -> None:
    rules = copy.deepcopy(RULES)
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                rule.pop("for", None)
                rule["expr"] = mutant
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    shutil.copy(SHIPPED / "rules_test.yaml", tmp_path)
    done = promtool("test", "rules", "rules_test.yaml", folder=tmp_path)
    assert done.returncode == 1
    failed = set(re.findall(r"alertname: (\w+)", done.stderr))
    assert failed == set(ALERTS)


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


def test_every_metric_that_they_name_exists() -> None:
    from exporter.metrics.families import HOST_FAMILIES

    known = {family.name for family in HOST_FAMILIES} | own_metrics()
    text = (SHIPPED / "rules.yaml").read_text()
    named = set(re.findall(r"(?<![:\w])brainycp_\w+", text))
    assert named - known == set()


def test_the_readme_shows_the_shipped_probe_job() -> None:
    shipped = yaml.safe_load((SHIPPED / "scrape-probe.yaml").read_text())["scrape_configs"][0]
    assert shipped in documented_jobs()


async def test_the_storm_fires_and_resolves_in_a_real_prometheus(
    start_daemon: StartDaemon, serve_panel: ServePanel, dead_url: str, tmp_path: Path
) -> None:
    queue = MemoryQueue(STORM)
    panel = await serve_panel(queue)
    hosts = [host("mx1", panel.url, interval="1s"), host("mx2", dead_url, interval="1s")]
    running = await start_daemon({"hosts": hosts, "poll": {"stale_after": 30}})
    rules = copy.deepcopy(RULES)
    for group in rules["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule.pop("for", None)  # as shipped, but without patience
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    config = yaml.safe_load(
        (SHIPPED / "scrape.yaml").read_text().replace("127.0.0.1:9897", running.url.split("/")[2])
    )
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["scrape_interval"] = "1s"
    del config["alerting"]
    async with prometheus_with(config, tmp_path) as prometheus:

        async def firing() -> set[tuple[str, str]]:
            alerts = await prometheus.query('ALERTS{alertstate="firing"}')
            return {(a["metric"]["alertname"], a["metric"].get("host", "")) for a in alerts}

        async def fires() -> bool:
            return {("MailQueueFrozen", "mx1"), ("HostDown", "mx2")} <= await firing()

        await eventually(fires, seconds=60)
        await queue.delete_frozen()

        async def resolved() -> bool:
            return await firing() == {("HostDown", "mx2")}

        await eventually(resolved, seconds=60)
        data = await prometheus.get("rules")
        health = {rule["name"]: rule["health"] for g in data["groups"] for rule in g["rules"]}
        assert set(health.values()) == {"ok"}
        assert set(ALERTS) <= set(health)

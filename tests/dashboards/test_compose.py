"""deploy/compose.yaml: that every part is configured, wired to the others and kept to itself.

No engine runs here: what can be told is told by Compose's own parser, by the tools of the parts
and by looking at the files.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from click.testing import CliRunner

from dashboards.source.variables import DATASOURCE
from exporter.cli import main as exporter_cli

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILE = DEPLOY / "compose.yaml"
PARTS = DEPLOY / "compose"


def parsed(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


COMPOSE = parsed(FILE)
SERVICES: dict[str, Any] = COMPOSE["services"]


def run(*command: str | Path) -> str:
    """What a command says; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def mounts(service: str) -> list[tuple[str, str, str]]:
    """Source, target and mode of each."""
    found = [volume.split(":") for volume in SERVICES[service]["volumes"]]
    return [(source, target, "".join(mode)) for source, target, *mode in found]


@pytest.mark.usefixtures("docker_compose")
def test_compose_itself_takes_the_file(tmp_path: Path) -> None:
    # Compose before 2.3 does not know the project's name in the file.
    text, count = re.subn(r"^name: brainycp$", "", FILE.read_text(), flags=re.MULTILINE)
    assert count == 1
    (tmp_path / "compose.yaml").write_text(text)
    command = ("docker-compose", "-f", tmp_path / "compose.yaml", "--project-directory", DEPLOY)
    resolved = yaml.safe_load(run(*command, "config"))
    assert set(resolved["services"]) == {"exporter", "prometheus", "alertmanager", "grafana"}


def test_every_file_that_is_mounted_exists() -> None:
    named = set()
    for service in SERVICES:
        for source, _, mode in mounts(service):
            if source.startswith("."):
                assert (DEPLOY / source).exists(), source
                assert mode == "ro", source
            else:
                named.add(source)
    assert named == set(COMPOSE["volumes"])
    assert (DEPLOY / SERVICES["exporter"]["build"] / "Dockerfile").is_file()


def test_secrets_are_files_of_which_the_head_says_how_to_write_them_and_git_knows_none() -> None:
    used = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./compose/secrets/{name}"}
        assert f"/dev/stdin secrets/{name}\n" in FILE.read_text()
    ignored = run("git", "-C", ROOT, "check-ignore", PARTS / "secrets" / "mx1")
    assert ignored.strip().endswith("secrets/mx1")
    for service in SERVICES.values():
        for key in service.get("environment", {}):
            assert "PASSWORD" not in key or key.endswith("__FILE"), key


@pytest.mark.parametrize("service", SERVICES)
def test_each_part_is_pinned_and_watched_and_reachable_from_this_machine_alone(
    service: str,
) -> None:
    part = SERVICES[service]
    if service != "exporter":
        assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", part["image"])
    assert all(port.startswith("127.0.0.1:") for port in part["ports"])
    assert part["healthcheck"]["test"][0] == "CMD"
    assert part["cap_drop"] == ["ALL"]
    (port,) = (port.split(":")[2] for port in part["ports"])
    assert f":{port}" in " ".join(part["healthcheck"]["test"])


def test_the_image_checks_its_health_in_the_same_way() -> None:
    in_image = re.search(
        r"^HEALTHCHECK.*?CMD (\[.*?\])", (ROOT / "Dockerfile").read_text(), re.DOTALL | re.MULTILINE
    )
    assert in_image
    assert ["CMD", *yaml.safe_load(in_image[1])] == SERVICES["exporter"]["healthcheck"]["test"]


def test_each_part_finds_the_others() -> None:
    """Every address in the configs is a service and the port that it listens on."""
    prometheus = parsed(PARTS / "prometheus" / "prometheus.yml")
    (source,) = parsed(PARTS / "grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    (scraped,) = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    (told,) = prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert scraped.split(":")[0] == "exporter"
    assert told.split(":")[0] == "alertmanager"
    for address in (scraped, told, urlsplit(source["url"]).netloc):
        service, _, port = address.partition(":")
        assert SERVICES[service]["ports"] == [f"127.0.0.1:{port}:{port}"]
    listen = parsed(PARTS / "exporter" / "config.yaml")["web"]["listen"]
    assert listen.endswith(scraped.partition("exporter")[2])


@pytest.mark.usefixtures("promtool")
def test_promtool_takes_prometheus_config_and_the_rules_where_they_are_mounted(
    tmp_path: Path,
) -> None:
    for source, target, mode in mounts("prometheus"):
        if mode:
            assert Path(target).parent == Path("/etc/prometheus")
            (tmp_path / Path(target).name).write_text((DEPLOY / source).read_text())
    said = run("promtool", "check", "config", tmp_path / "prometheus.yml")
    assert "1 rule files found" in said
    assert "FAILED" not in said


def test_one_of_prometheus_and_the_exporter_decides_what_is_an_alert() -> None:
    assert parsed(PARTS / "exporter" / "config.yaml")["alerting"] == {"builtin_rules": False}
    (scrape,) = parsed(PARTS / "prometheus" / "prometheus.yml")["scrape_configs"]
    assert scrape["job_name"].startswith("brainycp"), "the rules go by that"


@pytest.mark.usefixtures("amtool")
def test_amtool_takes_the_config_of_alertmanager() -> None:
    said = run("amtool", "check-config", PARTS / "alertmanager/alertmanager.yml")
    assert "1 receivers" in said


def test_the_exporter_takes_its_config(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir(0o700)
    for name in SERVICES["exporter"]["secrets"]:
        (secrets / name).touch(0o400)
        (secrets / name).chmod(0o600)
        (secrets / name).write_text("secret")
    text = (PARTS / "exporter" / "config.yaml").read_text()
    state = str(tmp_path / "state.db")
    text = text.replace("/run/secrets", str(secrets))
    file = tmp_path / "config.yaml"
    file.write_text(text.replace("/var/lib/brainycp-exporter/state.db", state))
    answer = CliRunner().invoke(exporter_cli, ["check-config", str(file)])
    assert answer.exit_code == 0, answer.output
    assert "warning" not in answer.output


def test_the_state_of_each_part_is_on_a_volume() -> None:
    places = {
        service: {target for _, target, mode in mounts(service) if not mode} for service in SERVICES
    }
    state = Path(parsed(PARTS / "exporter" / "config.yaml")["state"]["path"])
    assert str(state.parent) in places["exporter"]
    for service, option in (
        ("prometheus", "--storage.tsdb.path="),
        ("alertmanager", "--storage.path="),
    ):
        assert {option + place for place in places[service]} <= set(SERVICES[service]["command"])
        assert places[service]
    assert places["grafana"] == {"/var/lib/grafana"}


def test_grafana_provisions_both_dashboards_and_what_they_ask() -> None:
    provisioning = PARTS / "grafana" / "provisioning"
    (source,) = parsed(provisioning / "datasources" / "prometheus.yaml")["datasources"]
    assert source["type"] == DATASOURCE.type_val
    assert source["isDefault"], "the dashboards' variable begins with the default one"
    assert source["jsonData"]["httpMethod"] == "POST"
    scrape = parsed(PARTS / "prometheus" / "prometheus.yml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scrape
    (provider,) = parsed(provisioning / "dashboards" / "brainycp.yaml")["providers"]
    folder = provider["options"]["path"]
    targets = {target for _, target, _ in mounts("grafana")}
    shipped = {f"{folder}/{file.name}" for file in (ROOT / "dashboards").glob("*.json")}
    assert len(shipped) == 2
    assert shipped <= targets
    assert "/etc/grafana/provisioning" in targets
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in shipped

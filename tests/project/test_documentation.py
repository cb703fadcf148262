"""What can be checked of the documents: everything there is in them, and nothing else."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import click
import pytest

from exporter import cli
from exporter.config.alerting import BUILTIN
from exporter.journal.projection import JournalProjection
from exporter.metrics.alerting import AlertingCollector
from exporter.metrics.families import HOST_FAMILIES
from exporter.metrics.own import OwnMetrics
from exporter.metrics.remediation import RemediationCollector
from exporter.snapshot import Reason

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def own_metrics() -> set[str]:
    """Names of the exporter's metrics about itself, as their samples have them."""
    families = [
        *OwnMetrics().registry.collect(),
        *RemediationCollector(JournalProjection()).collect(),
        *AlertingCollector(tuple, {}, {}).collect(),
    ]
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in families
        if family.name.startswith("brainycp_")
    }


def leaves(command: click.Command, words: str = "") -> dict[str, click.Command]:
    """Every command that is no group, by its words."""
    if not isinstance(command, click.Group):
        return {words: command}
    found: dict[str, click.Command] = {}
    for name, inner in command.commands.items():
        whole = cli.load(name) if command is cli.main else inner
        found |= leaves(whole, f"{words} {name}".strip())
    return found


def test_every_metric_is_documented_and_every_documented_one_exists() -> None:
    documented = set(re.findall(r"^\| `(brainycp_\w+)`", README, re.MULTILINE))
    assert documented == {family.name for family in HOST_FAMILIES} | own_metrics()


def test_every_metric_named_anywhere_in_the_documents_exists() -> None:
    known = {family.name for family in HOST_FAMILIES} | own_metrics()
    for file in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "config.example.yaml"):
        named = set(re.findall(r"\bbrainycp_\w+", file.read_text()))
        assert named <= known, file.name


def test_every_command_and_option_is_documented() -> None:
    section = README.partition("\n## Commands\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z][^`]*)`", section, re.MULTILINE)
    selectors = README.partition("\nSELECTORS")[2].partition("\n\n")[0]
    for name, command in leaves(cli.main).items():
        (row,) = [row for row in rows if re.match(rf"{name}( |$)", row)]
        options = {
            option
            for parameter in command.params
            if isinstance(parameter, click.Option)
            for option in (*parameter.opts, *parameter.secondary_opts)
            if option.startswith("--") and option != "--schema"
        }
        documented = row.replace("SELECTORS", selectors)
        assert options == set(re.findall(r"--[\w-]+", documented)), name


def test_every_builtin_alert_is_documented_as_it_is() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (critical|warning|info) \|$", README, re.MULTILINE)
    assert rows == [(rule.name, rule.severity) for rule in BUILTIN]


def test_every_reason_is_documented() -> None:
    section = README.partition("Reasons of errors:")[2].partition("##")[0]
    assert set(re.findall(r"`(\w+)`", section)) == {reason.value for reason in Reason}


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    text = "\n".join(f.read_text() for f in (*ROOT.glob("*.md"), ROOT / ".ci" / "run"))
    named = set(re.findall(r"(?:^\s*|`)make ([a-z-]+)", text, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_every_file_that_the_readme_links_exists() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_ci_runs_what_the_readme_names() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in README


@pytest.fixture(scope="module")
def unit_findings() -> str:
    unit = ROOT / "deploy" / "brainycp-exporter.service"
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    return done.stderr


@pytest.mark.usefixtures("systemd_analyze")
def test_systemd_finds_nothing_wrong_with_the_unit(unit_findings: str) -> None:
    # That the command is not installed here is no fault of the unit.
    lines = [line for line in unit_findings.splitlines() if "brainycp-exporter.service" in line]
    assert [line for line in lines if "is not executable" not in line] == []


def test_the_unit_bounds_files_and_writes_no_core() -> None:
    """A core dump would hold every password, and each panel and client takes a file."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their letters
    unit.read(ROOT / "deploy" / "brainycp-exporter.service")
    limits = {key: value for key, value in unit["Service"].items() if key.startswith("Limit")}
    assert limits == {"LimitNOFILE": "65536", "LimitCORE": "0"}


@pytest.mark.usefixtures("systemd_analyze")
def test_the_unit_is_hardened() -> None:
    unit = ROOT / "deploy" / "brainycp-exporter.service"
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:]

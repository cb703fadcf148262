"""What can be told of the dashboards without running anything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.build import built, main
from dashboards.source import links, look
from exporter.config.alerting import BUILTIN
from exporter.metrics.families import HOST_FAMILIES
from tests.dashboards.grafana_files import (
    FOLDER,
    NAMES,
    Json,
    load,
    panels,
    queries,
    variable_queries,
)
from tests.dashboards.grafana_types import problems
from tests.project.test_documentation import own_metrics

BEYOND_THE_SDK = {"step", "titleFormat", "textFormat", "tagKeys", "useValueForTime"}
"""Of Prometheus' annotations, for which the SDK's model has no place."""


def exported() -> set[str]:
    """Names of every metric of the exporter, as their samples have them."""
    return {family.name for family in HOST_FAMILIES} | own_metrics()


def every_text(name: str) -> list[str]:
    return [q.text for q in queries(name)] + [q.text for q, _ in variable_queries(name)]


def parsed_by_sdk(dashboard: Json) -> Dashboard:
    register_default_plugins()
    return Dashboard.from_json(dashboard)


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == built()[name], "run `make dashboards`"


def test_check_tells_a_file_that_is_out_of_date_and_the_command_mends_it(tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(main, ["--folder", str(tmp_path), *arguments])

    assert run("--check").exit_code == 1
    assert run().exit_code == 0
    assert run("--check").exit_code == 0
    file = tmp_path / "host.json"
    file.write_text(file.read_text().replace('"refresh": "1m"', '"refresh": "5m"'))
    answer = run("--check")
    assert answer.exit_code == 1
    assert "host.json out of date" in answer.output
    assert '"refresh": "5m"' in file.read_text(), "--check writes nothing"
    run()
    assert file.read_text() == (FOLDER / "host.json").read_text("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_sdk_reads_the_file_and_loses_nothing(name: str) -> None:
    dashboard = load(name)
    again = json.loads(json.dumps(parsed_by_sdk(load(name)), cls=JSONEncoder))
    for note in dashboard["annotations"]["list"]:
        for key in BEYOND_THE_SDK:
            del note[key]
    assert again == dashboard


@pytest.mark.parametrize("name", NAMES)
def test_every_value_is_of_the_type_that_grafanas_models_declare(name: str) -> None:
    assert list(problems(parsed_by_sdk(load(name)))) == []


def test_the_check_of_types_can_fail() -> None:
    for path, value in (
        (("refresh",), 5),
        (("graphTooltip",), 7),
        (("panels", 1, "gridPos", "h"), "4"),
        (("panels", 1, "options", "graphMode"), "areas"),
        (("panels", 1, "targets", 0, "expr"), None),
        (("panels", 1, "fieldConfig", "defaults", "thresholds", "steps", 0, "color"), 1),
        (("templating", "list", 1, "multi"), "yes"),
    ):
        dashboard: Any = load("fleet.json")
        dashboard["panels"] = dashboard["panels"][:2]
        place = dashboard
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        assert list(problems(parsed_by_sdk(dashboard))), path


def test_uids_are_unique_and_stay() -> None:
    # Users' links, playlists and provisioning depend on these.
    assert [load(name)["uid"] for name in NAMES] == ["brainycp-fleet", "brainycp-host"]
    assert (links.FLEET_UID, links.HOST_UID) == ("brainycp-fleet", "brainycp-host")
    assert not any("id" in load(name) for name in NAMES), "an id is of one Grafana only"


def cells(panel: Json) -> set[tuple[int, int]]:
    """The squares of the grid that a panel covers."""
    place = panel["gridPos"]
    return {
        (x, y)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    }


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_ids_of_their_own_and_fill_the_grid_without_overlaps(name: str) -> None:
    dashboard = load(name)
    rows = [panel for panel in dashboard["panels"] if panel["type"] == "row"]
    placed = [*rows, *panels(dashboard)]
    assert len({panel["id"] for panel in placed}) == len(placed)
    taken: set[tuple[int, int]] = set()
    for panel in placed:
        covered = cells(panel)
        assert not covered & taken, panel["title"]
        taken |= covered
    lines = {y for _, y in taken}
    assert lines == set(range(max(lines) + 1)), "a line of the grid is empty"
    for y in lines:
        assert {x for x, at in taken if at == y} == set(range(24)), f"line {y} has a hole"


def test_nothing_is_repeated_by_host() -> None:
    assert not [p["title"] for name in NAMES for p in panels(load(name)) if "repeat" in p]


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_says_what_it_shows_and_what_it_means_when_there_is_nothing(
    name: str,
) -> None:
    for panel in panels(load(name)):
        defaults = panel["fieldConfig"]["defaults"]
        assert len(panel["description"]) > 15, panel["title"]
        assert defaults["unit"], panel["title"]
        assert defaults["noValue"], panel["title"]
        assert panel["type"] == "heatmap" or defaults["thresholds"]["steps"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_asked_beside_the_panels_has_the_variable_data_source_too(name: str) -> None:
    dashboard = load(name)
    asked = [v for v in dashboard["templating"]["list"] if v["type"] == "query"]
    asked += dashboard["annotations"]["list"]
    assert len(asked) > 2
    assert {one["datasource"]["uid"] for one in asked} == {"${datasource}"}


@pytest.mark.parametrize("name", NAMES)
def test_series_have_legends_and_tables_have_pages(name: str) -> None:
    for panel in panels(load(name)):
        if panel["type"] == "table":
            assert panel["options"]["footer"]["enablePagination"], panel["title"]
            assert all(target["format"] == "table" for target in panel["targets"])
        elif panel["type"] != "stat":
            legends = [target["legendFormat"] for target in panel["targets"]]
            assert "__auto" not in legends, panel["title"]
            assert len(set(legends)) == len(legends), panel["title"]


def test_a_number_is_never_one_that_has_gone() -> None:
    # A query over the range would leave its last value standing.
    for name in NAMES:
        for panel in panels(load(name)):
            if panel["type"] in {"stat", "bargauge", "table"}:
                assert all(target["instant"] for target in panel["targets"]), panel["title"]
            elif panel["type"] == "timeseries":
                custom = panel["fieldConfig"]["defaults"]["custom"]
                assert custom["drawStyle"] == "bars" or custom["spanNulls"] is False
                assert not {"last", "lastNotNull"} & set(panel["options"]["legend"]["calcs"])


def test_a_column_has_no_values_but_its_own() -> None:
    for panel in (panel for name in NAMES for panel in panels(load(name))):
        if panel["type"] == "table" and len(panel["targets"]) > 1:
            renamed = panel["transformations"][-1]["options"]["renameByName"]
            assert "Value" not in renamed, panel["title"]
            letters = {f"Value #{target['refId']}" for target in panel["targets"]}
            assert letters <= set(renamed), panel["title"]


def test_red_begins_where_the_builtin_alert_does() -> None:
    fires = {c.metric: c.value for rule in BUILTIN for c in rule.when}
    for figure, steps in (
        ("queue_frozen_messages", look.FROZEN),
        ("queue_growth_messages", look.GROWTH),
        ("queue_oldest_message_age_seconds", look.OLDEST),
    ):
        assert steps[-1] == (fires[figure], look.RED), figure
    below, above, *_ = look.CERTIFICATE.build().steps or []
    assert below.color == look.RED
    assert above.value == fires["panel_certificate_expires_in_seconds"]


def test_every_host_that_the_fleet_shows_leads_to_its_dashboard() -> None:
    kept = [f"${{{name}:queryparam}}" for name in links.KEPT]
    for panel in panels(load("fleet.json")):
        text = json.dumps(panel)
        by_host = any("{{host}}" in target["legendFormat"] for target in panel["targets"])
        if by_host or '"byName", "options": "Host"' in text:
            urls = re.findall(r"/d/brainycp-host\?[^\"]+", text)
            assert urls, panel["title"]
            for url in urls:
                assert all(part in url for part in (*kept, "${__url_time_range}", "&var-host=")), (
                    panel["title"]
                )


def test_both_lead_to_each_other_and_what_is_kept_is_known_to_both() -> None:
    for name, uid in (("fleet.json", links.HOST_UID), ("host.json", links.FLEET_UID)):
        dashboard = load(name)
        (link,) = dashboard["links"]
        assert link["url"].startswith(f"/d/{uid}?")
        assert link["keepTime"]
        assert all(f"${{{kept}:queryparam}}" in link["url"] for kept in links.KEPT)
        names = {variable["name"] for variable in dashboard["templating"]["list"]}
        assert set(links.KEPT) == names - {"host"}


GRAFANAS_OWN = {
    *("__rate_interval", "__interval", "__range"),
    *("__field", "__value", "__url_time_range", "__all"),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_that_is_used_exists_and_every_one_is_used(name: str) -> None:
    dashboard = load(name)
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard)))
    assert used - GRAFANAS_OWN == variables


def without_suffix(texts: Iterable[str]) -> set[str]:
    found = {name for text in texts for name in re.findall(r"\bbrainycp_\w+", text)}
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def test_every_metric_that_is_used_exists_and_every_one_is_shown() -> None:
    used = without_suffix(text for file in NAMES for text in every_text(file))
    assert used == exported()


@pytest.mark.parametrize("name", NAMES)
def test_counters_are_read_as_counters_and_gauges_are_not(name: str) -> None:
    counted = re.compile(r"\b(?:rate|increase)\((\w+)")
    for text in every_text(name):
        for metric in counted.findall(text):
            assert re.search(r"_total$|^process_cpu|^brainycp_api.*_bucket$", metric), text
        # The histogram of ages is made anew at each poll: its buckets are counts of now.
        assert not re.search(r"(rate|increase|delta)\(brainycp_queue_message_age", text)

"""Each query of each panel and variable, asked of a real Prometheus over the demo fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.standin.fleet import demo_fleet
from tests.daemon.conftest import StartDaemon, eventually
from tests.dashboards.demo_prometheus import (
    JOB,
    OWN_JOB,
    PROBE_JOB,
    Prometheus,
    quick_config,
    receiver,
    refuse,
    scraping,
    withhold_sizes,
)
from tests.dashboards.grafana_files import NAMES, DashboardQuery, queries, variable_queries

HOSTS = [f"mx{number}" for number in range(1, 10)]
"""The demo's cast: calm, growing, a storm, clamav stopped, down, slow, bad password, TLS, one
that is up for the first minutes."""

TOP = 3

PROBED = f"({PROBE_JOB}|{OWN_JOB})"
"""The jobs where Prometheus probes each host."""

_STOPPED = "no rule of the demo fails so often within a minute that it stops itself"
_ALWAYS: Mapping[tuple[str, str], str] = {
    ("fleet.json", "What has stopped A"): _STOPPED,
    ("host.json", "What has stopped A"): _STOPPED,
}
LEGITIMATELY_EMPTY: Mapping[str, Mapping[tuple[str, str], str]] = {
    JOB: {
        **_ALWAYS,
        ("fleet.json", "Targets not scraped A"): "the exporter is up; only a probe can be slow",
    },
    PROBED: _ALWAYS,
}
"""By jobs, (file, panel and letter): why the demo fleet gives it nothing to show."""

_VARIABLES = {
    "job": f"({JOB}|{PROBE_JOB}|{OWN_JOB})",
    "host": f"({'|'.join(HOSTS)})",
    "top": str(TOP),
    "window": "20s",
    "label": "story",
    "value": ".*",
    "__interval": "10s",
    "__rate_interval": "20s",
    "__range": "60s",
}


def filled(query: DashboardQuery, **variables: str) -> str:
    """The query as Grafana would send it."""
    return query.filled(**(_VARIABLES | variables))


def variants(query: DashboardQuery, **variables: str) -> list[str]:
    """For all hosts at once, or for one after the other."""
    if query.file == "host.json":
        return list(dict.fromkeys(filled(query, host=host, **variables) for host in HOSTS))
    return [filled(query, **variables)]


def panel_query(file: str, where: str) -> DashboardQuery:
    (found,) = (query for query in queries(file) if query.where == where)
    return found


async def _has_data(prometheus: Prometheus, query: DashboardQuery, **variables: str) -> bool:
    for text in variants(query, **variables):
        if await prometheus.query(text):
            return True
    return False


async def _still_empty(
    prometheus: Prometheus, asked: list[DashboardQuery], seconds: float, job: str
) -> list[DashboardQuery]:
    """Ask until every query has brought data once, or the time is over."""
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    while asked and clock() < end:
        asked = [query for query in asked if not await _has_data(prometheus, query, job=job)]
        await asyncio.sleep(0.3)
    return asked


@pytest.mark.timeout(900)  # on a busy machine the storm is deleted for minutes
@pytest.mark.usefixtures("prometheus")
async def test_every_query_is_understood_and_brings_what_it_should(
    tmp_path: Path, start_daemon: StartDaemon, unused_url: str
) -> None:
    every = [query for name in NAMES for query in queries(name)]
    known = {(query.file, query.where) for query in every}
    for listed in LEGITIMATELY_EMPTY.values():
        assert set(listed) <= known, "a panel of that name is gone"
    pause_file = tmp_path / "pause"
    pause_file.touch()
    async with demo_fleet(len(HOSTS)) as fleet, receiver() as url:
        daemon = await start_daemon(quick_config(fleet, pause_file, url, unused_url))
        async with scraping(tmp_path, daemon) as prometheus:

            async def scraped(expression: str) -> None:
                await eventually(lambda: prometheus.query(expression), seconds=30)

            withhold_sizes(fleet.panels["mx1"])
            await scraped('brainycp_queue_messages{host="mx9"}')
            await _nothing_counts_twice(prometheus)
            refuse(fleet.panels["mx9"])
            # The first action must be one whose counter was not there before.
            await scraped('brainycp_queue_frozen_messages{host="mx3"} > 2000')
            pause_file.unlink()
            for job, listed in LEGITIMATELY_EMPTY.items():  # each of the two ways by itself
                expected = [q for q in every if (q.file, q.where) not in listed]
                empty = await _still_empty(prometheus, expected, seconds=400, job=job)
                assert [str(query) for query in empty] == [], job
                for query in every:
                    if (query.file, query.where) in listed:
                        found = await _has_data(prometheus, query, job=job)
                        assert not found, f"{query}: is not empty"
            await _variables_offer(prometheus)
            await _graphs_stay_readable(prometheus)
            await _events_are_all_counted(prometheus)
            await _what_has_gone_is_absent(prometheus)
            await _alerts_are_those_about_the_fleet(prometheus)


async def _nothing_counts_twice(prometheus: Prometheus) -> None:
    """However Prometheus scrapes the hosts: both ways, or one of them."""
    query = panel_query("fleet.json", "Hosts up A")
    await eventually(lambda: prometheus.query(f'brainycp_up{{job="{PROBE_JOB}"}} == 1'))

    async def same() -> bool:
        at = float((await prometheus.ask("query", query="time()"))["result"][1])
        shown, counted = [
            (await prometheus.ask("query", query=text, time=at))["result"]
            for text in (filled(query), f'count(brainycp_up{{job="{JOB}"}} == 1)')
        ]
        return bool(shown and counted and shown[0]["value"][1] == counted[0]["value"][1])

    await eventually(same, seconds=20)
    for where in ("Hosts A", "Hosts B", "Services by host A"):
        found = await prometheus.query(filled(panel_query("fleet.json", where), job=PROBE_JOB))
        assert found, f"{where} shows nothing where Prometheus probes each host"


async def _variables_offer(prometheus: Prometheus) -> None:
    offered: dict[tuple[str, str], set[str]] = {}
    for name in NAMES:
        for query, label in variable_queries(name):
            values = await prometheus.labels(filled(query), label.replace("$label", "story"))
            offered[name, query.where] = values
    labels = {"host", "story", "mta", "url", "instance"}
    for name in NAMES:
        assert offered.pop((name, "variable label")) >= labels
        assert "storm of frozen bounces" in offered.pop((name, "variable value"))
    assert offered == {
        ("fleet.json", "variable job"): {JOB, PROBE_JOB, OWN_JOB},
        ("fleet.json", "variable host"): set(HOSTS),
        ("host.json", "variable job"): {JOB, PROBE_JOB, OWN_JOB},
        ("host.json", "variable host"): set(HOSTS),
    }


async def _graphs_stay_readable(prometheus: Prometheus) -> None:
    """However many hosts there are, a graph has lines for a few of them, the same throughout."""
    for query in (query for name in NAMES for query in queries(name)):
        text = filled(query, host="mx3") if query.file == "host.json" else filled(query)
        if query.kind == "range":
            found = await prometheus.query_range(text, seconds=20)
        else:
            found = await prometheus.query(text)
        if query.panel_type not in {"table", ""}:
            hosts = [series for series in found if "host" in series["metric"]]
            assert len(hosts) <= TOP, f"{query}: {len(hosts)} lines"
            assert len(found) <= 20, f"{query}: {len(found)} lines"


async def _events_are_all_counted(prometheus: Prometheus) -> None:
    """Also the first event of a kind, with which its series only begins."""
    for panel, counter in (
        ("Actions", "brainycp_remediation_actions_total"),
        ("Messages removed", "brainycp_remediation_removed_messages_total"),
    ):
        shown = await _one(prometheus, filled(panel_query("fleet.json", f"{panel} A")))
        counted = await _one(prometheus, f'sum({counter}{{job="{JOB}"}})')
        assert counted >= 1
        assert shown == pytest.approx(counted, rel=0.2)


async def _what_has_gone_is_absent(prometheus: Prometheus) -> None:
    """A host that cannot be polled any more shows no number, rather than an old one or 0."""

    def of_mx9(where: str) -> str:
        return filled(panel_query("host.json", where), host="mx9")

    async def gone() -> bool:
        return not await prometheus.query('brainycp_queue_messages{host="mx9"}')

    await eventually(gone, seconds=30)
    for where in ("Messages A", "Frozen A", "Oldest message A", "Size A", "Growth A"):
        assert await prometheus.query(of_mx9(where)) == [], where
    assert await _one(prometheus, of_mx9("State A")) == 0
    assert await _one(prometheus, of_mx9("Last good poll A")) > 1
    growth = await prometheus.query(filled(panel_query("fleet.json", "Hosts F")))
    shown = {series["metric"]["host"] for series in growth}
    assert "mx3" in shown
    assert "mx9" not in shown


async def _alerts_are_those_about_the_fleet(prometheus: Prometheus) -> None:
    async def names(file: str, **variables: str) -> set[str]:
        found = await prometheus.query(
            filled(panel_query(file, "Alerts of Prometheus A"), **variables)
        )
        return {series["metric"]["alertname"] for series in found}

    assert await names("fleet.json") == {"HostDown", "NoHost"}
    # Both kinds are counted, but not the one about another job; asked at once, for they change.
    own = "sum(max by (host, alert, severity) (brainycp_alerts_firing))"
    others = 'count(ALERTS{alertname=~"HostDown|NoHost"})'
    assert await _one(prometheus, own) >= 3
    shown = filled(panel_query("fleet.json", "Alerts firing A"))
    assert await _one(prometheus, f"({shown}) - {own} - {others}") == 0
    assert await names("host.json", host="mx5") == {"HostDown"}
    assert await names("host.json", host="mx1") == set()


async def _one(prometheus: Prometheus, expression: str) -> float:
    (series,) = await prometheus.query(expression)
    value: Any = series["value"][1]
    return float(value)

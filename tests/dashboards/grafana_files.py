"""The dashboards' JSON files as they are shipped, and every query in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).parents[2] / "dashboards"
NAMES = ("fleet.json", "host.json")

Json = dict[str, Any]


def load(name: str) -> Json:
    parsed: Json = json.loads((FOLDER / name).read_text("utf-8"))
    return parsed


def panels(dashboard: Json) -> Iterator[Json]:
    """Every panel but the rows, also those inside collapsed rows."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


@dataclass(frozen=True, slots=True)
class DashboardQuery:
    """One query as Grafana would send it, with Grafana's variables still in it."""

    file: str
    where: str
    """Title of the panel and letter of the query, or the name of what else asks it."""
    kind: Literal["instant", "range", "annotation", "label_values", "label_names"]
    text: str
    panel_type: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.where}"

    def filled(self, **variables: str) -> str:
        """The query with the variables replaced."""
        return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda m: variables[m[1] or m[2]], self.text)


def queries(name: str) -> list[DashboardQuery]:
    """Those of panels and annotations."""
    dashboard = load(name)
    found = [
        DashboardQuery(
            name,
            f"{panel['title']} {target['refId']}",
            "instant" if target["instant"] else "range",
            target["expr"],
            panel["type"],
        )
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]
    found += [
        DashboardQuery(name, f"annotation {note['name']}", "annotation", note["expr"])
        for note in dashboard["annotations"]["list"]
    ]
    return found


def variable_queries(name: str) -> list[tuple[DashboardQuery, str]]:
    """Those of variables: the query whose text is the selector, and the label that is asked."""
    found = []
    for variable in load(name)["templating"]["list"]:
        if variable["type"] != "query":
            continue
        where = f"variable {variable['name']}"
        if values := re.fullmatch(r"label_values\((.+), ([$\w]+)\)", variable["query"]):
            query = DashboardQuery(name, where, "label_values", values[1])
            found.append((query, values[2]))
        else:
            names = re.fullmatch(r"label_names\((.+)\)", variable["query"])
            assert names, f"{where}: not a form that Grafana knows"
            # What stands there is to Grafana a regular expression for the metric's name.
            selector = f'{{__name__=~".*{names[1]}.*"}}'
            found.append((DashboardQuery(name, where, "label_names", selector), ""))
    return found

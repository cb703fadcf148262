"""Conditions of rules: `queue_frozen_messages > 500`, `service_up{service="clamav"} == 0`.

The metrics are those of a host on /metrics, without `brainycp_`, and a few more.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from exporter.config.units import parse_duration, parse_size
from exporter.snapshot import COLLECTORS, SERVICES

Unit = Literal["count", "seconds", "bytes", "flag"]

METRIC_UNITS: dict[str, Unit] = {
    "up": "flag",
    "panel_up": "flag",
    "collector_up": "flag",
    "service_up": "flag",
    "queue_messages": "count",
    "queue_listed_messages": "count",
    "queue_unparsed_messages": "count",
    "queue_frozen_messages": "count",
    "queue_bounce_messages": "count",
    "queue_size_bytes": "bytes",
    "queue_oldest_message_age_seconds": "seconds",
    "queue_growth_messages": "count",
    "panel_certificate_expires_in_seconds": "seconds",
    "remediation_failed": "flag",
    "remediation_stopped": "flag",
}
"""Every metric that a condition can compare, with its unit.

Beside those of /metrics: `panel_up`, 1 when any collector's last poll was good;
`queue_growth_messages`, how many messages a queue is above its lowest within the last hour;
`panel_certificate_expires_in_seconds`; `remediation_failed`, 1 when the last action of a rule on
the host ended other than well; `remediation_stopped`, 1 while a rule has stopped itself there.
"""

ALERT_ONLY_METRICS = frozenset(
    {"queue_growth_messages", "remediation_failed", "remediation_stopped"}
)
"""Metrics that no single poll reports: an action must rest on one poll."""

ANY = "*"
"""In an alerting rule: one alert for each collector or service."""

LABELS = {"collector_up": ("collector", COLLECTORS), "service_up": ("service", SERVICES)}
"""Metrics with several series for a host, their label and its values."""

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}

_FORM = re.compile(
    r"([a-z_]+)\s*(?:\{\s*([a-z_]+)\s*=\s*([\"'])([^\"']*)\3\s*\}\s*)?([<>=!≤≥]++)\s*(\S.*)"
)
"""Of a text without blanks around it."""
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,6})?")
_SEVERAL = re.compile(r"[<>=!&|]|\b(?:and|or)\b", re.IGNORECASE)
_EXAMPLE = 'must be a comparison, as "queue_frozen_messages > 500"'
_LABEL_EXAMPLE = """must be a comparison, as 'service_up{service="clamav"} == 0'"""
_MEANT = {
    "=": "==",
    "===": "==",
    "<>": "!=",
    "=!": "!=",
    "!": "!=",
    "=>": ">=",
    "≥": ">=",
    ">>": ">",
    "=<": "<=",
    "≤": "<=",
    "<<": "<",
}
"""Operators of other languages and typing errors, with the operator to write instead."""

CONDITION_PATTERN = r"^\s*[a-z_]+\s*(\{[^{}]*\}\s*)?(>=|<=|==|!=|>|<)\s*\S.*$"


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a host's metric with a number."""

    metric: str
    """A key of METRIC_UNITS."""
    operator: str
    value: float
    """Seconds or bytes where that is the metric's unit."""
    label: str = ""
    """The collector or the service of a metric that has one, or ANY; else ""."""
    text: str = ""
    """As written, with single blanks."""

    def holds(self, value: float) -> bool:
        """Return whether it holds for this value of the metric."""
        return _OPERATORS[self.operator](value, self.value)

    def __str__(self) -> str:
        return self.text


def parse_condition(text: str) -> Condition:
    """Parse a condition.

    Raises:
        ValueError: `text` is none; the error says why.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(_LABEL_EXAMPLE if "{" in text else _EXAMPLE)
    name, key, _, label, sign, value = match.groups()
    metric = name.removeprefix("brainycp_")
    if metric not in METRIC_UNITS:
        close = difflib.get_close_matches(metric, METRIC_UNITS, n=1)
        close += [name for name in METRIC_UNITS if metric in name]
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(METRIC_UNITS)}"
        raise ValueError(f"compares an unknown figure; {hint}")
    _check_label(metric, key, label)
    if sign not in _OPERATORS:
        instead = _MEANT.get(sign, f"one of {' '.join(_OPERATORS)}")
        raise ValueError(f"knows no comparison {sign[:4]}: write {instead}")
    if _SEVERAL.search(value):
        raise ValueError("must be one comparison: write several as a list, and all must hold")
    number = _value(METRIC_UNITS[metric], value)
    selector = f'{{{key}="{label}"}}' if key else ""
    return Condition(metric, sign, number, label or "", f"{metric}{selector} {sign} {value}")


def _check_label(metric: str, key: str | None, label: str | None) -> None:
    if metric not in LABELS:
        if key is not None:
            raise ValueError(f"{metric} takes no label")
        return
    wanted, values = LABELS[metric]
    if key != wanted or label not in (*values, ANY):
        forms = " or ".join(f'{metric}{{{wanted}="{value}"}}' for value in values)
        raise ValueError(f"must say which: {forms}")


def _value(unit: Unit, text: str) -> float:
    number = float(text) if _NUMBER.fullmatch(text) else None
    if unit == "flag" and number not in {0, 1}:
        raise ValueError("must be compared with 0 or 1: this figure is nothing else")
    if number is not None:
        return number
    if unit == "seconds":
        return parse_duration(text)
    if unit == "bytes":
        return parse_size(text)
    raise ValueError("must be compared with a plain number, as 500")


def _condition(value: object) -> Condition:
    if isinstance(value, Condition):
        return value
    if not isinstance(value, str):
        raise ValueError(_EXAMPLE)  # noqa: TRY004 - pydantic wants a ValueError
    return parse_condition(value)


def _for_actions(condition: Condition) -> Condition:
    if condition.metric in ALERT_ONLY_METRICS:
        raise ValueError(f"{condition.metric} is for alerting rules alone")
    if condition.label == ANY:
        _check_label(condition.metric, None, None)
    return condition


_TEXT_SCHEMA = {"type": "string", "pattern": CONDITION_PATTERN}

AlertCondition = Annotated[Condition, BeforeValidator(_condition), WithJsonSchema(_TEXT_SCHEMA)]
"""A condition of an alert, as a config writes it."""

ActionCondition = Annotated[AlertCondition, AfterValidator(_for_actions)]
"""A condition of a rule that acts."""


def _one_or_many(value: object) -> object:
    if isinstance(value, str | Condition):
        return (value,)
    if isinstance(value, list | tuple):
        return value
    raise ValueError(f"{_EXAMPLE}, or a list of them")


_LIST_SCHEMA = {"anyOf": [_TEXT_SCHEMA, {"type": "array", "items": _TEXT_SCHEMA}]}

Conditions = Annotated[
    tuple[ActionCondition, ...], BeforeValidator(_one_or_many), WithJsonSchema(_LIST_SCHEMA)
]
"""One condition of a rule that acts, or a list of them that must all hold."""

AlertConditions = Annotated[
    tuple[AlertCondition, ...], BeforeValidator(_one_or_many), WithJsonSchema(_LIST_SCHEMA)
]
"""One condition of an alert, or a list of them that must all hold."""


# --- whether conditions can all hold at once ------------------------------------------------------


def may_both_hold(when: Collection[Condition], clear: Collection[Condition]) -> bool:
    """Return whether some measurements certainly satisfy both `when` and `clear`.

    Not where `clear` compares a metric that `when` does not: whether both can hold at once is
    unknown then.
    """
    compared = {_series(condition) for condition in when}
    if not clear or not {_series(condition) for condition in clear} <= compared:
        return False
    together = (*when, *clear)
    return all(_satisfiable([c for c in together if _series(c) == series]) for series in compared)


def _series(condition: Condition) -> tuple[str, str]:
    return condition.metric, condition.label


def _satisfiable(conditions: Collection[Condition]) -> bool:
    """Return whether one value satisfies all conditions on one metric."""
    return any(all(c.holds(value) for c in conditions) for value in _candidates(conditions))


def _candidates(conditions: Collection[Condition]) -> Iterator[float]:
    """Yield values that decide for all values of one metric: each threshold and its sides."""
    thresholds = sorted({condition.value for condition in conditions})
    match METRIC_UNITS[next(iter(conditions)).metric]:
        case "flag":
            yield from (0.0, 1.0)
        case "count":  # whole, and not negative
            near = (math.floor(value) + side for value in thresholds for side in (-1, 0, 1, 2))
            yield from (float(value) for value in near if value >= 0)
        case _:
            yield from thresholds
            yield from ((a + b) / 2 for a, b in pairwise(thresholds))
            yield from (thresholds[-1] + 1, thresholds[0] - 1)

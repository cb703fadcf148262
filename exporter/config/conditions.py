"""Conditions of rules: `queue_frozen_messages > 500`, `service_up{service="clamav"} == 0`.

The figures are the contract's metrics of a host, without `brainycp_`.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from exporter.config.units import parse_duration, parse_size
from exporter.snapshot import COLLECTORS, SERVICES

Unit = Literal["count", "seconds", "bytes", "flag"]

FIGURES: dict[str, Unit] = {
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
"""Every figure that a condition can compare, with its unit.

Beside the contract's metrics: `panel_up`, 1 when any collector's last poll was good;
`queue_growth_messages`, by how many messages a queue is above its lowest within the last hour;
`panel_certificate_expires_in_seconds`; `remediation_failed`, 1 when the last action of a rule on
the host ended other than well; `remediation_stopped`, 1 while a rule has stopped itself there.
"""

FOR_ALERTS_ALONE = frozenset({"queue_growth_messages", "remediation_failed", "remediation_stopped"})
"""Figures that are not of one poll, which an action must rest on."""

ANY = "*"
"""In a rule for alerts: one alert for each collector or service."""

_LABELS = {"collector_up": ("collector", COLLECTORS), "service_up": ("service", SERVICES)}
"""Figures of which a host has several, the label that tells them apart, and its values."""

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}

# Of a text without blanks around it. Nothing is tried twice: a config may hold megabytes.
_FORM = re.compile(
    r"([a-z_]++)\s*+(?:\{\s*+([a-z_]++)\s*+=\s*+([\"'])([^\"']*+)\3\s*+\}\s*+)?"
    r"([<>=!≤≥]++)\s*+(\S.*+)"
)
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
"""Comparisons of other languages, slips of the finger, and what to write instead."""

CONDITION_PATTERN = r"^\s*[a-z_]+\s*(\{[^{}]*\}\s*)?(>=|<=|==|!=|>|<)\s*\S.*$"


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a host's figure with a number."""

    figure: str
    """A key of FIGURES."""
    operator: str
    value: float
    """Seconds or bytes where the figure is one of these."""
    label: str = ""
    """The collector or the service, for figures that have one, or ANY; else ""."""
    text: str = ""
    """As it was written, blanks made even."""
    key: tuple[str, str] = field(init=False, repr=False, compare=False)
    """Figure and label: what it compares."""
    compare: Callable[[float, float], bool] = field(init=False, repr=False, compare=False)
    """Its operator; conditions are looked at for every host at every poll."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", (self.figure, self.label))
        object.__setattr__(self, "compare", _OPERATORS[self.operator])

    def holds(self, told: float) -> bool:
        """Whether it holds for a figure of this value."""
        return self.compare(told, self.value)

    def __str__(self) -> str:
        return self.text


def parse_condition(text: str) -> Condition:
    """The condition that `text` says.

    Raises:
        ValueError: it is none; the text says why.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(_LABEL_EXAMPLE if "{" in text else _EXAMPLE)
    name, key, _, label, sign, value = match.groups()
    figure = name.removeprefix("brainycp_")
    if figure not in FIGURES:
        close = difflib.get_close_matches(figure, FIGURES, n=1)
        close += [name for name in FIGURES if figure in name]
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(FIGURES)}"
        raise ValueError(f"compares an unknown figure; {hint}")
    _check_label(figure, key, label)
    if sign not in _OPERATORS:
        instead = _MEANT.get(sign, f"one of {' '.join(_OPERATORS)}")
        raise ValueError(f"knows no comparison {sign[:4]}: write {instead}")
    if _SEVERAL.search(value):
        raise ValueError("must be one comparison: write several as a list, and all must hold")
    number = _value(FIGURES[figure], value)
    selector = f'{{{key}="{label}"}}' if key else ""
    return Condition(figure, sign, number, label or "", f"{figure}{selector} {sign} {value}")


def _check_label(figure: str, key: str | None, label: str | None) -> None:
    if figure not in _LABELS:
        if key is not None:
            raise ValueError(f"{figure} takes no label")
        return
    wanted, values = _LABELS[figure]
    if key != wanted or label not in (*values, ANY):
        forms = " or ".join(f'{figure}{{{wanted}="{value}"}}' for value in values)
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
    if condition.figure in FOR_ALERTS_ALONE:
        raise ValueError(f"{condition.figure} is for alerting rules alone")
    if condition.label == ANY:
        _check_label(condition.figure, None, None)
    return condition


_TEXT_SCHEMA = {"type": "string", "pattern": CONDITION_PATTERN}

AlertCondition = Annotated[Condition, BeforeValidator(_condition), WithJsonSchema(_TEXT_SCHEMA)]
"""A condition of an alert, as a config writes it."""

ActionCondition = Annotated[AlertCondition, AfterValidator(_for_actions)]
"""A condition on which something is done."""


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
"""One condition on which something is done, or a list of them that must all hold."""

AlertConditions = Annotated[
    tuple[AlertCondition, ...], BeforeValidator(_one_or_many), WithJsonSchema(_LIST_SCHEMA)
]
"""One condition of an alert, or a list of them that must all hold."""

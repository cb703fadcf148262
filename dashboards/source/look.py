"""Colours, thresholds and texts for values, in one place so that both dashboards agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

GREEN, ORANGE, RED, BLUE, PURPLE, TEXT = "green", "orange", "red", "blue", "purple", "text"

COUNT = units.LocaleFormat
"""Every digit of it: 1,523 frozen messages are not 2 K."""
STATE = units.NoUnit

DAY = 86_400

Steps = Sequence[tuple[float, str]]
"""(from this value on, colour); below the first everything is green."""

# Where there is an alert, red is where it fires, and orange where it resolves or comes near.
MESSAGES: Steps = ((500, ORANGE), (2000, RED))
FROZEN: Steps = ((100, ORANGE), (200, RED))
OLDEST: Steps = ((DAY, ORANGE), (5 * DAY, RED))
GROWTH: Steps = ((100, ORANGE), (500, RED))
STALE: Steps = ((300, ORANGE), (900, RED))
LATENCY: Steps = ((5, ORANGE), (20, RED))
ANY_IS_BAD: Steps = ((1, RED),)
ANY_IS_ODD: Steps = ((1, ORANGE),)
PLAIN: Steps = ()


def thresholds(steps: Steps, *, below: str = GREEN) -> build.ThresholdsConfig:
    """Colours by value."""
    return (
        build.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps(
            [
                model.Threshold(value=None, color=below),
                *(model.Threshold(value=float(at), color=color) for at, color in steps),
            ]
        )
    )


CERTIFICATE = thresholds(((14 * DAY, ORANGE), (30 * DAY, GREEN)), below=RED)
"""Seconds that a certificate is still valid: the fewer the worse."""


def values(texts: Mapping[str, tuple[str, str]]) -> list[model.ValueMapping]:
    """Texts and colours instead of numbers or words."""
    return [
        model.ValueMap(
            options={
                value: model.ValueMappingResult(text=text, color=color, index=index)
                for index, (value, (text, color)) in enumerate(texts.items())
            }
        )
    ]


UP = values({"1": ("up", GREEN), "0": ("down", RED)})
RUNNING = values({"1": ("running", GREEN), "0": ("stopped", RED), "-1": ("not installed", BLUE)})
PAUSED = values({"0": ("active", GREEN), "1": ("paused", ORANGE)})
STOPPED = values({"1": ("stopped", RED)})
USABLE = values({"1": ("usable", GREEN), "0": ("not usable", RED)})
CERTAIN = values({"1": ("certain", GREEN), "0": ("guessed", ORANGE)})
RELOADED = values({"1": ("good", GREEN), "0": ("failed", RED)})
OUTCOME_COLORS: Mapping[str, str] = {
    "ok": GREEN,
    "dry_run": BLUE,
    "unknown": PURPLE,
    "verify_failed": ORANGE,
    "failed": RED,
}
OUTCOME = values({word: (word, color) for word, color in OUTCOME_COLORS.items()})
SEVERITY = values(
    {"info": ("info", BLUE), "warning": ("warning", ORANGE), "critical": ("critical", RED)}
)

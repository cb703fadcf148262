"""The section `remediation`: rules that act on a panel, and what holds them back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from exporter.config.base import Count, Duration, Model, matching
from exporter.config.conditions import Conditions
from exporter.config.errors import Mistake
from exporter.config.secrets import LocalPath
from exporter.config.selectors import ALL_FROZEN_MAIL, EVERYTHING, HostSelector, Selector
from exporter.config.windows import Window, is_open
from exporter.snapshot import SERVICES

Action = Literal["purge_frozen", "delete", "retry", "purge_all", "service_on", "service_off"]
Mode = Literal["off", "dry_run", "enforce"]
ServiceName = Literal["clamav", "spamassassin"]

BY_SELECTOR = frozenset({"delete", "retry"})
"""Actions that go by id, so that they need a selector."""

ON_SERVICE = frozenset({"service_on", "service_off"})

SHORTEST_JOURNAL = 2 * 86400.0
"""Seconds for which the journal is kept at least: the guards read a whole day of it."""

_RULE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}")

_PERCENT = re.compile(r"([1-9][0-9]?|100)%")


def _share(value: object) -> float:
    if isinstance(value, float) and 0 < value <= 1:
        return value
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a share, from 1% to 100%")
    return int(match[1]) / 100


Share = Annotated[
    float,
    BeforeValidator(_share),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_PERCENT.pattern}$"},
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            ]
        }
    ),
]
"""A share of 1, written as 30% or 0.3."""


class Limits(Model):
    """What all rules together may do."""

    actions_at_once: Count = Field(1, ge=1, le=100)
    """Actions that run at the same time, over the fleet."""
    actions_per_hour: Count = Field(12, ge=1)
    """Actions begun within an hour, over the fleet."""
    storm_brake: Share = Field(0.3, json_schema_extra={"default": "30%"})
    """When more than this share of the hosts, and more than 2, want any action, none acts."""


class Verify(Model):
    """How a rule finds out whether its action worked."""

    within: Duration = Field(300.0, json_schema_extra={"default": "5m"})
    """How long after the action the conditions may take to hold."""
    expect: Conditions = Field(min_length=1)
    """What must hold then; all of them."""


class RemediationRule(Model):
    """When to do what, on which hosts, and how carefully."""

    name: Annotated[
        str,
        matching(
            _RULE_NAME,
            "must be letters, digits and . _ : - only, at most 63, as purge-frozen-storm",
        ),
    ] = Field(json_schema_extra={"pattern": f"^{_RULE_NAME.pattern}$"})
    """Unique; the label `rule` of the metrics."""
    when: Conditions = ()
    """Conditions that must all hold; none: only a person or an Alertmanager can ask for it."""
    hold: Duration | None = Field(None, alias="for")
    """How long they must hold, counted over good polls that follow each other."""
    hosts: HostSelector = HostSelector()
    """Which hosts; all when not given."""
    action: Action
    """What is done."""
    select: Selector | None = None
    """Which messages; needed by delete and retry."""
    force: bool = False
    """purge_all: also messages that are locked by a delivery."""
    service: ServiceName | None = None
    """service_on and service_off: which."""
    cooldown: Duration = Field(3600.0, json_schema_extra={"default": "1h"})
    """Time between two actions of this rule on one host."""
    max_per_day: Count = Field(4, ge=1)
    """Actions of this rule on one host within 24 hours."""
    max_messages: Count = Field(1000, ge=1)
    """A plan of more messages than this is not carried out."""
    approval: Literal["none", "required"] = "none"
    """Whether a person must allow each action."""
    respect_silences: bool = False
    """Whether a silence at one of alerting.alertmanagers holds it back; so does not knowing."""
    verify: Verify | None = None
    """What must hold afterwards."""

    def _mistakes(self) -> Iterator[Mistake]:
        if words := self._wrong_select():
            yield ("select",), words
        if self.action in ON_SERVICE and self.service is None:
            yield ("service",), f"is missing: {self.action} needs {' or '.join(SERVICES)}"
        if self.action not in ON_SERVICE and self.service is not None:
            yield ("service",), f"is of no use to {self.action}"
        if self.force and self.action != "purge_all":
            yield ("force",), "is for purge_all alone"
        if self.hold is not None and not self.when:
            yield ("for",), "is of no use without `when`"
        yield from self.hosts.mistakes()

    def _wrong_select(self) -> str:
        if self.select is None:
            needed = self.action in BY_SELECTOR
            return f"is missing: {self.action} needs to know which messages" if needed else ""
        if self.action in ON_SERVICE:
            return f"is of no use to {self.action}"
        if self.action == "purge_all" and self.select != EVERYTHING:
            return "must be left out: purge_all takes every message; to choose some use delete"
        if self.action == "purge_frozen" and not self.select.frozen:
            return "must hold frozen: true, since purge_frozen deletes only frozen mail"
        return ""

    @property
    def selector(self) -> Selector:
        """The messages it is about; for purge_frozen and purge_all there is a default."""
        if self.select is not None:
            return self.select
        return EVERYTHING if self.action == "purge_all" else ALL_FROZEN_MAIL


class RemediationConfig(Model):
    """Rules that repair, and what holds them back."""

    mode: Mode | None = None
    """off, dry_run (everything but the act) or enforce; required where there are rules."""
    pause_file: LocalPath | None = None
    """While this file exists no rule acts; relative to the config file."""
    journal_keep: Duration = Field(90 * 86400.0, json_schema_extra={"default": "90d"})
    """How long the journal's entries are kept."""
    limits: Limits = Limits()
    """What all rules together may do."""
    windows: tuple[Window, ...] = ()
    """When rules may act; always when none is given."""
    rules: tuple[RemediationRule, ...] = ()
    """The rules, in the order in which they are looked at."""

    def _mistakes(self) -> Iterator[Mistake]:
        for position, rule in enumerate(self.rules):
            # A cooldown that the journal has forgotten no longer applies.
            if rule.cooldown > self.journal_keep >= SHORTEST_JOURNAL:
                words = f"must not be shorter than the cooldown of rules[{position}]"
                yield ("journal_keep",), words
        if self.journal_keep < SHORTEST_JOURNAL:
            yield ("journal_keep",), "must be at least 2d: the limits are counted from the journal"

    def in_a_window(self, now: float) -> bool:
        """Return whether rules may act at `now` (Unix time)."""
        return not self.windows or any(is_open(window, now) for window in self.windows)

    def rule(self, name: str) -> RemediationRule | None:
        """Return the rule of this name; None when there is none."""
        return next((rule for rule in self.rules if rule.name == name), None)

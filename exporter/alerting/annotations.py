"""What a notification says of a host: the variables of templates, and the description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.alerting.rule_instances import RuleInstance
from exporter.conditions import Interval
from exporter.config.conditions import FIGURES, Condition
from exporter.config.templates import Labels, TemplateRenderError, render_template
from exporter.fleet.store import HostRecord
from exporter.humanize import duration, integer, size
from exporter.snapshot import SERVICES, DomainCounts, HostSnapshot, QueueState

UNKNOWN = "unknown"
TOLD_DOMAINS = 3
"""Domains named in a notification, of each role."""


@dataclass(frozen=True, slots=True)
class AnnotationContext:
    """What is known of a host when an alert is told."""

    record: HostRecord
    snapshot: HostSnapshot
    now: float
    """Unix time."""
    remediation: str
    """The last action of a rule on it; "" when there was none."""
    url: str
    """Its page."""


def annotations_of(
    watch: RuleInstance,
    labels: Mapping[str, str],
    known: Interval,
    since: float,
    facts: AnnotationContext,
) -> dict[str, str]:
    """The texts of an alert: those of its rule, and a summary and description in any case."""
    values = variables(watch, labels, known, since, facts)
    texts = {
        "summary": f"{values['host']}: {values['condition']}",
        "description": describe(watch, values),
    }
    for name, template in watch.rule.annotations.items():
        try:
            texts[name] = render_template(template, values)
        except TemplateRenderError as error:
            # An alert with a faulty text must still be told.
            texts[name] = f"{texts.get(name, '')} (the template failed: {error})".strip()
    return texts


def variables(
    watch: RuleInstance,
    labels: Mapping[str, str],
    known: Interval,
    since: float,
    facts: AnnotationContext,
) -> dict[str, object]:
    """Every variable of `exporter.config.templates.VARIABLES`."""
    first = watch.when[0]
    return {
        "alert": watch.rule.name,
        "severity": watch.rule.severity,
        "host": facts.record.host.name,
        "labels": Labels(labels),
        "condition": watch.condition,
        "value": shown(first, known.least),
        "number": known.least,
        "threshold": shown(first, first.value),
        "since": duration(facts.now - since),
        **_queue(facts.record.queue(facts.now)),
        "services": _services(facts),
        "failure": _failure(watch, facts.snapshot),
        "remediation": facts.remediation or "none",
        "url": facts.url,
    }


def shown(condition: Condition, value: float) -> str:
    """A figure's value as people read it."""
    match FIGURES[condition.figure]:
        case "seconds":
            return duration(value) if value >= 0 else f"-{duration(-value)}"
        case "bytes":
            return size(value)
        case _:
            return integer(int(value)) if value == int(value) else f"{value:g}"


def _queue(queue: QueueState | None) -> dict[str, str]:
    stats = queue.stats if queue is not None else None

    def count(value: int | None) -> str:
        return UNKNOWN if value is None else integer(value)

    def share(value: int | None, told_by: str) -> str:
        """Of the rows that did tell."""
        if stats is None or value is None:
            return UNKNOWN
        rows = stats.listed - stats.unparsed - dict(stats.lacking).get(told_by, 0)
        return f"{value / rows:.0%}" if rows > 0 else UNKNOWN

    oldest = stats.oldest_age if stats is not None else None
    total = stats.size_bytes if stats is not None else None
    return {
        "messages": count(queue.messages if queue is not None else None),
        "frozen": count(stats.frozen if stats is not None else None),
        "frozen_share": share(stats.frozen if stats is not None else None, "frozen"),
        "bounces": count(stats.bounces if stats is not None else None),
        "bounce_share": share(stats.bounces if stats is not None else None, "sender"),
        "oldest": UNKNOWN if oldest is None else duration(oldest),
        "size": UNKNOWN if total is None else size(total),
        "senders": _domains(stats.sender_domains if stats is not None else None),
        "recipients": _domains(stats.recipient_domains if stats is not None else None),
    }


def _domains(counts: DomainCounts | None) -> str:
    if counts is None:
        return UNKNOWN
    told = counts.top[:TOLD_DOMAINS]
    return ", ".join(f"{domain} {integer(count)}" for domain, count in told) or "none"


def _services(facts: AnnotationContext) -> str:
    asked = [name for name in SERVICES if name in facts.record.host.collectors]
    states = [facts.record.service(name, facts.now) for name in asked]
    told = [
        f"{name} {UNKNOWN if state is None else state.words}"
        for name, state in zip(asked, states, strict=True)
    ]
    return ", ".join(told) or "none asked"


def _failure(watch: RuleInstance, snapshot: HostSnapshot) -> str:
    result = snapshot.result(watch.value) if watch.label == "collector" else None
    failure = result.failure if result is not None else snapshot.failure
    # On one line: what a panel says must not look like a line of ours.
    return "" if failure is None else " ".join(failure.sentence.split())


def describe(watch: RuleInstance, values: Mapping[str, object]) -> str:
    """The state of a host, in a few lines."""
    flag = FIGURES[watch.when[0].figure] == "flag"
    value = "" if flag else f": {values['value']}"
    shares = f"{values['frozen_share']} frozen, {values['bounce_share']} bounces"
    size_and_age = f"{values['size']}, oldest {values['oldest']}"
    known = [
        f"Queue: {values['messages']} messages, {shares}, {size_and_age}.",
        f"Senders: {values['senders']}. Recipients: {values['recipients']}.",
    ]
    lines = [
        f"{values['condition']}{value}, for {values['since']}.",
        *(["Queue: unknown."] if values["messages"] == UNKNOWN else known),
        f"Services: {values['services']}.",
    ]
    if values["failure"]:
        lines.append(f"Last failure: {values['failure']}")
    lines.append(f"Last remediation: {values['remediation']}.")
    return "\n".join(lines)

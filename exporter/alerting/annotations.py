"""Annotations of an alert: the variables of templates, and the default summary and description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.alerting.rule_instances import RuleInstance
from exporter.conditions import Interval
from exporter.config.conditions import METRIC_UNITS, Condition
from exporter.config.templates import Labels, TemplateRenderError, render_template
from exporter.fleet.store import HostRecord
from exporter.humanize import duration, integer, size
from exporter.snapshot import SERVICES, DomainCounts, HostSnapshot, QueueState

UNKNOWN = "unknown"
TOP_DOMAINS = 3
"""Domains named in a notification, of senders and of recipients."""


@dataclass(frozen=True, slots=True)
class AnnotationContext:
    """What annotations need of a host."""

    record: HostRecord
    snapshot: HostSnapshot
    now: float
    """Unix time."""
    remediation: str
    """The last action of a rule on it; "" when there was none."""
    url: str
    """Its page."""


def annotations_of(
    rule: RuleInstance,
    labels: Mapping[str, str],
    interval: Interval,
    since: float,
    context: AnnotationContext,
) -> dict[str, str]:
    """Return the annotations of a rule, and a summary and description in any case."""
    values = variables(rule, labels, interval, since, context)
    texts = {
        "summary": f"{values['host']}: {values['condition']}",
        "description": describe(rule, values),
    }
    for name, template in rule.config.annotations.items():
        try:
            texts[name] = render_template(template, values)
        except TemplateRenderError as error:
            # An alert with a faulty annotation must still be sent.
            texts[name] = f"{texts.get(name, '')} (the template failed: {error})".strip()
    return texts


def variables(
    rule: RuleInstance,
    labels: Mapping[str, str],
    interval: Interval,
    since: float,
    context: AnnotationContext,
) -> dict[str, object]:
    """Return every variable of `exporter.config.templates.VARIABLES`."""
    first = rule.when[0]
    return {
        "alert": rule.name,
        "severity": rule.config.severity,
        "host": context.record.host.name,
        "labels": Labels(labels),
        "condition": rule.condition,
        "value": humanized(first, interval.least),
        "number": interval.least,
        "threshold": humanized(first, first.value),
        "since": duration(context.now - since),
        **_queue(context.record.queue(context.now)),
        "services": _services(context),
        "failure": _failure(rule, context.snapshot),
        "remediation": context.remediation or "none",
        "url": context.url,
    }


def humanized(condition: Condition, value: float) -> str:
    """Return a metric's value as people read it."""
    match METRIC_UNITS[condition.metric]:
        case "seconds":
            return duration(value) if value >= 0 else f"-{duration(-value)}"
        case "bytes":
            return size(value)
        case _:
            return integer(int(value)) if value == int(value) else f"{value:g}"


def _queue(queue: QueueState | None) -> dict[str, str]:
    names = ("messages", "frozen", "frozen_share", "bounces", "bounce_share", "oldest", "size")
    values = dict.fromkeys((*names, "senders", "recipients"), UNKNOWN)
    if queue is None:
        return values
    values["messages"] = integer(queue.messages)
    stats = queue.stats
    if stats is None:
        return values

    def share(value: int, field: str) -> str:
        """Return a share of the rows that have the field."""
        rows = stats.listed - stats.unparsed - dict(stats.lacking).get(field, 0)
        return f"{value / rows:.0%}" if rows > 0 else UNKNOWN

    if stats.frozen is not None:
        values |= {"frozen": integer(stats.frozen), "frozen_share": share(stats.frozen, "frozen")}
    if stats.bounces is not None:
        values |= {
            "bounces": integer(stats.bounces),
            "bounce_share": share(stats.bounces, "sender"),
        }
    if stats.oldest_age is not None:
        values["oldest"] = duration(stats.oldest_age)
    if stats.size_bytes is not None:
        values["size"] = size(stats.size_bytes)
    return values | {
        "senders": _domains(stats.sender_domains),
        "recipients": _domains(stats.recipient_domains),
    }


def _domains(counts: DomainCounts | None) -> str:
    if counts is None:
        return UNKNOWN
    top = counts.top[:TOP_DOMAINS]
    return ", ".join(f"{domain} {integer(count)}" for domain, count in top) or "none"


def _services(context: AnnotationContext) -> str:
    states = {
        name: context.record.service(name, context.now)
        for name in SERVICES
        if name in context.record.host.collectors
    }
    texts = [
        f"{name} {UNKNOWN if state is None else state.words}" for name, state in states.items()
    ]
    return ", ".join(texts) or "none asked"


def _failure(rule: RuleInstance, snapshot: HostSnapshot) -> str:
    result = snapshot.result(rule.value) if rule.label == "collector" else None
    failure = result.failure if result is not None else snapshot.failure
    # On one line: what a panel says must not look like a line of ours.
    return "" if failure is None else " ".join(failure.sentence.split())


def describe(rule: RuleInstance, values: Mapping[str, object]) -> str:
    """Return the state of a host in a few lines."""
    is_flag = METRIC_UNITS[rule.when[0].metric] == "flag"
    value = "" if is_flag else f": {values['value']}"
    lines = [f"{values['condition']}{value}, for {values['since']}."]
    if values["messages"] == UNKNOWN:
        lines.append("Queue: unknown.")
    else:
        lines.append(
            f"Queue: {values['messages']} messages, {values['frozen_share']} frozen, "
            f"{values['bounce_share']} bounces, {values['size']}, oldest {values['oldest']}."
        )
        lines.append(f"Senders: {values['senders']}. Recipients: {values['recipients']}.")
    lines.append(f"Services: {values['services']}.")
    if values["failure"]:
        lines.append(f"Last failure: {values['failure']}")
    lines.append(f"Last remediation: {values['remediation']}.")
    return "\n".join(lines)

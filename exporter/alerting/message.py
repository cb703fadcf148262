"""A notification as plain text, to be read on a phone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from exporter.alertmanager.alert import Alert, Notification
from exporter.alertmanager.sanitize import cut, one_line
from exporter.humanize import duration

MAX_ALERTS = 20
"""Alerts shown in full."""

MAX_BODY = 3500
"""UTF-16 units, as Telegram counts its 4,096; a title and what goes around it must fit too."""

_LONGEST_HOSTS = 120
_LONGEST_SUMMARY = 300
_LONGEST_DESCRIPTION = 900
_LONGEST_LINK = 300
_ROOM_FOR_MORE = 200
"""For the line about those that are left out."""
_ROOM_FOR_RESOLVED = 600
"""Where others still fire."""


def title(notification: Notification) -> str:
    """Return `[FIRING:3] MailQueueFrozen: mx1, mx7, mx9`, or `[RESOLVED] …` when none fires."""
    firing = notification.firing
    mark = f"[FIRING:{len(firing)}]" if firing else "[RESOLVED]"
    hosts = _hosts(firing or notification.resolved)
    name = one_line(notification.group, 80)
    return f"{mark} {name}: {hosts}" if hosts else f"{mark} {name}"


def body(notification: Notification) -> str:
    """Return each alert with its annotations, in their order, as plain text.

    Those that do not fit are counted and named as far as possible.
    """
    firing, resolved = notification.firing, notification.resolved
    resolved_part = _listed(resolved, _resolved, _ROOM_FOR_RESOLVED if firing else MAX_BODY, "\n")
    room = MAX_BODY - _units(resolved_part) - 2
    parts = (_listed(firing, _in_full, room, "\n\n"), resolved_part)
    return _fitting("\n\n".join(filter(None, parts)), MAX_BODY)


def _listed(
    alerts: Sequence[Alert], render: Callable[[Alert], str], room: int, between: str
) -> str:
    """Return as many alerts as `room` takes, one at least, and a line about the others."""
    texts: list[str] = []
    room -= _ROOM_FOR_MORE
    for alert in alerts[:MAX_ALERTS]:
        text = render(alert)
        room -= _units(text) + len(between)
        if texts and room < 0:
            break
        texts.append(text)
    if rest := alerts[len(texts) :]:
        hosts = _hosts(rest)
        texts.append(f"and {len(rest)} more: {hosts}" if hosts else f"and {len(rest)} more")
    return between.join(texts)


def _in_full(alert: Alert) -> str:
    severity = f" ({one_line(alert.severity, 20)})" if alert.severity else ""
    lines = alert.annotations.get("description", "").split("\n")
    description = "\n".join(filter(None, (one_line(line, _LONGEST_SUMMARY) for line in lines)))
    parts = (
        _summary(alert) + severity,
        cut(description, _LONGEST_DESCRIPTION),
        one_line(alert.url, _LONGEST_LINK),
    )
    return "\n".join(filter(None, parts))


def _resolved(alert: Alert) -> str:
    lasted = (alert.resolved_at or alert.fired_at) - alert.since
    return f"Resolved after {duration(lasted)}: {_summary(alert)}"


def _summary(alert: Alert) -> str:
    """Return an alert's summary, with its host."""
    host = one_line(alert.host, 127)
    summary = one_line(alert.annotations.get("summary", ""), _LONGEST_SUMMARY)
    if not summary or not host:
        return summary or host or one_line(alert.name, 80)
    return summary if host in summary else f"{host}: {summary}"


def _hosts(alerts: Iterable[Alert]) -> str:
    """Return the names of hosts, each once, as far as a line takes them."""
    names = list(dict.fromkeys(one_line(alert.host, 127) for alert in alerts if alert.host))
    shown: list[str] = []
    room = _LONGEST_HOSTS
    for name in names:
        room -= len(name) + 2
        if shown and room < 0:
            return f"{', '.join(shown)} and {len(names) - len(shown)} more"
        shown.append(name)
    return ", ".join(shown)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _fitting(text: str, limit: int) -> str:
    """Return `text`, cut to `limit` UTF-16 units."""
    if _units(text) <= limit:
        return text
    return text.encode("utf-16-le")[: 2 * (limit - 1)].decode("utf-16-le", "ignore") + "…"

"""One host's samples as exposition text, family by family: pure, made once a poll.

Some sixty lines a host are formatted here at each poll, so whatever is constant for a host
(names and labels, escaped) is put together once, and a line is that prefix and a number. Python
writes ints and floats just as the format wants them; only truth values need to be made ints.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from exporter.config.models import HostConfig
from exporter.config.panel_api import API_PATH
from exporter.fleet.store import HostRecord
from exporter.metrics import families as f
from exporter.metrics.families import HOST_FAMILIES, Family
from exporter.snapshot import (
    AGE_BUCKETS,
    COLLECTORS,
    LIST_FIELDS,
    MESSAGE_FIELDS,
    OTHER_DOMAIN,
    SERVICES,
    AgeHistogram,
    Certainty,
    DomainCounts,
    QueueState,
    QueueStats,
    Reason,
)

HostText = tuple[str, ...]
"""The samples of one host, one item for each of HOST_FAMILIES; "" where it has none."""

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_BOUNDS = (*(f"{float(bound)!r}" for bound in AGE_BUCKETS), "+Inf")

_QUEUE_FIGURES = (
    (f.QUEUE_LISTED, "listed"),
    (f.QUEUE_UNPARSED, "unparsed"),
    (f.QUEUE_FROZEN, "frozen"),
    (f.QUEUE_BOUNCE, "bounces"),
    (f.QUEUE_SIZE, "size_bytes"),
    (f.QUEUE_OLDEST, "oldest_age"),
)
"""Families made of one attribute of QueueStats each."""


def escape(value: str) -> str:
    """Return a label value as the text format wants it between the quotes."""
    if '"' in value or "\\" in value or "\n" in value:
        return value.translate(_ESCAPES)
    return value


def _template(prefixes: Iterable[str]) -> str:
    """Return lines that each lack only their value, to be filled by one `%` for all."""
    return "".join(prefix.replace("%", "%%") + " %s\n" for prefix in prefixes)


class _ErrorPrefixes(dict[tuple[str, Reason], str]):
    """By collector and reason, the line of brainycp_collector_errors_total up to its value."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self._start = f"{f.COLLECTOR_ERRORS.name}{{{label}"

    def __missing__(self, kind: tuple[str, Reason]) -> str:
        collector, reason = kind
        prefix = self[kind] = f'{self._start},collector="{collector}",reason="{reason}"}} '
        return prefix


class HostFormatter:
    """Renders the samples of one host; its config does not change."""

    def __init__(self, host: HostConfig) -> None:
        self.host = host
        label = self._label = f'host="{escape(host.name)}"'
        self._plain = {family: f"{family.name}{{{label}}} " for family in HOST_FAMILIES}
        self._figures = [(family, name, self._plain[family]) for family, name in _QUEUE_FIGURES]
        self._collector = {
            name: tuple(
                f'{family.name}{{{label},collector="{name}"}} '
                for family in (f.COLLECTOR_UP, f.COLLECTOR_DURATION, f.LAST_SUCCESS)
            )
            for name in COLLECTORS
        }
        self._errors = _ErrorPrefixes(label)
        self._services = [
            (
                name,
                f'{f.SERVICE_UP.name}{{{label},service="{name}"}} ',
                f'{f.SERVICE_INSTALLED.name}{{{label},service="{name}"}} ',
            )
            for name in SERVICES
            if name in host.collectors
        ]
        age = f.QUEUE_AGE.name
        self._ages = _template(
            [
                *(f'{age}_bucket{{{label},le="{bound}"}}' for bound in _BOUNDS),
                f"{age}_sum{{{label}}}",
                f"{age}_count{{{label}}}",
            ]
        )
        self._incomplete = {
            name: f'{f.QUEUE_INCOMPLETE.name}{{{label},field="{name}"}} ' for name in MESSAGE_FIELDS
        }
        self._layout = {
            name: f'{f.QUEUE_LAYOUT.name}{{{label},field="{name}"}} ' for name in LIST_FIELDS
        }
        self._last_layout: tuple[tuple[tuple[str, Certainty], ...], str] = ((), "")
        """The certainty of the fields at the last poll, and its lines."""
        self._domain = {
            role: f'{f.QUEUE_DOMAIN.name}{{{label},role="{role}",domain="'
            for role in ("sender", "recipient")
        }
        self._own_labels = "".join(f',{k}="{escape(v)}"' for k, v in host.labels.items())
        self._url = escape(host.url.removesuffix(API_PATH))

    def text(self, record: HostRecord, now: float) -> HostText:
        """Return every sample of the host as of `now` (Unix time): stale values are left out."""
        parts: dict[Family, str] = {f.HOST_INFO: self._info(record)}
        self._collectors(parts, record)
        queue = record.queue(now)
        if queue is not None:
            self._queue(parts, queue)
            parts[f.QUEUE_ENTERED] = f"{self._plain[f.QUEUE_ENTERED]}{record.entered}\n"
            parts[f.QUEUE_LEFT] = f"{self._plain[f.QUEUE_LEFT]}{record.left}\n"
        services = installed = ""
        for name, is_up, is_installed in self._services:
            state = record.service(name, now)
            if state is not None:
                services += f"{is_up}{int(state.running)}\n"
                installed += f"{is_installed}{int(state.installed)}\n"
        parts[f.SERVICE_UP], parts[f.SERVICE_INSTALLED] = services, installed
        if record.certificate_expiry is not None and (services or queue is not None):
            parts[f.CERTIFICATE_EXPIRY] = (
                f"{self._plain[f.CERTIFICATE_EXPIRY]}{record.certificate_expiry}\n"
            )
        if record.clock_skew is not None and (services or queue is not None):
            parts[f.CLOCK_SKEW] = f"{self._plain[f.CLOCK_SKEW]}{record.clock_skew}\n"
        return tuple([parts.get(family, "") for family in HOST_FAMILIES])

    def _info(self, record: HostRecord) -> str:
        mta = record.mta or ""
        known = f'{self._label},url="{self._url}",mta="{mta}"{self._own_labels}'
        return f"{f.HOST_INFO.name}{{{known}}} 1\n"

    def _collectors(self, parts: dict[Family, str], record: HostRecord) -> None:
        """Add whether, how long and how often the collectors went well; this never goes stale."""
        latest = record.latest
        if latest is None:
            return  # nothing is known yet: neither up nor down
        parts[f.UP] = f"{self._plain[f.UP]}{int(latest.ok)}\n"
        ups = durations = successes = ""
        for result in latest.results:
            up, duration, success = self._collector[result.collector]
            ups += f"{up}1\n" if result.failure is None else f"{up}0\n"
            if result.duration:  # else it was not asked, because the panel had just failed
                durations += f"{duration}{result.duration}\n"
            good = record.good.get(result.collector)
            if good is not None:
                successes += f"{success}{good.at}\n"
        parts[f.COLLECTOR_UP], parts[f.COLLECTOR_DURATION] = ups, durations
        parts[f.LAST_SUCCESS] = successes
        if record.errors:
            parts[f.COLLECTOR_ERRORS] = "".join(
                [f"{self._errors[kind]}{count}\n" for kind, count in record.errors.items()]
            )

    def _queue(self, parts: dict[Family, str], queue: QueueState) -> None:
        parts[f.QUEUE_MESSAGES] = f"{self._plain[f.QUEUE_MESSAGES]}{queue.messages}\n"
        parts[f.QUEUE_DETAIL_SKIPPED] = (
            f"{self._plain[f.QUEUE_DETAIL_SKIPPED]}{int(queue.stats is None)}\n"
        )
        if queue.stats is not None:
            self._stats(parts, queue.stats)

    def _stats(self, parts: dict[Family, str], stats: QueueStats) -> None:
        for family, name, prefix in self._figures:
            value = getattr(stats, name)
            if value is not None:
                parts[family] = f"{prefix}{value}\n"
        if stats.lacking:
            parts[f.QUEUE_INCOMPLETE] = "".join(
                [f"{self._incomplete[name]}{count}\n" for name, count in stats.lacking]
            )
        if stats.certainty:
            parts[f.QUEUE_LAYOUT] = self._layout_lines(stats.certainty)
        if stats.ages is not None:
            parts[f.QUEUE_AGE] = self._histogram(stats.ages)
        domains = ""
        if stats.sender_domains is not None:
            domains = self._domain_lines("sender", stats.sender_domains)
        if stats.recipient_domains is not None:
            domains += self._domain_lines("recipient", stats.recipient_domains)
        parts[f.QUEUE_DOMAIN] = domains

    def _layout_lines(self, certainty: tuple[tuple[str, Certainty], ...]) -> str:
        # The layout of a panel's lists is the same for months.
        if self._last_layout[0] != certainty:
            lines = [
                f"{self._layout[name]}{0 if how is Certainty.GUESSED else 1}\n"
                for name, how in certainty
            ]
            self._last_layout = certainty, "".join(lines)
        return self._last_layout[1]

    def _histogram(self, ages: AgeHistogram) -> str:
        cumulated = list(accumulate(ages.counts))
        return self._ages % (*cumulated, ages.total, cumulated[-1])

    def _domain_lines(self, role: str, counts: DomainCounts) -> str:
        # Domains need no escaping: the decoder accepts nothing but host names.
        start = self._domain[role]
        lines = "".join([f'{start}{domain}"}} {count}\n' for domain, count in counts.top])
        if counts.other:
            lines += f'{start}{OTHER_DOMAIN}"}} {counts.other}\n'
        return lines

"""One host's samples as exposition text, family by family: pure, made once a poll.

Hundreds of lines a host are formatted here at each poll, so lines are built from what is
constant for the host (its name and labels, escaped once) by plain string formatting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate

from exporter.metrics import families as f
from exporter.metrics.families import HOST_FAMILIES, Family
from exporter.panel.protocol import API_PATH
from exporter.snapshot import (
    AGE_BUCKETS,
    OTHER_DOMAIN,
    AgeHistogram,
    DomainCounts,
    QueueState,
    QueueStats,
)
from exporter.store import HostRecord

HostText = tuple[bytes, ...]
"""The samples of one host, one item for each of HOST_FAMILIES; b"" where it has none."""

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_BOUNDS = (*(f"{float(bound)!r}" for bound in AGE_BUCKETS), "+Inf")


def escape(value: str) -> str:
    """A label value as the text format wants it between the quotes."""
    return value.translate(_ESCAPES)


def number(value: float) -> str:
    """A sample value; a whole float without its fraction reads better and is shorter."""
    return str(int(value)) if value == int(value) else repr(float(value))


def host_text(record: HostRecord, now: float) -> HostText:
    """Every sample of a host as of `now` (Unix time): stale values are left out."""
    label = f'host="{escape(record.host.name)}"'
    parts: dict[Family, str] = {f.HOST_INFO: _info(record, label)}
    _collectors(parts, record, label)
    queue = record.queue(now)
    if queue is not None:
        _queue(parts, queue, label)
        parts[f.QUEUE_ENTERED] = _line(f.QUEUE_ENTERED, label, record.entered)
        parts[f.QUEUE_LEFT] = _line(f.QUEUE_LEFT, label, record.left)
    services = {name: record.service(name, now) for name in record.host.collectors}
    parts[f.SERVICE_UP] = "".join(
        f'{f.SERVICE_UP.name}{{{label},service="{name}"}} {int(up)}\n'
        for name, up in services.items()
        if up is not None
    )
    if record.certificate_expiry is not None and record.next_stale_at(now) != float("inf"):
        expiry = record.certificate_expiry
        parts[f.CERTIFICATE_EXPIRY] = _line(f.CERTIFICATE_EXPIRY, label, expiry)
    return tuple(parts.get(family, "").encode() for family in HOST_FAMILIES)


def _line(family: Family, labels: str, value: float) -> str:
    return f"{family.name}{{{labels}}} {number(value)}\n"


def _info(record: HostRecord, label: str) -> str:
    url = record.host.url.removesuffix(API_PATH)
    labels: Mapping[str, str] = {
        "url": url,
        "mta": record.mta or "",
        **record.host.labels,
    }
    rest = ",".join(f'{name}="{escape(value)}"' for name, value in labels.items())
    return f"{f.HOST_INFO.name}{{{label},{rest}}} 1\n"


def _collectors(parts: dict[Family, str], record: HostRecord, label: str) -> None:
    """Whether, how long and how often the collectors went well; these never go stale."""
    latest = record.latest
    if latest is None:
        return  # nothing is known yet: neither up nor down
    parts[f.UP] = _line(f.UP, label, latest.ok)
    up = duration = ""
    for result in latest.results:
        own = f'{label},collector="{result.collector}"'
        up += f"{f.COLLECTOR_UP.name}{{{own}}} {int(result.ok)}\n"
        duration += _line(f.COLLECTOR_DURATION, own, result.duration)
    parts[f.COLLECTOR_UP], parts[f.COLLECTOR_DURATION] = up, duration
    parts[f.COLLECTOR_ERRORS] = "".join(
        f'{f.COLLECTOR_ERRORS.name}{{{label},collector="{name}",reason="{reason}"}} {count}\n'
        for (name, reason), count in record.errors.items()
    )
    parts[f.LAST_SUCCESS] = "".join(
        _line(f.LAST_SUCCESS, f'{label},collector="{name}"', result.at)
        for name, result in record.good.items()
    )


def _queue(parts: dict[Family, str], queue: QueueState, label: str) -> None:
    parts[f.QUEUE_MESSAGES] = _line(f.QUEUE_MESSAGES, label, queue.messages)
    parts[f.QUEUE_DETAIL_SKIPPED] = _line(f.QUEUE_DETAIL_SKIPPED, label, queue.stats is None)
    if queue.stats is not None:
        _stats(parts, queue.stats, label)


def _stats(parts: dict[Family, str], stats: QueueStats, label: str) -> None:
    figures = (
        (f.QUEUE_LISTED, stats.listed),
        (f.QUEUE_UNPARSED, stats.unparsed),
        (f.QUEUE_FROZEN, stats.frozen),
        (f.QUEUE_BOUNCE, stats.bounces),
        (f.QUEUE_SIZE, stats.size_bytes),
        (f.QUEUE_OLDEST, stats.oldest_age),
    )
    for family, value in figures:
        if value is not None:
            parts[family] = _line(family, label, value)
    parts[f.QUEUE_INCOMPLETE] = "".join(
        f'{f.QUEUE_INCOMPLETE.name}{{{label},field="{name}"}} {count}\n'
        for name, count in stats.lacking
    )
    if stats.ages is not None:
        parts[f.QUEUE_AGE] = _histogram(f.QUEUE_AGE.name, label, stats.ages)
    roles = (("sender", stats.sender_domains), ("recipient", stats.recipient_domains))
    parts[f.QUEUE_DOMAIN] = "".join(
        line for role, counts in roles if counts for line in _domains(role, counts, label)
    )


def _histogram(name: str, label: str, ages: AgeHistogram) -> str:
    cumulated = list(accumulate(ages.counts))
    buckets = "".join(
        f'{name}_bucket{{{label},le="{bound}"}} {count}\n'
        for bound, count in zip(_BOUNDS, cumulated, strict=True)
    )
    return (
        f"{buckets}{name}_sum{{{label}}} {number(ages.total)}\n"
        f"{name}_count{{{label}}} {cumulated[-1]}\n"
    )


def _domains(role: str, counts: DomainCounts, label: str) -> Iterable[str]:
    prefix = f'{f.QUEUE_DOMAIN.name}{{{label},role="{role}",domain="'
    for domain, count in counts.top:
        yield f'{prefix}{escape(domain)}"}} {count}\n'
    if counts.other:
        yield f'{prefix}{OTHER_DOMAIN}"}} {counts.other}\n'

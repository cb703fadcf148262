"""A host as plain values, for the JSON API, `poll` and the page; and its problems in words."""

from __future__ import annotations

from typing import Any

from exporter.config.panel_api import API_PATH
from exporter.fleet.store import HostRecord
from exporter.humanize import guess_words
from exporter.snapshot import QUEUE, Failure, QueueState, ServiceState, in_order


def host_view(record: HostRecord, now: float) -> dict[str, Any]:
    """Return a host as plain values. A number is null when it is not known or stale.

    In a queue `certainty` says for each field how sure it is that the panel's rows hold it where it
    is read; numbers made of a field in `guessed` are guesses, and `confirm` says how to confirm it.

    `state` is `up`, `down` (no collector's last poll was good), `partial` (some were), or
    `unknown` before the first poll.
    """
    queue = record.queue(now)
    services = {
        name: record.service(name, now) for name in record.host.collectors if name != "queue"
    }
    return {
        "host": record.host.name,
        "url": record.host.url.removesuffix(API_PATH),
        "labels": dict(record.host.labels),
        "state": state_of(record),
        "mta": record.mta,
        "polled_at": record.latest.at if record.latest else None,
        "queue": None if queue is None else _queue_view(queue, record.host.name),
        "services": {name: state and state.running for name, state in services.items()},
        "services_installed": {name: state and state.installed for name, state in services.items()},
        "collectors": _collectors_view(record),
        "certificate_expiry": record.certificate_expiry,
    }


def state_of(record: HostRecord) -> str:
    """Return one word for the last poll."""
    if record.latest is None:
        return "unknown"
    good = [result.ok for result in record.latest.results]
    return "up" if all(good) else "partial" if any(good) else "down"


def _queue_view(queue: QueueState, host: str) -> dict[str, Any]:
    stats = queue.stats
    view: dict[str, Any] = {"messages": queue.messages, "detail_skipped": stats is None}
    if stats is not None:
        view |= {
            "listed": stats.listed,
            "unparsed": stats.unparsed,
            "frozen": stats.frozen,
            "bounces": stats.bounces,
            "size_bytes": stats.size_bytes,
            "oldest_age_seconds": stats.oldest_age,
            "incomplete": dict(stats.lacking),
            "certainty": {name: how.value for name, how in stats.certainty},
        }
        if guessed := stats.guessed:
            view |= {"guessed": list(in_order(guessed)), "confirm": guess_words(host, guessed)}
    return view


def _collectors_view(record: HostRecord) -> dict[str, Any]:
    view: dict[str, Any] = {}
    for result in record.latest.results if record.latest else ():
        good = record.good.get(result.collector)
        view[result.collector] = {
            "up": result.ok,
            "duration_seconds": round(result.duration, 3),
            "last_success": good.at if good else None,
            "failure": None if result.failure is None else failure_view(result.failure),
        }
    return view


def failure_view(failure: Failure) -> dict[str, Any]:
    """Return a failure as plain values."""
    return {
        "reason": failure.reason.value,
        "message": failure.message,
        "hint": failure.hint,
        "retryable": failure.retryable,
    }


def problems(record: HostRecord) -> list[str]:
    """Return a line for each problem of the host's last poll; [] when all is well."""
    if record.latest is None:
        return []
    failures = [(r.collector, r.failure) for r in record.latest.results if r.failure]
    if len(failures) > 1 and len({failure for _, failure in failures}) == 1:
        failure = failures[0][1]  # one cause for all of them is named once
        lines = [failure.sentence]
    else:
        lines = [f"{name}: {failure.sentence}" for name, failure in failures]
    for result in record.latest.results:
        state = result.value
        if isinstance(state, ServiceState) and state.installed and not state.running:
            lines.append(f"{result.collector} {state.words}.")
        if result.collector == QUEUE and isinstance(result.value, QueueState):
            lines += _queue_problems(result.value)
    return lines


def _queue_problems(queue: QueueState) -> list[str]:
    if queue.stats is None:
        return ["The queue is above poll.queue_detail_limit, so its messages were not listed."]
    counts = f"count_msg tells {queue.messages} messages and list_msg lists"
    if queue.messages and not queue.stats.listed:
        return [f"{counts} none, so nothing is known of them; `diagnose` tells more."]
    lines = []
    if queue.unlisted:
        of_others = "of the others nothing is known; `diagnose` tells more."
        lines.append(f"{counts} {queue.stats.listed}: {of_others}")
    if queue.stats.unparsed:
        share = f"{queue.stats.unparsed} of {queue.stats.listed} rows"
        lines.append(f"{share} of list_msg were not understood; `diagnose` shows them.")
    understood = queue.stats.listed - queue.stats.unparsed
    lacking = [name for name, count in queue.stats.lacking if count == understood]
    if lacking:
        lines.append(f"list_msg does not tell {', '.join(lacking)}; `diagnose` tells more.")
    return lines

"""Values for tests, with everything that does not matter filled in."""

from __future__ import annotations

from typing import Any

from exporter.config.models import HostConfig
from exporter.snapshot import (
    AGE_BUCKETS,
    AgeHistogram,
    CollectorResult,
    DomainCounts,
    Failure,
    HostSnapshot,
    Message,
    Mta,
    QueueState,
    QueueStats,
    Reason,
    ServiceState,
)

NOW = 1_800_000_000.0


def host(name: str = "mx1", **keys: Any) -> HostConfig:
    """A host's config."""
    keys = {"url": f"https://{name}.example.com:8002", "username": "u", "password": "p"} | keys
    return HostConfig(name=name, **keys)


def message(id: str = "1sAbCd-000001-2X", **keys: Any) -> Message:  # noqa: A002 - its name
    """A message of a day ago that is not frozen, from a real sender to one recipient."""
    values: dict[str, Any] = {
        "age": 86400.0,
        "size": 2000,
        "sender": "ann@example.com",
        "recipients": ("bob@example.net",),
        "frozen": False,
    } | keys
    return Message(id, **values)


def stats(**figures: Any) -> QueueStats:
    """A queue of five messages, one of them frozen."""
    values: dict[str, Any] = {
        "listed": 5,
        "frozen": 1,
        "bounces": 2,
        "size_bytes": 5000,
        "oldest_age": 7200.0,
        "ages": AgeHistogram((1, 1, 1, 1, 1, *([0] * (len(AGE_BUCKETS) - 4))), 9000.0),
        "sender_domains": DomainCounts((("example.com", 2), ("example.org", 1)), other=0),
        "recipient_domains": DomainCounts((("example.net", 3),), other=2),
        "mta": Mta.EXIM,
    } | figures
    return QueueStats(**values)


def queue(messages: int = 5, **keys: Any) -> QueueState:
    """The queue collector's value."""
    return QueueState(messages, **({"stats": stats()} | keys))


def failure(reason: Reason = Reason.TIMEOUT, message: str = "It took too long.") -> Failure:
    """A collector's failure."""
    return Failure(reason, message, "Try again.")


def good(
    collector: str, value: QueueState | ServiceState | bool | None = None, at: float = NOW
) -> CollectorResult:
    """A good result; of a service a bool says whether it runs."""
    if value is None:
        value = queue() if collector == "queue" else True
    state = ServiceState(running=value) if isinstance(value, bool) else value
    return CollectorResult(collector, at, 0.5, value=state)


def bad(collector: str, why: Failure | None = None, at: float = NOW) -> CollectorResult:
    """A failed result."""
    return CollectorResult(collector, at, 0.5, failure=why or failure())


def snapshot(
    *results: CollectorResult, at: float = NOW, name: str = "mx1", **keys: Any
) -> HostSnapshot:
    """One poll; all good when no result is given."""
    results = results or (good("queue", at=at), good("clamav", at=at), good("spamassassin", at=at))
    return HostSnapshot(name, at, results, **keys)

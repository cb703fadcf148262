"""How the host is now."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.source import look
from dashboards.source.assembly import Section
from dashboards.source.panels import About, number
from dashboards.source.promql import growth, of_hosts, since_last_good
from exporter.metrics import families as f


def now() -> Section:
    """The host in a few numbers."""
    return Section(
        "$host now",
        [
            number(
                About(
                    "State",
                    "Up when the last poll of every enabled collector was good.",
                    look.COUNT,
                    "not polled",
                ),
                f"min({of_hosts(f.UP)})",
                mappings=look.UP,
            ),
            number(
                About("Messages", "Messages in the queue.", look.COUNT, "unknown"),
                f"max({of_hosts(f.QUEUE_MESSAGES)})",
                steps=look.MESSAGES,
            ),
            number(
                About("Frozen", "Frozen (Exim) or held (Postfix) messages.", look.COUNT, "unknown"),
                f"max({of_hosts(f.QUEUE_FROZEN)})",
                steps=look.FROZEN,
            ),
            number(
                About("Bounces", "Messages with the null sender.", look.COUNT, "unknown"),
                f"max({of_hosts(f.QUEUE_BOUNCE)})",
            ),
            number(
                About("Oldest message", "Age of the oldest message.", units.Seconds, "unknown"),
                f"max({of_hosts(f.QUEUE_OLDEST)})",
                steps=look.OLDEST,
            ),
            number(
                About("Size", "Size of all messages in the queue.", units.BytesIEC, "unknown"),
                f"max({of_hosts(f.QUEUE_SIZE)})",
            ),
            number(
                About(
                    "Growth",
                    "How far the queue is above its lowest of the time that is chosen above as"
                    " 'Growth over'.",
                    look.COUNT,
                    "unknown",
                ),
                f"max({growth()})",
                steps=look.GROWTH,
            ),
            number(
                About(
                    "Last good poll",
                    "How long ago the last good poll of the collector was for which it is longest."
                    " Never: one of them has had none since the exporter started.",
                    units.Seconds,
                    "never",
                ),
                f"max({since_last_good()})",
                steps=look.STALE,
            ),
        ],
    )

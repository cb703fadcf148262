"""The metric families of a host: names, types and help texts, in the order of /metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, eq=False)  # a key in dicts: identity is the quickest hash
class Family:
    """A metric family as `# HELP` and `# TYPE` name it."""

    name: str
    """As in the samples, so with `_total` for a counter."""
    type: Literal["gauge", "counter", "histogram"]
    help: str

    def header(self, *, openmetrics: bool) -> bytes:
        """Return the comment lines before the samples."""
        name = self.name
        if openmetrics and self.type == "counter":
            name = name.removesuffix("_total")  # there the suffix belongs to the sample alone
        return f"# HELP {name} {self.help}\n# TYPE {name} {self.type}\n".encode()


UP = Family(
    "brainycp_up", "gauge", "Whether every enabled collector's last poll of this host was good."
)
COLLECTOR_UP = Family(
    "brainycp_collector_up", "gauge", "Whether the collector's last poll was good."
)
COLLECTOR_ERRORS = Family(
    "brainycp_collector_errors_total", "counter", "Failed polls of a collector by reason."
)
COLLECTOR_DURATION = Family(
    "brainycp_collector_duration_seconds", "gauge", "Duration of the collector's last poll."
)
LAST_SUCCESS = Family(
    "brainycp_last_success_timestamp_seconds",
    "gauge",
    "Unix time of the collector's last good poll.",
)
QUEUE_MESSAGES = Family(
    "brainycp_queue_messages", "gauge", "Messages in the mail queue, as count_msg tells it."
)
QUEUE_LISTED = Family(
    "brainycp_queue_listed_messages",
    "gauge",
    "Rows in list_msg's reply; differs from brainycp_queue_messages when the two disagree.",
)
QUEUE_DETAIL_SKIPPED = Family(
    "brainycp_queue_detail_skipped",
    "gauge",
    "1 when list_msg was not asked because the queue is above poll.queue_detail_limit.",
)
QUEUE_UNPARSED = Family(
    "brainycp_queue_unparsed_messages",
    "gauge",
    "Rows of list_msg that were not understood; no other figure covers them.",
)
QUEUE_INCOMPLETE = Family(
    "brainycp_queue_incomplete_messages",
    "gauge",
    "Understood messages that lack a field, so that figures made from it do not cover them.",
)
QUEUE_LAYOUT = Family(
    "brainycp_queue_layout_certain",
    "gauge",
    "1 when a field of list_msg's rows is named or follows from the mail server's own grammar, "
    "0 when it is only guessed, so that nothing acts on it; only fields that are told.",
)
QUEUE_FROZEN = Family(
    "brainycp_queue_frozen_messages", "gauge", "Frozen (Exim) or held (Postfix) messages."
)
QUEUE_BOUNCE = Family("brainycp_queue_bounce_messages", "gauge", "Messages with the null sender.")
QUEUE_SIZE = Family("brainycp_queue_size_bytes", "gauge", "Size of the messages in the queue.")
QUEUE_OLDEST = Family(
    "brainycp_queue_oldest_message_age_seconds",
    "gauge",
    "Age of the oldest message; 0 when the queue is empty.",
)
QUEUE_AGE = Family(
    "brainycp_queue_message_age_seconds",
    "histogram",
    "Ages of the messages in the queue now; rebuilt at each poll.",
)
QUEUE_DOMAIN = Family(
    "brainycp_queue_domain_messages",
    "gauge",
    "Messages by domain of the sender or of a waiting recipient: the largest, the rest as other.",
)
QUEUE_ENTERED = Family(
    "brainycp_queue_entered_messages_total",
    "counter",
    "Messages that came into the queue, by id, between polls.",
)
QUEUE_LEFT = Family(
    "brainycp_queue_left_messages_total",
    "counter",
    "Messages that left the queue, by id, between polls.",
)
SERVICE_UP = Family("brainycp_service_up", "gauge", "Whether the mail service runs.")
SERVICE_INSTALLED = Family(
    "brainycp_service_installed", "gauge", "0 where the panel says that it is not installed."
)
CERTIFICATE_EXPIRY = Family(
    "brainycp_panel_certificate_expiry_timestamp_seconds",
    "gauge",
    "Unix time at which the panel's certificate expires.",
)
CLOCK_SKEW = Family(
    "brainycp_panel_clock_skew_seconds",
    "gauge",
    "Seconds by which the panel's clock, by the Date of its responses, is ahead of ours.",
)
HOST_INFO = Family(
    "brainycp_host_info", "gauge", "1, with the host's url, mail server and configured labels."
)

HOST_FAMILIES = tuple(it for it in [*globals().values()] if isinstance(it, Family))
"""All of the above, in their order."""

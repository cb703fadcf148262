"""What one poll of a panel learned: plain, frozen values that every later stage reads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

QUEUE = "queue"
"""The collector that asks count_msg and list_msg."""

SERVICES = ("clamav", "spamassassin")
"""Mail services with a status in the panel; each is a collector of its own."""

COLLECTORS = (QUEUE, *SERVICES)

AGE_BUCKETS: tuple[float, ...] = (60, 300, 900, 3600, 10800, 43200, 86400, 259200, 604800)
"""Upper bounds, in seconds, of `brainycp_queue_message_age_seconds`, without +Inf."""

TOP_DOMAINS = 10
"""Domains counted one by one in a role; the rest is counted as OTHER_DOMAIN."""

OTHER_DOMAIN = "other"


class Reason(StrEnum):
    """Why a request or a collector failed: the `reason` label of the contract."""

    TIMEOUT = "timeout"
    CONNECT = "connect"
    DNS = "dns"
    TLS = "tls"
    TLS_PIN = "tls_pin"
    HTTP_401 = "http_401"
    HTTP_403 = "http_403"
    HTTP_STATUS = "http_status"
    AUTH = "auth"
    FORBIDDEN = "forbidden"
    BAD_REQUEST = "bad_request"
    UNSUPPORTED = "unsupported"
    NOT_JSON = "not_json"
    UNEXPECTED = "unexpected"
    TOO_LARGE = "too_large"
    PANEL_ERROR = "panel_error"


HOST_LEVEL_REASONS = frozenset(
    {
        Reason.DNS,
        Reason.TLS,
        Reason.TLS_PIN,
        Reason.HTTP_401,
        Reason.HTTP_403,
        Reason.AUTH,
    }
)
"""Reasons that speak of the whole panel: asking it something else now would fail alike, and
a wrong password sent once more may lock the account."""


class Mta(StrEnum):
    """The mail server behind a panel, as its admin chose it."""

    EXIM = "exim"
    POSTFIX = "postfix"


class Certainty(StrEnum):
    """How sure it is which value of a row a field of a message was read from."""

    NAMED = "named"
    """By a known key, or by the host's `fields`."""
    STRUCTURAL = "structural"
    """By Exim's or Postfix's own grammar, which can mean nothing else."""
    GUESSED = "guessed"
    """By what the values look like, or by their position. Nothing acts on it."""


@dataclass(frozen=True, slots=True)
class PanelId:
    """The identity of a panel: not its name in the config, which may be given to another."""

    url: str = ""
    """The API's URL as `exporter.config.access.panel_url` writes it; "" where it is not known."""
    pin: str = ""
    """SHA-256 of the pinned certificate; "" where none is pinned."""


class HostGoneError(Exception):
    """A host is not, or no longer, configured."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a mail queue. `None` means unknown, never zero."""

    id: str
    """Exim or Postfix queue id; always of a valid form."""
    age: float | None = None
    """Seconds since arrival."""
    size: int | None = None
    """Bytes."""
    sender: str | None = None
    """Envelope sender without angle brackets; "" is the null sender of a bounce."""
    recipients: tuple[str, ...] | None = None
    """Addresses that still wait for delivery."""
    delivered: tuple[str, ...] = ()
    """Addresses already delivered (Exim's `D` mark)."""
    frozen: bool | None = None
    """Frozen (Exim) or on hold (Postfix)."""
    guessed: frozenset[str] = frozenset()
    """The fields of this message, `id` among them, that are only guessed: they may be shown, and
    nothing may be done by them."""

    @property
    def bounce(self) -> bool | None:
        """Whether the sender is the null sender; None when the sender is unknown."""
        return None if self.sender is None else not self.sender


@dataclass(frozen=True, slots=True)
class DomainCounts:
    """Messages by domain in one role, largest first, at most TOP_DOMAINS of them.

    A domain is a host name in lower-case ASCII; whatever is none is counted in `other`.
    """

    top: tuple[tuple[str, int], ...] = ()
    other: int = 0


@dataclass(frozen=True, slots=True)
class AgeHistogram:
    """Messages by age: `counts` per bucket of AGE_BUCKETS plus one for +Inf, not cumulated."""

    counts: tuple[int, ...] = (0,) * (len(AGE_BUCKETS) + 1)
    total: float = 0.0
    """Sum of the known ages in seconds."""


MESSAGE_FIELDS = ("age", "size", "sender", "recipients", "frozen")
"""The values of a message that a row may lack without being useless."""

LIST_FIELDS = ("id", *MESSAGE_FIELDS)
"""The fields of a message, in the order in which they are shown."""


def in_order(fields: Collection[str]) -> tuple[str, ...]:
    """Return fields in the order in which they are shown."""
    return tuple(name for name in LIST_FIELDS if name in fields)


@dataclass(frozen=True, slots=True)
class QueueStats:
    """What list_msg says of a queue.

    A value is None when no understood row holds the field that it is made from; when only some
    rows did, it covers those, and `lacking` says how many it does not cover.
    """

    listed: int = 0
    """Rows in the reply, understood or not."""
    unparsed: int = 0
    """Rows that were not understood; no other value covers them."""
    frozen: int | None = 0
    bounces: int | None = 0
    size_bytes: int | None = 0
    oldest_age: float | None = 0.0
    """Seconds; 0 for an empty queue."""
    ages: AgeHistogram | None = field(default_factory=AgeHistogram)
    sender_domains: DomainCounts | None = field(default_factory=DomainCounts)
    recipient_domains: DomainCounts | None = field(default_factory=DomainCounts)
    lacking: tuple[tuple[str, int], ...] = ()
    """(field of MESSAGE_FIELDS, understood rows without it), only where not 0."""
    mta: Mta | None = None
    certainty: tuple[tuple[str, Certainty], ...] = ()
    """(field, `id` among them; how sure it is, in the row where it is least so), for the fields
    that any row holds."""

    @property
    def guessed(self) -> frozenset[str]:
        """The fields that are only guessed, in any row."""
        return frozenset(name for name, how in self.certainty if how is Certainty.GUESSED)


EMPTY_QUEUE = QueueStats()

UNTOLD = QueueStats(
    frozen=None,
    bounces=None,
    size_bytes=None,
    oldest_age=None,
    ages=None,
    sender_domains=None,
    recipient_domains=None,
)
"""Of a list without a row although there are messages: no value is known."""


_COME_AND_GONE = 10


def is_whole_list(count: int, listed: int) -> bool:
    """Return whether `listed` rows can be all of a queue that holds `count` messages.

    Mail comes and goes between the two calls. A list without a row says nothing of messages
    that are there by the other count.
    """
    if count and not listed:
        return False
    return listed >= count - max(_COME_AND_GONE, count // 10)


@dataclass(frozen=True, slots=True)
class QueueState:
    """The queue collector's good result."""

    messages: int
    """The queue's size: what count_msg said."""
    stats: QueueStats | None
    """None when list_msg was not asked because the queue is above `queue_detail_limit`."""
    entered: int | None = None
    """Messages seen for the first time since the last list; None where there is none to compare
    this one with."""
    left: int | None = None
    shape: str = ""
    """How the rows of list_msg were read, in words; "" when it was not asked."""
    samples: tuple[str, ...] = ()
    """A few of the rows that were not understood, shortened and anonymised."""

    @property
    def unlisted(self) -> int:
        """The number of messages that the list does not hold, so that no value covers them.

        0 for so few that they may have left meanwhile.
        """
        if self.stats is None or is_whole_list(self.messages, self.stats.listed):
            return 0
        return self.messages - self.stats.listed


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a collector failed, in the words an operator reads. Holds no secret."""

    reason: Reason
    message: str
    """What failed and the likely cause."""
    hint: str = ""
    """What to try."""
    retryable: bool = True
    """Whether the same request may succeed later without anybody changing anything."""
    own: bool = False
    """Whether the exporter itself could not ask: it says nothing of the panel."""

    @property
    def sentence(self) -> str:
        """What failed, and what to try."""
        return f"{self.message} {self.hint}".rstrip()


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What a panel says of a mail service."""

    running: bool
    installed: bool = True
    """Below about 2 GB of memory the panel's installer leaves both services out."""

    @property
    def words(self) -> str:
        """The state, as the end of a sentence that begins with the service's name."""
        if not self.installed:
            return "is not installed"
        return "runs" if self.running else "is stopped"


@dataclass(frozen=True, slots=True)
class CollectorResult:
    """One collector's outcome in one poll: `value` when it was good, else `failure`."""

    collector: str
    at: float
    """Unix time at which it ended."""
    duration: float
    """Seconds; 0 when the panel was not asked because it had just failed as a whole."""
    value: QueueState | ServiceState | None = None
    failure: Failure | None = None

    @property
    def ok(self) -> bool:
        """Whether the collector has a value."""
        return self.failure is None


@dataclass(frozen=True, slots=True)
class HostSnapshot:
    """One poll of one host."""

    host: str
    at: float
    """Unix time at which the poll ended."""
    results: tuple[CollectorResult, ...]
    certificate_expiry: float | None = None
    """Unix time; None for plain http or when no TLS connection came about."""
    mta: Mta | None = None
    """Once recognised, kept by the poller."""
    clock_skew: float | None = None
    """Seconds by which the panel's clock is ahead of ours; None where it sent no `Date`."""

    @property
    def ok(self) -> bool:
        """Whether every enabled collector was good."""
        return all(result.ok for result in self.results)

    @property
    def failure(self) -> Failure | None:
        """The first failure, in the order of the collectors."""
        return next((r.failure for r in self.results if r.failure is not None), None)

    @property
    def missed(self) -> Failure | None:
        """Why the exporter itself could not make this poll, which then says nothing of the host."""
        return next((r.failure for r in self.results if r.failure and r.failure.own), None)

    def result(self, collector: str) -> CollectorResult | None:
        """Return the outcome of one collector; None when it is not enabled."""
        return next((r for r in self.results if r.collector == collector), None)

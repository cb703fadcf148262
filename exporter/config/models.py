"""The config as frozen models, with the default of every key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    field_validator,
    with_config,
)
from typing_extensions import TypedDict
from yarl import URL

from exporter.config.access import BasicAuth, Credentials, TlsConfig, panel_url, plain_url
from exporter.config.alerting import AlertingConfig
from exporter.config.base import (
    ONE_OR_MANY,
    Count,
    Duration,
    LabelName,
    Model,
    Size,
    TimeZone,
    matching,
)
from exporter.config.errors import Mistake
from exporter.config.panel_api import API_PATH, Dialect, Language
from exporter.config.remediation import RemediationConfig
from exporter.config.secrets import LocalPath
from exporter.snapshot import COLLECTORS, PanelId


class PollConfig(Model):
    """How the panels are polled."""

    interval: Duration = 60.0
    """Time between two polls of one host."""
    timeout: Duration = 30.0
    """Longest time one API request may take."""
    concurrency: Count = Field(256, ge=1, le=65536)
    """Requests in flight over all hosts."""
    requests_per_host: Count = Field(2, ge=1, le=16)
    """Requests in flight to one panel."""
    stale_after: float = Field(3, ge=1, strict=True, allow_inf_nan=False)
    """Missed intervals after which a host's values leave /metrics."""
    max_response: Size = 64 * 2**20
    """A reply larger than this is an error `too_large`."""
    response_budget: Size = 256 * 2**20
    """Replies held at once over all hosts; longer lists than fit wait for their turn."""
    queue_detail_limit: Count = Field(100_000, ge=0)
    """Above this count list_msg is not asked."""


HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,126}")

CollectorName = Literal["queue", "clamav", "spamassassin"]
assert get_args(CollectorName) == COLLECTORS  # noqa: S101 - a Literal cannot be computed


def _name_or_position(value: object) -> str | int:
    # A bool is an int to Python, but `frozen: true` would silently mean the second column.
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise ValueError("must be the name of a field, or its position counted from 0")
    if isinstance(value, int) and not 0 <= value < 1000:
        raise ValueError("a position is counted from 0 and less than 1000")
    return value


NameOrPosition = Annotated[
    str | int,
    PlainValidator(_name_or_position),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "integer", "minimum": 0, "maximum": 999},
            ]
        }
    ),
]
"""Where in a row of list_msg a value stands."""


def _state_value(value: object) -> str:
    if isinstance(value, bool):
        value = str(value).lower()  # as JSON has it
    text = str(value)
    if not isinstance(value, str | int) or len(text) > _LONGEST_STATE:
        raise ValueError('must be a value as the panel shows it: a text, as F or "", or a number')
    return text


_LONGEST_STATE = 200

StateValue = Annotated[
    str,
    PlainValidator(_state_value),
    WithJsonSchema({"type": ["string", "integer", "boolean"], "maxLength": _LONGEST_STATE}),
]
"""A value of the field `frozen`, as text."""

StateValues = Annotated[tuple[StateValue, ...], Field(min_length=1, max_length=100)]


@with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))
class Fields(TypedDict, total=False):
    """Which name or position in a row of list_msg is what."""

    id: NameOrPosition
    """The message's queue id."""
    age: NameOrPosition
    """How long it has been in the queue, or since when."""
    size: NameOrPosition
    """Its size."""
    sender: NameOrPosition
    """Its envelope sender."""
    recipients: NameOrPosition
    """Its recipients."""
    frozen: NameOrPosition
    """Whether it is frozen (Exim) or on hold (Postfix)."""
    frozen_values: StateValues
    """The values of `frozen` that mean frozen, where these are no words that are known; without
    regard to case, blanks at the ends, tags and stars."""
    not_frozen_values: StateValues
    """Those that mean not frozen; a value in neither list tells nothing."""


def _compared(value: str) -> str:
    """Return a state as the decoder compares it."""
    return " ".join(value.replace("*", " ").lower().split())


class HostConfig(Credentials):
    """One panel."""

    name: Annotated[
        str,
        matching(HOST_NAME, "must be letters, digits and . _ : - only, at most 127, as mx1"),
    ] = Field(json_schema_extra={"pattern": f"^{HOST_NAME.pattern}$"})
    """Unique; the `host` label."""
    url: str = Field(json_schema_extra={"pattern": "^https?://"})
    """Where the panel is; /api/api.php is added when there is no path."""
    language: Language = "en"
    """Language of the panel's texts."""
    dialect: Dialect = "combined"
    """Names of the request fields: the vendor's, those of public clients, or both at once."""
    collectors: tuple[CollectorName, ...] = Field(COLLECTORS, min_length=1)  # type: ignore[arg-type]  # the assertion above
    """What is asked of this panel."""
    fields: Fields = Field(default_factory=Fields)
    """Which name or position in a row of list_msg is what, when its shape is not recognised."""
    time_zone: TimeZone | None = None
    """IANA name of the panel's time zone; without it dates that name no zone are not used."""
    labels: Mapping[LabelName, str] = Field(default_factory=dict)
    """Shown in brainycp_host_info, in /sd and on alerts."""
    basic_auth: BasicAuth | None = None
    """For a panel behind htpasswd."""
    tls: TlsConfig = TlsConfig()
    """How the panel's certificate is checked."""
    interval: Duration | None = None
    """Overrides poll.interval."""
    shares_panel_with: str | None = None
    """Name of another host with the same url, where two names for one panel are meant."""

    @field_validator("url")
    @classmethod
    def _panel_url(cls, value: str) -> str:
        url = URL(plain_url(value))
        return str(url.with_path(API_PATH) if url.path in {"", "/"} else url)

    @field_validator("collectors")
    @classmethod
    def _no_repeats(cls, value: tuple[CollectorName, ...]) -> tuple[CollectorName, ...]:
        return tuple(name for name in COLLECTORS if name in value)

    def _mistakes(self) -> Iterator[Mistake]:
        yield from super()._mistakes()
        lists = [name for name in ("frozen_values", "not_frozen_values") if name in self.fields]
        if lists and "frozen" not in self.fields:
            words = "is of no use without `frozen`: say which name or position holds these"
            yield from ((("fields", name), words) for name in lists)
        if lists == ["not_frozen_values"]:
            words = "needs `frozen_values` beside it: which values mean frozen?"
            yield ("fields", "not_frozen_values"), words
        frozen = {_compared(value) for value in self.fields.get("frozen_values", ())}
        for position, value in enumerate(self.fields.get("not_frozen_values", ())):
            if _compared(value) in frozen:
                words = "stands in `frozen_values`, too: it cannot mean both"
                yield ("fields", "not_frozen_values", position), words

    @property
    def address(self) -> URL:
        """The API's URL."""
        return URL(self.url)

    @property
    def panel(self) -> PanelId:
        """The identity of the panel, whatever the host is called."""
        return PanelId(panel_url(self.url), self.tls.fingerprint_sha256 or "")

    def is_asked_like(self, other: HostConfig) -> bool:
        """Return whether both are asked the same in the same way, so that one client can do it."""
        return self._is_like(other, _NOT_ASKED_WITH)

    def is_seen_like(self, other: HostConfig) -> bool:
        """Return whether the measurements of one are valid for the other.

        They are of the same panel, and the same is collected and read in the same way. A changed
        password shows the same queue; another user may see a different one.
        """
        return self._is_like(other, _NOT_ASKED_WITH | _PASSWORDS)

    def _is_like(self, other: HostConfig, beside: frozenset[str]) -> bool:
        if self is other:
            return True
        keys = type(self).model_fields.keys() - beside
        return all(getattr(self, key) == getattr(other, key) for key in keys)

    @property
    def zone(self) -> ZoneInfo | None:
        """The panel's time zone, where it is known."""
        return ZoneInfo(self.time_zone) if self.time_zone else None

    @cached_property
    def field_keys(self) -> dict[str, str | int]:
        """The name or position of each field that `fields` gives."""
        return {name: key for name, key in self.fields.items() if isinstance(key, str | int)}

    @cached_property
    def frozen_values(self) -> dict[str, bool]:
        """Which values of the field `frozen` mean frozen, and which do not, by `fields`."""
        values = dict.fromkeys(self.fields.get("not_frozen_values", ()), False)
        return values | dict.fromkeys(self.fields.get("frozen_values", ()), True)

    @cached_property
    def secret_values(self) -> tuple[str, ...]:
        """Every secret of this host, to be kept out of saved replies.

        With basic auth also user and password together, as its header holds them.
        """
        given = [self.password, self.basic_auth and self.basic_auth.password]
        secrets = [secret.get_secret_value() for secret in given if secret]
        if self.basic_auth is not None and self.basic_auth.password is not None:
            secrets.append(f"{self.basic_auth.username}:{secrets[-1]}")
        return tuple(secrets)


_NOT_ASKED_WITH = frozenset({"labels", "interval", "shares_panel_with"})
"""Keys of a host that change neither what its panel is asked nor how its replies are read."""

_PASSWORDS = frozenset({"password", "password_file", "password_env", "basic_auth"})


def split_address(text: str) -> tuple[str | None, int]:
    """Return (host, port) of `127.0.0.1:9897`, `[::1]:9897` or `:9897` (None: every address).

    Raises:
        ValueError: it is none of these.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ValueError(_ADDRESS_FORM)
    return match["v6"] or match["host"] or None, int(match["port"])


_ADDRESS_FORM = "must be ADDRESS:PORT, as 127.0.0.1:9897 or [::1]:9897"
_ADDRESS = re.compile(r"(?:\[(?P<v6>[^\]\s/]+)\]|(?P<host>[^:\[\]\s/]*)):(?P<port>[0-9]{1,5})")


def _one_or_many(value: object) -> object:
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, str):
        return (value,)
    raise ValueError(_ADDRESS_FORM)


Addresses = Annotated[
    tuple[Annotated[str, AfterValidator(lambda text: split_address(text) and text)], ...],
    BeforeValidator(_one_or_many),
    Field(min_length=1),
    ONE_OR_MANY,
]
"""One ADDRESS:PORT, or a list of them."""


class WebConfig(Model):
    """The daemon's own HTTP."""

    listen: Addresses = ("127.0.0.1:9897",)
    """ADDRESS:PORT, or a list of them; `:9897` is every address of this machine."""
    mask_addresses: bool = False
    """Whether the pages show mail addresses without what stands before the @."""
    external_url: str | None = Field(None, json_schema_extra={"pattern": "^https?://"})
    """Where people reach the status page, for the links in notifications and a proxy's name."""
    config_file: LocalPath | None = None
    """Prometheus exporter-toolkit web config: TLS and basic auth; relative to this file."""

    @field_validator("external_url")
    @classmethod
    def _plain(cls, value: str | None) -> str | None:
        return None if value is None else plain_url(value).rstrip("/")


class StateConfig(Model):
    """Where what outlives a restart is kept."""

    path: LocalPath = Field(Path("brainycp-exporter.db"), validate_default=True)
    """SQLite file with the journal and the alerts' states; relative to the config file."""


class LogConfig(Model):
    """What the daemon writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level that is written."""
    format: Literal["console", "json"] = "console"
    """Text for people, or one JSON object a line."""


class Config(Model):
    """A whole config; `hosts` holds those of `hosts_files` too."""

    poll: PollConfig = PollConfig()
    """How the panels are polled."""
    hosts: tuple[HostConfig, ...] = ()
    """The panels."""
    hosts_files: tuple[str, ...] = ()
    """Globs of files, each a list of hosts; re-read on change."""
    # load_config empties it: its keys are in the hosts then, and it may hold a password in clear.
    host_defaults: Mapping[str, object] = Field(default_factory=dict, repr=False)
    """Any key of a host but name and url."""
    web: WebConfig = WebConfig()
    """The daemon's own HTTP."""
    # Validated as if it were written, so that its path starts at the config file's folder.
    state: StateConfig = Field({}, validate_default=True)
    """Where what outlives a restart is kept."""
    alerting: AlertingConfig = AlertingConfig()
    """The daemon's own alerts, and their receivers."""
    remediation: RemediationConfig = RemediationConfig()
    """Rules that repair, and what holds them back."""
    log: LogConfig = LogConfig()
    """What the daemon writes to standard error."""

    def _mistakes(self) -> Iterator[Mistake]:
        for position, rule in enumerate(self.remediation.rules):
            if rule.respect_silences and not self.alerting.alertmanagers:
                at = ("remediation", "rules", position, "respect_silences")
                yield at, "needs alerting.alertmanagers: somebody must know the silences"

    def interval_of(self, host: HostConfig) -> float:
        """Return the seconds between two polls of `host`."""
        return host.interval if host.interval is not None else self.poll.interval

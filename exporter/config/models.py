"""The config as frozen models; `contract` names, defaults in one place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from yarl import URL

from exporter.config.secrets import EnvName, FilePath, absolute, resolve_secret
from exporter.config.units import DURATION_PATTERN, SIZE_PATTERN, parse_duration, parse_size
from exporter.panel.protocol import API_PATH, Dialect, Language
from exporter.snapshot import COLLECTORS


def _text_only(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("write a number with a unit")  # noqa: TRY004 - pydantic wants ValueError
    return value


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("must be more than 0")
    return value


Duration = Annotated[
    float,
    BeforeValidator(lambda v: parse_duration(_text_only(v))),
    AfterValidator(_positive),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
]
"""Seconds, written as `30s 5m 1h 3d`."""

Size = Annotated[
    int,
    BeforeValidator(lambda v: parse_size(_text_only(v))),
    AfterValidator(_positive),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN}),
]
"""Bytes, written as `64MiB`."""


class Model(BaseModel):
    """A part of the config: immutable, and an unknown key is an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )


class PollConfig(Model):
    """How the panels are polled."""

    interval: Duration = 60.0
    """Time between two polls of one host."""
    timeout: Duration = 30.0
    """Longest time one API request may take."""
    concurrency: int = Field(256, ge=1, le=65536)
    """Requests in flight over all hosts."""
    requests_per_host: int = Field(2, ge=1, le=64)
    """Requests in flight to one panel."""
    stale_after: float = Field(3, gt=0)
    """Missed intervals after which a host's values leave /metrics."""
    max_response: Annotated[Size, Field(validate_default=True)] = Field("64MiB")  # type: ignore[assignment]  # validated like the text of a config
    """A reply larger than this is an error `too_large`."""
    queue_detail_limit: int = Field(100_000, ge=0)
    """Above this count list_msg is not asked."""


class BasicAuth(Model):
    """HTTP basic auth, for a panel behind htpasswd."""

    username: str = Field(min_length=1)
    """User of the htpasswd file."""
    password_file: FilePath | None = None
    """File that holds the password."""
    password_env: EnvName | None = None
    """Environment variable that holds the password."""
    password: SecretStr | None = Field(None, validate_default=True)
    """The password itself; better kept in a file."""

    _resolve = field_validator("password")(resolve_secret)

    @field_validator("username")
    @classmethod
    def _no_colon(cls, value: str) -> str:
        if ":" in value:
            raise ValueError("must not hold a colon: basic auth ends the user name there")
        return value

    @model_validator(mode="after")
    def _complete(self, info: ValidationInfo) -> Self:
        del info
        if self.password is None:
            raise ValueError("give one of password, password_file, password_env")
        return self


_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


class TlsConfig(Model):
    """How a panel's certificate is checked; by default against the system's authorities."""

    ca_file: FilePath | None = None
    """PEM file of the authorities, or of the self-signed certificate, to trust instead."""
    fingerprint_sha256: str | None = None
    """SHA-256 of the panel's certificate; then nothing else about it is checked."""
    insecure_skip_verify: bool = False
    """Accept any certificate: whoever sits in between reads the password."""

    @field_validator("fingerprint_sha256")
    @classmethod
    def _hex(cls, value: str | None) -> str | None:
        if value is None:
            return None
        plain = value.replace(":", "").replace(" ", "").lower()
        if not _FINGERPRINT.fullmatch(plain):
            raise ValueError("must be 64 hexadecimal digits, with or without colons")
        return plain

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in ("ca_file", "fingerprint_sha256") if getattr(self, name)]
        if self.insecure_skip_verify:
            given.append("insecure_skip_verify")
        if len(given) > 1:
            raise ValueError(f"give only one of {', '.join(given)}")
        return self


HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,126}")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_RESERVED_LABELS = frozenset({"host", "url", "mta", "job", "instance"})

CollectorName = Literal["queue", "clamav", "spamassassin"]
assert get_args(CollectorName) == COLLECTORS  # noqa: S101 - a Literal cannot be computed

MessageField = Literal["id", "age", "size", "sender", "recipients", "frozen"]


class HostConfig(Model):
    """One panel."""

    name: str
    """Unique; the `host` label."""
    url: str
    """Where the panel is; /api/api.php is added when there is no path."""
    username: str = Field(min_length=1)
    """The panel account's login."""
    password_file: FilePath | None = None
    """File that holds the password."""
    password_env: EnvName | None = None
    """Environment variable that holds the password."""
    password: SecretStr | None = Field(None, validate_default=True)
    """The password itself; better kept in a file."""
    language: Language = "en"
    """Language of the panel's texts."""
    dialect: Dialect = "combined"
    """Names of the request fields: the vendor's, those of public clients, or both at once."""
    collectors: tuple[CollectorName, ...] = Field(COLLECTORS, min_length=1)  # type: ignore[arg-type]  # the assertion above
    """What is asked of this panel."""
    fields: Mapping[MessageField, str | int] = Field(default_factory=dict)
    """Which name or position in a row of list_msg is what, when its shape is not recognised."""
    time_zone: str | None = None
    """IANA name of the panel's time zone; without it dates that name no zone are not used."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Shown in brainycp_host_info, in /sd and on alerts."""
    basic_auth: BasicAuth | None = None
    """For a panel behind htpasswd."""
    tls: TlsConfig = TlsConfig()
    """How the panel's certificate is checked."""
    interval: Duration | None = None
    """Overrides poll.interval."""

    _resolve = field_validator("password")(resolve_secret)

    @field_validator("name")
    @classmethod
    def _label_safe(cls, value: str) -> str:
        if not HOST_NAME.fullmatch(value):
            raise ValueError("must be letters, digits and . _ : - only, at most 127, as mx1")
        return value

    @field_validator("url")
    @classmethod
    def _panel_url(cls, value: str) -> str:
        # The value is never quoted back: a url may hold a password.
        try:
            url = URL(value)
            port = url.port
        except ValueError:
            raise ValueError("is not a URL") from None
        if url.scheme not in {"http", "https"} or not url.host or port == 0:
            raise ValueError("must be http://HOST:PORT or https://HOST:PORT")
        if url.user is not None or url.password is not None:
            raise ValueError(
                "must not hold a user or password: use username, password_file, basic_auth"
            )
        if url.query_string or url.fragment:
            raise ValueError("must not hold a query or fragment: requests are POST forms")
        return str(url.with_path(API_PATH) if url.path in {"", "/"} else url)

    @field_validator("collectors")
    @classmethod
    def _no_repeats(cls, value: tuple[CollectorName, ...]) -> tuple[CollectorName, ...]:
        return tuple(name for name in COLLECTORS if name in value)

    @field_validator("fields")
    @classmethod
    def _positions(
        cls, value: Mapping[MessageField, str | int]
    ) -> Mapping[MessageField, str | int]:
        if any(isinstance(v, int) and not 0 <= v < 1000 for v in value.values()):
            raise ValueError("a position is counted from 0")
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError("is not an IANA time zone, as Europe/Moscow") from None
        return value

    @field_validator("labels")
    @classmethod
    def _label_names(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name in value:
            if not _LABEL_NAME.fullmatch(name) or name.startswith("__") or name in _RESERVED_LABELS:
                raise ValueError(f"{name!r} is not usable as a label name")
        return value

    @model_validator(mode="after")
    def _has_password(self) -> Self:
        if self.password is None:
            raise ValueError("give one of password, password_file, password_env")
        return self

    @property
    def address(self) -> URL:
        """The API's URL."""
        return URL(self.url)

    @property
    def zone(self) -> ZoneInfo | None:
        """The panel's time zone when it is known."""
        return ZoneInfo(self.time_zone) if self.time_zone else None

    @property
    def secret_values(self) -> tuple[str, ...]:
        """Every secret of this host, for what must be kept out of a saved reply."""
        given = [self.password, self.basic_auth and self.basic_auth.password]
        return tuple(secret.get_secret_value() for secret in given if secret)


class WebConfig(Model):
    """The daemon's own HTTP."""

    listen: tuple[str, ...] = ("127.0.0.1:9897",)
    """ADDRESS:PORT, or a list of them."""
    config_file: Path | None = None
    """Prometheus exporter-toolkit web config: TLS and basic auth."""

    @field_validator("listen", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("listen")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("must name at least one ADDRESS:PORT")
        for item in value:
            split_address(item)
        return value

    @field_validator("config_file")
    @classmethod
    def _from_config(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return None if value is None else absolute(value, info)


def split_address(text: str) -> tuple[str | None, int]:
    """(host, port) of `127.0.0.1:9897`, `[::1]:9897` or `:9897` (None: every address).

    Raises:
        ValueError: when it is none of these.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host and not bracketed):
        raise ValueError(f"{text!r} is not ADDRESS:PORT, as 127.0.0.1:9897 or [::1]:9897")
    return (host.strip("[]") or None), int(port)


class StateConfig(Model):
    """What outlives a restart."""

    path: Path = Path("brainycp-exporter.db")
    """SQLite file; relative to the config file."""

    @field_validator("path")
    @classmethod
    def _from_config(cls, value: Path, info: ValidationInfo) -> Path:
        return absolute(value, info)


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
    host_defaults: Mapping[str, object] = Field(default_factory=dict)
    """Any key of a host but name and url."""
    web: WebConfig = WebConfig()
    """The daemon's own HTTP."""
    state: StateConfig = Field(default_factory=StateConfig)
    """What outlives a restart."""
    log: LogConfig = LogConfig()
    """What the daemon writes to standard error."""

    def interval_of(self, host: HostConfig) -> float:
        """Seconds between two polls of `host`."""
        return host.interval if host.interval is not None else self.poll.interval

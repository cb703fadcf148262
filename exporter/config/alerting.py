"""The section `alerting`: the daemon's own alerts, and their receivers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    TypeAdapter,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from yarl import URL

from exporter.config.access import BasicAuth, TlsConfig, plain_url
from exporter.config.base import Duration, LabelName, Model, matching
from exporter.config.conditions import ANY, LABELS, AlertConditions, Condition, may_both_hold
from exporter.config.document import read_document
from exporter.config.errors import Mistake
from exporter.config.secrets import EnvName, SecretFile, resolve_secret
from exporter.config.selectors import HostSelector
from exporter.config.templates import check_template

Severity = Literal["critical", "warning", "info"]

SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")
"""Worst first."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}")
_ALERT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_ALERTMANAGER_API = re.compile(
    r"/api/v[0-9]+(?:/(?:alerts|alerts/groups|silences?|status|receivers))?/?$"
)
"""Not all that begins so: one behind Kubernetes' API has a prefix /api/v1/namespaces/..."""

_SET_BY_US = frozenset({"alertname", "severity", "service", "collector"})


def _without_api_path(value: str) -> str:
    api = _ALERTMANAGER_API.search(value)
    if api is not None:  # nothing would ever be taken there, which is noticed when it is needed
        raise ValueError(
            f"must not end with {api[0][:40]}: write what stands before it, "
            "the exporter adds that path itself"
        )
    return value


ReceiverName = Annotated[
    str,
    matching(_NAME, "must be letters, digits and . _ : - only, at most 63, as ops"),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"}),
]

Template = Annotated[str, AfterValidator(check_template), WithJsonSchema({"type": "string"})]
"""A text with `{{ variables }}`."""


class HttpReceiver(Model):
    """How a receiver is reached over HTTP."""

    basic_auth: BasicAuth | None = None
    """User and password, where it asks for them."""
    bearer_token_file: SecretFile | None = None
    """File that holds a bearer token."""
    bearer_token_env: EnvName | None = None
    """Environment variable that holds it."""
    bearer_token: SecretStr | None = Field(None, validate_default=True)
    """The token itself; better kept in a file."""
    tls: TlsConfig = TlsConfig()
    """How its certificate is checked."""

    _resolve_token = field_validator("bearer_token")(resolve_secret)

    def _mistakes(self) -> Iterator[Mistake]:
        yield from super()._mistakes()
        if self.basic_auth is not None and self.bearer_token is not None:
            yield (), "give basic_auth or bearer_token, not both"


class AlertmanagerConfig(HttpReceiver):
    """An Alertmanager; each gets every alert."""

    url: Annotated[
        str,
        AfterValidator(plain_url),
        AfterValidator(_without_api_path),
        WithJsonSchema({"type": "string", "pattern": "^https?://"}),
    ]
    """Where it is, with its path prefix if it has one; without /api/v2."""
    name: ReceiverName | None = None
    """The label `receiver` of the metrics; alertmanager-HOST:PORT when not given."""

    @cached_property
    def receiver(self) -> str:
        """The name that the config gives, or one made from the address."""
        return self.name or alertmanager_name(self.url)


def alertmanager_name(url: str) -> str:
    """Return the name of an Alertmanager without one in the config.

    Raises:
        ValueError: `url` is no URL.
    """
    parsed = URL(url)
    return f"alertmanager-{parsed.host}:{parsed.port}"


class SecretUrl(Model):
    """A URL that may hold a secret, as those of chats do."""

    name: ReceiverName
    """The label `receiver` of the metrics."""
    url_file: SecretFile | None = None
    """File that holds the URL."""
    url_env: EnvName | None = None
    """Environment variable that holds it."""
    url: SecretStr | None = Field(None, validate_default=True)
    """The URL itself; better kept in a file where it holds a secret."""

    _resolve_url = field_validator("url")(resolve_secret)

    def _mistakes(self) -> Iterator[Mistake]:
        yield from super()._mistakes()
        if self.url is None:
            yield (), "give one of url, url_file, url_env"

    @property
    def receiver(self) -> str:
        """The name; the twin of an Alertmanager's, which may be made from its address."""
        return self.name

    @property
    def address(self) -> str:
        """The URL, which may hold a secret: not for logs."""
        return self.url.get_secret_value() if self.url is not None else ""


class WebhookConfig(SecretUrl, HttpReceiver):
    """A receiver of Alertmanager's webhook JSON, version 4."""

    @model_validator(mode="after")
    def _is_http(self) -> Self:
        try:
            url = URL(self.address)
            usable = url.scheme in {"http", "https"} and bool(url.host) and url.port != 0
        except ValueError:
            url, usable = URL(), False
        if not usable:
            raise ValueError("its URL must be http://HOST or https://HOST")
        if url.user is not None or url.password is not None:
            raise ValueError("its URL must not hold a user or password: use basic_auth")
        return self


class AppriseConfig(SecretUrl):
    """A chat, a mailbox or whatever else Apprise has a URL for."""


ReceiverConfig = AlertmanagerConfig | WebhookConfig | AppriseConfig


class AlertRule(Model):
    """When an alert fires, and what it says."""

    name: Annotated[
        str,
        matching(_ALERT_NAME, "must be letters, digits and _ only, at most 63, as MailQueueFrozen"),
    ] = Field(json_schema_extra={"pattern": f"^{_ALERT_NAME.pattern}$"})
    """Unique; the label `alertname`. With a built-in rule's name, changes that rule."""
    enabled: bool = True
    """false switches it off."""
    when: AlertConditions = ()
    """Conditions that must all hold."""
    hold: Duration | None = Field(None, alias="for")
    """How long they must hold, counted over good polls; at once when not given."""
    clear: AlertConditions = ()
    """What must hold for it to resolve; when not given, that `when` surely does not hold."""
    severity: Severity = "warning"
    """How bad it is."""
    hosts: HostSelector = HostSelector()
    """Which hosts; all when not given."""
    labels: Mapping[LabelName, str] = Field(default_factory=dict)
    """Labels of its alerts, beside alertname, host, severity and the host's own."""
    annotations: Mapping[LabelName, Template] = Field(default_factory=dict)
    """Texts of its alerts, beside those that every alert has."""

    def _mistakes(self) -> Iterator[Mistake]:
        for name in self.labels:
            if name in _SET_BY_US:
                yield ("labels", name), "is a label that the exporter sets: choose another name"
        yield from self.hosts.mistakes()
        yield from self.mistaken_conditions()

    def mistaken_conditions(self) -> Iterator[Mistake]:
        """Yield why `when` and `clear` do not go together."""
        labels = {_any_label(condition) for condition in (*self.when, *self.clear)} - {""}
        if len(labels) > 1:
            yield ("when",), f'may say "{ANY}" of one label only'
        if may_both_hold(self.when, self.clear):
            yield ("clear",), "may hold while `when` does, too: leave a gap, as > 200 and < 100"

    @property
    def any_label(self) -> str:
        """`service` or `collector` when there is one alert for each of them; else ""."""
        return next(filter(None, map(_any_label, (*self.when, *self.clear))), "")


def _any_label(condition: Condition) -> str:
    return LABELS[condition.metric][0] if condition.label == ANY else ""


class AlertingConfig(Model):
    """The daemon's own alerts, and their receivers."""

    alertmanagers: tuple[AlertmanagerConfig, ...] = ()
    """Alertmanagers; each gets every alert."""
    webhooks: tuple[WebhookConfig, ...] = ()
    """Receivers of Alertmanager's webhook JSON."""
    apprise: tuple[AppriseConfig, ...] = ()
    """Receivers that Apprise knows; needs the extra `[apprise]`."""
    group_wait: Duration = Field(30.0, json_schema_extra={"default": "30s"})
    """Webhooks and Apprise: how long a first notification waits for others of the same alert."""
    group_interval: Duration = Field(300.0, json_schema_extra={"default": "5m"})
    """Webhooks and Apprise: shortest time between two notifications of the same alert."""
    repeat_interval: Duration = Field(4 * 3600.0, json_schema_extra={"default": "4h"})
    """Webhooks and Apprise: time after which a firing alert is sent again."""
    builtin_rules: bool = True
    """Whether the built-in rules are in force."""
    rules: tuple[AlertRule, ...] = ()
    """Rules of your own, and changes to built-in ones."""

    @property
    def receivers(self) -> tuple[ReceiverConfig, ...]:
        """Every receiver."""
        return (*self.alertmanagers, *self.webhooks, *self.apprise)

    @cached_property
    def in_force(self) -> tuple[AlertRule, ...]:
        """Every rule that may fire, the built-in ones, as changed by the config, first."""
        own = {rule.name: rule for rule in self.rules}
        builtin = BUILTIN if self.builtin_rules else ()
        changed = [_changed(rule, own.pop(rule.name, None)) for rule in builtin]
        return tuple(rule for rule in (*changed, *own.values()) if rule.enabled)


def mistaken_rules(rules: Mapping[int, AlertRule], *, builtin_rules: bool) -> Iterator[Mistake]:
    """Yield what is wrong with rules, by their positions, beside the built-in ones."""
    shipped = {rule.name: rule for rule in BUILTIN}
    for position, rule in rules.items():
        at, builtin = ("rules", position), shipped.get(rule.name)
        known = builtin if builtin_rules else None
        if not rule.when and rule.enabled and known is None:
            yield (*at, "when"), "is missing, and no built-in rule has this name"
        elif not rule.when and rule.enabled and "when" in rule.model_fields_set:
            # It would replace the conditions of the built-in rule, which could then never fire.
            words = "is empty: leave it out to keep the built-in rule's, or give enabled: false"
            yield (*at, "when"), words
        elif not rule.when and not rule.enabled and builtin is None:
            # A misspelt name would leave the rule that was meant in force.
            yield (*at, "name"), "switches off a rule that does not exist"
        if known is not None:
            for place, words in _changed(known, rule).mistaken_conditions():
                yield (*at, *place), f"{words}; what is not given here is the built-in rule's"


def _changed(rule: AlertRule, by: AlertRule | None) -> AlertRule:
    """Return a built-in rule with the keys that the config gives."""
    if by is None:
        return rule
    given = {name: getattr(by, name) for name in by.model_fields_set}
    if "when" in given and "clear" not in given:
        given["clear"] = ()  # the built-in one belongs to the built-in threshold
    if "annotations" in given:
        given["annotations"] = {**rule.annotations, **by.annotations}
    return rule.model_copy(update=given)


BUILTIN = TypeAdapter(tuple[AlertRule, ...]).validate_python(
    read_document(Path(__file__).with_name("builtin_alerts.yaml")).data
)
"""The alerts that are on by default."""

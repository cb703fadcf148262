"""config.example.yaml against the model: complete, true and ready to use."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import time
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from exporter.config.access import BasicAuth, TlsConfig
from exporter.config.alerting import BUILTIN, AlertingConfig, HttpReceiver
from exporter.config.document import parse_document
from exporter.config.loading import load_config
from exporter.config.models import Config, HostConfig
from exporter.config.remediation import Action, RemediationConfig, RemediationRule
from exporter.config.templates import VARIABLES
from exporter.config.windows import DAYS

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"

_COMMENTED_KEY = re.compile(r"^( *)# ((?: *)(?:- )?[a-z_0-9]+:(?: .*)?)$")

Keys = tuple[str, ...]


def uncommented(text: str) -> str:
    """The example with every commented key in use; comments of prose stay."""
    first_line, *lines = text.splitlines()
    return "\n".join([first_line, *(_COMMENTED_KEY.sub(r"\1\2", line) for line in lines)])


@pytest.fixture
def everything() -> Mapping[str, Any]:
    text = uncommented(EXAMPLE.read_text(encoding="utf-8"))
    data = parse_document(text.encode(), EXAMPLE).data
    assert isinstance(data, dict)
    return data


def nested_model(annotation: object) -> type[BaseModel] | None:
    """The model that a field holds: itself, optional, or as a list's item."""
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
    return models[0] if models else None


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields by the names that a config has for them, as `for`."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def model_keys(model: type[BaseModel], at: Keys = ()) -> Iterator[Keys]:
    for name, field in fields_of(model).items():
        yield (*at, name)
        inner = nested_model(field.annotation)
        if inner is not None:
            yield from model_keys(inner, (*at, name))


def keys_of(model: type[BaseModel], values: Mapping[str, Any], at: Keys = ()) -> Iterator[Keys]:
    """The keys in use, as deep as there are models."""
    for name, value in values.items():
        yield (*at, name)
        field = fields_of(model).get(name)
        inner = field and nested_model(field.annotation)
        if inner:
            for item in value if isinstance(value, list) else [value]:
                yield from keys_of(inner, item, (*at, name))


def test_it_works_as_shipped(tmp_path: Path) -> None:
    copy = tmp_path / "config.yaml"
    shutil.copy(EXAMPLE, copy)
    copy.chmod(0o600)
    loaded = load_config(copy)
    assert loaded.warnings == ()
    assert [host.name for host in loaded.config.hosts] == ["mx1"]
    assert loaded.config.poll == Config().poll
    assert loaded.config.web == Config().web
    assert loaded.config.log == Config().log
    assert loaded.config.remediation == RemediationConfig()
    assert loaded.config.state.path == tmp_path / "brainycp-exporter.db"


def test_exactly_three_lines_are_to_be_changed() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    marked = [line.split(":")[0].strip(" -") for line in lines if line.endswith("# change this")]
    assert marked == ["name", "url", "password"]


def test_it_names_the_schema_for_editors() -> None:
    first = EXAMPLE.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=./config.schema.json"


def once(keys: Iterator[Keys]) -> set[Keys]:
    """Keys, each shown in one place: a secret's forms, and how a server is reached, at a host."""
    return {shown_at for key in keys if (shown_at := _place(key))}


def _place(key: Keys) -> Keys:
    if key[0] != "alerting":
        return key
    *at, name = key
    if {"basic_auth", "tls"} & set(at):
        return ()
    plain = re.sub("_(file|env)$", "", name)
    return ("alerting", plain) if plain in HttpReceiver.model_fields else (*at, plain)


def test_it_shows_every_key_and_no_other(everything: Mapping[str, Any]) -> None:
    assert once(keys_of(Config, everything)) == once(model_keys(Config))


def test_its_host_defaults_are_keys_of_a_host(everything: Mapping[str, Any]) -> None:
    shown = everything["host_defaults"]
    assert set(shown) <= set(HostConfig.model_fields) - {"name", "url"}
    assert shown


def defaults(model: type[BaseModel], values: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Each key with a default that the example shows, and that default."""
    for name, field in model.model_fields.items():
        if name not in values or nested_model(field.annotation):
            continue
        default = field.get_default(call_default_factory=True, validated_data={})
        if default is not PydanticUndefined and default not in (None, {}, ()):
            yield name, default


@pytest.mark.parametrize("section", ["poll", "web", "log", "state"])
def test_the_defaults_of_the_sections_are_true(everything: Mapping[str, Any], section: str) -> None:
    model = nested_model(Config.model_fields[section].annotation)
    assert model is not None
    shown = model.model_validate(everything[section])
    checked = list(defaults(model, everything[section]))
    assert checked
    for name, default in checked:
        assert getattr(shown, name) == default, name


def test_the_defaults_of_a_host_are_true(everything: Mapping[str, Any]) -> None:
    values = everything["hosts"][0]
    given = {key: value for key, value in values.items() if not key.startswith("password_")}
    given |= {"basic_auth": None, "tls": None}
    shown = HostConfig.model_validate(given)
    checked = dict(defaults(HostConfig, values))
    assert set(checked) == {"language", "dialect", "collectors"}
    for name, default in checked.items():
        assert getattr(shown, name) == default, name
    assert values["tls"]["insecure_skip_verify"] is TlsConfig().insecure_skip_verify


@pytest.mark.parametrize("form", ["password", "password_file", "password_env"])
def test_each_form_of_a_password_is_shown(everything: Mapping[str, Any], form: str) -> None:
    assert everything["hosts"][0][form]
    assert everything["hosts"][0]["basic_auth"][form]
    assert form in BasicAuth.model_fields


def test_the_examples_of_a_host_are_right(everything: Mapping[str, Any], tmp_path: Path) -> None:
    """Uncommented, with one form of each alternative, the host is usable."""
    values = dict(everything["hosts"][0])
    for form in ("password_file", "password_env"):
        del values[form]
    values["basic_auth"] = {"username": "ops", "password": "x"}
    values["tls"] = {"fingerprint_sha256": values["tls"]["fingerprint_sha256"]}
    host = HostConfig.model_validate(values)
    assert host.fields == {"id": 1, "age": 0, "size": 4, "sender": 2, "recipients": 3, "frozen": 5}
    assert host.interval == 30
    assert host.labels == {"dc": "msk1", "rack": "7"}


# --- alerting -----------------------------------------------------------------------------------


@pytest.fixture
def alerting(
    everything: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AlertingConfig:
    """The section with every commented line in use, its secrets in files of their own."""
    secret = tmp_path / "secret"
    secret.write_text("json://127.0.0.1")
    section = dict(everything["alerting"])
    section["alertmanagers"][0]["basic_auth"] = {"username": "u", "password_file": str(secret)}
    section["alertmanagers"][0]["tls"] = {}
    section["webhooks"][0]["bearer_token_file"] = str(secret)
    section["apprise"][0]["url_file"] = str(secret)
    return AlertingConfig.model_validate(section)


def test_the_alerting_of_the_example_is_right(
    everything: Mapping[str, Any], alerting: AlertingConfig
) -> None:
    checked = dict(defaults(AlertingConfig, everything["alerting"]))
    assert set(checked) == {"group_wait", "group_interval", "repeat_interval", "builtin_rules"}
    for name, default in checked.items():
        assert getattr(alerting, name) == default, name
    changed = next(rule for rule in alerting.in_force if rule.name == "MailQueueFrozen")
    assert (changed.hold, changed.severity) == (900, "critical")
    assert "MailQueueOld" not in {rule.name for rule in alerting.in_force}


def test_the_example_names_every_builtin_rule_and_every_variable() -> None:
    text = re.sub(r"\s+#?\s*", " ", EXAMPLE.read_text(encoding="utf-8"))
    assert ", ".join(rule.name for rule in BUILTIN) in text
    *names, last = VARIABLES
    assert f"Known are {', '.join(names)} and {last}." in text


# --- remediation --------------------------------------------------------------------------------


@pytest.fixture
def remediation(everything: Mapping[str, Any]) -> RemediationConfig:
    """The section with every commented line in use; it is valid as a whole."""
    return RemediationConfig.model_validate(everything["remediation"])


def test_the_defaults_of_remediation_are_true(
    everything: Mapping[str, Any], remediation: RemediationConfig
) -> None:
    values = everything["remediation"]
    checked = dict(defaults(RemediationConfig, values))
    assert checked == {"journal_keep": remediation.journal_keep}
    checked = dict(defaults(type(remediation.limits), values["limits"]))
    assert checked == remediation.limits.model_dump()
    checked = dict(defaults(RemediationRule, values["rules"][0]))
    assert set(checked) == {
        "cooldown",
        "max_per_day",
        "max_messages",
        "approval",
        "respect_silences",
    }
    for name, default in checked.items():
        assert getattr(remediation.rules[0], name) == default, name
    verify = remediation.rules[0].verify
    assert verify is not None
    assert verify.within == type(verify).model_fields["within"].default


def test_the_rules_of_the_example_say_what_their_comments_say(
    everything: Mapping[str, Any], remediation: RemediationConfig
) -> None:
    assert remediation.mode == "dry_run", "a careful start"
    (window,) = remediation.windows
    assert (window.days, window.start, window.end) == (DAYS[:5], time(22), time(6))
    first = remediation.rules[0]
    assert (first.action, first.hold, first.selector.limit) == ("purge_frozen", 600, 1000)
    labels = everything["hosts"][0]["labels"]
    assert first.hosts.matches("mx1", labels)
    assert not first.hosts.matches("web1", labels)
    assert {rule.action for rule in remediation.rules} == set(get_args(Action)) - {"service_off"}


def test_uncommenting_all_rules_gives_no_warning(
    everything: Mapping[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    host = {"name": "mx1", "url": "https://mx1.example.com", "username": "u", "password": "p"}
    host["labels"] = everything["hosts"][0]["labels"]
    file.write_text(yaml.safe_dump({"hosts": [host], "remediation": everything["remediation"]}))
    file.chmod(0o600)
    assert load_config(file).warnings == ()

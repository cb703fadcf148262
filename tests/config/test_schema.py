from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from exporter.config.document import parse_document
from exporter.config.schema import config_schema, schema_text
from tests.config.test_example import EXAMPLE, uncommented

COMMITTED = Path(__file__).parents[2] / "config.schema.json"
HOST = {"name": "mx1", "url": "https://mx1.example.com:8002", "username": "m", "password": "p"}

RULE = {"name": "a", "action": "purge_frozen"}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def places(validator: jsonschema.Draft202012Validator, data: object) -> list[str]:
    return [error.json_path for error in validator.iter_errors(data)]


def test_the_committed_schema_is_current() -> None:
    hint = "run: python -m exporter.config.schema > config.schema.json"
    assert COMMITTED.read_text(encoding="utf-8") == schema_text(), hint


def test_the_module_prints_the_schema() -> None:
    command = [sys.executable, "-m", "exporter.config.schema"]
    printed = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert json.loads(printed.stdout) == config_schema()


@pytest.mark.parametrize("change", [str, uncommented], ids=["as shipped", "uncommented"])
def test_the_example_is_valid(validator: jsonschema.Draft202012Validator, change: Any) -> None:
    text = change(EXAMPLE.read_text(encoding="utf-8"))
    assert places(validator, parse_document(text.encode(), EXAMPLE).data) == []


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"pol": {}}, "$"),
        ({"poll": {"interval": 60}}, "$.poll.interval"),
        ({"poll": {"interval": "60"}}, "$.poll.interval"),
        ({"poll": {"max_response": "64M"}}, "$.poll.max_response"),
        ({"poll": {"concurrency": 0}}, "$.poll.concurrency"),
        ({"hosts": [{"name": "mx1"}]}, "$.hosts[0]"),
        ({"hosts": [HOST | {"name": "mx 1"}]}, "$.hosts[0].name"),
        ({"hosts": [HOST | {"url": "mx1.example.com"}]}, "$.hosts[0].url"),
        ({"hosts": [HOST | {"labels": {"dc": 1}}]}, "$.hosts[0].labels.dc"),
        ({"hosts": [HOST | {"labels": {"1st": "a"}}]}, "$.hosts[0].labels"),
        ({"hosts": [HOST | {"fields": {"subject": 1}}]}, "$.hosts[0].fields"),
        ({"hosts": [HOST | {"fields": {"id": -1}}]}, "$.hosts[0].fields.id"),
        ({"hosts": [HOST | {"dialect": "old"}]}, "$.hosts[0].dialect"),
        ({"host_defaults": {"name": "mx1"}}, "$.host_defaults"),
        ({"host_defaults": {"language": "de"}}, "$.host_defaults.language"),
        ({"web": {"listen": []}}, "$.web.listen"),
        ({"log": {"level": "loud"}}, "$.log.level"),
        ({"remediation": {"mode": "on"}}, "$.remediation.mode"),
        ({"remediation": {"limits": {"storm_brake": "101%"}}}, "$.remediation.limits.storm_brake"),
        ({"remediation": {"limits": {"storm_brake": 30}}}, "$.remediation.limits.storm_brake"),
        ({"remediation": {"rules": [{"name": "a"}]}}, "$.remediation.rules[0]"),
        ({"remediation": {"rules": [RULE | {"hold": "5m"}]}}, "$.remediation.rules[0]"),
        ({"remediation": {"rules": [RULE | {"for": 300}]}}, "$.remediation.rules[0].for"),
        ({"remediation": {"rules": [RULE | {"action": "purge"}]}}, "$.remediation.rules[0].action"),
        ({"remediation": {"rules": [RULE | {"when": "up"}]}}, "$.remediation.rules[0].when"),
        ({"remediation": {"rules": [RULE | {"when": ["up"]}]}}, "$.remediation.rules[0].when"),
        ({"remediation": {"rules": [RULE | {"verify": {}}]}}, "$.remediation.rules[0].verify"),
        ({"remediation": {"windows": [{"from": "22:00"}]}}, "$.remediation.windows[0]"),
        (
            {"remediation": {"windows": [{"from": "6:00", "to": "22:00"}]}},
            "$.remediation.windows[0].from",
        ),
    ],
)
def test_an_editor_shows_the_mistake(
    validator: jsonschema.Draft202012Validator, config: object, place: str
) -> None:
    assert places(validator, config) == [place]


@pytest.mark.parametrize(
    "config",
    [
        {"hosts": [HOST]},
        {"host_defaults": {"username": "m", "password_env": "P"}, "hosts": [{**HOST}]},
        {"hosts": [{"name": "mx1", "url": "http://mx1"}], "host_defaults": {"username": "m"}},
        {"web": {"listen": "127.0.0.1:9897"}},
        {"web": {"listen": ["127.0.0.1:9897", "[::1]:9897"]}},
        {"poll": {"interval": "1h30m", "stale_after": 2.5}},
        {"remediation": {"limits": {"storm_brake": "100%"}}},
        {"remediation": {"limits": {"storm_brake": 0.3}}},
        {"remediation": {"rules": [RULE | {"when": "queue_messages > 5", "for": "5m"}]}},
        {"remediation": {"rules": [RULE | {"when": ['service_up{service="clamav"} == 0']}]}},
        {"remediation": {"rules": [RULE | {"verify": {"expect": "queue_size_bytes < 1MiB"}}]}},
        {"remediation": {"windows": [{"days": "mon-fri", "from": "22:00", "to": "06:00"}]}},
        {"remediation": {"windows": [{"days": ["sun"], "from": "22:00", "to": "06:00"}]}},
    ],
)
def test_an_editor_has_nothing_to_say(
    validator: jsonschema.Draft202012Validator, config: object
) -> None:
    assert places(validator, config) == []


def properties(schema: Any) -> list[tuple[str, dict[str, Any]]]:
    found = []
    if isinstance(schema, dict):
        found += list(schema.get("properties", {}).items())
        for value in schema.values():
            found += properties(value)
    elif isinstance(schema, list):
        for value in schema:
            found += properties(value)
    return found


def test_every_key_has_a_description_and_a_default_of_its_own_type() -> None:
    schema = config_schema()
    assert len(properties(schema)) > 40
    for name, detail in properties(schema):
        described = detail if "$ref" not in detail else schema["$defs"][detail["$ref"][8:]]
        assert detail.get("description") or described["description"], name
        if "pattern" in detail and "default" in detail:
            assert re.fullmatch(detail["pattern"], detail["default"]), name


def test_no_default_shows_the_machine_it_was_made_on() -> None:
    assert str(Path.cwd()) not in schema_text()
    assert "null" not in schema_text()

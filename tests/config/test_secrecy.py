"""A secret may stand in any place of a config, right or wrong: it is never reported."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.config import document
from exporter.config.errors import ConfigError, Path_
from exporter.config.loading import load_config

CANARY = "Canary7Secret"

FULL: dict[str, Any] = {
    "poll": {"interval": "60s", "timeout": "30s", "concurrency": 256, "max_response": "64MiB"},
    "host_defaults": {
        "username": "u",
        "language": "en",
        "password": "shared",
        "tls": {"fingerprint_sha256": "ab" * 32},
        "labels": {"dc": "a"},
    },
    "hosts": [
        {
            "name": "mx1",
            "url": "https://mx1.example.com",
            "username": "u",
            "password": "p",
            "password_file": "f",
            "password_env": "E",
            "language": "en",
            "dialect": "module",
            "collectors": ["queue"],
            "fields": {"id": "id"},
            "time_zone": "Europe/Moscow",
            "labels": {"dc": "a"},
            "interval": "30s",
            "tls": {"ca_file": "ca.pem", "fingerprint_sha256": "ab", "insecure_skip_verify": True},
            "basic_auth": {
                "username": "ops",
                "password": "p",
                "password_file": "f",
                "password_env": "E",
            },
        },
        {"name": "mx1", "url": "http://mx1.example.com", "username": "u", "password": "p"},
    ],
    "hosts_files": ["hosts.d/*.yaml"],
    "web": {"listen": ["127.0.0.1:1"], "config_file": "web.yaml"},
    "state": {"path": "s.db"},
    "log": {"level": "info", "format": "json"},
    "remediation": {
        "mode": "enforce",
        "pause_file": "pause",
        "journal_keep": "90d",
        "limits": {"actions_at_once": 1, "actions_per_hour": 12, "storm_brake": "30%"},
        "windows": [{"days": ["mon-fri"], "from": "22:00", "to": "06:00", "time_zone": "UTC"}],
        "rules": [
            {
                "name": "a",
                "when": ["queue_messages > 5"],
                "for": "5m",
                "hosts": {"names": ["web*"], "labels": {"dc": "b"}},
                "action": "delete",
                "select": {
                    "frozen": True,
                    "bounce": True,
                    "older_than": "1d",
                    "younger_than": "2d",
                    "sender": "a@*",
                    "recipient": "b@*",
                    "larger_than": "5KiB",
                    "limit": 5000,
                    "everything": False,
                },
                "cooldown": "1s",
                "max_per_day": 4,
                "max_messages": 1000,
                "approval": "none",
                "verify": {"within": "5m", "expect": ["up == 1"]},
            },
            {"name": "a", "action": "purge_all", "force": True, "service": "clamav"},
        ],
    },
}


def leaves(tree: object, at: Path_ = ()) -> Iterator[Path_]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, (*at, key))
    elif isinstance(tree, list):
        for position, value in enumerate(tree):
            yield from leaves(value, (*at, position))
    else:
        yield at


def with_value(tree: Any, path: Path_, value: object) -> Any:
    changed = copy.deepcopy(tree)
    inner = changed
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return changed


def sections(tree: Any) -> list[Path_]:
    """Every leaf, and every map and list above one."""
    found = {path[:length] for path in leaves(tree) for length in range(1, len(path) + 1)}
    return sorted(found, key=str)


def reported(file: Path) -> str:
    """Everything that loading the file tells."""
    try:
        loaded = load_config(file)
    except ConfigError as error:
        return "\n".join([str(error), repr(error), *traceback.format_exception(error)])
    return "\n".join(map(str, loaded.warnings))


@pytest.mark.parametrize("path", sections(FULL), ids=str)
@pytest.mark.parametrize(
    "value",
    [
        CANARY,
        [CANARY],
        {"key": CANARY},
        f"https://user:{CANARY}@host/",
        f"{CANARY}:99999",
        f"{CANARY} > 5",
        f"up == {CANARY}",
        f'service_up{{service="{CANARY}"}} == 0',
    ],
    ids=["text", "list", "map", "url", "address", "figure", "number", "label"],
)
def test_a_secret_in_any_place_is_not_reported(tmp_path: Path, path: Path_, value: object) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(with_value(FULL, path, value)))
    assert CANARY not in reported(file)


def test_a_secret_in_a_usable_config_is_not_in_its_warnings(tmp_path: Path) -> None:
    """One host is made of secrets, and gives every warning that a host can give."""
    host = {
        "name": CANARY,
        "url": f"http://{CANARY}.example.com/{CANARY}",
        "username": CANARY,
        "password": CANARY,
        "labels": {"dc": CANARY},
        "basic_auth": {"username": CANARY, "password": CANARY},
        "tls": {"insecure_skip_verify": True},
        "interval": "1s",
    }
    file = tmp_path / "config.yaml"
    rule = {"name": CANARY, "action": "purge_all", "hosts": {"names": [f"no-{CANARY}"]}}
    config = {
        "hosts": [host, {**host, "name": "mx2", "shares_panel_with": CANARY}],
        "hosts_files": [CANARY],
        "remediation": {"mode": "enforce", "rules": [rule]},
    }
    file.write_text(yaml.safe_dump({**config, "poll": {"concurrency": 1}}))
    assert len(load_config(file).warnings) >= 9
    assert CANARY not in reported(file)


@pytest.mark.parametrize(
    "written",
    [
        f"!{CANARY}",
        f"!{CANARY} x",
        f"!{CANARY}!x",
        f"!<{CANARY}> x",
        f"*{CANARY}",
        f"&{CANARY}",
        f"@{CANARY}",
        f"%{CANARY}",
        f"`{CANARY}",
        f'"{CANARY}\\q"',
        f"'{CANARY}",
        f"{CANARY}: x",
        f"[{CANARY}",
        f"{{{CANARY}",
        f"|{CANARY}",
        f">{CANARY}",
        f"x\n{CANARY}",
        f"\t{CANARY}\n\t- x",
        f"{CANARY}\x07",
        f"!!int {CANARY}",
        f"!!binary {CANARY}",
        f"!!timestamp {CANARY}",
    ],
)
@pytest.mark.parametrize("loader", [yaml.CSafeLoader, yaml.SafeLoader])
def test_a_secret_that_yaml_misreads_is_not_reported(
    tmp_path: Path, written: str, loader: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With libyaml and without it: the two quote differently."""
    monkeypatch.setattr(document, "_Loader", loader)
    file = tmp_path / "config.yaml"
    file.write_text(
        f"hosts:\n- name: mx1\n  url: https://mx1\n  username: u\n  password: {written}\n"
    )
    assert CANARY not in reported(file)


@given(st.text("!*&@%`\"'[]{}|>:,?#- \t\\ab", max_size=6), st.text("!'\"]}:# \\", max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_secret_between_any_signs_is_not_reported(
    tmp_path: Path, before: str, after: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"log: {{level: info}}\nhosts:\n- name: a\n  password: {before}{CANARY}{after}")
    shown = reported(file)
    as_key = f"password.{CANARY}", f"['{CANARY}"  # a map's key is a key, not a value
    assert CANARY not in shown or any(key in shown for key in as_key)


def test_no_secret_is_in_the_repr_of_what_was_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", f"{CANARY}-env")
    (tmp_path / "password").write_text(f"{CANARY}-file")
    auth = {"username": "ops", "password": f"{CANARY}-auth"}
    base = {"url": "https://mx.example.com", "username": "u"}
    shared = {**base, "shares_panel_with": "mx1"}
    config = {
        "host_defaults": {"password": f"{CANARY}-default", "basic_auth": auth},
        "hosts": [
            {**base, "name": "mx1"},
            {**shared, "name": "mx2", "password": f"{CANARY}-own"},
            {**shared, "name": "mx3", "password_env": "SECRET"},
            {**shared, "name": "mx4", "password_file": "password"},
        ],
    }
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    loaded = load_config(file)
    secrets = [host.secret_values[0].removeprefix(CANARY) for host in loaded.config.hosts]
    assert secrets == ["-default", "-own", "-env", "-file"]
    shown = [repr(loaded), str(loaded.config), loaded.config.model_dump_json()]
    shown += [repr(loaded.config.model_dump()), repr(loaded.warnings)]
    assert not [text for text in shown if CANARY in text]

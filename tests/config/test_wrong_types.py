"""A value of the wrong kind, wherever it stands, is a sentence and never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.document import parse_document
from exporter.config.errors import ConfigError
from exporter.config.loading import load_config
from exporter.web.server.passwords import hash_password
from exporter.web.server.web_config import load_web_config
from tests.config.test_example import EXAMPLE, uncommented
from tests.config.wrong import places, put, wrongly_typed
from tests.examples import examples

WEB: dict[str, Any] = {
    "tls_server_config": {
        "cert": "x",
        "key": "y",
        "client_ca": "z",
        "cert_file": "web.yaml",
        "key_file": "web.yaml",
        "client_ca_file": "web.yaml",
        "client_auth_type": "NoClientCert",
        "client_allowed_sans": ["a"],
        "min_version": "TLS12",
        "max_version": "TLS13",
        "cipher_suites": ["TLS_AES_128_GCM_SHA256"],
        "prefer_server_cipher_suites": True,
        "curve_preferences": ["X25519"],
    },
    "http_server_config": {"http2": True, "headers": {"X-Frame-Options": "deny"}},
    "basic_auth_users": {"prometheus": hash_password("sesame", cost=4)},
    "rate_limit": {"interval": "1s", "burst": 2},
}

MAIN: Any = parse_document(uncommented(EXAMPLE.read_text()).encode(), EXAMPLE).data
"""Every key that there is."""


def told_or_taken(load: Callable[[Path], object], file: Path, config: Any) -> None:
    """The config is used, or every mistake is reported; anything else is raised."""
    file.unlink(missing_ok=True)  # ext4 waits for the disk where a file is written over
    file.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML, and quicker to read
    reported = ["a good config"]
    try:
        load(file)
    except ConfigError as error:
        reported = [problem.message for problem in error.problems]
    assert reported
    assert all(len(message.split()) > 1 for message in reported), reported


def alone(path: tuple[str | int, ...], config: Any) -> Any:
    """The section of `path` alone: what is wrong elsewhere hides what goes wrong later."""
    if len(path) < 2 or not isinstance(config, dict):
        return config
    section, key = path[0], path[1]
    inner = config[section]
    return {section: {key: inner[key]} if isinstance(inner, dict) else inner}


@pytest.mark.slow
def test_no_wrong_type_in_the_web_config_is_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text("")
    tried = 0
    for path, _, config in wrongly_typed(WEB):
        for written in (config, alone(path, config)):
            told_or_taken(load_web_config, tmp_path / "config.yaml", written)
            tried += 1
    assert tried > 1000


@pytest.mark.slow
@pytest.mark.parametrize("section", sorted(MAIN))
def test_no_wrong_type_in_the_config_is_a_traceback(tmp_path: Path, section: str) -> None:
    base = {"hosts": [{"name": "m", "url": "https://m", "username": "u", "password": "p"}]}
    tried = 0
    for path, _, config in wrongly_typed({section: MAIN[section]}):
        if path:
            told_or_taken(load_config, tmp_path / "config.yaml", base | config)
            tried += 1
    assert tried >= 20


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=examples(300))
@given(path=st.sampled_from([path for path in places(WEB) if path]), value=VALUES)
def test_no_value_at_all_in_the_web_config_is_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[str | int, ...], value: Any
) -> None:
    folder = tmp_path_factory.getbasetemp()
    told_or_taken(load_web_config, folder / "web.yaml", alone(path, put(WEB, path, value)))


@pytest.mark.parametrize("interval", [[1], {}, {"a": 1}, True, None, 1.5, "1", -1])
def test_an_interval_of_the_rate_limit_is_a_duration(tmp_path: Path, interval: Any) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(yaml.safe_dump({"rate_limit": {"interval": interval, "burst": 1}}))
    if interval is None:  # a key without a value is a key that is not there
        assert load_web_config(file).rate_limit is None
        return
    with pytest.raises(ConfigError, match=r"rate_limit\.interval: .*duration"):
        load_web_config(file)

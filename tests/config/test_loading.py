from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config.errors import ConfigError
from exporter.config.hosts import merged
from exporter.config.loading import LoadedConfig, load_config, matching_files
from exporter.config.remediation import Limits, RemediationConfig
from exporter.config.selectors import HostSelector, Selector
from exporter.startup import load_everything

HOST: Mapping[str, Any] = {
    "name": "mx1",
    "url": "https://mx1.example.com:8002",
    "username": "monitor",
    "password": "s3cret",
}


def host(name: str = "mx1", **keys: object) -> dict[str, object]:
    given = {**HOST, "name": name, "url": f"https://{name}.example.com:8002", **keys}
    return {key: value for key, value in given.items() if value is not ...}


def write(folder: Path, name: str = "config.yaml", **keys: object) -> Path:
    """A config of `keys`, readable by its owner alone."""
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(keys, sort_keys=False))
    file.chmod(0o600)
    return file


def load(folder: Path, **keys: Any) -> LoadedConfig:
    return load_config(write(folder, **keys))


def warnings(loaded: LoadedConfig) -> list[str]:
    """Path and message of each, without the file."""
    return [f"{w.path}: {w.message}" for w in loaded.warnings]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter; tmp_path is closed to others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


# --- values -----------------------------------------------------------------------------------


def test_the_least_config(tmp_path: Path) -> None:
    loaded = load(tmp_path, hosts=[host()])
    config = loaded.config
    (only,) = config.hosts
    assert (only.name, only.username) == ("mx1", "monitor")
    assert only.url == "https://mx1.example.com:8002/api/api.php"
    assert str(only.address) == only.url
    assert only.zone is None
    assert only.secret_values == ("s3cret",)
    assert config.interval_of(only) == config.poll.interval == 60
    assert loaded.warnings == ()
    assert loaded.hosts_files == ()


def test_every_key_of_a_host_arrives(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        hosts=[
            host(
                url="http://127.0.0.1:1/panel/api.php",
                language="ru",
                dialect="module",
                collectors=["spamassassin", "queue", "queue"],
                fields={"id": "mid", "age": 3},
                time_zone="Europe/Moscow",
                labels={"dc": "msk1"},
                basic_auth={"username": "ops", "password": "other"},
                tls={"fingerprint_sha256": ":".join(["AB"] * 32)},
                interval="30s",
            )
        ],
    )
    (only,) = loaded.config.hosts
    assert only.url == "http://127.0.0.1:1/panel/api.php"
    assert (only.language, only.dialect) == ("ru", "module")
    assert only.collectors == ("queue", "spamassassin")
    assert only.fields == {"id": "mid", "age": 3}
    assert str(only.zone) == "Europe/Moscow"
    assert only.labels == {"dc": "msk1"}
    assert only.basic_auth is not None
    assert only.basic_auth.username == "ops"
    assert only.tls.fingerprint_sha256 == "ab" * 32
    assert loaded.config.interval_of(only) == 30
    assert only.secret_values == ("s3cret", "other", "ops:other")


def test_the_panels_root_is_no_path(tmp_path: Path) -> None:
    (only,) = load(tmp_path, hosts=[host(url="https://mx1.example.com/")]).config.hosts
    assert only.url == "https://mx1.example.com/api/api.php"


def test_a_key_without_a_value_is_absent(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        poll=None,
        host_defaults=None,
        hosts_files=None,
        web={"listen": None, "config_file": None},
        hosts=[host(labels=None, tls=None, basic_auth=None, interval=None, password_file=None)],
    )
    assert loaded.config.poll.interval == 60
    assert loaded.config.web.listen == ("127.0.0.1:9897",)
    assert loaded.config.hosts[0].labels == {}


@pytest.mark.parametrize(
    ("written", "seen"), [("127.0.0.1:1", ("127.0.0.1:1",)), (["[::1]:1", ":2"], ("[::1]:1", ":2"))]
)
def test_one_address_or_many(tmp_path: Path, written: object, seen: object) -> None:
    assert load(tmp_path, hosts=[host()], web={"listen": written}).config.web.listen == seen


def test_words_for_truth(tmp_path: Path) -> None:
    for word, value in (("false", False), ("no", False), ("off", False), ("on", True)):
        file = write(tmp_path, hosts=[host()])
        file.write_text(f"{file.read_text()}  tls: {{insecure_skip_verify: {word}}}\n")
        assert load_config(file).config.hosts[0].tls.insecure_skip_verify is value


# --- remediation ------------------------------------------------------------------------------


RULE: Mapping[str, Any] = {"name": "a", "action": "purge_frozen"}


def remediation(folder: Path, **keys: Any) -> RemediationConfig:
    return load(folder, hosts=[host()], remediation=keys).config.remediation


def test_without_a_section_nothing_acts(tmp_path: Path) -> None:
    config = load(tmp_path, hosts=[host()]).config.remediation
    assert (config.mode, config.rules, config.windows, config.pause_file) == (None, (), (), None)
    assert config.journal_keep == 90 * 86400
    assert config.limits == Limits(actions_at_once=1, actions_per_hour=12, storm_brake="30%")


def test_a_rule_needs_no_more_than_a_name_and_an_action(tmp_path: Path) -> None:
    (rule,) = remediation(tmp_path, mode="dry_run", rules=[RULE]).rules
    assert (rule.when, rule.hold, rule.verify, rule.service) == ((), None, None, None)
    assert (rule.cooldown, rule.max_per_day, rule.max_messages) == (3600, 4, 1000)
    assert (rule.approval, rule.force) == ("none", False)
    assert rule.selector == Selector(frozen=True)
    assert rule.hosts.matches("mx1", {})


def test_every_key_of_a_rule_arrives(tmp_path: Path) -> None:
    given = {
        "name": "purge-frozen-storm",
        "when": ["queue_frozen_messages > 500", "queue_oldest_message_age_seconds > 1d"],
        "for": "10m",
        "hosts": {"names": ["mx*"], "labels": {"tier": "shared"}},
        "action": "purge_frozen",
        "select": {"frozen": True, "bounce": True, "older_than": "1d", "limit": 5000},
        "cooldown": "2h",
        "max_per_day": 3,
        "max_messages": 10000,
        "approval": "required",
        "verify": {"within": "4m", "expect": ["queue_frozen_messages < 50"]},
    }
    config = remediation(tmp_path, mode="enforce", pause_file="pause", rules=[given])
    assert config.pause_file == tmp_path / "pause"
    rule = config.rule("purge-frozen-storm")
    assert rule is not None
    assert list(map(str, rule.when)) == given["when"]
    assert (rule.hold, rule.cooldown, rule.max_per_day, rule.max_messages) == (600, 7200, 3, 10000)
    assert (rule.hosts.names, rule.hosts.labels) == (("mx*",), {"tier": "shared"})
    assert rule.selector == Selector(frozen=True, bounce=True, older_than="1d", limit=5000)
    assert rule.approval == "required"
    assert rule.verify is not None
    assert rule.verify.within == 240
    assert list(map(str, rule.verify.expect)) == ["queue_frozen_messages < 50"]
    assert config.rule("another") is None


def test_purge_all_means_every_message(tmp_path: Path) -> None:
    rules = [{"name": name, "action": "purge_all"} for name in ("a", "b")]
    rules[1]["select"] = {"everything": True}  # type: ignore[assignment]
    config = remediation(tmp_path, mode="off", rules=rules)
    assert [rule.selector for rule in config.rules] == [Selector(everything=True)] * 2


def test_one_condition_needs_no_list(tmp_path: Path) -> None:
    rule = {**RULE, "when": "queue_frozen_messages>5", "verify": {"expect": "up == 1"}}
    (rule_,) = remediation(tmp_path, mode="off", rules=[rule]).rules
    assert list(map(str, rule_.when)) == ["queue_frozen_messages > 5"]
    assert rule_.verify is not None
    assert list(map(str, rule_.verify.expect)) == ["up == 1"]


@pytest.mark.parametrize(
    "written",
    [
        'when: service_up{service="clamav"} == 0',
        "when:\n    - service_up{service='clamav'} == 0",
        "when: ['service_up{service=\"clamav\"} == 0']",
        "when: [\"service_up{ service = 'clamav' }==0\"]",
    ],
)
def test_a_condition_with_a_label_in_every_way_to_quote_it(tmp_path: Path, written: str) -> None:
    file = write(tmp_path, hosts=[host()])
    section = (
        f"remediation:\n  mode: off\n  rules:\n  - name: a\n    action: retry\n    {written}\n"
    )
    file.write_text(f"{file.read_text()}{section}    select: {{everything: true}}\n")
    (rule,) = load_config(file).config.remediation.rules
    assert list(map(str, rule.when)) == ['service_up{service="clamav"} == 0']


@pytest.mark.parametrize(
    ("written", "days"),
    [
        ("[mon-fri]", "mon tue wed thu fri"),
        ("mon-fri", "mon tue wed thu fri"),
        ("[fri-mon]", "mon fri sat sun"),
        ("[sun, mon, sun]", "mon sun"),
        ("[wed-wed]", "wed"),
        ("[mon-wed, tue-thu]", "mon tue wed thu"),
        ("", "mon tue wed thu fri sat sun"),
    ],
)
def test_days_of_a_window(tmp_path: Path, written: str, days: str) -> None:
    file = write(tmp_path, hosts=[host()])
    # Not in quotes: YAML 1.1 would read these times as numbers to the base of 60.
    window = f"{{days: {written}, from: 22:00, to: 06:30}}"
    file.write_text(f"{file.read_text()}remediation: {{windows: [{window}]}}\n")
    (only,) = load_config(file).config.remediation.windows
    assert only.days == tuple(days.split())
    assert (only.start, only.end, only.time_zone) == (time(22), time(6, 30), "UTC")


@pytest.mark.parametrize(
    ("written", "share"), [("1%", 0.01), ("30%", 0.3), ("100%", 1), (0.5, 0.5)]
)
def test_a_share_of_the_fleet(tmp_path: Path, written: object, share: float) -> None:
    assert remediation(tmp_path, limits={"storm_brake": written}).limits.storm_brake == share


def test_the_journal_may_be_kept_just_as_long_as_a_cooldown(tmp_path: Path) -> None:
    rule = {**RULE, "cooldown": "3d"}
    assert remediation(tmp_path, mode="off", journal_keep="72h", rules=[rule]).rules
    assert remediation(tmp_path, journal_keep="2d").journal_keep == 2 * 86400


@pytest.mark.parametrize(
    ("hosts", "meant"),
    [
        ({}, "mx1 mx2 web1"),
        ({"names": ["mx*"]}, "mx1 mx2"),
        ({"names": ["mx1", "web?"]}, "mx1 web1"),
        ({"names": ["MX1"]}, ""),
        ({"names": ["mx"]}, ""),
        ({"labels": {"dc": "a"}}, "mx1 web1"),
        ({"labels": {"dc": "a", "tier": "shared"}}, "web1"),
        ({"names": ["mx*"], "labels": {"dc": "a"}}, "mx1"),
        ({"labels": {"absent": ""}}, ""),
    ],
)
def test_hosts_of_a_rule(hosts: dict[str, Any], meant: str) -> None:
    fleet = {"mx1": {"dc": "a"}, "mx2": {"dc": "b"}, "web1": {"dc": "a", "tier": "shared"}}
    selector = HostSelector.model_validate(hosts)
    assert [n for n, labels in fleet.items() if selector.matches(n, labels)] == meant.split()


# --- files ------------------------------------------------------------------------------------


def test_relative_paths_start_at_the_configs_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "password").write_text("from a file\r\n")
    (folder / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    write(folder, "hosts.d/a.yaml")
    (folder / "hosts.d/a.yaml").write_text(
        yaml.safe_dump([host("mx2", password=..., password_file="password")])
    )
    write(
        folder,
        hosts=[host(password=..., password_file="password", tls={"ca_file": "ca.pem"})],
        hosts_files=["hosts.d/*.yaml"],
        web={"config_file": "web.yaml"},
    )
    monkeypatch.chdir(elsewhere)
    loaded = load_config(Path("../etc/config.yaml"))
    config = loaded.config
    assert [h.secret_values for h in config.hosts] == [("from a file",)] * 2
    assert config.hosts[0].tls.ca_file is not None
    assert config.hosts[0].tls.ca_file.samefile(folder / "ca.pem")
    assert config.web.config_file is not None
    assert config.web.config_file.parent.samefile(folder)
    assert config.state.path.parent.samefile(folder)
    assert config.state.path.is_absolute()
    assert [file.name for file in loaded.hosts_files] == ["a.yaml"]


def test_absolute_paths_and_home_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "password").write_text("x")
    hosts = [
        host("mx1", password=..., password_file=str(tmp_path / "password")),
        host("mx2", password=..., password_file="~/password"),
    ]
    loaded = load(tmp_path, hosts=hosts, state={"path": "~/s.db"})
    assert {h.password_file for h in loaded.config.hosts} == {tmp_path / "password"}
    assert loaded.config.state.path == tmp_path / "s.db"


def test_hosts_files_are_added_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden"):
        write(tmp_path, f"hosts.d/{name}.yaml")
        (tmp_path / f"hosts.d/{name}.yaml").write_text(yaml.safe_dump([host(f"mx-{name[0]}")]))
    (tmp_path / "hosts.d/folder.yaml").mkdir()
    (tmp_path / "hosts.d/note.txt").write_text("not: a list")
    (tmp_path / "hosts.d/empty.yaml").write_text("")
    globs = ["hosts.d/b*.yaml", "hosts.d/*.yaml", str(tmp_path / "hosts.d/a.yaml")]
    loaded = load(tmp_path, hosts=[host()], hosts_files=globs)
    assert [h.name for h in loaded.config.hosts] == ["mx1", "mx-a", "mx-b"]
    assert loaded.hosts_files == tuple(
        tmp_path / "hosts.d" / f"{name}.yaml" for name in ("a", "b", "empty")
    )
    assert matching_files(globs, tmp_path) == loaded.hosts_files


def test_globs_with_odd_folders_and_double_stars(tmp_path: Path) -> None:
    folder = tmp_path / "a [b] *"
    (folder / "deep/er").mkdir(parents=True)
    for file in ("deep/x.yaml", "deep/er/y.yaml"):
        (folder / file).write_text("")
    assert len(matching_files(["deep/**/*.yaml"], folder)) == 2
    for pattern in ("", "nothing", "\0", "[", "**x"):
        assert matching_files([pattern], folder) == ()


def test_hosts_files_that_match_nothing_yet_are_a_warning(tmp_path: Path) -> None:
    loaded = load(tmp_path, hosts_files=["absent/*.yaml", "*.txt"], hosts=[host()])
    assert warnings(loaded) == [
        "hosts_files[0]: matches no file yet",
        "hosts_files[1]: matches no file yet",
    ]
    assert load(tmp_path, hosts_files=["hosts.d/*.yaml"]).config.hosts == ()


def test_a_config_file_may_be_named_by_a_symlink(tmp_path: Path) -> None:
    real = write(tmp_path, hosts=[host()])
    (tmp_path / "link.yaml").symlink_to(real)
    assert load_config(tmp_path / "link.yaml").config.hosts


# --- host_defaults ------------------------------------------------------------------------------


def test_a_hosts_key_replaces_the_default(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        host_defaults={
            "username": "shared",
            "password": "shared",
            "language": "ru",
            "tls": {"insecure_skip_verify": True},
            "labels": {"team": "mail", "dc": "a"},
            "basic_auth": {"username": "ops", "password": "x"},
        },
        hosts=[
            host("mx1", username=..., password=...),
            host(
                "mx2",
                language="en",
                tls={"fingerprint_sha256": "ab" * 32},
                labels={"dc": "b"},
                basic_auth=None,
            ),
        ],
    )
    first, second = loaded.config.hosts
    assert (first.username, first.secret_values) == ("shared", ("shared", "x", "ops:x"))
    assert first.language == "ru"
    assert first.labels == {"team": "mail", "dc": "a"}
    assert (second.username, second.secret_values) == ("monitor", ("s3cret",))
    assert second.language == "en"
    assert second.labels == {"team": "mail", "dc": "b"}
    assert not second.tls.insecure_skip_verify


@pytest.mark.parametrize("shared", ["password", "password_env"])
def test_a_password_in_one_form_replaces_a_default_in_another(
    tmp_path: Path, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARED", "from the environment")
    (tmp_path / "own").write_text("own")
    loaded = load(
        tmp_path,
        host_defaults={shared: "SHARED"},
        hosts=[host("mx1", password=..., password_file="own"), host("mx2", password=...)],
    )
    secrets = [h.secret_values[0] for h in loaded.config.hosts]
    assert secrets == ["own", "SHARED" if shared == "password" else "from the environment"]


def test_merging_changes_neither_side() -> None:
    defaults = {"labels": {"a": "1"}, "password": "x"}
    own = {"labels": {"b": "2"}, "password_env": "X"}
    assert merged(defaults, own) == {"labels": {"a": "1", "b": "2"}, "password_env": "X"}
    assert defaults == {"labels": {"a": "1"}, "password": "x"}
    assert own == {"labels": {"b": "2"}, "password_env": "X"}


# --- warnings -----------------------------------------------------------------------------------


def test_an_unchecked_certificate_is_a_warning_where_it_is_given(tmp_path: Path) -> None:
    insecure = {"insecure_skip_verify": True}
    loaded = load(
        tmp_path,
        host_defaults={"tls": insecure},
        hosts=[host("mx1"), host("mx2"), host("mx3", tls=insecure), host("mx4", tls=None)],
    )
    assert [w.path for w in loaded.warnings] == [
        "host_defaults.tls.insecure_skip_verify",
        "hosts[2].tls.insecure_skip_verify",
    ]
    assert "pin it with fingerprint_sha256" in loaded.warnings[0].message


@pytest.mark.parametrize(
    ("url", "reported"),
    [
        ("http://mx1.example.com", True),
        ("http://10.0.0.1", True),
        ("https://mx1.example.com", False),
        ("http://127.0.0.1:1", False),
        ("http://[::1]:1", False),
        ("http://localhost:1", False),
        ("http://panel.localhost:1", False),
        ("http://localhost.example.com", True),
    ],
)
def test_plain_http_is_a_warning_unless_it_stays_here(
    tmp_path: Path, url: str, *, reported: bool
) -> None:
    loaded = load(tmp_path, hosts=[host(url=url)])
    message = "hosts[0].url: over plain http the password travels in clear; use https"
    assert warnings(loaded) == ([message] if reported else [])


@pytest.mark.parametrize(
    ("path", "reported"),
    [("", False), ("/", False), ("/api/api.php", False), ("/mx1", False), ("/api", True),
     ("/api/", True)],
)  # fmt: skip
def test_half_of_the_api_path_is_a_warning(tmp_path: Path, path: str, *, reported: bool) -> None:
    loaded = load(tmp_path, hosts=[host(url=f"https://mx1.example.com:8002{path}")])
    message = f"hosts[0].url: has the path {path}, so /api/api.php is not added: leave the path out"
    assert warnings(loaded) == ([message] if reported else [])


@pytest.mark.parametrize(
    ("poll", "own", "reported"),
    [
        ({}, ..., []),
        ({"interval": "30s"}, ..., []),
        ({"interval": "20s"}, ..., ["poll.interval: poll.timeout (30s) is longer"]),
        ({"timeout": "2m"}, ..., ["poll.timeout: poll.timeout (120s) is longer"]),
        ({"interval": "5s", "timeout": "5s"}, ..., ["poll.interval: an interval of 5s leaves"]),
        ({}, "20s", ["hosts[0].interval: poll.timeout (30s) is longer than the interval (20s)"]),
        ({"timeout": "10s"}, "10s", []),
        ({}, "9s", ["hosts[0].interval: an interval of 9s leaves a panel no rest"]),
    ],
)
def test_intervals_too_short_to_keep_are_a_warning(
    tmp_path: Path, poll: object, own: object, reported: list[str]
) -> None:
    found = warnings(load(tmp_path, poll=poll, hosts=[host(interval=own)]))
    assert len(found) == len(reported)
    for warning, start in zip(found, reported, strict=True):
        assert warning.startswith(start)


def test_more_hosts_than_the_concurrency_can_keep_fresh_are_a_warning(tmp_path: Path) -> None:
    hosts = [host(f"mx{i}") for i in range(100)]
    loaded = load(tmp_path, poll={"concurrency": 16}, hosts=hosts)
    (warning,) = warnings(loaded)
    assert warning == (
        "poll.concurrency: 100 hosts keep about 17 requests in flight at 2.5s each, but only 16 "
        "are allowed, so polls would come late; raise concurrency or the interval"
    )
    assert load(tmp_path, poll={"concurrency": 17}, hosts=hosts).warnings == ()


def test_two_names_for_one_panel_are_allowed_where_they_are_meant(tmp_path: Path) -> None:
    url = "https://mx1.example.com:8002"
    hosts = [
        host("mx3", url=f"{url}/", shares_panel_with="mx2"),
        host("mx1", url=url),
        host("mx2", url=url.upper().replace("HTTPS", "https"), shares_panel_with="mx1"),
    ]
    loaded = load(tmp_path, hosts=hosts)
    assert warnings(loaded) == []
    assert len({each.panel for each in loaded.config.hosts}) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://mx1.example.com", "https://MX1.Example.COM:443/", True),
        ("http://mx1.example.com", "http://mx1.example.com:80/api/api.php/", True),
        ("https://mx1.example.com", "https://mx1.example.com./api//api.php", True),
        ("https://[::1]:8002", "https://[0:0:0:0:0:0:0:1]:8002", True),
        ("https://mx1.example.com:8002", "https://mx1.example.com", False),
        ("https://mx1.example.com", "http://mx1.example.com", False),
        ("https://mx1.example.com/a/api.php", "https://mx1.example.com/A/api.php", False),
        # Names are not looked up.
        ("http://localhost:8002", "http://127.0.0.1:8002", False),
    ],
)
def test_a_panel_is_its_url_however_that_is_written(
    tmp_path: Path, one: str, other: str, same: bool
) -> None:
    hosts = load(tmp_path, hosts=[host("mx1", url=one)]).config.hosts
    hosts += load(tmp_path, hosts=[host("mx2", url=other)]).config.hosts
    assert (hosts[0].panel == hosts[1].panel) is same


def test_a_panel_is_its_pin_too(tmp_path: Path) -> None:
    pins = [None, "0" * 64, "1" * 64]
    hosts = [
        load(tmp_path, hosts=[host(tls={} if pin is None else {"fingerprint_sha256": pin})])
        for pin in pins
    ]
    panels = [each.config.hosts[0].panel for each in hosts]
    assert len(set(panels)) == 3
    assert len({panel.url for panel in panels}) == 1


@pytest.mark.parametrize(
    ("keys", "asked", "seen"),
    [
        ({}, True, True),
        ({"labels": {"dc": "msk1"}, "interval": "30s"}, True, True),
        ({"password": "another"}, False, True),
        ({"basic_auth": {"username": "u", "password": "p"}}, False, True),
        ({"username": "another"}, False, False),
        ({"url": "https://elsewhere"}, False, False),
        ({"tls": {"fingerprint_sha256": "0" * 64}}, False, False),
        ({"fields": {"id": 0}}, False, False),
        ({"collectors": ["queue"]}, False, False),
        ({"time_zone": "Europe/Moscow"}, False, False),
        ({"language": "ru"}, False, False),
    ],
)
def test_what_of_a_host_matters_for_asking_and_for_counting(
    tmp_path: Path, keys: dict[str, Any], asked: bool, seen: bool
) -> None:
    (before,) = load(tmp_path, hosts=[host()]).config.hosts
    (after,) = load(tmp_path, hosts=[host(**keys)]).config.hosts
    assert (after.is_asked_like(before), after.is_seen_like(before)) == (asked, seen)


def test_a_password_file_that_everybody_can_read_is_one_warning(open_folder: Path) -> None:
    password = open_folder / "password"
    password.write_text("x")
    auth = {"username": "ops", "password_file": "password"}
    hosts = [host(name, password=..., password_file="password") for name in ("mx1", "mx2")]
    keys = {"hosts": [*hosts, host("mx3", basic_auth=auth)]}
    password.chmod(0o644)
    (warning,) = warnings(load(open_folder, **keys))
    assert warning == (
        "hosts[0].password_file: every user of this machine can read the file; "
        "chmod it to 600 or 640"
    )
    password.chmod(0o640)
    assert load(open_folder, **keys).warnings == ()
    password.chmod(0o644)
    open_folder.chmod(0o750)
    assert load(open_folder, **keys).warnings == ()


def test_the_file_of_a_basic_auth_password_counts_too(open_folder: Path) -> None:
    (open_folder / "password").write_text("x")
    (open_folder / "password").chmod(0o604)
    auth = {"username": "ops", "password_file": "password"}
    (warning,) = warnings(load(open_folder, hosts=[host(basic_auth=auth)]))
    assert warning.startswith("hosts[0].basic_auth.password_file: every user")


def test_a_config_with_passwords_that_everybody_can_read_is_one_warning(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    by_env = host("mx0", password=..., password_env="SECRET")
    file = write(open_folder, hosts=[by_env, host("mx1"), host("mx2")])
    assert load_config(file).warnings == ()
    file.chmod(0o644)
    (warning,) = warnings(load_config(file))
    assert warning == (
        "hosts[1].password: every user of this machine can read this file and its passwords; "
        "chmod it to 600 or 640, or use password_file"
    )
    auth = {"username": "ops", "password": "x"}
    file = write(open_folder, hosts=[by_env | {"basic_auth": auth}])
    file.chmod(0o644)
    assert [w.path for w in load_config(file).warnings] == ["hosts[0].basic_auth.password"]
    file = write(open_folder, hosts=[by_env])
    file.chmod(0o644)
    assert load_config(file).warnings == ()


def test_a_default_password_that_everybody_can_read_is_reported_at_the_default(
    open_folder: Path,
) -> None:
    file = write(open_folder, host_defaults={"password": "x"}, hosts=[host(password=...)])
    file.chmod(0o644)
    assert [w.path for w in load_config(file).warnings] == ["host_defaults.password"]


def test_warnings_do_not_hide_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, hosts=[host(url="http://mx1.example.com", language="de")])
    assert [p.path for p in caught.value.problems] == ["hosts[0].language"]


@pytest.mark.parametrize(
    ("hosts", "reported"),
    [
        ({"names": ["mx*"]}, []),
        ({"names": ["mx*", "web*", "db"]}, ["hosts.names[1]", "hosts.names[2]"]),
        ({"names": ["web*"], "labels": {"dc": "a"}}, ["hosts.names[0]"]),
        ({"labels": {"dc": "z"}}, ["hosts"]),
        ({"names": ["mx1"], "labels": {"dc": "b"}}, ["hosts"]),
        ({"names": ["mx1", "db"], "labels": {"dc": "b"}}, ["hosts", "hosts.names[1]"]),
    ],
)
def test_a_rule_for_hosts_that_do_not_exist_is_a_warning(
    tmp_path: Path, hosts: object, reported: list[str]
) -> None:
    config = {"mode": "off", "rules": [RULE, {**RULE, "name": "b", "hosts": hosts}]}
    fleet = [host("mx1", labels={"dc": "a"}), host("mx2", labels={"dc": "b"})]
    loaded = load(tmp_path, hosts=fleet, remediation=config)
    assert [w.path for w in loaded.warnings] == [
        f"remediation.rules[1].{path}" for path in reported
    ]
    assert all(w.message.startswith("matches no host") for w in loaded.warnings)


def test_rules_for_hosts_that_are_still_to_come_are_no_warning(tmp_path: Path) -> None:
    config = {"mode": "off", "rules": [{**RULE, "hosts": {"names": ["mx*"]}}]}
    loaded = load(tmp_path, hosts_files=["hosts.d/*.yaml"], remediation=config)
    assert warnings(loaded) == ["hosts_files[0]: matches no file yet"]


@pytest.mark.parametrize(
    ("mode", "approval", "reported"),
    [
        ("enforce", "none", True),
        ("enforce", "required", False),
        ("dry_run", "none", False),
        ("off", "none", False),
    ],
)
def test_purging_all_without_a_person_is_a_warning(
    tmp_path: Path, mode: str, approval: str, *, reported: bool
) -> None:
    rule = {"name": "a", "action": "purge_all", "approval": approval}
    loaded = load(
        tmp_path, hosts=[host()], remediation={"mode": mode, "rules": [{**RULE, "name": "b"}, rule]}
    )
    message = (
        "remediation.rules[1].action: purge_all deletes the mail of real senders too, and nobody "
        "is asked; add approval: required, or choose the messages with delete and `select`"
    )
    assert warnings(loaded) == ([message] if reported else [])


@pytest.mark.parametrize(
    ("cooldown", "hosts", "reported"),
    [
        ("59s", {}, True),
        ("60s", {}, False),
        ("4m", {}, False),
        ("4m", {"interval": "5m"}, True),
        (..., {"interval": "2h"}, True),
        ("20s", {"interval": "30s"}, True),
        ("30s", {"interval": "30s"}, False),
    ],
)
def test_a_cooldown_shorter_than_the_interval_is_a_warning(
    tmp_path: Path, cooldown: object, hosts: dict[str, object], *, reported: bool
) -> None:
    rule = {**RULE, "hosts": {"names": ["mx1"]}} | (
        {} if cooldown is ... else {"cooldown": cooldown}
    )
    fleet = [host("mx1", **hosts), host("mx2", interval="10h")]
    loaded = load(tmp_path, hosts=fleet, remediation={"mode": "off", "rules": [rule]})
    assert [w.path for w in loaded.warnings] == ["remediation.rules[0].cooldown"] * reported


def test_the_warning_of_a_short_cooldown_names_both_times(tmp_path: Path) -> None:
    config = {"mode": "off", "rules": [{**RULE, "cooldown": "10s"}]}
    (warning,) = warnings(load(tmp_path, hosts=[host()], remediation=config))
    assert warning == (
        "remediation.rules[0].cooldown: 10s is shorter than the poll interval (60s), so that the "
        "rule may act at every poll; give what it did some time to show"
    )


@pytest.mark.parametrize(("limit", "reported"), [(1000, False), (1001, True)])
def test_a_limit_above_max_messages_is_a_warning(
    tmp_path: Path, limit: int, *, reported: bool
) -> None:
    rule = {**RULE, "select": {"frozen": True, "limit": limit}}
    loaded = load(tmp_path, hosts=[host()], remediation={"mode": "off", "rules": [rule]})
    message = (
        "remediation.rules[0].select.limit: is more than max_messages (1000), so that nothing is "
        "done just when there is most to do; lower it, or raise max_messages"
    )
    assert warnings(loaded) == ([message] if reported else [])


# --- what may go wrong with secrets -------------------------------------------------------------


def load_with_password_file(folder: Path) -> None:
    load(folder, hosts=[host(password=..., password_file="password")])


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "password")
    with pytest.raises(ConfigError, match="password_file: is not a regular file"):
        load_with_password_file(tmp_path)


def test_a_file_that_the_system_does_not_let_us_read(tmp_path: Path) -> None:
    loop = tmp_path / "password"
    loop.symlink_to(loop)
    with pytest.raises(ConfigError, match=r"password_file: (the file cannot be read|there is no)"):
        load_with_password_file(tmp_path)
    with pytest.raises(ConfigError, match="password_file: the file cannot be read: File name too"):
        load(tmp_path, hosts=[host(password=..., password_file="x" * 300)])


def test_a_file_that_this_user_may_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Played, because root may read everything."""
    (tmp_path / "password").write_text("x")
    really_open = Path.open

    def refuse(path: Path, mode: str = "r") -> Any:
        if path.name == "password":
            raise PermissionError(13, "Permission denied")
        return really_open(path, mode)

    file = write(tmp_path, hosts=[host(password=..., password_file="password")])
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError, match="password_file: the file cannot be read: Permission den"):
        load_config(file)


def test_an_environment_variable_that_is_not_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "caf\udce9")
    with pytest.raises(ConfigError, match="password_env: names an environment variable that is no"):
        load(tmp_path, hosts=[host(password=..., password_env="SECRET")])


# --- what is reported though something else is wrong, too ---------------------------------------


def test_that_the_extra_is_missing_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    sound = {"name": "chat", "url": "json://hooks.example.com/s3cret"}
    file = write(tmp_path, hosts=[host()], alerting={"apprise": [sound, {"name": "other"}]})
    with pytest.raises(ConfigError) as caught:
        load_everything(file)
    assert [f"{problem.path}: {problem.message}" for problem in caught.value.problems] == [
        "alerting.apprise: needs the extra: pip install 'brainycp-exporter[apprise]'",
        "alerting.apprise[1]: give one of url, url_file, url_env",
    ]

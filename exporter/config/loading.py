"""A config file, and the hosts files it names, to one validated Config."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from exporter.config.alerting import AlertRule, AppriseConfig, alertmanager_name, mistaken_rules
from exporter.config.document import Document, read_document
from exporter.config.errors import ConfigError, M, Problem, validated
from exporter.config.hosts import HostEntry, host_entries, read_defaults, validate_hosts
from exporter.config.models import Config, StateConfig, WebConfig
from exporter.config.warnings import advise


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A usable config and what its owner should know about it."""

    config: Config
    file: Path
    warnings: tuple[Problem, ...]
    """Allowed, but not as safe or as quick as it could be."""
    hosts_files: tuple[Path, ...]
    """The files that the globs of `hosts_files` matched, sorted."""


def load_config(file: Path) -> LoadedConfig:
    """Read, validate and complete a config.

    Raises:
        ConfigError: with every mistake of every file, each with its path and line.
    """
    main = read_document(file)
    if not isinstance(main.data, dict):
        raise ConfigError([main.problem((), "must be a map that holds at least `hosts`")])
    base_dir = file.absolute().parent
    problems = list(problems_across(main))
    root = {key: value for key, value in main.data.items() if key != "hosts"}
    config = validated(Config, root, base_dir, main.problem, problems)
    if config is None:
        problems += _among_sound_alert_rules(main)
    patterns = _texts(root.get("hosts_files"))
    files = matching_files(patterns, base_dir)
    entries = _all_entries(main, files, base_dir, problems)
    hosts = validate_hosts(entries, base_dir, problems)
    if not entries and not problems and not patterns:
        problems.append(main.problem((), "no hosts: give `hosts`, `hosts_files` or both"))
    if problems or config is None:
        raise ConfigError(problems)
    complete = {"hosts": tuple(host for _, host in hosts), "host_defaults": {}}
    config = config.model_copy(update=complete)
    warnings = (*_unmatched(patterns, base_dir, main), *advise(config, main, hosts))
    return LoadedConfig(config, file, warnings, files)


def journal_path(file: Path) -> Path:
    """Where a config keeps its journal, whatever else is wrong in it.

    Raises:
        ConfigError: not even that can be read.
    """
    main = read_document(file)
    problems: list[Problem] = []
    state = validated(
        StateConfig,
        section(main, "state"),
        file.absolute().parent,
        lambda loc, words: main.problem(("state", *loc), words),
        problems,
    )
    if state is None:
        raise ConfigError(problems)
    return state.path


def sound_parts(file: Path) -> tuple[dict[int, AppriseConfig], Path | None]:
    """What is to be looked at beyond its keys in a config that has mistakes elsewhere.

    The Apprise receivers that are right, by their positions, and the web config file.
    """
    try:
        main = read_document(file)
    except ConfigError:
        return {}, None
    receivers = _sound_entries(main, AppriseConfig, "apprise")
    web = _sound(main, WebConfig, {"config_file": section(main, "web").get("config_file")})
    return receivers, web.config_file if web is not None else None


def _among_sound_alert_rules(main: Document) -> Iterator[Problem]:
    """What the section `alerting` could not tell, since something else is wrong in it."""
    builtin = section(main, "alerting").get("builtin_rules") is not False
    rules = _sound_entries(main, AlertRule, "rules")
    for path, words in mistaken_rules(rules, builtin_rules=builtin):
        yield main.problem(("alerting", *path), words)


def _sound_entries(main: Document, model: type[M], key: str) -> dict[int, M]:
    """The entries of a list of the section `alerting` that are right, by their positions."""
    told = ((at, _sound(main, model, raw)) for at, raw in maps_in(main, "alerting", key))
    return {position: entry for position, entry in told if entry is not None}


def _sound(main: Document, model: type[M], raw: Mapping[str, object]) -> M | None:
    """A part of the config, or None when it is not right."""
    base_dir = main.file.absolute().parent
    return validated(model, raw, base_dir, main.problem, [])


def _texts(values: object) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def matching_files(patterns: Iterable[str], base_dir: Path) -> tuple[Path, ...]:
    """The files that globs match now, sorted; relative globs start from `base_dir`.

    As in a shell, `*` matches no hidden file: an editor's backups are not hosts files.
    """
    found: set[Path] = set()
    for pattern in patterns:
        names = glob.glob(pattern, root_dir=base_dir, recursive=True)  # noqa: PTH207 - pathlib's takes no absolute pattern
        found.update(path for name in names if _may_be_file(path := base_dir / name))
    return tuple(sorted(found))


def _may_be_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return True  # reading it will tell what is the matter


def _unmatched(patterns: Sequence[str], base_dir: Path, main: Document) -> Iterator[Problem]:
    for position, pattern in enumerate(patterns):
        if not matching_files([pattern], base_dir):
            yield main.problem(("hosts_files", position), "matches no file yet")


def _all_entries(
    main: Document, files: Sequence[Path], base_dir: Path, problems: list[Problem]
) -> list[HostEntry]:
    """The hosts of the main file, then those of each hosts file."""
    defaults = read_defaults(main, base_dir, problems)
    own = main.data.get("hosts") if isinstance(main.data, dict) else None
    entries = list(host_entries(main, ("hosts",), own, defaults, problems))
    for file in files:
        if file.resolve() == main.file.resolve():
            message = "matches this file itself: keep the hosts files in a folder of their own"
            problems.append(main.problem(("hosts_files",), message))
            continue
        try:
            document = read_document(file)
        except ConfigError as error:
            problems += error.problems
        else:
            entries += host_entries(document, (), document.data, defaults, problems)
    return entries


# --- across the entries of a section ------------------------------------------------------------


_RECEIVERS = ("alertmanagers", "webhooks", "apprise")


def problems_across(main: Document) -> Iterator[Problem]:
    """Every such mistake of the sections `alerting` and `remediation`."""
    if section(main, "alerting").get("apprise") and find_spec("apprise") is None:
        words = "needs the extra: pip install 'brainycp-exporter[apprise]'"
        yield main.problem(("alerting", "apprise"), words)
    yield from _receivers_alike(main)
    yield from _rules_alike(main, "alerting")
    yield from _rules_alike(main, "remediation")
    remediation = section(main, "remediation")
    if remediation.get("rules") and remediation.get("mode") is None:
        words = "is missing: where there are rules it must be off, dry_run or enforce"
        yield main.problem(("remediation", "mode"), words)


def _receivers_alike(main: Document) -> Iterator[Problem]:
    first_of: dict[str, str] = {}
    for key in _RECEIVERS:
        for position, entry in maps_in(main, "alerting", key):
            here, name = f"{key}[{position}]", _receiver(key, entry)
            if name and (first := first_of.setdefault(name, here)) != here:
                words = f"has the same name as {first}: give it another"
                yield main.problem(("alerting", key, position, "name"), words)


def _receiver(key: str, entry: Mapping[str, object]) -> str:
    """The name of a receiver; "" when it cannot be told."""
    name, url = entry.get("name"), entry.get("url")
    if isinstance(name, str):
        return name
    if key == "alertmanagers" and name is None and isinstance(url, str):
        with suppress(ValueError):
            return alertmanager_name(url)
    return ""


def _rules_alike(main: Document, where: str) -> Iterator[Problem]:
    first_of: dict[str, int] = {}
    for position, entry in maps_in(main, where, "rules"):
        name = entry.get("name")
        if isinstance(name, str) and (first := first_of.setdefault(name, position)) != position:
            words = f"is already the name of rules[{first}]"
            yield main.problem((where, "rules", position, "name"), words)


def section(main: Document, name: str) -> Mapping[str, object]:
    """A section as it is written; empty when it is none."""
    written = main.data.get(name) if isinstance(main.data, dict) else None
    return written if isinstance(written, dict) else {}


def maps_in(main: Document, name: str, key: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """The maps in a list of a section as they are written, each with its position."""
    values = section(main, name).get(key)
    for position, value in enumerate(values if isinstance(values, list) else ()):
        if isinstance(value, dict):
            yield position, value

"""A config file, and the hosts files it names, to one validated Config."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporter.config.across import maps_in, problems_across, section
from exporter.config.advice import advise
from exporter.config.alerting import AlertRule, AppriseConfig, mistaken_rules
from exporter.config.document import ConfigError, Document, Problem, read_document
from exporter.config.explain import M, validated
from exporter.config.hosts import HostEntry, host_entries, read_defaults, validate_hosts
from exporter.config.models import Config, StateConfig, WebConfig


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
    config = validated(
        Config, root, base_dir=base_dir, place=lambda loc: (main, loc), problems=problems
    )
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
        base_dir=file.absolute().parent,
        place=lambda loc: (main, ("state", *loc)),
        problems=problems,
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
    return validated(model, raw, base_dir=base_dir, place=lambda loc: (main, loc), problems=[])


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

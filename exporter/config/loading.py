"""A config file, and the hosts files it names, to one validated Config."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from exporter.config.alerting import AlertRule, AppriseConfig, alertmanager_name, mistaken_rules
from exporter.config.document import Document, parse_document, read_document
from exporter.config.errors import ConfigError, M, Path_, Problem
from exporter.config.hosts import HostEntry, host_entries, read_defaults, validate_hosts
from exporter.config.models import Config, StateConfig, WebConfig
from exporter.config.warnings import find_warnings


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A usable config and what its owner should know about it."""

    config: Config
    file: Path
    warnings: tuple[Problem, ...]
    """Allowed, but not as safe or as quick as it could be."""
    hosts_files: tuple[Path, ...]
    """The files that the globs of `hosts_files` matched, sorted."""


def load_config(file: Path, *, instead: Mapping[Path, bytes] | None = None) -> LoadedConfig:
    """Read, validate and complete a config; `instead` has contents to use for those of files.

    Raises:
        ConfigError: with every mistake of every file, each with its path and line.
    """

    def read(path: Path) -> Document:
        content = instead.get(path) if instead else None
        return read_document(path) if content is None else parse_document(content, path)

    main = read(file)
    if not isinstance(main.data, dict):
        raise ConfigError([main.problem((), "must be a map that holds at least `hosts`")])
    problems = [*_mistakes_across(main), *_mistaken_alert_rules(main)]
    root = {key: value for key, value in main.root.items() if key != "hosts"}
    config = main.validated(Config, root, problems)
    globs = root.get("hosts_files")
    patterns = [p for p in globs if isinstance(p, str)] if isinstance(globs, list) else []
    files = matching_files(patterns, main.folder)
    entries = _all_entries(main, files, read, problems)
    hosts = validate_hosts(entries, main.folder, problems)
    if not entries and not problems and not patterns:
        problems.append(main.problem((), "no hosts: give `hosts`, `hosts_files` or both"))
    if problems or config is None:
        raise ConfigError(problems)
    complete = {"hosts": tuple(host for _, host in hosts), "host_defaults": {}}
    config = config.model_copy(update=complete)
    warnings = (*_unmatched(patterns, main), *find_warnings(config, main, hosts))
    return LoadedConfig(config, file, warnings, files)


def journal_path(file: Path) -> Path:
    """Return where a config keeps its journal, whatever else is wrong in it.

    Raises:
        ConfigError: `state` or the whole file cannot be used.
    """
    main = read_document(file)
    problems: list[Problem] = []
    state = main.validated(StateConfig, main.section("state"), problems, below=("state",))
    if state is None:
        raise ConfigError(problems)
    return state.path


def valid_parts(file: Path) -> tuple[dict[int, AppriseConfig], Path | None]:
    """Return what can be checked beyond its keys in a config that has mistakes elsewhere.

    The valid Apprise receivers, by their positions, and the web config file.
    """
    try:
        main = read_document(file)
    except ConfigError:
        return {}, None
    receivers = _valid_entries(main, AppriseConfig, "apprise")
    web = main.validated(WebConfig, {"config_file": main.section("web").get("config_file")}, [])
    return receivers, web.config_file if web is not None else None


def _mistaken_alert_rules(main: Document) -> Iterator[Problem]:
    """Yield what is wrong with rules beside the built-in ones, also where others are invalid."""
    builtin = main.section("alerting").get("builtin_rules") is not False
    rules = _valid_entries(main, AlertRule, "rules")
    for path, words in mistaken_rules(rules, builtin_rules=builtin):
        yield main.problem(("alerting", *path), words)


def _valid_entries(main: Document, model: type[M], key: str) -> dict[int, M]:
    found = ((at, main.validated(model, raw, [])) for at, raw in main.maps("alerting", key))
    return {position: entry for position, entry in found if entry is not None}


# --- hosts files --------------------------------------------------------------------------------


def matching_files(patterns: Iterable[str], base_dir: Path) -> tuple[Path, ...]:
    """Return the files that globs match now, sorted; relative globs start from `base_dir`.

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
        return True  # reading it gives the error


def _unmatched(patterns: Sequence[str], main: Document) -> Iterator[Problem]:
    for position, pattern in enumerate(patterns):
        if not matching_files([pattern], main.folder):
            yield main.problem(("hosts_files", position), "matches no file yet")


def _all_entries(
    main: Document,
    files: Sequence[Path],
    read: Callable[[Path], Document],
    problems: list[Problem],
) -> list[HostEntry]:
    """Return the hosts of the main file, then those of each hosts file."""
    defaults = read_defaults(main, problems)
    entries = list(host_entries(main, ("hosts",), main.root.get("hosts"), defaults, problems))
    for file in files:
        if file.resolve() == main.file.resolve():
            message = "matches this file itself: keep the hosts files in a folder of their own"
            problems.append(main.problem(("hosts_files",), message))
            continue
        try:
            document = read(file)
        except ConfigError as error:
            problems += error.problems
        else:
            entries += host_entries(document, (), document.data, defaults, problems)
    return entries


# --- mistakes across the entries of a section ---------------------------------------------------
# Looked for in what is written: a model reports them only once each entry is valid, so that
# whoever has mended those would find new ones.


def _mistakes_across(main: Document) -> Iterator[Problem]:
    """Yield names given twice, and what a section needs beside its entries."""
    if main.section("alerting").get("apprise") and find_spec("apprise") is None:
        words = "needs the extra: pip install 'brainycp-exporter[apprise]'"
        yield main.problem(("alerting", "apprise"), words)
    receivers = (
        (("alerting", key, position), f"{key}[{position}]", _receiver_name(key, entry))
        for key in ("alertmanagers", "webhooks", "apprise")
        for position, entry in main.maps("alerting", key)
    )
    yield from _names_twice(main, receivers, "has the same name as {}: give it another")
    for section in ("alerting", "remediation"):
        rules = (
            ((section, "rules", position), f"rules[{position}]", entry.get("name"))
            for position, entry in main.maps(section, "rules")
        )
        yield from _names_twice(main, rules, "is already the name of {}")
    remediation = main.section("remediation")
    if remediation.get("rules") and remediation.get("mode") is None:
        words = "is missing: where there are rules it must be off, dry_run or enforce"
        yield main.problem(("remediation", "mode"), words)


def _names_twice(
    main: Document, entries: Iterable[tuple[Path_, str, object]], words: str
) -> Iterator[Problem]:
    """Yield what repeats a name, of entries with their places, these in words, and their names."""
    first_of: dict[str, str] = {}
    for path, here, name in entries:
        if isinstance(name, str) and (first := first_of.setdefault(name, here)) != here:
            yield main.problem((*path, "name"), words.format(first))


def _receiver_name(key: str, entry: Mapping[str, object]) -> str | None:
    name, url = entry.get("name"), entry.get("url")
    if isinstance(name, str):
        return name or None
    if key == "alertmanagers" and name is None and isinstance(url, str):
        with suppress(ValueError):
            return alertmanager_name(url)
    return None

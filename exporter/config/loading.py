"""A config file, and the hosts files it names, to one validated Config."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.config.document import ConfigError, Document, Path_, Problem, read_document
from exporter.config.models import Config, HostConfig
from exporter.config.validation import validate


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A usable config and what its owner should know about it."""

    config: Config
    file: Path
    warnings: tuple[Problem, ...]
    """Allowed, but not as safe as it could be."""
    hosts_files: tuple[Path, ...]
    """The files that the globs of `hosts_files` matched, sorted."""


def load_config(file: Path) -> LoadedConfig:
    """Read, validate and complete a config.

    Raises:
        ConfigError: with every mistake of every file, each with its path and line.
    """
    document = read_document(file)
    if not isinstance(document.data, dict):
        raise ConfigError([document.problem((), "must be a map that holds at least `hosts`")])
    base_dir = file.absolute().parent
    problems: list[Problem] = []
    root = {key: value for key, value in document.data.items() if key != "hosts"}
    config = validate(Config, root, base_dir, problems, lambda loc: (document, loc))

    patterns = root.get("hosts_files") or []
    files = matching_files(patterns, base_dir) if isinstance(patterns, list) else ()
    defaults = root.get("host_defaults")
    sources = [_Source(document, ("hosts",), document.data.get("hosts"))]
    for hosts_file in files:
        try:
            extra = read_document(hosts_file)
        except ConfigError as error:
            problems += error.problems
        else:
            sources.append(_Source(extra, (), extra.data))
    entries = list(_entries(sources, problems))
    hosts = _validate_hosts(entries, defaults, document, base_dir, problems)
    if not entries and not problems and not config_names_hosts_files(patterns):
        problems.append(document.problem((), "no hosts: give `hosts`, `hosts_files` or both"))
    if problems or config is None:
        raise ConfigError(problems)
    config = config.model_copy(update={"hosts": tuple(host for _, host in hosts)})
    warnings = tuple(warning for entry, host in hosts for warning in _warnings(entry, host))
    return LoadedConfig(config, file, warnings, files)


def config_names_hosts_files(patterns: object) -> bool:
    """Whether hosts may appear later, in files that do not exist yet."""
    return isinstance(patterns, list) and bool(patterns)


def matching_files(patterns: Iterable[object], base_dir: Path) -> tuple[Path, ...]:
    """The files that globs match now, sorted; relative globs start from `base_dir`."""
    found: set[Path] = set()
    for pattern in patterns:
        path = base_dir / str(pattern)
        found.update(
            p for p in Path(path.anchor).glob(str(path.relative_to(path.anchor))) if p.is_file()
        )
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class _Source:
    document: Document
    path: Path_
    hosts: object


@dataclass(frozen=True, slots=True)
class _Entry:
    document: Document
    path: Path_
    raw: Mapping[str, Any]


def _entries(sources: list[_Source], problems: list[Problem]) -> Iterator[_Entry]:
    for source in sources:
        if source.hosts is None:
            continue
        if not isinstance(source.hosts, list):
            problems.append(source.document.problem(source.path, "must be a list of hosts"))
            continue
        for position, raw in enumerate(source.hosts):
            path = (*source.path, position)
            if isinstance(raw, dict):
                yield _Entry(source.document, path, raw)
            else:
                problems.append(source.document.problem(path, "must be a map with name and url"))


def _validate_hosts(
    entries: list[_Entry],
    defaults: object,
    main: Document,
    base_dir: Path,
    problems: list[Problem],
) -> list[tuple[_Entry, HostConfig]]:
    shared: Mapping[str, Any] = defaults if isinstance(defaults, dict) else {}
    problems += [
        main.problem(("host_defaults", key), "belongs to each host, not to the defaults")
        for key in ("name", "url")
        if key in shared
    ]
    if not entries and shared:
        _check_defaults_alone(shared, main, base_dir, problems)
    hosts: list[tuple[_Entry, HostConfig]] = []
    first_seen: dict[str, Problem] = {}
    for entry in entries:

        def place(loc: Path_, entry: _Entry = entry) -> tuple[Document, Path_]:
            # A mistake in a default is told where the default stands, once for all hosts.
            if loc and loc[0] in shared and loc[0] not in entry.raw:
                return main, ("host_defaults", *loc)
            return entry.document, (*entry.path, *loc)

        host = validate(HostConfig, merged(shared, entry.raw), base_dir, problems, place)
        name = entry.raw.get("name")
        if isinstance(name, str):
            here = entry.document.problem((*entry.path, "name"), "")
            if name in first_seen:
                first = first_seen[name]
                message = f"the name {name!r} is taken by {first.path} ({first.file}:{first.line})"
                problems.append(entry.document.problem((*entry.path, "name"), message))
            first_seen.setdefault(name, here)
        if host is not None:
            hosts.append((entry, host))
    return hosts


def _check_defaults_alone(
    shared: Mapping[str, Any], main: Document, base_dir: Path, problems: list[Problem]
) -> None:
    """Without a host to merge them into, the defaults are checked with one made up."""
    sample = {"name": "sample", "url": "http://sample", "username": "u", "password": "p"}
    if any(key.startswith("password") for key in shared):
        del sample["password"]
    validate(
        HostConfig,
        sample | dict(shared),
        base_dir,
        problems,
        lambda loc: (main, ("host_defaults", *loc)),
    )


_SECRETS = ("password",)


def merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A host's keys over the defaults: `labels` are joined, everything else is replaced.

    A secret given in one form replaces a default given in another form.
    """
    base = dict(defaults)
    for secret in _SECRETS:
        forms = (secret, f"{secret}_file", f"{secret}_env")
        if any(form in own for form in forms):
            for form in forms:
                base.pop(form, None)
    result = base | dict(own)
    if isinstance(base.get("labels"), dict) and isinstance(own.get("labels"), dict):
        result["labels"] = base["labels"] | own["labels"]
    return result


def _warnings(entry: _Entry, host: HostConfig) -> Iterator[Problem]:
    if host.tls.insecure_skip_verify:
        yield entry.document.problem(
            (*entry.path, "tls"),
            f"host {host.name}: its certificate is not checked, so whoever sits in between "
            "can read the password; pin it with tls.fingerprint_sha256 instead",
        )
    if host.address.scheme == "http" and not is_loopback(host.address.host or ""):
        yield entry.document.problem(
            (*entry.path, "url"),
            f"host {host.name}: over plain http the password travels in clear; use https",
        )


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine, as far as that shows without a look-up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

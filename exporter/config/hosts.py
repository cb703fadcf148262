"""The hosts of a config: its own and those of `hosts_files`, over `host_defaults`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from exporter.config.document import Document
from exporter.config.errors import Path_, Problem, validated
from exporter.config.models import HostConfig


@dataclass(frozen=True, slots=True)
class HostDefaults:
    """`host_defaults` as written."""

    document: Document
    values: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class HostEntry:
    """One item of a list of hosts as written, and the defaults that complete it."""

    document: Document
    path: Path_
    values: Mapping[str, object] = field(repr=False)
    defaults: HostDefaults

    @property
    def complete(self) -> dict[str, object]:
        """The host's keys over the defaults."""
        return merged(self.defaults.values, self.values)

    def place(self, loc: Path_) -> tuple[Document, Path_]:
        """Return where `loc` of the complete host was written: at the host or in the defaults."""
        if self._is_default(loc):
            return self.defaults.document, ("host_defaults", *loc)
        return self.document, (*self.path, *loc)

    def problem(self, loc: Path_, message: str) -> Problem:
        """Return a mistake at `loc` of the complete host; in a default it is the same for all."""
        document, path = self.place(loc)
        return document.problem(path, message)

    def _is_default(self, loc: Path_) -> bool:
        if not loc or loc[0] not in self.defaults.values:
            return False
        if loc[0] not in self.values:
            return True
        own_labels = self.values["labels"] if loc[0] == "labels" else None
        return isinstance(own_labels, dict) and len(loc) > 1 and loc[1] not in own_labels


_PASSWORD_FORMS = ("password", "password_file", "password_env")


def merged(defaults: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """Return a host's keys over the defaults: `labels` are joined, everything else is replaced.

    A password given in one form replaces a default given in another form.
    """
    base = dict(defaults)
    if any(form in own for form in _PASSWORD_FORMS):
        for form in _PASSWORD_FORMS:
            base.pop(form, None)
    result = base | dict(own)
    shared_labels, own_labels = base.get("labels"), own.get("labels")
    if isinstance(shared_labels, dict) and isinstance(own_labels, dict):
        result["labels"] = shared_labels | own_labels
    return result


def read_defaults(document: Document, problems: list[Problem]) -> HostDefaults:
    """Return `host_defaults` of the main file; checks each of its keys, used by a host or not."""
    values = document.section("host_defaults")
    for key in ("name", "url"):
        if key in values:
            place = ("host_defaults", key)
            problems.append(document.problem(place, "belongs to each host, not to the defaults"))
    values = {
        key: value
        for key, value in values.items()
        if key not in {"name", "url"} and (value is not None or key not in HostConfig.model_fields)
    }
    sample = {"name": "sample", "url": "http://sample", "username": "u", "password": "p"}
    document.validated(HostConfig, merged(sample, values), problems, below=("host_defaults",))
    return HostDefaults(document, values)


def host_entries(
    document: Document, path: Path_, hosts: object, defaults: HostDefaults, problems: list[Problem]
) -> Iterator[HostEntry]:
    """Yield the items of one list of hosts; `path` is where the list stands."""
    if hosts is None:
        return
    if not isinstance(hosts, list):
        problems.append(document.problem(path, "must be a list of hosts, each `- name: …`"))
        return
    for position, values in enumerate(hosts):
        at = (*path, position)
        if isinstance(values, dict):
            yield HostEntry(document, at, values, defaults)
        else:
            problems.append(document.problem(at, "must be a map with at least name and url"))


def validate_hosts(
    entries: Sequence[HostEntry], base_dir: Path, problems: list[Problem]
) -> list[tuple[HostEntry, HostConfig]]:
    """Return the valid hosts; every mistake of the others is added to `problems`."""
    hosts: list[tuple[HostEntry, HostConfig]] = []
    named: list[tuple[str, Problem]] = []
    for entry in entries:
        host = validated(HostConfig, entry.complete, base_dir, entry.problem, problems)
        if host is not None:
            hosts.append((entry, host))
        name = entry.values.get("name")
        if isinstance(name, str):
            named.append((name, entry.problem(("name",), "")))
    for here, first in _repeated(named):
        problems.append(replace(here, message=f"is already the name of {first}"))
    problems += _panels_alike(hosts, dict(named))
    return hosts


def _repeated(places: Iterable[tuple[str, Problem]]) -> Iterator[tuple[Problem, str]]:
    """Yield each place with a value that stands in an earlier one, and that host in words."""
    first_of: dict[str, Problem] = {}
    for value, here in places:
        first = first_of.setdefault(value, here)
        if first != here:
            yield here, f"{first.path.rpartition('.')[0]} ({first.file}:{first.line})"


def _panels_alike(
    hosts: Sequence[tuple[HostEntry, HostConfig]], names: Collection[str]
) -> Iterator[Problem]:
    """Yield hosts that share a panel and do not say so, and those that only say so.

    Rules would treat the two as separate panels: twice the limits, and alerts and measurements of
    one queue twice. `names` also holds the names of hosts with other mistakes.
    """
    by_name = {host.name: host for _, host in reversed(hosts)}
    alone: list[tuple[str, Problem]] = []
    for entry, host in hosts:
        other = host.shares_panel_with
        if other is None:
            alone.append((host.panel.url, entry.problem(("url",), "")))
        elif words := _not_shared(host, by_name.get(other), known=other in names):
            yield entry.problem(("shares_panel_with",), words)
    for here, first in _repeated(alone):
        words = (
            f"is the panel of {first}, too; was it copied? "
            "If two names for one panel are meant, say so with shares_panel_with"
        )
        yield replace(here, message=words)


def _not_shared(host: HostConfig, other: HostConfig | None, *, known: bool) -> str:
    """Return why a host does not share the panel of the one it names; "" when it does."""
    if other is None:
        return "" if known else "names no host of this config"
    if other is host or other.name == host.name:
        return "must name another host"
    if other.panel.url != host.panel.url:
        return f"names {other.name}, which has another url"
    return ""

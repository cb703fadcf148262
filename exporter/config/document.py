"""YAML files as plain values, with the line of each key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NoReturn

import yaml

from exporter.config.errors import ConfigError, M, Path_, Problem, dotted, validated

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: the same result, ten times slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

MAX_CONFIG_DEPTH = 32
"""Levels of maps and lists; a sentence about a deeper one comes before Python's recursion limit."""


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed YAML file."""

    file: Path
    data: object = field(repr=False)  # may hold passwords
    """Plain dicts, lists and scalars; None for an empty file."""
    lines: Mapping[Path_, int] = field(default_factory=dict, repr=False)

    def line_of(self, path: Path_) -> int:
        """Return the line of `path`, or of its nearest ancestor that the file has; else 0."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    @property
    def folder(self) -> Path:
        """Where relative paths in it start."""
        return self.file.absolute().parent

    @property
    def root(self) -> Mapping[str, object]:
        """The map that it is; empty when it is none."""
        return self.data if isinstance(self.data, dict) else {}

    def section(self, name: str) -> Mapping[str, object]:
        """Return a section as it is written; empty when it is no map."""
        written = self.root.get(name)
        return written if isinstance(written, dict) else {}

    def maps(self, section: str, key: str) -> Iterator[tuple[int, Mapping[str, object]]]:
        """Yield the maps in a list of a section as they are written, each with its position."""
        values = self.section(section).get(key)
        for position, value in enumerate(values if isinstance(values, list) else ()):
            if isinstance(value, dict):
                yield position, value

    def problem(self, path: Path_, message: str, below: Path_ = ()) -> Problem:
        """Return a mistake at `path` of this document, or of what stands `below` another."""
        path = (*below, *path)
        return Problem(str(self.file), self.line_of(path), dotted(path), message)

    def validated(
        self,
        model: type[M],
        raw: Mapping[str, object],
        problems: list[Problem],
        *,
        below: Path_ = (),
    ) -> M | None:
        """Return what stands `below` a path as a model; None after adding every mistake."""
        problem = partial(self.problem, below=below)
        return validated(model, raw, self.folder, problem, problems)


def read_document(file: Path) -> Document:
    """Read and parse one YAML file.

    Raises:
        ConfigError: when it cannot be read, is no YAML, or names a key twice.
    """
    try:
        content = file.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name is not usable"
        raise _error(file, 0, f"cannot be read: {reason}") from None
    return parse_document(content, file)


def parse_document(content: bytes, file: Path) -> Document:
    """Parse YAML; `file` only names the mistakes.

    Raises:
        ConfigError: as read_document.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _error(file, line, "is not UTF-8 text") from None
    control = _NOT_IN_YAML.search(text)
    if control is not None:
        line = text.count("\n", 0, control.start()) + 1
        raise _error(file, line, "is not valid YAML: a control character is not allowed")
    builder = _Builder(file, yaml.parse(text, Loader=_Loader))
    try:
        data = builder.document()
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(file, error) from None
    if builder.problems:
        raise ConfigError(builder.problems)
    return Document(file, data, builder.lines)


def _error(file: Path, line: int, message: str) -> ConfigError:
    return ConfigError([Problem(str(file), line, "", message)])


_NOT_IN_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _syntax_error(file: Path, error: yaml.MarkedYAMLError) -> ConfigError:
    # Without the words that PyYAML quotes from the file: one may be a secret.
    what = re.sub(r" '[^']*\w[^']*'", "", error.problem or "")
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 0
    begun = error.context_mark.line + 1 if error.context_mark else line
    since = f" for what begins in line {begun}" if begun < line else ""
    message = (
        f"is not valid YAML: {what}{since}; check the indentation (spaces, no tabs) "
        "and put text with special characters in quotes"
    )
    return _error(file, line, message)


_MERGE_KEY = "<<"


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


@dataclass(slots=True)
class _Builder:
    """Builds plain values from YAML events, and records the line of each key.

    Not from PyYAML's tree of nodes: composing it takes ten times as long, and the composer
    recurses in C without bound, so a deeply nested file would end the process.

    An alias shares the value of its anchor. Its keys have no lines of their own: a mistake in
    them is reported at the alias.
    """

    file: Path
    events: Iterator[yaml.Event]
    lines: dict[Path_, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _anchors: dict[str, object] = field(default_factory=dict)

    def document(self) -> object:
        """Return the value of the only document; None when there is none."""
        data: object = None
        seen = False
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if seen:
                    self._fail(event, "holds a second document: remove the line `---`")
                seen = True
            elif isinstance(event, yaml.NodeEvent):
                data = self._value(event, ())
        return data

    def _value(self, event: yaml.Event, path: Path_) -> object:
        self.lines.setdefault(path, _line(event))
        if len(path) > MAX_CONFIG_DEPTH:
            self._fail(event, "is nested too deeply")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                # Without its name: it may be a password that starts with `*`.
                self._fail(event, "no such anchor above; put text that starts with * in quotes")
            return self._anchors[event.anchor]
        value: object
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        else:
            assert isinstance(event, yaml.CollectionStartEvent)  # noqa: S101 - no other is left
            self._refuse_tag(event, event.tag)
            is_map = isinstance(event, yaml.MappingStartEvent)
            value = self._mapping(path) if is_map else self._sequence(path)
        if event.anchor:
            self._anchors[event.anchor] = value
        return value

    def _scalar(self, event: yaml.ScalarEvent) -> object:
        if event.tag not in {None, "!", "tag:yaml.org,2002:str"}:
            self._refuse_tag(event, event.tag)
        is_plain = event.tag is None and event.implicit[0]
        return plain_scalar(event.value) if is_plain else event.value

    def _refuse_tag(self, event: yaml.Event, tag: str | None) -> None:
        if tag is not None:  # which is not shown: it may be a password that starts with `!`
            self._fail(event, "tags are not supported; put text that starts with ! in quotes")

    def _sequence(self, path: Path_) -> list[object]:
        result: list[object] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            result.append(self._value(event, (*path, len(result))))
        return result

    def _mapping(self, path: Path_) -> dict[str, object]:
        own: dict[str, object] = {}
        first_lines: dict[str, int] = {}
        merged: dict[str, object] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key, is_merge = self._key(event)
            line = _line(event)
            at = (*path, key)
            if key in first_lines:
                message = f"is given twice (first in line {first_lines[key]})"
                self.problems.append(Problem(str(self.file), line, dotted(at), message))
            first_lines.setdefault(key, line)
            self.lines[at] = line
            value_event = next(self.events)
            if is_merge:
                merged = self._merge(value_event, path)
            else:
                own[key] = self._value(value_event, at)
        return merged | own

    def _key(self, event: yaml.Event) -> tuple[str, bool]:
        """Return the key, and whether it is the merge key."""
        if not isinstance(event, yaml.ScalarEvent) or self._scalar(event) is None:
            self._fail(event, "a key must be a plain word; is a value meant? put it in quotes")
        return event.value, event.value == _MERGE_KEY and event.implicit[0]

    def _merge(self, event: yaml.Event, path: Path_) -> dict[str, object]:
        """Return what `<<: *anchor` or `<<: [*first, *second]` adds to the map at `path`."""
        value = self._value(event, (*path, _MERGE_KEY))
        sources = value if isinstance(value, list) else [value]
        result: dict[str, object] = {}
        for source in sources:
            if not isinstance(source, dict):
                self._fail(event, "<< must stand for a map, as in `<<: *anchor`")
            result = source | result  # the first that has a key wins
        return result

    def _fail(self, event: yaml.Event, message: str) -> NoReturn:
        raise ConfigError([*self.problems, Problem(str(self.file), _line(event), "", message)])


# --- scalars ------------------------------------------------------------------------------------


_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


def plain_scalar(text: str) -> bool | int | float | str | None:
    """Return the value of an unquoted scalar, by the core schema of YAML 1.2.

    Unlike in YAML 1.1, `no`, `on`, dates and times of day are text. Hexadecimal and octal
    numbers are text too: no key of the config takes one, and a password may look like one.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text

"""A YAML file together with the line of each of its keys, and the mistakes found in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import yaml

from exporter.config.limits import MAX_CONFIG_BYTES

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: the same result, ten times slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

Path_ = tuple[str | int, ...]
"""Where in a document something stands: keys and list positions from the root."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a config, for the person who wrote it. Never holds a secret's value."""

    file: str
    line: int
    """Counted from 1; 0 when the mistake has no place."""
    path: str
    """Dotted, as `hosts[2].url`; "" for the whole file."""
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class ConfigError(Exception):
    """A config cannot be used; `problems` holds every mistake found, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed YAML file."""

    file: Path
    data: object
    """Plain dicts, lists and scalars; None for an empty file."""
    lines: Mapping[Path_, int] = field(default_factory=dict)

    def line_of(self, path: Path_) -> int:
        """The line of `path`, or of its nearest ancestor that stands in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def problem(self, path: Path_, message: str) -> Problem:
        """A mistake at `path` of this document."""
        return Problem(str(self.file), self.line_of(path), dotted(path), message)


def dotted(path: Path_) -> str:
    """`("hosts", 2, "url")` as `hosts[2].url`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_document(file: Path) -> Document:
    """Read and parse one YAML file.

    Raises:
        ConfigError: when it cannot be read, is no YAML, or names a key twice.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            [Problem(str(file), 0, "", f"cannot be read: {error.strerror}")]
        ) from None
    if len(content) > MAX_CONFIG_BYTES:
        message = f"is larger than {MAX_CONFIG_BYTES // 2**20} MiB"
        raise ConfigError([Problem(str(file), 0, "", message)])
    return parse_document(content, file)


def parse_document(content: bytes | str, file: Path) -> Document:
    """Parse YAML; `file` is only named in mistakes.

    Raises:
        ConfigError: as read_document.
    """
    loader = _Loader(content)
    try:
        node = loader.get_single_node()
        builder = _Builder(file, loader)
        data = None if node is None else builder.build(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        message = f"is not valid YAML: {error.problem}"
        raise ConfigError([Problem(str(file), line, "", message)]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError([Problem(str(file), 0, "", f"is not valid YAML: {reason}")]) from None
    except RecursionError:
        raise ConfigError([Problem(str(file), 0, "", "is nested too deeply")]) from None
    finally:
        loader.dispose()
    if builder.problems:
        raise ConfigError(builder.problems)
    return Document(file, data, builder.lines)


class _Builder:
    """Builds plain values from YAML nodes and notes where each key stands."""

    def __init__(self, file: Path, loader: _Loader) -> None:
        self.lines: dict[Path_, int] = {}
        self.problems: list[Problem] = []
        self._file = str(file)
        self._loader = loader
        self._open: set[int] = set()
        self._nodes = 0

    def build(self, node: yaml.Node, path: Path_) -> object:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._nodes += 1
        # An alias is built anew at each use, so that its keys have a place; without this
        # bound a few nested aliases ("billion laughs") would fill the memory.
        if self._nodes > 2_000_000 or id(node) in self._open:
            raise yaml.YAMLError("aliases refer to themselves or grow without bound")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
            return self._scalar(node)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, object]:
        self._loader.flatten_mapping(node)  # resolves the merge key `<<`
        result: dict[str, object] = {}
        own_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            at = (*path, key)
            line = key_node.start_mark.line + 1
            # Merged-in keys come first and may be overridden; a key written twice may not.
            if own_lines.get(key) is not None and own_lines[key] >= node.start_mark.line + 1:
                self.problems.append(
                    Problem(
                        self._file,
                        line,
                        dotted(at),
                        f"is given twice (first in line {own_lines[key]})",
                    )
                )
            own_lines[key] = line
            self.lines[at] = line
            result[key] = self.build(value_node, at)
        return result

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode) or self._scalar(node) is None:
            raise yaml.MarkedYAMLError(
                problem="a key must be a plain word", problem_mark=node.start_mark
            )
        return str(node.value)

    def _scalar(self, node: yaml.Node) -> object:
        try:
            return cast("object", self._loader.construct_object(node))
        except (yaml.YAMLError, ValueError) as error:
            problem = str(error).splitlines()[0]
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None

"""Writes the `fields` of one host into its file, and changes nothing else.

The new text is put where PyYAML locates the values: comments, order, quotes and blanks stay as they
are, which no emitter of YAML promises. The result is parsed before it is written, and must be the
old values with this change.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml

from exporter.config.document import parse_document
from exporter.config.errors import ConfigError, Path_
from exporter.config.loading import LoadedConfig, load_config
from exporter.config.models import HostConfig

Fields = Mapping[str, object]
"""As `fields` of a host are written: names and positions, and lists of values."""


class RewriteError(Exception):
    """Nothing was written; the text says why, and the file is as it was."""


@dataclass(frozen=True, slots=True)
class HostFile:
    """The file that defines a host, as it was when it was read."""

    file: Path
    path: Path_
    """Where in it the host is."""
    content: bytes
    status: os.stat_result


def find_host(loaded: LoadedConfig, name: str) -> HostFile:
    """Return the file that defines a host: the config itself or one of its hosts files.

    Raises:
        RewriteError: no file, or one that cannot be replaced.
    """
    for file in (loaded.file, *loaded.hosts_files):
        content, status = _read(file)
        try:
            data = parse_document(content, file).data
        except ConfigError as error:
            raise RewriteError(str(error)) from None
        path: Path_ = ("hosts",) if file == loaded.file else ()
        hosts = data.get("hosts") if path and isinstance(data, dict) else data
        for position, host in enumerate(hosts if isinstance(hosts, list) else ()):
            if isinstance(host, dict) and host.get("name") == name:
                return HostFile(file, (*path, position), content, status)
    raise RewriteError(f"No host {name} stands in the config's files any more.")


def _read(file: Path) -> tuple[bytes, os.stat_result]:
    """Return a file's content and status; a link is refused, since its target is another file."""
    if file.is_symlink():
        raise RewriteError(f"{file}: it is a link: write into the file that it leads to")
    try:
        if not file.is_file() and file.exists():
            raise RewriteError(f"{file}: it is no plain file")
        with file.open("rb") as stream:
            return stream.read(), os.fstat(stream.fileno())
    except OSError as error:
        raise RewriteError(f"{file}: {error.strerror}") from None


# --- the text -----------------------------------------------------------------------------------


def with_fields(content: bytes, path: Path_, inherited: Fields, new: Fields) -> bytes:
    """Return a file's content with `new` in the `fields` of the host at `path`.

    Args:
        content: the file.
        path: where the host stands in it.
        inherited: the `fields` of host_defaults, which a host's own replace as a whole.
        new: the fields that are added.

    Raises:
        RewriteError: there is no place where this would change nothing else.
    """
    mark = b"\xef\xbb\xbf" if content.startswith(b"\xef\xbb\xbf") else b""
    text = content.decode("utf-8-sig")
    changed = mark + _spliced(text, path, inherited, new).encode()
    before = parse_document(content, Path("config")).data
    try:
        after = parse_document(changed, Path("config")).data
    except ConfigError:
        after = None
    if after != _expected(before, path, inherited, new):
        raise RewriteError(
            "there is no place for it that would leave the rest as it is (an anchor or a merge "
            "key?): write it there by hand"
        )
    return changed


def _expected(data: Any, path: Path_, inherited: Fields, new: Fields) -> Any:
    """Return the values of a file with that change; shared parts elsewhere stay as they are."""
    if not path:
        own = data.get("fields")
        return data | {"fields": {**(own if isinstance(own, dict) else inherited), **new}}
    first, *rest = path
    copy: Any = dict(data) if isinstance(data, dict) else list(data)
    copy[first] = _expected(data[first], tuple(rest), inherited, new)
    return copy


def _spliced(text: str, path: Path_, inherited: Fields, new: Fields) -> str:
    host = _node(text, path)
    fields: yaml.Node | None = next((v for key, v in host.value if key.value == "fields"), None)
    if fields is None:
        pair = f"fields: {_flow({**inherited, **new})}"
        return _inside(text, host, pair) if host.flow_style else _below(text, host, [pair])
    if isinstance(fields, yaml.MappingNode) and fields.value:
        pairs = [f"{_scalar(name)}: {_scalar(key)}" for name, key in new.items()]
        if fields.flow_style:
            return _inside(text, fields, ", ".join(pairs))
        return _below(text, fields, pairs)
    # `fields:` without a value, which is as good as none, or {}: nothing is lost.
    start, end = fields.start_mark.index, fields.end_mark.index
    blank = "" if start and text[start - 1].isspace() else " "
    given = new if isinstance(fields, yaml.MappingNode) else {**inherited, **new}
    return f"{text[:start]}{blank}{_flow(given)}{text[end:]}"


def _node(text: str, path: Path_) -> yaml.MappingNode:
    """Return the host as a node, with the places of its keys and values."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for part in path:
        if isinstance(part, int):
            node = node.value[part]
        else:
            node = next(value for key, value in node.value if key.value == part)
    assert isinstance(node, yaml.MappingNode)  # noqa: S101 - it is a dict by its values
    return node


def _inside(text: str, mapping: yaml.MappingNode, pairs: str) -> str:
    """Return the text with pairs right behind the last value of a mapping in braces."""
    end = mapping.value[-1][1].end_mark.index
    return f"{text[:end]}, {pairs}{text[end:]}"


def _below(text: str, mapping: yaml.MappingNode, pairs: Sequence[str]) -> str:
    """Return the text with lines added to a mapping, behind a key with a value on one line.

    Raises:
        RewriteError: there is no such key.
    """
    of_choice = {"url": 0, "name": 1, "frozen": 0}
    for key, value in sorted(mapping.value, key=lambda pair: of_choice.get(pair[0].value, 2)):
        plain = isinstance(value, yaml.ScalarNode) and value.style not in {"|", ">"}
        if not plain or key.start_mark.line != value.end_mark.line:
            continue
        end = text.find("\n", value.end_mark.index) + 1
        ending = "\r\n" if "\r\n" in text else "\n"
        before, after = (text[:end], text[end:]) if end else (text + ending, "")
        indent = " " * mapping.value[0][0].start_mark.column
        return before + "".join(f"{indent}{pair}{ending}" for pair in pairs) + after
    raise RewriteError("there is no place for it in how the host is written: do it by hand")


def _flow(fields: Mapping[str, object]) -> str:
    """Return `{id: 1, age: 0}`."""
    return "{" + ", ".join(f"{name}: {_scalar(key)}" for name, key in fields.items()) + "}"


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_NOT_PLAIN = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def _scalar(value: object) -> str:
    """Return a value as YAML: the quoted texts, numbers and lists of JSON are YAML too."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NOT_PLAIN:
        return value
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    return json.dumps(value)


def as_yaml(fields: Fields) -> str:
    """Return `fields: {id: 1, age: 0}`, to be pasted below a host."""
    return f"fields: {_flow(fields)}"


# --- the file -----------------------------------------------------------------------------------


def write_fields(loaded: LoadedConfig, name: str, place: HostFile, new: Fields) -> HostConfig:
    """Replace the file of a host by one with `new` in its `fields`; return the host with them.

    Raises:
        RewriteError: the file has changed, cannot be written, or the config would not load with
            that change alone.
    """
    (host,) = (host for host in loaded.config.hosts if host.name == name)
    inherited = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in host.fields.items()
    }
    try:
        content = with_fields(place.content, place.path, inherited, new)
        after = load_config(loaded.file, instead={place.file: content}).config
    except RewriteError as error:
        raise RewriteError(f"{place.file}: {error}") from None
    except ConfigError as error:
        words = f"with it the config has mistakes: {error}; the file is as it was"
        raise RewriteError(f"{place.file}: {words}") from None
    written = host.model_copy(update={"fields": {**host.fields, **new}})
    hosts = tuple(written if each is host else each for each in loaded.config.hosts)
    if after != loaded.config.model_copy(update={"hosts": hosts}):
        raise RewriteError(f"{place.file}: the config has changed meanwhile; the file is as it was")
    _replace(place, content)
    return next(host for host in after.hosts if host.name == name)


def _replace(place: HostFile, content: bytes) -> None:
    """Replace a file's content atomically, keeping mode and owner, unless it has changed."""
    file, before = place.file, place.status
    if before.st_nlink > 1:
        raise RewriteError(f"{file}: it has another name (a hard link): write it by hand")
    made = None
    try:
        # This user's alone until it has the owner and mode of the old one.
        with NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as stream:
            made = Path(stream.name)
            own = os.fstat(stream.fileno())
            if (own.st_uid, own.st_gid) != (before.st_uid, before.st_gid):
                os.fchown(stream.fileno(), before.st_uid, before.st_gid)
            os.fchmod(stream.fileno(), stat.S_IMODE(before.st_mode))
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        now, status = _read(file)
        same_file = (status.st_dev, status.st_ino) == (before.st_dev, before.st_ino)
        if now != place.content or not same_file:
            raise RewriteError(f"{file}: it has changed meanwhile; try again")
        made.replace(file)
    except OSError as error:
        raise RewriteError(f"{file}: it cannot be written as it is: {error.strerror}") from None
    finally:
        if made is not None:
            made.unlink(missing_ok=True)

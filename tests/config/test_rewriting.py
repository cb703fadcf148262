"""Putting `fields` into a config: to the letter what was there, and that alone more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exporter.config.document import parse_document
from exporter.config.loading import load_config
from exporter.config.rewriting import RewriteError, find_host, with_fields, write_fields

NEW = {"id": 1, "age": "time"}
HOST = "    url: http://127.0.0.1:1\n    username: u\n    password: p\n"
ADDED = "    fields: {id: 1, age: time}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "hosts:\n  - name: mx1\n    url: x  # why\n\n    # of mine\n    password: p\n",
            "hosts:\n  - name: mx1\n    url: x  # why\n    fields: {id: 1, age: time}\n\n"
            "    # of mine\n    password: p\n",
            id="block",
        ),
        pytest.param(
            "hosts:\n- {name: mx1, url: x }  # one line\n",
            "hosts:\n- {name: mx1, url: x, fields: {id: 1, age: time} }  # one line\n",
            id="braces",
        ),
        pytest.param(
            "hosts:\n- {name: mx1,\n   url: x, # why\n  }\n",
            "hosts:\n- {name: mx1,\n   url: x, fields: {id: 1, age: time}, # why\n  }\n",
            id="braces over lines",
        ),
        pytest.param(
            "hosts:\n- url: x\n  fields: {frozen: 5}  # mine\n  name: mx1\n",
            "hosts:\n- url: x\n  fields: {frozen: 5, id: 1, age: time}  # mine\n  name: mx1\n",
            id="fields in braces",
        ),
        pytest.param(
            "hosts:\n- url: x\n  fields:\n    # what\n    frozen: 5 # mine\n  name: mx1\n",
            "hosts:\n- url: x\n  fields:\n    # what\n    frozen: 5 # mine\n    id: 1\n"
            "    age: time\n  name: mx1\n",
            id="fields in a block",
        ),
        pytest.param(
            "hosts:\n- url: x\n  fields:   # none yet\n  name: mx1\n",
            "hosts:\n- url: x\n  fields: {id: 1, age: time}   # none yet\n  name: mx1\n",
            id="fields without a value",
        ),
        pytest.param(
            "hosts:\n- url: x\n  fields: {}\n  name: mx1\n",
            "hosts:\n- url: x\n  fields: {id: 1, age: time}\n  name: mx1\n",
            id="empty fields",
        ),
        pytest.param(
            "hosts:\r\n- name: mx1\r\n  url: x\r\n  username: u\r\n",
            "hosts:\r\n- name: mx1\r\n  url: x\r\n  fields: {id: 1, age: time}\r\n"
            "  username: u\r\n",
            id="carriage returns",
        ),
        pytest.param(
            "hosts:\n- name: mx1\n  url: x",
            "hosts:\n- name: mx1\n  url: x\n  fields: {id: 1, age: time}\n",
            id="no newline at the end",
        ),
        pytest.param(
            "\ufeffhosts:\n- name: почта\n  url: x\n",
            "\ufeffhosts:\n- name: почта\n  url: x\n  fields: {id: 1, age: time}\n",
            id="byte order mark",
        ),
        pytest.param(
            "a: &p\n  username: u\nhosts:\n- <<: *p\n  name: mx1\n  url: x\n",
            "a: &p\n  username: u\nhosts:\n- <<: *p\n  name: mx1\n  url: x\n"
            "  fields: {id: 1, age: time}\n",
            id="merge key",
        ),
        pytest.param(
            "hosts:\n- name: mx1\n  url: >-\n    x\n  username: u\n",
            "hosts:\n- name: mx1\n  fields: {id: 1, age: time}\n  url: >-\n    x\n  username: u\n",
            id="url in a block",
        ),
    ],
)
def test_nothing_else_is_changed(before: str, after: str) -> None:
    changed = with_fields(before.encode(), ("hosts", 0), {}, NEW)
    assert changed.decode() == after


def test_what_the_defaults_say_is_kept() -> None:
    """A host's own `fields` replace those of host_defaults as a whole."""
    inherited = {"frozen": 5, "frozen_values": ["F"], "sender": "on"}
    content = b"hosts:\n- name: mx1\n  url: x\n"
    after = parse_document(with_fields(content, ("hosts", 0), inherited, NEW), Path("c")).data
    assert after == {"hosts": [{"name": "mx1", "url": "x", "fields": {**inherited, **NEW}}]}


@pytest.mark.parametrize(
    "text",
    [
        "hosts:\n- &one\n  name: mx1\n  url: x\n- *one\n",
        "other:\n- &one {name: mx1, url: x}\nhosts:\n- *one\n",
        "f: &f {frozen: 5}\nhosts:\n- name: mx1\n  url: x\n  fields: *f\n",
    ],
)
def test_an_anchor_that_would_change_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(RewriteError, match="by hand"):
        with_fields(text.encode(), ("hosts", 0), {}, NEW)


def config(folder: Path, host: str = HOST) -> Path:
    file = folder / "config.yaml"
    file.write_text(f"# mine\nhosts:\n  - name: mx1\n{host}")
    file.chmod(0o640)
    return file


def test_the_file_keeps_its_mode_and_owner(tmp_path: Path) -> None:
    file = config(tmp_path)
    if os.geteuid() == 0:
        os.chown(file, 12345, 54321)
    before = file.stat()
    loaded = load_config(file)
    write_fields(loaded, "mx1", find_host(loaded, "mx1"), NEW)
    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert ADDED in file.read_text()
    assert load_config(file).config.hosts[0].fields == NEW
    assert [each.name for each in tmp_path.iterdir()] == ["config.yaml"]


def test_a_config_that_is_another_by_now_is_left_alone(tmp_path: Path) -> None:
    file = config(tmp_path)
    loaded = load_config(file)
    place = find_host(loaded, "mx1")
    mine = file.read_text().replace("password: p", "password: q")
    file.write_text(mine)
    with pytest.raises(RewriteError, match="changed meanwhile"):
        write_fields(loaded, "mx1", place, NEW)
    assert file.read_text() == mine


def test_the_same_text_in_another_file_is_another_file(tmp_path: Path) -> None:
    file = config(tmp_path)
    loaded = load_config(file)
    place = find_host(loaded, "mx1")
    copy = tmp_path / "copy"
    copy.write_bytes(file.read_bytes())
    copy.replace(file)
    with pytest.raises(RewriteError, match="changed meanwhile"):
        write_fields(loaded, "mx1", place, NEW)


def test_a_link_put_there_is_not_followed(tmp_path: Path) -> None:
    file = config(tmp_path)
    loaded = load_config(file)
    place = find_host(loaded, "mx1")
    other = tmp_path / "other.yaml"
    file.rename(other)
    file.symlink_to(other)
    before = other.read_text()
    with pytest.raises(RewriteError, match="it is a link"):
        write_fields(loaded, "mx1", place, NEW)
    assert other.read_text() == before
    assert file.is_symlink()


def test_a_config_that_would_not_load_is_put_back(tmp_path: Path) -> None:
    file = config(tmp_path)
    loaded = load_config(file)
    before = file.read_bytes()
    with pytest.raises(RewriteError, match="the file is as it was"):
        write_fields(loaded, "mx1", find_host(loaded, "mx1"), {"subject": 1})
    assert file.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["config.yaml"]


def test_a_second_name_of_the_file_would_keep_the_old_text(tmp_path: Path) -> None:
    file = config(tmp_path)
    os.link(file, tmp_path / "second")
    loaded = load_config(file)
    with pytest.raises(RewriteError, match="hard link"):
        write_fields(loaded, "mx1", find_host(loaded, "mx1"), NEW)

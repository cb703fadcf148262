from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.document import (
    MAX_CONFIG_DEPTH,
    Document,
    parse_document,
    read_document,
)
from exporter.config.errors import ConfigError, Path_, Problem, dotted

FILE = Path("c.yaml")


def parse(text: str) -> Document:
    return parse_document(text.encode(), FILE)


def mistakes(content: str | bytes) -> list[str]:
    data = content.encode() if isinstance(content, str) else content
    with pytest.raises(ConfigError) as caught:
        parse_document(data, FILE)
    return [str(problem) for problem in caught.value.problems]


NESTED = """\
poll:
  interval: 60s

hosts:
  - name: mx1
    labels: {dc: a,
             rack: b}
  -
    name: mx2
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("poll",), 1),
        (("poll", "interval"), 2),
        (("hosts",), 4),
        (("hosts", 0), 5),
        (("hosts", 0, "labels", "rack"), 7),
        (("hosts", 1), 9),
        (("hosts", 1, "name"), 9),
        (("hosts", 1, "url"), 9),
        (("hosts", 7, "url"), 4),
        (("web", "listen"), 1),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_each_key_has_its_line_and_an_absent_one_that_of_what_lacks_it(
    path: Path_, line: int, newline: str
) -> None:
    assert parse(NESTED.replace("\n", newline)).line_of(path) == line


def test_an_empty_file_has_no_lines() -> None:
    for text in ("", "# nothing\n", "---\n"):
        assert parse(text).data is None
    assert parse("").line_of(("a",)) == 0


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse_document(b"\xef\xbb\xbfa: 1\n", FILE).data == {"a": 1}


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"a: 1\nb: caf\xe9\n", 2), ("a: 1\n".encode("utf-16"), 1), (b"\n\n\xff", 3)],
)
def test_text_that_is_not_utf8_is_reported_with_its_line(content: bytes, line: int) -> None:
    assert mistakes(content) == [f"c.yaml:{line}: is not UTF-8 text"]


def test_a_control_character_is_reported_with_its_line() -> None:
    assert mistakes("ж: 1\nb: \x00\n") == [
        "c.yaml:2: is not valid YAML: a control character is not allowed"
    ]


def test_a_tab_as_indentation_is_reported() -> None:
    (reported,) = mistakes("a:\n\tb: 1\n")
    assert reported.startswith("c.yaml:2: is not valid YAML: ")
    assert "spaces, no tabs" in reported


def test_what_was_left_open_is_reported_with_where_it_begins() -> None:
    (reported,) = mistakes('a: 1\nb: "x\nc: 2\n')
    assert reported.startswith("c.yaml:4: ")
    assert "begins in line 2" in reported


def test_keys_that_look_like_numbers_or_truth_are_text() -> None:
    assert parse("1: a\ntrue: b\n1.5: c\n").data == {"1": "a", "true": "b", "1.5": "c"}


def test_every_key_given_twice_is_reported() -> None:
    assert mistakes("a: 1\nb: {c: 1, c: 2}\na: 2\na: 3\n") == [
        "c.yaml:2: b.c: is given twice (first in line 2)",
        "c.yaml:3: a: is given twice (first in line 1)",
        "c.yaml:4: a: is given twice (first in line 1)",
    ]


def test_keys_given_twice_are_reported_together_with_what_stops_the_reading() -> None:
    assert mistakes("a: 1\na: 2\nb: !x y\n") == [
        "c.yaml:2: a: is given twice (first in line 1)",
        "c.yaml:3: tags are not supported; put text that starts with ! in quotes",
    ]


# --- anchors, aliases, merge keys -----------------------------------------------------------


def test_an_alias_stands_for_its_anchor() -> None:
    document = parse("a: &x {k: [1, 2]}\nb: *x\nc: [*x]\nd: &t text\ne: *t\n")
    assert document.data == {
        "a": {"k": [1, 2]},
        "b": {"k": [1, 2]},
        "c": [{"k": [1, 2]}],
        "d": "text",
        "e": "text",
    }
    assert document.line_of(("b", "k", 1)) == 2


def test_the_newest_of_two_equal_anchors_counts() -> None:
    assert parse("a: &x 1\nb: &x 2\nc: *x\n").data == {"a": 1, "b": 2, "c": 2}


def test_merge_keys_add_what_the_map_lacks() -> None:
    document = parse(
        "base: &base {a: 1, b: 1}\n"
        "more: &more {b: 2, c: 2}\n"
        "one: {a: 9, <<: *base}\n"
        "all:\n"
        "  <<: [*base, *more]\n"
        "  d: 4\n"
        "inline: {<<: {a: 5}}\n"
        "again: {<<: *base, a: 7}\n"
    )
    assert isinstance(document.data, dict)
    assert document.data["one"] == {"a": 9, "b": 1}
    assert document.data["all"] == {"a": 1, "b": 1, "c": 2, "d": 4}
    assert document.data["inline"] == {"a": 5}
    assert document.data["again"] == {"a": 7, "b": 1}
    assert document.data["base"] == {"a": 1, "b": 1}
    assert document.line_of(("all", "c")) == 4


def test_a_quoted_merge_key_is_a_key_like_any() -> None:
    assert parse('"<<": {a: 1}\n').data == {"<<": {"a": 1}}


def test_a_merge_of_merges() -> None:
    text = "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, z: 3}\n"
    assert parse(text).data == {
        "a": {"x": 1},
        "b": {"x": 1, "y": 2},
        "c": {"x": 1, "y": 2, "z": 3},
    }


@pytest.mark.parametrize("text", ["a: &a [*a]\n", "a: &a {b: *a}\n", "a: &a {<<: *a}\n", "a: *b\n"])
def test_an_alias_needs_a_finished_anchor(text: str) -> None:
    assert mistakes(text) == [
        "c.yaml:1: no such anchor above; put text that starts with * in quotes"
    ]


# --- bounds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused_before_it_can_hurt(opening: str) -> None:
    (reported,) = mistakes(opening * 100_000)
    assert (
        "is nested too deeply" in reported or "plain word" in reported or "valid YAML" in reported
    )


def test_nesting_up_to_the_bound_is_read() -> None:
    depth = MAX_CONFIG_DEPTH
    assert parse("[" * depth + "]" * depth).data
    assert mistakes("[" * (depth + 2) + "]" * (depth + 2)) == ["c.yaml:1: is nested too deeply"]


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read: No such file"):
        read_document(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_document(tmp_path)
    with pytest.raises(ConfigError, match="its name is not usable"):
        read_document(Path("nul\0.yaml"))


# --- properties -----------------------------------------------------------------------------


@given(st.binary(max_size=200) | st.text("a:-[]{}&*!|>'\"#%@`,? \n\t<0", max_size=80))
def test_any_content_is_read_or_refused_with_a_config_error(content: str | bytes) -> None:
    data = content.encode() if isinstance(content, str) else content
    try:
        document = parse_document(data, FILE)
    except ConfigError as error:
        assert error.problems  # noqa: PT017 - either outcome is right
    else:
        assert document.line_of(()) >= 0


scalars = (
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text("abc é'\":#-", max_size=8)
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz", min_size=1), inner)
    ),
    max_leaves=20,
)


@given(trees, st.booleans())
def test_what_pyyaml_writes_is_read_back(tree: object, flow: bool) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True)
    assert parse(text).data == tree


# --- problems -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("hosts", 2, "url"), "hosts[2].url"),
        ((0, "labels", "data-centre"), "[0].labels.data-centre"),
        (("a.b", "c d"), "['a.b']['c d']"),
        (("a", "\x1b[31m\n"), "a['\\x1b[31m\\n']"),
        (("x" * 200,), "['" + "x" * 80 + "']"),
    ],
)
def test_paths_are_dotted_and_safe_to_print(path: Path_, text: str) -> None:
    assert dotted(path) == text


def test_problems_are_sorted_and_reported_once() -> None:
    second, first = Problem("a", 9, "", "x"), Problem("a", 2, "p", "y")
    error = ConfigError([second, first, second])
    assert error.problems == (first, second)
    assert str(error) == "a:2: p: y\na:9: x"


def test_a_problem_without_a_place() -> None:
    assert str(Problem("a", 0, "", "is gone")) == "a: is gone"

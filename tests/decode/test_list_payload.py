"""Payloads of list_msg before anything is known of their rows."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.panel.decode.lenient_json import PARSE_ERRORS
from exporter.panel.decode.list_payload import joined_text

_texts = st.lists(st.text(alphabet='a", \\\n<é\x7f', max_size=6), min_size=1, max_size=6)


@given(_texts, st.sampled_from([(",", ":"), (", ", ": "), (" , ", ":"), (",\n ", ":")]))
@example([","], (",", ":"))
@example(["a", ", ", ",", "b"], (",", ":"))
@example(["a\\", "b"], (",", ":"))
def test_the_texts_of_a_list_are_lines(texts: list[str], separators: tuple[str, str]) -> None:
    payload = msgspec.Raw(json.dumps(texts, separators=separators).encode())
    assert joined_text(payload) == "\n".join(texts)


@pytest.mark.parametrize("payload", [b'["a", 1]', b'["a", null, "b"]', b'["a", ["b", "c"]]'])
def test_a_list_that_holds_more_than_texts_is_none_of_texts(payload: bytes) -> None:
    with pytest.raises(PARSE_ERRORS):
        joined_text(msgspec.Raw(payload))

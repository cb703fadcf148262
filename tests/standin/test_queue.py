from __future__ import annotations

import re

import pytest

from exporter.standin.queue import IdStyle, queue_id


@pytest.mark.parametrize(
    ("style", "form"),
    [
        ("exim", r"[0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}"),
        ("exim_long", r"[0-9A-Za-z]{6}-[0-9A-Za-z]{11}-[0-9A-Za-z]{4}"),
        ("postfix", r"[0-9A-F]{10}"),
    ],
)
def test_ids_have_the_mtas_form_and_never_repeat(style: IdStyle, form: str) -> None:
    ids = [queue_id(style, 1_795_487_323 + n // 10, n) for n in range(5000)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(form, i) for i in ids)


def test_an_exim_id_begins_with_its_time() -> None:
    # Exim 4.96 gave this prefix to a message of that second.
    assert queue_id("exim", 1_795_487_323, 1).startswith("1xVgGx-")

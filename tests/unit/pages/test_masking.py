from __future__ import annotations

import pytest

from exporter.web.pages.masking import LONGEST, masking


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ann@example.com", "a…@example.com"),
        ("a@example.com", "a…@example.com"),
        ('"odd@one"@example.com', '"…@example.com'),
        ("@example.com", "…"),
        ("no address", "…"),
        ("", "…"),
        ("б@пример.рф", "б…@пример.рф"),
    ],
)
def test_what_stands_before_the_at_is_masked(address: str, shown: str) -> None:
    assert masking(mask=True)(address) == shown


def test_whole_addresses_are_cut_only_where_they_are_absurd() -> None:
    show = masking(mask=False)
    assert show("ann@example.com") == "ann@example.com"
    assert show("a" * 10_000) == "a" * LONGEST + "…"
    assert len(masking(mask=True)("a@" + "b" * 10_000)) == LONGEST + 1

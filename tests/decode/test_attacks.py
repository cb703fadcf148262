"""What somebody tried who wanted a field taken for what it is not."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.snapshot import Certainty
from tests.decode.test_certainty import EXIM, OTHER, certainty, table

GIVEN: dict[str, Any] = {"id": 1, "age": 0, "size": 4, "sender": 2, "recipients": 3, "frozen": 5}
HEADINGS = ["Time", "ID", "Sender", "Recipient", "Size", "Status"]
TURNED = ["Time", "ID", "Recipient", "Sender", "Size", "Status"]


@pytest.mark.parametrize("tabs", [False, True])
def test_fields_that_the_lists_own_heading_contradicts_are_guessed(tabs: bool) -> None:
    """As after an update of the panel that has turned two columns round."""
    row = ["4d", EXIM, "", "ann@example.org", "2.9K", "Frozen"]
    other = ["4d", OTHER, "bob@example.net", "ann@example.org", "2.9K", "Frozen"]

    def shown(headings: list[str]) -> Any:
        rows = [headings, row, other]
        return "\n".join(map("\t".join, rows)) if tabs else rows

    decoded = certainty(shown(TURNED), fields=GIVEN)
    assert (decoded["sender"], decoded["recipients"]) == (Certainty.GUESSED, Certainty.GUESSED)
    assert decoded["frozen"] is decoded["id"] is Certainty.NAMED
    messages = [*table(shown(TURNED), fields=GIVEN).messages()]
    assert all({"sender", "recipients"} <= message.guessed for message in messages)
    assert "its heading is `Recipient`" in table(shown(TURNED), fields=GIVEN).shape
    assert certainty(shown(HEADINGS), fields=GIVEN)["sender"] is Certainty.NAMED

"""Details as typed values: what is missing or of another form is not known, and nothing fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.journal.records import (
    IncidentRecord,
    IntentRecord,
    OutcomeRecord,
    ReplyRecord,
    RequestRecord,
    StoppedByRecord,
)

RECORDS: tuple[Any, ...] = (
    *(IncidentRecord, IntentRecord, RequestRecord, ReplyRecord),
    *(OutcomeRecord, StoppedByRecord),
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
KEYS = sorted({key for record in RECORDS for key in record.__struct_fields__} | {"of", "deed"})


@pytest.mark.parametrize("record", RECORDS)
def test_of_an_empty_detail_nothing_is_known_and_nothing_is_written(record: Any) -> None:
    assert record.from_detail({}) == record()
    assert record().to_detail() == {}


@given(detail=st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), JSON, max_size=6))
def test_any_detail_is_read_and_what_is_known_of_it_is_written_as_it_was(
    detail: dict[str, object],
) -> None:
    for record in RECORDS:
        known = record.from_detail(detail)
        written = json.loads(json.dumps(known.to_detail()))
        assert record.from_detail(written) == known
        exact = written.keys() - {"approval", "stopped_by"}
        assert {key: written[key] for key in exact} == {key: detail[key] for key in exact}


@pytest.mark.parametrize(
    ("detail", "known"),
    [
        ({"planned": "5"}, OutcomeRecord()),
        ({"planned": 5.0, "removed": True, "gone": [5]}, OutcomeRecord()),
        ({"replies": {"done": "all"}, "guessed": "size"}, OutcomeRecord()),
        ({"of_a_later_version": 1, "gone": 0}, OutcomeRecord(gone=0)),
        # That something stopped it is known, whatever is said of it.
        ({"stopped_by": "pause"}, OutcomeRecord(stopped_by=StoppedByRecord())),
        ({"stopped_by": None}, OutcomeRecord()),
    ],
)
def test_what_has_another_form_is_not_known(detail: Any, known: OutcomeRecord) -> None:
    assert OutcomeRecord.from_detail(detail) == known


@pytest.mark.parametrize("value", [True, "a", 1])
def test_an_approval_is_used_up_in_whatever_form_that_was_written(value: object) -> None:
    assert IntentRecord.from_detail({"approval": value}).approval is True

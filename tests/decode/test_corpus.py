from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from exporter.panel.decode import (
    ListOptions,
    MessageTable,
    decode_count,
    decode_queue,
    decode_queue_update,
    decode_reply,
    decode_service_reply,
    queue_stats,
)
from exporter.panel.errors import PanelError
from exporter.panel.protocol import Operation
from exporter.snapshot import Message
from tests.decode.corpus import Case, cases

CASES = cases()
_KEYS = {"why", "now", "fields", "time_zone", "expect", "error", "says"}
_BODIES = {"json", "body", "hex", "repeat"}


def _options(case: Case) -> ListOptions:
    zone = case.content.get("time_zone")
    return ListOptions(
        float(case.content["now"]),
        case.content.get("fields") or {},
        None if zone is None else ZoneInfo(zone),
    )


def _decode(case: Case) -> object:
    if case.operation is Operation.LIST:
        return decode_queue(case.body, _options(case))
    if case.operation is Operation.COUNT:
        return decode_count(decode_reply(case.body, case.operation))
    state = decode_service_reply(case.body, case.operation)
    return state.running if state.installed else state.words


def _message(known: dict[str, Any], guessed: list[str]) -> Message:
    recipients = known.get("recipients")
    return Message(
        known["id"],
        known.get("age"),
        known.get("size"),
        known.get("sender"),
        None if recipients is None else tuple(recipients),
        tuple(known.get("delivered", ())),
        known.get("frozen"),
        frozenset(known.get("guessed", guessed)),
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_reply_decodes_as_its_file_says(case: Case) -> None:
    content = case.content
    assert len(_BODIES & set(content)) == 1
    assert set(content) <= _KEYS | _BODIES
    assert ("expect" in content) != ("error" in content)
    if "error" in content:
        with pytest.raises(PanelError) as caught:
            _decode(case)
        assert caught.value.reason == content["error"]
        assert content["says"] in str(caught.value)
        assert "example.org" not in str(caught.value)
        return
    decoded = _decode(case)
    if not isinstance(decoded, MessageTable):
        assert decoded == content["expect"]
        assert type(decoded) is type(content["expect"])
        return
    expect = content["expect"]
    guessed = expect.get("guessed", [])
    wanted = sorted((_message(known, guessed) for known in expect["messages"]), key=lambda m: m.id)
    assert sorted(decoded.messages(), key=lambda m: m.id) == wanted
    assert decoded.unparsed == expect["unparsed"]
    assert decoded.listed == expect["unparsed"] + len(wanted)
    assert decoded.mta == expect.get("mta")
    assert expect.get("shape", "") in decoded.shape
    assert list(decoded.samples) == expect.get("samples", list(decoded.samples))
    proposed = dict(decoded.proposed_fields)
    assert proposed == expect.get("fields_proposed", proposed)


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.operation is Operation.LIST and "expect" in c.content],
    ids=lambda case: case.name,
)
def test_the_update_agrees_with_the_table(case: Case) -> None:
    table = decode_queue(case.body, _options(case))
    update = decode_queue_update(case.body, _options(case), previous_ids=b"1aAaAa-000000-00")
    assert update.stats == queue_stats(table)
    assert update.ids.decode().split() == list(table.ids)
    assert (update.entered, update.left) == (len(table.ids), 1)
    assert (update.shape, update.samples) == (table.shape, table.samples)


@pytest.mark.parametrize(
    "case",
    [
        c
        for c in CASES
        if c.operation is Operation.LIST
        and "expect" in c.content
        and c.content["expect"]["messages"]
    ],
    ids=lambda case: case.name,
)
def test_what_is_proposed_decodes_the_same(case: Case) -> None:
    """What recognition is sure of may be pasted into `fields` without changing anything decoded."""
    options = _options(case)
    table = decode_queue(case.body, options)
    again = decode_queue(case.body, replace(options, fields=table.proposed_fields))
    before = {m.id: m for m in table.messages()}
    after = {m.id: m for m in again.messages()}
    assert before.keys() == after.keys()
    for id_, message in before.items():
        for name in ("size", "sender", "recipients"):
            assert getattr(message, name) in (None, getattr(after[id_], name))


def test_the_corpus_is_not_small() -> None:
    assert len(CASES) >= 60

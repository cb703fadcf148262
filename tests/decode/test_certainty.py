"""How sure every field of a list is: named, structural or guessed."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from exporter.panel.decode import (
    ListOptions,
    MessageTable,
    decode_queue,
    decode_queue_update,
    queue_stats,
)
from exporter.panel.queue_decoder import INLINE_LIMIT, QueueDecoder
from exporter.snapshot import Certainty, Message
from tests.decode import rendering

NOW = rendering.NOW
NAMED, STRUCTURAL, GUESSED = Certainty.NAMED, Certainty.STRUCTURAL, Certainty.GUESSED
EXIM, OTHER = "1kXpJb-0004Uv-7Q", "1kXpJc-0004Ux-9R"
PAGE_ROW = ["25m", EXIM, "<a@example.org>", "b@example.net", "2.9K", "Frozen"]


def body(detail: object) -> bytes:
    return json.dumps({"code": 0, "detail": detail}).encode()


def table(detail: object, **arguments: Any) -> MessageTable:
    return decode_queue(body(detail), ListOptions(NOW, **arguments))


def certainty(detail: object, **arguments: Any) -> dict[str, Certainty]:
    """Of the table's figures, which those of the poller have to agree with."""
    update = decode_queue_update(body(detail), ListOptions(NOW, **arguments))
    assert update.stats.certainty == queue_stats(table(detail, **arguments)).certainty
    return dict(update.stats.certainty)


def test_console_text_is_structural() -> None:
    messages = [Message(EXIM, 60.0, 100, "", ("b@example.net",), frozen=True)]
    for render in (rendering.exim_text, rendering.exim_lines):
        decoded = certainty(render(messages))
        assert decoded == dict.fromkeys(
            ("id", "age", "size", "sender", "recipients", "frozen"), STRUCTURAL
        )
        assert table(render(messages)).guessed == [frozenset()]


def test_known_keys_are_named() -> None:
    row = {"id": EXIM, "time": "4d", "size": "2.9K", "from": "<>", "to": "b@x.example", "state": ""}
    assert set(certainty([row]).values()) == {NAMED}
    assert next(iter(table([row]).messages())).guessed == frozenset()


def test_positions_are_guessed_but_for_ids_of_exim() -> None:
    decoded = certainty([PAGE_ROW])
    assert decoded.pop("id") is STRUCTURAL
    assert set(decoded.values()) == {GUESSED}
    assert table([PAGE_ROW]).guessed == [
        frozenset({"age", "size", "sender", "recipients", "frozen"})
    ]


def test_positions_given_by_the_host_are_named() -> None:
    fields = {"id": 1, "age": 0, "size": 4, "sender": 2, "recipients": 3, "frozen": 5}
    assert set(certainty([PAGE_ROW], fields=fields).values()) == {NAMED}
    some = certainty([PAGE_ROW], fields={"sender": 2})
    assert (some["sender"], some["age"], some["id"]) == (NAMED, GUESSED, STRUCTURAL)


@pytest.mark.parametrize(
    ("ids", "sure"),
    [
        ([EXIM, "1rXpJb-00000004Uv7-1ABC"], STRUCTURAL),
        (["3F2A91C0B4*", "0A1B2C3D4E!"], STRUCTURAL),
        (["3F2A91C0B4#", "0A1B2C3D4E*#"], STRUCTURAL),
        (["3F2A91C0B4", "0A1B2C3D4E"], GUESSED),
        (["3F2A91C0B4*", "0A1B2C3D4E"], GUESSED),
    ],
)
def test_an_id_at_a_position(ids: list[str], sure: Certainty) -> None:
    assert certainty([[id_, "25m"] for id_ in ids])["id"] is sure


def test_a_row_of_bare_postfix_ids_is_guessed_beside_a_marked_one() -> None:
    guessed = {m.id: m.guessed for m in table([["3F2A91C0B4*"], ["0A1B2C3D4E"]]).messages()}
    assert guessed == {"3F2A91C0B4": frozenset(), "0A1B2C3D4E": frozenset({"id"})}


def test_exims_mark_behind_a_sender_in_brackets_is_structural() -> None:
    rows = [
        ["25m", "302", EXIM, "<> *** frozen ***", "b@example.net"],
        ["25m", "302", OTHER, "<a@example.org>", "b@example.net"],
    ]
    decoded = {m.id: m for m in table(rows).messages()}
    assert decoded[EXIM].bounce is True
    assert decoded[EXIM].frozen is True
    assert decoded[EXIM].guessed == frozenset({"age", "size", "recipients"})
    assert {"sender", "frozen"} <= decoded[OTHER].guessed
    assert certainty(rows)["frozen"] is GUESSED
    assert certainty(rows[:1])["frozen"] is STRUCTURAL


def test_a_mark_behind_a_sender_without_brackets_is_guessed() -> None:
    rows = [["25m", "302", EXIM, "a@example.org *** frozen ***", "b@example.net"]]
    assert {"sender", "frozen"} <= table(rows).guessed[0]


def test_bare_ids_that_are_keys_of_the_list_are_guessed() -> None:
    assert certainty({EXIM: {"age": "4d"}})["id"] is STRUCTURAL
    assert certainty({"3F2A91C0B4": {"age": "4d"}})["id"] is GUESSED


def test_the_least_sure_row_counts() -> None:
    named = {"id": OTHER, "time": "4d", "size": "2.9K", "from": "<>", "to": "b@x.example"}
    decoded = certainty([named, PAGE_ROW])
    assert (decoded["age"], decoded["sender"], decoded["id"]) == (GUESSED, GUESSED, NAMED)


def test_a_field_that_no_row_has_has_no_certainty() -> None:
    assert certainty([{"id": EXIM, "size": None, "time": "4d"}]) == {"id": NAMED, "age": NAMED}
    assert certainty([]) == {}


def test_measurements_of_guessed_fields_are_kept() -> None:
    stats = decode_queue_update(body([PAGE_ROW]), ListOptions(NOW)).stats
    assert (stats.frozen, stats.bounces, stats.oldest_age) == (1, 0, 1500.0)


async def test_certainty_travels_from_the_worker_process() -> None:
    rows = [[*PAGE_ROW[:1], f"1kXpJb-{n:06d}-7Q", *PAGE_ROW[2:]] for n in range(5000)]
    assert len(body(rows)) > INLINE_LIMIT
    decoder = QueueDecoder()
    try:
        decode = partial(decode_queue_update, options=ListOptions(NOW))
        update = await decoder.run(decode, body(rows))
    finally:
        decoder.close()
    assert dict(update.stats.certainty)["sender"] is GUESSED
    assert dict(update.stats.certainty)["id"] is STRUCTURAL


def test_readings_say_all_that_diagnose_shows() -> None:
    rows = [
        ["25m", EXIM, "<a@example.org>", "b@example.net", "2.9K", "Frozen"],
        ["26m", OTHER, "<>", "b@example.net", "3.0K", ""],
    ]
    readings = {reading.field: reading for reading in table(rows).readings}
    assert [*readings] == ["id", "age", "size", "sender", "recipients", "frozen"]
    assert readings["age"].keys == (0,)
    assert readings["age"].certainty is GUESSED
    assert readings["age"].samples == ("25m", "26m")
    assert readings["sender"].samples == ("<a@example.org>", "<>")
    assert readings["sender"].why == "the one with null senders"
    assert readings["id"].certainty is STRUCTURAL


def test_readings_name_the_keys_that_are_in_doubt() -> None:
    rows = [["25m", "10m", EXIM, "<a@example.org>", "b@example.net"]]
    readings = {reading.field: reading for reading in table(rows).readings}
    assert readings["age"].keys == ()
    assert readings["age"].certainty is None
    assert readings["age"].candidates == (0, 1)
    assert readings["age"].samples == ("25m", "10m")
    assert "may be age" in readings["age"].why
    assert "age" not in table(rows).proposed_fields


def test_values_of_the_state_are_those_that_the_host_says() -> None:
    rows = [
        {"id": f"1kXpJb-0004Uv-7{n}", "status": state, "size": "2.9K"}
        for n, state in enumerate(["F", "n", "f ", "Frozen", "", None])
    ]
    decoded = table(rows, frozen_values={"F": True, "N": False})
    assert decoded.frozen == [True, False, True, None, None, None]
    assert table(rows).frozen[3:] == [True, False, None]
    update = decode_queue_update(
        body(rows), ListOptions(NOW, frozen_values={"f": True, "n": False})
    )
    assert update.stats.frozen == 2


def test_numbers_and_flags_are_values_of_the_state_too() -> None:
    rows = [{"id": EXIM, "frozen": 2}, {"id": OTHER, "frozen": True}]
    assert table(rows, frozen_values={"2": True, "true": False}).frozen == [True, False]


def test_values_of_the_state_at_a_position_that_the_host_names() -> None:
    rows = [["25m", EXIM, "x"], ["25m", OTHER, "y"], ["25m", "1kXpJd-0004Uz-AS", "z"]]
    decoded = table(rows, fields={"frozen": 2}, frozen_values={"x": True, "y": False})
    assert decoded.frozen == [True, False, None]
    assert dict(queue_stats(decoded).certainty)["frozen"] is NAMED


def test_a_message_of_contradicting_rows_may_be_in_each_of_them() -> None:
    rows = [
        {"id": EXIM, "sender": "<>", "time": "4d"},
        {"id": EXIM, "sender": "a@example.org", "time": "4d"},
        {"id": OTHER, "sender": "a@example.org", "time": "4d"},
    ]
    update = decode_queue_update(
        body(rows), ListOptions(NOW), previous_ids=f"{EXIM}\n{OTHER}".encode()
    )
    assert update.ids == OTHER.encode()
    assert (update.stats.listed, update.stats.unparsed, update.stats.bounces) == (3, 2, 0)
    assert update.unread >= 1
    assert (update.entered, update.left) == (0, 1)


@pytest.mark.parametrize("messages", [50, 150])
def test_a_message_may_be_in_each_row_that_does_not_fit(messages: int) -> None:
    """However long the list is: long ones are decoded another way."""
    rows = [
        {"id": f"1kXpJb-00{number:04d}-7Q", "sender": "a@example.org", "size": "2.9K"}
        for number in range(messages)
    ]
    odd = {"id": OTHER, "sender": "a@example.org", "size": EXIM}
    assert table([*rows, odd]).unread == 1
    assert table([*rows, rows[3]]).unread == 0


def test_a_form_whose_rows_are_refused_makes_nothing_less_sure() -> None:
    lines = " 3d   302 1xVPmh-0002kK-2M <user@example.org>\n          a@example.com\n"
    decoded = certainty([["00000A"], lines], fields={"age": 0})
    assert set(decoded.values()) == {STRUCTURAL}


def test_ids_of_letters_alone_under_a_key_for_ids_of_a_queue() -> None:
    decoded = table([{"msgid": "ABCDEFAB", "size": 1532}, {"msgid": "FACADEDA", "size": 1533}])
    assert [*decoded.ids] == ["ABCDEFAB", "FACADEDA"]
    assert certainty([{"queue_id": "ABCDEFAB"}])["id"] is NAMED
    assert certainty([{"id": "ABCDEFAB"}])["id"] is GUESSED


@pytest.mark.parametrize("heads", [False, True])
@pytest.mark.parametrize("many", [50, 300, 5000])
def test_a_row_with_two_different_senders_is_no_bounce_in_a_list_of_any_length(
    many: int, heads: bool
) -> None:
    """What a layout is concluded from is a sample: a row that is not in it is held against it."""
    rows: list[dict[str, object]] = [
        {
            "id": f"1kXpJb-{number:06d}-7Q",
            "time": "4d",
            "size": 900,
            "sender": "",
            "from": "",
            "to": "b@example.net",
            "frozen": 1,
        }
        for number in range(many)
    ]
    for number, row in enumerate(rows):
        if number % 2:
            row["sender"] = row["from"] = f"u{number}@example.org"
    rows[37]["sender"], rows[37]["from"] = "", "real@example.org"
    detail = [[*rows[0]], *([*row.values()] for row in rows)] if heads else rows
    decoded = {message.id: message for message in table(detail).messages()}
    odd = decoded.get("1kXpJb-000037-7Q")
    assert odd is None or "sender" in odd.guessed
    read = [message for message in decoded.values() if message.id != "1kXpJb-000037-7Q"]
    assert len(read) == many - 1
    assert all("sender" in m.guessed or m.bounce is (int(m.id[7:13]) % 2 == 0) for m in read)
    if many > 100:
        assert table(detail).unparsed == 1


NULLS = ["<>", "MAILER-DAEMON", "<Mailer-Daemon>", "&lt;&gt;", " <> "]


@pytest.mark.parametrize("null", NULLS)
@pytest.mark.parametrize("many", [50, 300, 5000])
@pytest.mark.parametrize("shape", ["objects", "arrays", "html", "tabs"])
def test_an_empty_sender_is_no_bounce_where_a_list_of_any_length_writes_null_senders_out(
    null: str, many: int, shape: str
) -> None:
    """Neither the sample nor the rows that are read together need hold one of these."""
    heads = ["id", "sender", "recipients", "age", "size", "frozen"]
    rows = [
        [f"1kXpJb-{number:06d}-7Q", f"u{number}@example.org", "b@example.net", "4d", "900", "yes"]
        for number in range(many)
    ]
    rows[37][1], rows[-3][1] = "", null
    lines = [heads, *rows]
    detail: object = [dict(zip(heads, row, strict=True)) for row in rows]
    if shape == "arrays":
        detail = lines
    elif shape == "html":
        cells = ("".join(f"<td>{c.replace('<', '&lt;')}</td>" for c in row) for row in lines)
        detail = "".join(f"<tr>{row}</tr>" for row in cells)
    elif shape == "tabs":
        detail = "\n".join("\t".join(row) for row in lines)
    decoded = {message.id: message for message in table(detail).messages()}
    assert len(decoded) == many
    assert decoded["1kXpJb-000037-7Q"].sender is None
    assert decoded[rows[-3][0]].sender in ("", None)


def test_roles_known_only_by_their_order_may_each_be_in_either_place() -> None:
    rows = [["25m", EXIM, "ann@example.org", "bob@example.net", "2.9K"]]
    readings = {reading.field: reading for reading in table(rows).readings}
    for role, keys in (("sender", (2,)), ("recipients", (3,))):
        assert readings[role].keys == keys
        assert readings[role].certainty is GUESSED
        assert readings[role].candidates == (2, 3)
    decoded = [["25m", EXIM, "<>", "bob@example.net", "2.9K"], *rows]
    readings = {reading.field: reading for reading in table(decoded).readings}
    assert readings["sender"].candidates == readings["recipients"].candidates == ()


def html(*tables: tuple[list[str], list[list[str]]]) -> str:
    """Tables with headings, one after the other."""
    decoded = ""
    for headings, rows in tables:
        decoded += "<table><tr>" + "".join(f"<th>{each}</th>" for each in headings) + "</tr>"
        for row in rows:
            decoded += "<tr>" + "".join(f"<td>{each}</td>" for each in row) + "</tr>"
        decoded += "</table>"
    return decoded


AS_SENT = ["Time", "ID", "Sender", "Recipients"]
TURNED = ["Time", "ID", "Recipients", "Sender"]
ROW = ["25m", EXIM, "ann@example.org", "bob@example.net"]
LATER = ["26m", OTHER, "cat@example.org", "dan@example.net"]


@pytest.mark.parametrize("headings", [AS_SENT, TURNED])
def test_headings_of_a_table_name_its_columns(headings: list[str]) -> None:
    decoded = table(html((headings, [ROW, LATER])))
    assert {r.certainty for r in decoded.readings if r.keys} == {Certainty.NAMED}
    first = decoded.senders[0]
    assert first == ("ann@example.org" if headings is AS_SENT else "bob@example.net")


@pytest.mark.parametrize("apart", [True, False])
def test_tables_with_different_headings_are_not_read_by_each_others(apart: bool) -> None:
    """In one text or in two: what is not known to be so is guessed, or not understood."""
    both = (AS_SENT, [ROW]), (TURNED, [LATER])
    decoded = table([html(both[0]), html(both[1])] if apart else html(*both))
    named = {r.field for r in decoded.readings if r.certainty is Certainty.NAMED}
    senders = dict(zip(decoded.ids, decoded.senders, strict=True))
    if "sender" in named:
        assert senders.get(OTHER) in {None, "dan@example.net"}
    assert decoded.listed == 2


@pytest.mark.parametrize("more", [["eve@example.net"], ["eve@example.net", "fay@example.net"]])
def test_recipients_given_as_one_of_several_places_are_unknown(more: list[str]) -> None:
    """A part of them is not whom a message waits for."""
    fields = {"id": 1, "age": 0, "sender": 2, "recipients": 3}
    rows = [[*ROW, *more], [*LATER, *[""] * len(more)]]
    decoded = table(rows, fields=fields)
    assert decoded.recipients == [None, None]
    assert decoded.senders == ["ann@example.org", "cat@example.org"]
    alone = table([ROW, LATER], fields=fields)
    assert alone.recipients == [("bob@example.net",), ("dan@example.net",)]
    far = table([[*ROW, "2.9K", "eve@example.net"]], fields=fields)
    assert far.recipients == [("bob@example.net",)]


@pytest.mark.parametrize("odd_first", [True, False])
@pytest.mark.parametrize("many", [300, 5000])
def test_of_an_id_no_row_is_understood_when_one_has_two_different_senders(
    many: int, odd_first: bool
) -> None:
    rows: list[dict[str, object]] = [
        {"id": f"1kXpJb-{number:06d}-7Q", "time": "4d", "sender": sender, "from": sender}
        for number in range(many)
        for sender in [f"u{number}@example.org"]
    ]
    odd = rows[37] | {"sender": "<>"}
    rows[37:38] = [odd, rows[37]] if odd_first else [rows[37], odd]
    decoded = table(rows)
    assert "1kXpJb-000037-7Q" not in decoded.ids
    assert (len(decoded), decoded.unparsed) == (many - 1, 2)

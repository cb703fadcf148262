"""What is so about replies that were once decoded wrong: right or unknown, never wrong.

Each names a file of the corpus. That says how the reply is decoded today; this says what the queue
was, so that a decoder that comes to tell more is held to it as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from exporter.config.selectors import Selector
from exporter.panel.decode import decode_count_reply, decode_queue, queue_stats
from exporter.remediation.selection import select
from exporter.snapshot import Message
from tests.decode.corpus import Case, cases
from tests.decode.test_corpus import _options
from tests.fuzz.shown import Shown
from tests.fuzz.truth import Letter
from tests.fuzz.verdict import wrongs

ALICE, BOB, CAROL = "alice@example.org", "bob@example.net", "carol@example.net"
DAVE, ERIN = "dave@example.org", "erin@example.net"
MINUTE, HOUR, DAY = 60, 3600, 86400
EXACT = frozenset({"age", "size"})


@dataclass(frozen=True)
class Truth:
    """What the queue of a corpus file is."""

    name: str
    letters: Sequence[Letter]
    decoded: str = ""
    """The fields that are known of every message that can be read."""
    exact: frozenset[str] = frozenset()
    most: int | None = None
    """At most so many rows, understood or not; None for as many as there are messages."""


def _exim(number: str, age: int, size: int, sender: str, *to: str, **more: Any) -> Letter:
    return Letter(f"1kXpJb-0004Uv-{number}", age, size, sender, to, **more)


TRUTHS = (
    Truth(
        "arrays_empty_recipients_are_no_sender",
        [
            _exim("00", 4 * DAY, 2970, ALICE, frozen=True),
            _exim("01", 4 * DAY, 2970, ALICE, BOB, frozen=True),
            _exim("02", 3 * HOUR, 512, "carol@example.org", BOB),
        ],
    ),
    Truth(
        "arrays_cut_without_trim_half",
        [
            _exim("00", 7 * MINUTE, 1024, "", "erin@example.org"),
            _exim("01", 90 * MINUTE, 1468006, ALICE, BOB, CAROL),
        ],
    ),
    Truth(
        "arrays_cut_without_trim_marked",
        [
            _exim("00", 0, 122880, "", "a@example.net", "b@example.net", "c@example.net"),
            _exim("01", 31 * DAY, 1468006, ALICE, BOB, frozen=True),
        ],
    ),
    Truth(
        "arrays_cut_without_trim_most",
        [
            _exim("00", 7 * MINUTE, 1024, ALICE, BOB),
            _exim("01", 9 * MINUTE, 2048, ALICE, BOB),
            _exim("02", 8 * MINUTE, 3072, ALICE, BOB),
            _exim("03", 90 * MINUTE, 1468006, ALICE, BOB, CAROL),
        ],
    ),
    Truth(
        "html_table_breaks_in_cells",
        [
            _exim("00", 4 * DAY, 2970, ALICE, BOB, "carol@example.com", frozen=True),
            _exim("01", 3 * HOUR, 512, "", DAVE),
        ],
    ),
    Truth(
        "objects_all_empty_but_the_id",
        [
            _exim("00", 4 * DAY, 2970, ALICE, BOB, frozen=True),
            _exim("02", 0, 0, "", fault="read"),
        ],
    ),
    Truth(
        "exim_bp_lines_without_blank_ones",
        [
            Letter("1rXpJb-00000004Uv7-1ABC", 2 * DAY, 1229, ALICE, ('"bob smith"@example.net',)),
            Letter("1kXpJc-0004Uw-8R", 4 * HOUR, 3482, "", ("carol@example.org",), frozen=True),
            Letter("1rXpJb-00000004Uv9-1ABD", HOUR, 700, DAVE, (ERIN,)),
        ],
    ),
    Truth(
        "exim_bp_sender_without_brackets",
        [
            Letter("1rXpJb-0004Uv-01", 4 * DAY, 1229, ALICE, (BOB, "dave@example.net"), (CAROL,)),
            Letter("1rXpJb-0004Uv-02", 25 * MINUTE, 2560, "", ("erin@example.org",), frozen=True),
        ],
    ),
    Truth(
        "exim_bp_parentheses_in_quotes",
        [Letter("1xY415-0006BE-2v", 0, 658, "", ('"a (b) c"@example.org',))],
        decoded="age size sender recipients frozen",
    ),
    Truth(
        "exim_bp_ids_of_spool_files",
        [
            _exim("7Q", 2 * DAY, 1229, ALICE, BOB, CAROL),
            Letter("1kXpJc-0004Uw-8R", 4 * HOUR, 3482, "", (ALICE,), frozen=True),
            Letter("1rXpJb-00000004Uv7-1ABC", HOUR, 700, DAVE, (ERIN,)),
        ],
        decoded="age size sender recipients frozen",
    ),
    Truth(
        "postqueue_p_forced_to_expire",
        [
            Letter("3F2A91C0B4", 11938, 1234, ALICE, (BOB,)),
            Letter("3F2A91C0B5", 11878, 1235, "", (CAROL,), expires=True),
            Letter("3F2A91C0B6", 11818, 1236, DAVE, (ERIN,), frozen=True, expires=True),
            Letter("3F2A91C0B7", 11758, 1237, DAVE, (ERIN,), active=True),
        ],
        decoded="age size sender recipients frozen",
        exact=EXACT,
    ),
    Truth(
        "exim_bp_damaged_headers",
        [
            Letter("1xY415-0006B9-2r", 0, 15, ALICE, (CAROL,), (BOB,), frozen=True),
            Letter("1xY415-0006BB-2s", 0, 242, "", (DAVE,), frozen=True),
            Letter("1xY415-0006BG-2w", 0, 0, "", (), fault="format"),
        ],
    ),
    Truth(
        "postqueue_j_id_of_digits",
        [Letter("412344560", 300, 1532, ALICE, (BOB,))],
        decoded="age size sender recipients frozen",
        exact=EXACT,
    ),
    Truth(
        "objects_ages_of_zero",
        [_exim(f"{n:02d}", 400_000 * (n > 5), 100, ALICE, BOB) for n in range(10)],
        decoded="age size sender recipients frozen",
        exact=EXACT,
    ),
    Truth(
        "postqueue_p_heading_glued",
        [
            Letter("7E1CD369EB2E", 14400, 292, ALICE, (BOB,)),
            Letter("3F2A91C0B7", 11758, 1237, DAVE, (ERIN,), active=True),
        ],
        exact=EXACT,
    ),
    Truth(
        "objects_nested_reason",
        [Letter("3F2A91C0B5", 10000, 515, ALICE, (BOB,))],
        decoded="age size sender recipients frozen",
        exact=EXACT,
    ),
    Truth(
        "postqueue_j_lines",
        [
            Letter("3F2A91C0B5", 10000, 515, ALICE, (BOB,)),
            Letter("3F2A91C0B6", 10000, 615, "", (CAROL,), frozen=True),
        ],
        decoded="age size sender recipients frozen",
        exact=EXACT,
    ),
    Truth(
        "exim_bpa_generated",
        [Letter("1rXpJb-00000004Uv7-1ABC", 2 * HOUR, 1229, ALICE, (BOB,), generated=(CAROL,))],
        decoded="age size sender recipients frozen",
    ),
    Truth("mail_queue_is_empty_with_warning", [], most=1),
)


def _case(name: str) -> Case:
    return next(case for case in cases() if case.name == name)


@pytest.mark.parametrize("truth", TRUTHS, ids=lambda truth: truth.name)
def test_what_is_decoded_of_a_reply_is_so(truth: Truth) -> None:
    case = _case(f"list_msg/{truth.name}")
    table = decode_queue(case.body, _options(case))
    shown = Shown(None, truth.letters, truth.exact, separable=truth.most is None)
    assert [*wrongs(shown, table, queue_stats(table))] == []
    assert table.listed <= (len(truth.letters) if truth.most is None else truth.most)
    decoded: dict[str, Message] = {message.id: message for message in table.messages()}
    for letter in truth.letters:
        for name in truth.decoded.split():
            assert getattr(decoded[letter.id], name) is not None, (letter.id, name)


def test_no_case_of_mail_that_is_no_bounce_is_deleted_as_one() -> None:
    selector = Selector.model_validate({"frozen": True, "bounce": True, "older_than": "1d"})
    for name in ("arrays_empty_recipients_are_no_sender", "objects_all_empty_but_the_id"):
        case = _case(f"list_msg/{name}")
        assert select(decode_queue(case.body, _options(case)).messages(), selector) == []


def test_ages_of_zero_do_not_hide_the_old_ones() -> None:
    case = _case("list_msg/objects_ages_of_zero")
    table = decode_queue(case.body, _options(case))
    assert queue_stats(table).oldest_age == 400_000
    chosen = select(table.messages(), Selector.model_validate({"older_than": "1d"}))
    assert [message.id[-2:] for message in chosen] == ["06", "07", "08", "09"]


def test_the_last_line_of_mailq_is_a_count() -> None:
    assert decode_count_reply(_case("count_msg/mailq_closing").body) == 30
    assert decode_count_reply(b'{"error": 0, "detail": "Mail queue is empty"}') == 0
    assert decode_count_reply(b'{"error": 0, "detail": ["91", ""]}') == 91

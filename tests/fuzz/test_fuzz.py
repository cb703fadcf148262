"""A small run of the fuzzers with fixed seeds, and that they would see what is wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from exporter.panel.decode import ListOptions, decode_queue, queue_stats
from exporter.panel.protocol import Operation
from exporter.snapshot import Message
from tests.decode import rendering
from tests.fuzz import fuzz_decode, fuzz_truth, runner
from tests.fuzz.answers import Answer, check_answer, make_answer
from tests.fuzz.shown import Shown
from tests.fuzz.truth import NOW, Letter, queue
from tests.fuzz.verdict import wrongs

INPUTS = 500
"""By seed. `make fuzz` runs 200,000."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_what_is_decoded_of_a_known_queue_is_right_or_unknown(
    seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    violations = fuzz_truth.run_batch(seed, range(INPUTS))
    failures = [violation for violation in violations if not violation.tolerated]
    runner.tell(failures, 5)
    assert not failures, capsys.readouterr().out


def test_nothing_escapes_from_hostile_replies(capsys: pytest.CaptureFixture[str]) -> None:
    violations = fuzz_decode.run_batch(1, range(INPUTS))
    runner.tell(violations, 5)
    assert not violations, capsys.readouterr().out


LETTER = Letter(
    "1kXpJb-0004Uv-7Q",
    age=345_600,
    size=2970,
    sender="alice@example.org",
    recipients=("bob@example.net", "carol@example.net"),
    delivered=("dave@example.net",),
    frozen=True,
)


def _wrongs_of(letter: Letter, **arguments: Any) -> list[str]:
    """What is wrong where LETTER is shown, but the truth is another."""
    shown = Shown(
        rendering.exim_text(
            [
                Message(
                    *(LETTER.id, LETTER.age, LETTER.size, LETTER.sender),
                    *(LETTER.recipients, LETTER.delivered, LETTER.frozen),
                )
            ]
        ),
        [letter],
        frozenset({"age", "size"}),
        separable=True,
        **arguments,
    )
    body = rendering.reply(shown.payload)
    table = decode_queue(body, ListOptions(NOW))
    return [wrong.what for wrong in wrongs(shown, table, queue_stats(table))]


def test_the_judge_finds_nothing_where_all_is_right() -> None:
    assert _wrongs_of(LETTER) == []


@pytest.mark.parametrize(
    ("truth", "wrong"),
    [
        ({"id": "1kXpJb-0004Uv-7R"}, "id"),
        ({"age": 345_660}, "age"),
        ({"size": 2971}, "size"),
        ({"sender": ""}, "sender"),
        ({"recipients": ("bob@example.net",)}, "recipients"),
        ({"recipients": (*LETTER.recipients, "erin@example.net")}, "recipients"),
        ({"delivered": ()}, "delivered"),
        ({"frozen": False}, "frozen"),
        ({"frozen": False}, "selected"),
        ({"sender": ""}, "selected"),
        ({"age": 60}, "selected"),
        ({"fault": "read"}, "sender"),
    ],
)
def test_the_judge_sees_each_wrong_value(truth: dict[str, Any], wrong: str) -> None:
    assert wrong in _wrongs_of(replace(LETTER, **truth))


def test_the_judge_sees_rows_that_are_no_messages() -> None:
    shown = Shown("  3m   5 1kXpJb-0004Uv-7Q <>\n          a@b.example\n", [], separable=True)
    body = rendering.reply(shown.payload)
    table = decode_queue(body, ListOptions(NOW))
    decoded = [w.what for w in wrongs(shown, table, queue_stats(table))]
    assert decoded == ["id", "listed"]


@pytest.mark.parametrize(
    ("operation", "detail", "truth"),
    [
        (Operation.COUNT, "12", 13),
        (Operation.CLAMAV, '"Running"', "off"),
        (Operation.CLAMAV, '"Stopped"', "unknown"),
        (Operation.SPAMASSASSIN, '"Enabled"', "not installed"),
    ],
)
def test_the_judge_sees_a_wrong_count_and_state(
    operation: Operation, detail: str, truth: Any
) -> None:
    body = f'{{"error": 0, "detail": {detail}}}'.encode()
    assert len([*check_answer(Answer(operation, truth, body))]) == 1


def test_an_input_is_made_again_by_its_numbers() -> None:
    assert fuzz_truth.make_input(3, 14) == fuzz_truth.make_input(3, 14)
    assert fuzz_truth.make_input(3, 14).show() == fuzz_truth.make_input(3, 14).show()
    assert make_answer("3:16") == make_answer("3:16")


def test_every_shape_shows_something_of_a_queue() -> None:
    for name in fuzz_truth.SHAPES:
        shown = [fuzz_truth.Input(name, tuple(_queue(n)), str(n)).show() for n in range(20)]
        assert any(s.payload not in ("", [], {}) for s in shown), name


def _queue(number: int) -> list[Letter]:
    return queue(random.Random(number))


def test_a_fault_is_shown_in_a_small_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that tells a sender wrong is found, with one message that shows it."""
    real: Callable[..., Any] = decode_queue

    def wrong(body: bytes, options: ListOptions) -> Any:
        table = real(body, options)
        return replace(table, senders=["mallory@example.org" if s else s for s in table.senders])

    monkeypatch.setattr(fuzz_truth, "decode_queue", wrong)
    found = [v for v in fuzz_truth.run_batch(1, range(200)) if "mallory" in v.what]
    assert found
    sender = next(v for v in found if v.kind.endswith("sender"))
    assert "'mallory@example.org', in truth" in sender.what

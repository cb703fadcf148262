"""Known queues in every shape, held against what is decoded: `python -m tests.fuzz.fuzz_truth`.

*Right or unknown, never wrong*: a named or structural value never, a guessed one in no shape that
a panel may have; where a list is damaged a wrong guess, marked as one, is counted apart.
"""

from __future__ import annotations

import json
import random
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any

from exporter.panel.decode import ListOptions, decode_queue, decode_queue_update, queue_stats
from exporter.panel.errors import PanelError
from tests.fuzz import console_shapes, row_shapes, runner
from tests.fuzz.answers import check_answer, make_answer
from tests.fuzz.shown import Shape, Shown
from tests.fuzz.truth import NOW, Letter, queue
from tests.fuzz.verdict import Wrong, wrongs

SHAPES: Mapping[str, Shape] = {**console_shapes.SHAPES, **row_shapes.SHAPES}
_NAMES = [*SHAPES]

ANSWERS = 8
"""One input of so many is of a count or of a service."""

MAX_SHRINKS = 1
"""Violations of one kind in a batch that are made smaller."""


@dataclass(frozen=True, slots=True)
class Input:
    """A queue, and how it is shown."""

    shape: str
    letters: tuple[Letter, ...]
    salt: str
    """Seed of all that the shape leaves open."""

    def show(self) -> Shown:
        """The payload and what is expected of who reads it."""
        return SHAPES[self.shape](self.letters, random.Random(self.salt))


def make_input(seed: int, number: int) -> Input:
    """The input of this number."""
    pick = random.Random(f"{seed}:{number}")
    return Input(pick.choice(_NAMES), tuple(queue(pick)), f"{seed}:{number}:shape")


def body_of(payload: Any, salt: str) -> bytes:
    """A reply around the payload, as one panel or another writes it."""
    pick = random.Random(f"{salt}:envelope")
    code = pick.choice((0, 0, 0, "0", 200, 201))
    key = pick.choice(("detail", "detail", "detail", "data", "array", "list_msg"))
    reply = {
        pick.choice(("error", "code")): code,
        pick.choice(("mess", "message")): "Mail queue list",
        key: payload,
    }
    before = pick.choice(("", "", "", "\n\n", "\ufeff", "<br />\n<b>Warning</b>: x in y<br />\n"))
    return before.encode() + json.dumps(reply, ensure_ascii=pick.random() < 0.5).encode()


def check(given: Input) -> list[Wrong]:
    """What is wrong about the decoded list; none when it is refused as a whole."""
    shown = given.show()
    body = body_of(shown.payload, given.salt)
    options = ListOptions(NOW + shown.ahead, shown.fields or {}, UTC)
    try:
        table = decode_queue(body, options)
    except PanelError:
        return []
    if random.Random(f"{given.salt}:poll").random() < 0.67:
        return [*wrongs(shown, table, queue_stats(table))]
    return [*wrongs(shown, table, decode_queue_update(body, options).stats)]


def shrink(given: Input, wrong: Wrong) -> Input:
    """A smaller input with the same fault."""

    def fails(smaller: Input) -> bool:
        try:
            return any(
                found.what == wrong.what and found.guessed == wrong.guessed
                for found in check(smaller)
            )
        except Exception:  # noqa: BLE001  # another fault
            return False

    smallest = given
    for number in reversed(range(len(given.letters))):
        letters = smallest.letters
        smaller = replace(smallest, letters=letters[:number] + letters[number + 1 :])
        if smaller.letters and fails(smaller):
            smallest = smaller
    for number in range(len(smallest.letters)):
        for simpler in _simpler(smallest.letters[number]):
            letters = smallest.letters
            smaller = replace(
                smallest, letters=(*letters[:number], simpler, *letters[number + 1 :])
            )
            if fails(smaller):
                smallest = smaller
    return smallest


def _simpler(letter: Letter) -> Sequence[Letter]:
    return (
        replace(letter, delivered=(), generated=()),
        replace(letter, recipients=letter.recipients[:1], reasons=letter.reasons[:1]),
        replace(letter, sender="alice@example.org"),
        replace(letter, recipients=("bob@example.net",), reasons=("",)),
        replace(letter, frozen=False),
        replace(letter, login="", expires=False, active=False),
        replace(letter, fault=""),
        replace(letter, age=60),
    )


def describe(given: Input, found: Sequence[Wrong]) -> str:
    """The input and its faults, to be read by a person."""
    shown = given.show()
    payload = json.dumps(shown.payload, ensure_ascii=False)
    if isinstance(shown.payload, str):
        payload += "\n" + shown.payload
    decoded = "\n".join(f"  {'(guessed) ' * w.guessed}{w.what}: {w.sentence}" for w in found)
    return f"{given.shape}\n{payload}\n{decoded}"


def run_batch(seed: int, numbers: range) -> list[runner.Violation]:
    """What these inputs break."""
    violations = []
    shrunk: dict[str, int] = {}
    for number in numbers:
        if number % ANSWERS == 0:
            answer = make_answer(f"{seed}:{number}")
            violations += [
                runner.Violation(
                    seed, number, wrong.what, f"{answer.body.decode()}\n{wrong.sentence}"
                )
                for wrong in check_answer(answer)
            ]
            continue
        given = make_input(seed, number)
        try:
            found = check(given)
        except Exception:  # noqa: BLE001  # whatever escapes is the finding
            what = traceback.format_exc(limit=-4)
            violations.append(runner.Violation(seed, number, "an exception", what))
            continue
        if not found:
            continue
        damaged = given.show().damaged
        worst = min(found, key=lambda wrong: wrong.guessed)
        kind = f"{given.shape}: {worst.what}" + " (guessed)" * worst.guessed
        if shrunk.setdefault(kind, 0) < MAX_SHRINKS:
            shrunk[kind] += 1
            given = shrink(given, worst)
            found = check(given)
        violations.append(
            runner.Violation(
                seed, number, kind, describe(given, found), tolerated=damaged and worst.guessed
            )
        )
    return violations


if __name__ == "__main__":
    sys.exit(runner.main("fuzz of the truth", __doc__, run_batch))

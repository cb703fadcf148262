"""Hostile and damaged replies against every decoder: `python -m tests.fuzz.fuzz_decode`.

Each input is made from a seed and a number, so that a violation can be made again. Inputs are
the corpus' replies and rendered queues, mutated as bytes and as JSON, in any combination.
"""

from __future__ import annotations

import json
import random
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from exporter.snapshot import Message
from tests.decode import rendering
from tests.decode.corpus import cases
from tests.decode.invariants import check_reply
from tests.fuzz import runner

SLOW = 2.0
"""Seconds of CPU time for one small input: nothing linear takes that long."""
_ZONES: tuple[tzinfo | None, ...] = (None, UTC, ZoneInfo("Europe/Moscow"))
_FIELDS = ("id", "age", "size", "sender", "recipients", "frozen")

_PIECES = [
    *("1kXpJb-0004Uv-7Q", "1rXpJb-00000004Uv7-1ABC", "3F2A91C0B4*", "DEADBEEF", "512000", "-5"),
    *("25m", "-1666m", "2.9K", "1024M", "Mon Nov 23 08:41:02", "1795487700", "99999999999999999"),
    *("<>", "<a@b.ru>", '"x> *** frozen ***"@y.ru', "*** frozen ***", "D a@b.ru", "a@b, c@d"),
    *("frozen", "не ", "not ", "running", "включен", "active: ", "<br>", "<pre>", "&lt;", "\t"),
    *("\n", "\n\n", "          ", '"', "\\", "{", "}", "[", "]", ",", ":", "null", "NaN", "1e999"),
    *("\ufeff", "\x00", "\ud800", "é", "𝔘", "error", "detail", "code", "count", "(", ")", "@", "!"),
]


@cache
def seeds() -> list[bytes]:
    """What is mutated."""
    messages = [
        Message(
            f"1kXp{n}b-0004Uv-7Q",
            60.0 * n,
            100 + n,
            f"s{n}@a.ru" * (n % 3 > 0),
            (f"r{n}@b.ru",),
            (),
            n > 4,
        )
        for n in range(8)
    ]
    bodies = [rendering.reply(render(messages)) for render in rendering.EXIM.values()]
    bodies += [rendering.reply(render(messages)) for render in rendering.POSTFIX.values()]
    bodies += [case.body for case in cases() if "repeat" not in case.content]
    return bodies


def mutate_bytes(body: bytes, pick: random.Random) -> bytes:
    """A few cuts, repetitions, insertions and flipped bytes."""
    for _ in range(pick.randint(1, 4)):
        at = pick.randint(0, len(body))
        to = min(len(body), at + pick.randint(0, 40))
        kind = pick.randrange(5)
        if kind == 0:
            body = body[:at] + body[to:]
        elif kind == 1:
            body = body[:at] + body[at:to] * pick.randint(2, 20) + body[to:]
        elif kind == 2:
            piece = pick.choice(_PIECES).encode("utf-8", "surrogatepass")
            body = body[:at] + piece * pick.choice((1, 1, 1, 50)) + body[to:]
        elif kind == 3:
            body = body[:at] + bytes(pick.randrange(256) for _ in range(to - at)) + body[to:]
        else:
            body = body[:at]
    return body


def mutate_value(value: Any, pick: random.Random, depth: int = 0) -> Any:
    """The value with some parts exchanged for others."""
    if pick.random() < 0.08 or depth > 6:
        return _any_value(pick)
    if isinstance(value, dict):
        items = [(k, mutate_value(v, pick, depth + 1)) for k, v in value.items()]
        if pick.random() < 0.1:
            items.append((pick.choice(_PIECES), _any_value(pick)))
        if pick.random() < 0.1:
            pick.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        values = [mutate_value(item, pick, depth + 1) for item in value]
        if values and pick.random() < 0.2:
            values[pick.randrange(len(values))] = pick.choice(values)
        return values
    return value


def _any_value(pick: random.Random) -> Any:
    makers: Sequence[Callable[[], Any]] = (
        lambda: None,
        lambda: pick.choice(_PIECES),
        lambda: "".join(pick.choices(_PIECES, k=pick.randint(2, 12))),
        lambda: pick.choice((True, False, 0, 1, -1, 2**63, 10**30, 0.5, 1795487700)),
        lambda: [pick.choice(_PIECES) for _ in range(pick.randint(0, 6))],
        lambda: {pick.choice(_PIECES): pick.choice(_PIECES) for _ in range(pick.randint(0, 5))},
    )
    return pick.choice(makers)()


def make_input(bodies: Sequence[bytes], seed: int, number: int) -> tuple[bytes, dict[str, Any]]:
    """The input and its arguments."""
    pick = random.Random(f"{seed}:{number}")
    body = pick.choice(bodies)
    if pick.random() < 0.6:
        try:
            value = mutate_value(json.loads(body), pick)
            body = json.dumps(value).encode()
        except (ValueError, RecursionError):
            pass
    if pick.random() < 0.5:
        body = mutate_bytes(body, pick)
    fields = None
    if pick.random() < 0.2:
        keys = (*range(7), "id", "time", "from")
        fields = {name: pick.choice(keys) for name in pick.sample(_FIELDS, pick.randint(1, 4))}
    now = pick.choice((rendering.NOW, rendering.NOW, 0.0, 4e9))
    return body, {"now": now, "fields": fields, "time_zone": pick.choice(_ZONES)}


def run_batch(seed: int, numbers: range) -> list[runner.Violation]:
    """What these inputs break."""
    violations = []
    bodies = seeds()
    for number in numbers:
        body, arguments = make_input(bodies, seed, number)
        started = time.process_time()
        try:
            check_reply(body, **arguments)
        except Exception as error:  # noqa: BLE001  # whatever escapes is the finding
            kind = f"{type(error).__name__} at {traceback.extract_tb(error.__traceback__)[-1].name}"
            what = f"{body[:2000]!r}\n{traceback.format_exc(limit=-4)}"
            violations.append(runner.Violation(seed, number, kind, what))
        if time.process_time() - started > SLOW:
            what = f"{body[:2000]!r}\ntook more than {SLOW} s"
            violations.append(runner.Violation(seed, number, "slow", what))
    return violations


if __name__ == "__main__":
    sys.exit(runner.main("fuzz of hostile replies", __doc__, run_batch))

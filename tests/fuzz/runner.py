"""Runs numbered inputs on every core and tells what they break; shared by the fuzzers."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

_BATCH = 500


class Violation(NamedTuple):
    """An input that broke what must hold; seed and number make it again."""

    seed: int
    number: int
    kind: str
    """What broke, in a few words: violations of one kind are shown once."""
    what: str
    tolerated: bool = False
    """Counted and shown, but no failure."""


RunBatch = Callable[[int, range], list[Violation]]
"""What the inputs with these numbers break, by a seed."""


def run(run_batch: RunBatch, inputs: int, seed: int) -> list[Violation]:
    """What so many inputs break, on all cores."""
    batches = [range(start, min(start + _BATCH, inputs)) for start in range(0, inputs, _BATCH)]
    work = partial(run_batch, seed)
    workers = min(len(batches), os.cpu_count() or 1)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return [found for batch in pool.imap(work, batches) for found in batch]


def main(
    name: str, description: str | None, run_batch: RunBatch, arguments: Sequence[str] | None = None
) -> int:
    """Exit code 1 when anything was violated that is not tolerated."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--number", type=int, help="this input alone")
    parser.add_argument("--show", type=int, default=10, help="kinds of violation to tell")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    if options.number is not None:
        violations = run_batch(options.seed, range(options.number, options.number + 1))
    else:
        violations = run(run_batch, options.inputs, options.seed)
    failures = [violation for violation in violations if not violation.tolerated]
    tell(failures, options.show)
    tolerated = Counter(violation.kind for violation in violations if violation.tolerated)
    for kind, times in tolerated.most_common():
        print(f"tolerated {times} times: {kind}")
    took = time.monotonic() - started
    inputs = options.inputs if options.number is None else 1
    print(
        f"{name}: {inputs} inputs of seed {options.seed}, {len(failures)} violations, "
        f"{tolerated.total()} tolerated, {took:.0f} s"
    )
    return 1 if failures else 0


def tell(violations: Sequence[Violation], most: int) -> None:
    """Print the shortest of each kind, the most frequent kinds first."""
    kinds = Counter(violation.kind for violation in violations)
    for kind, times in kinds.most_common(most):
        shortest = min((v for v in violations if v.kind == kind), key=lambda v: len(v.what))
        print(
            f"--- {times} times: {kind}\n"
            f"seed {shortest.seed}, input {shortest.number}:\n{shortest.what}"
        )
    if len(kinds) > most:
        print(f"--- and {len(kinds) - most} kinds more (--show)")
    sys.stdout.flush()

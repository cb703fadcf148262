"""Decoding list_msg of 100,000 messages against json.loads plus a naive pass over the rows."""

from __future__ import annotations

import gc
import json
import multiprocessing
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from exporter.panel.decode import ListOptions, QueueUpdate, decode_queue_update

ROWS = 100_000
ROUNDS = 5
NOW = 1_795_489_200.0

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_UNITS = {"m": 60, "h": 3600, "d": 86400}
_SIZES = {"K": 2**10, "M": 2**20}


@dataclass(frozen=True)
class Row:
    """One generated message in the terms of every shape."""

    exim_id: str
    postfix_id: str
    arrival: int
    age: str
    size: int
    size_text: str
    sender: str
    recipient: str
    frozen: bool


@dataclass(frozen=True)
class Measured:
    """Seconds and bytes for one shape."""

    shape: str
    body: int
    ours: float
    """Bytes to QueueStats, as the baseline."""
    baseline: float
    with_changes: float
    """Bytes to QueueStats, arrivals and departures since the list before, by id."""
    rss_growth: int
    """Peak RSS of a fresh process above what it held with the body in memory."""

    @property
    def ratio(self) -> float:
        """Our time as a share of the baseline's."""
        return self.ours / self.baseline


def rows(count: int, seed: int = 1) -> list[Row]:
    pick = random.Random(seed)

    def row(number: int) -> Row:
        minutes = pick.randint(0, 7000)
        age = f"{minutes}m" if minutes <= 90 else f"{minutes // 60}h"
        age = age if minutes <= 72 * 60 else f"{minutes // 1440}d"
        size = pick.randint(300, 90_000)
        text = str(size) if size < 1024 else f"{size / 1024:.1f}K"
        part = "".join(pick.choices(_BASE62, k=6))
        return Row(
            f"1{part[:5]}-{number:06d}-{part[-2:]}",
            f"{pick.getrandbits(20):05X}{number:07X}",
            int(NOW) - minutes * 60 - pick.randint(0, 59),
            age,
            size,
            text,
            ""
            if pick.random() < 0.1
            else f"user{pick.randint(1, 9999)}@d{pick.randint(1, 3000)}.example.com",
            f"someone{number}@dest{pick.randint(1, 3000)}.example.org",
            pick.random() < 0.05,
        )

    return [row(number) for number in range(count)]


# --- shapes -----------------------------------------------------------------------------------


def _objects(rows: list[Row]) -> object:
    return [
        {
            "time": r.age,
            "id": r.exim_id,
            "sender": f"<{r.sender}>",
            "recipients": r.recipient,
            "size": r.size_text,
            "status": "frozen" if r.frozen else "",
            "action": "<a href='?module=mailserver'>delete</a>",
        }
        for r in rows
    ]


def _arrays(rows: list[Row]) -> object:
    return [
        [r.age, r.exim_id, r.sender, r.recipient, r.size_text, "frozen" if r.frozen else "", "x"]
        for r in rows
    ]


def _exim_lines(rows: list[Row]) -> list[str]:
    lines = []
    for r in rows:
        mark = " *** frozen ***" if r.frozen else ""
        lines += [f"{r.age:>3} {r.size_text:>5} {r.exim_id} <{r.sender}>{mark}"]
        lines += [f"          {r.recipient}", ""]
    return lines


def _exim_text(rows: list[Row]) -> object:
    return "\n".join(_exim_lines(rows))


def _postfix_text(rows: list[Row]) -> object:
    lines = ["-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"]
    for r in rows:
        date = datetime.fromtimestamp(r.arrival, UTC).strftime("%a %b %e %H:%M:%S")
        mark = "!" if r.frozen else " "
        lines += [f"{r.postfix_id}{mark} {r.size:8} {date}  {r.sender or 'MAILER-DAEMON'}"]
        lines += ["(connect to mx.example.org[192.0.2.1]:25: Connection timed out)"]
        lines += [" " * 41 + r.recipient, ""]
    return "\n".join(lines)


def _postfix_objects(rows: list[Row]) -> object:
    return [
        {
            "queue_name": "hold" if r.frozen else "deferred",
            "queue_id": r.postfix_id,
            "arrival_time": r.arrival,
            "message_size": r.size,
            "sender": r.sender or "MAILER-DAEMON",
            "recipients": [{"address": r.recipient, "delay_reason": "connection timed out"}],
        }
        for r in rows
    ]


# --- the naive passes -------------------------------------------------------------------------


class _Tally:
    def __init__(self) -> None:
        self.ages = self.size = self.frozen = 0
        self.domains: Counter[str] = Counter()

    def add(self, age: int, size: int, sender: str, recipient: str, *, frozen: bool) -> None:
        self.ages += age
        self.size += size
        self.frozen += frozen
        self.domains[sender.rpartition("@")[2]] += 1
        self.domains[recipient.rpartition("@")[2]] += 1


def _age(text: str) -> int:
    return int(text[:-1]) * _UNITS[text[-1]]


def _size(text: str) -> int:
    return int(float(text[:-1]) * _SIZES[text[-1]]) if text[-1] in _SIZES else int(text)


def _naive_objects(detail: Any) -> None:
    tally = _Tally()
    for r in detail:
        frozen = r["status"] == "frozen"
        tally.add(_age(r["time"]), _size(r["size"]), r["sender"], r["recipients"], frozen=frozen)


def _naive_arrays(detail: Any) -> None:
    tally = _Tally()
    for r in detail:
        tally.add(_age(r[0]), _size(r[4]), r[2], r[3], frozen=r[5] == "frozen")


_EXIM_HEADER = re.compile(r"\s*(\d+[mhd])\s+([\d.]+[KM]?)\s+(\S+)\s+<(.*?)>(.*)")
_POSTFIX_HEADER = re.compile(r"(\w+)([*! ])\s+(\d+) (\w+ \w+ +\d+ [\d:]+)\s+(\S+)")


def _naive_lines(lines: list[str]) -> None:
    tally = _Tally()
    header: re.Match[str] | None = None
    for line in lines:
        match = _EXIM_HEADER.match(line)
        if match:
            header = match
        elif line and header:
            age, size, _, sender, rest = header.groups()
            tally.add(_age(age), _size(size), sender, line.strip(), frozen="frozen" in rest)


def _naive_text(detail: Any) -> None:
    _naive_lines(detail.split("\n"))


def _naive_postfix_text(detail: Any) -> None:
    tally = _Tally()
    header: re.Match[str] | None = None
    for line in detail.split("\n"):
        match = _POSTFIX_HEADER.match(line)
        if match:
            header = match
        elif line and line[0] != "(" and header:
            _, mark, size, date, sender = header.groups()
            arrival = datetime.strptime(f"2026 {date}", "%Y %a %b %d %H:%M:%S").replace(tzinfo=UTC)
            age = int(NOW - arrival.timestamp())
            tally.add(age, int(size), sender, line.strip(), frozen=mark == "!")


def _naive_postfix_objects(detail: Any) -> None:
    tally = _Tally()
    for r in detail:
        age = int(NOW) - r["arrival_time"]
        to = r["recipients"][0]["address"]
        tally.add(age, r["message_size"], r["sender"], to, frozen=r["queue_name"] == "hold")


SHAPES: Mapping[str, tuple[Callable[[list[Row]], object], Callable[[Any], None]]] = {
    "objects": (_objects, _naive_objects),
    "arrays": (_arrays, _naive_arrays),
    "exim -bp text": (_exim_text, _naive_text),
    "exim -bp lines": (_exim_lines, _naive_lines),
    "postqueue -p text": (_postfix_text, _naive_postfix_text),
    "postqueue -j objects": (_postfix_objects, _naive_postfix_objects),
}


def body(shape: str, count: int = ROWS) -> bytes:
    detail = SHAPES[shape][0](rows(count))
    return json.dumps({"error": 0, "mess": "ok", "detail": detail}).encode()


def measure(count: int = ROWS, rounds: int = ROUNDS) -> list[Measured]:
    """Every shape: medians, taken in turns so that a busy machine disturbs all alike.

    All as the daemon decodes: no cyclic collector.
    """
    results = []
    for shape, (_, naive) in SHAPES.items():
        reply = body(shape, count)
        last = _decode(reply)
        ours, baseline, with_changes = [], [], []
        for _ in range(rounds):
            gc.disable()  # as in the daemon's worker process, where large lists are decoded
            ours.append(_seconds(partial(_decode, reply)))
            with_changes.append(_seconds(partial(_decode, reply, last.ids)))
            gc.enable()
            baseline.append(_seconds(partial(_loads_and, naive, reply)))
        growth = _in_fresh_process(shape, count)
        results.append(
            Measured(
                shape,
                len(reply),
                statistics.median(ours),
                statistics.median(baseline),
                statistics.median(with_changes),
                growth,
            )
        )
    return results


def _decode(reply: bytes, previous_ids: bytes | None = None) -> QueueUpdate:
    return decode_queue_update(reply, ListOptions(NOW, time_zone=UTC), previous_ids=previous_ids)


def _loads_and(naive: Callable[[Any], None], reply: bytes) -> None:
    naive(json.loads(reply)["detail"])


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _in_fresh_process(shape: str, count: int) -> int:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_rss_growth, (body(shape, count),))


def _rss_growth(reply: bytes) -> int:
    # A first small decode: what stays loaded for good is no growth of this one.
    _decode(b'{"error": 0, "detail": []}')
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from now on
    before = _peak_rss()
    _decode(reply)
    return _peak_rss() - before


def _peak_rss() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def main() -> None:
    print(
        f"{'shape':22} {'MB':>5} {'ours ms':>8} {'naive ms':>9} {'ratio':>6} {'+ ids ms':>9} "
        f"{'RSS/body':>9}"
    )
    for m in measure():
        print(
            f"{m.shape:22} {m.body / 1e6:5.1f} {m.ours * 1e3:8.0f} {m.baseline * 1e3:9.0f} "
            f"{m.ratio:6.2f} {m.with_changes * 1e3:9.0f} {m.rss_growth / m.body:9.2f}"
        )


if __name__ == "__main__":
    main()

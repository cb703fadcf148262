"""Rows of known queues: objects, arrays and tables, as PHP panels make them."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, get_args

from exporter.config.panel_api import Language
from exporter.snapshot import Message
from exporter.standin import replies
from exporter.standin.console import exim_age, exim_listing, exim_size, postfix_listing
from exporter.standin.queue import QueuedMessage
from tests.decode import rendering
from tests.fuzz.console import Console, blocks, postfix_date, postfix_id
from tests.fuzz.shown import Shape, Shown
from tests.fuzz.truth import NOW, Letter, long_queue

Cell = Callable[[Letter, Random], Any]

# --- one value in every way that is known -----------------------------------------------------


def _iso(letter: Letter, *, zone: str) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(NOW - letter.age)) + zone


EXACT_AGES: Mapping[str, Cell] = {
    "epoch": lambda letter, _: int(NOW) - letter.age,
    "epoch text": lambda letter, _: str(int(NOW) - letter.age),
    "epoch ms": lambda letter, _: (int(NOW) - letter.age) * 1000,
    "asctime": lambda letter, _: postfix_date(letter),
    "iso": lambda letter, _: _iso(letter, zone=""),
    "iso zone": lambda letter, _: _iso(letter, zone=" +0000"),
    "seconds": lambda letter, _: f"{letter.age}s",
    "long": lambda letter, _: (
        f"{letter.age // 86400}d {letter.age % 86400 // 3600}h {letter.age % 3600 // 60}m"
        f" {letter.age % 60}s"
    ),
}
EXIM_AGES: Mapping[str, Cell] = {
    "exim": lambda letter, _: exim_age(letter.age),
    "exim padded": lambda letter, _: f"{exim_age(letter.age):>3}",
}
EXACT_SIZES: Mapping[str, Cell] = {
    "int": lambda letter, _: letter.size,
    "text": lambda letter, _: str(letter.size),
    "bytes": lambda letter, _: f"{letter.size} B",
}
EXIM_SIZES: Mapping[str, Cell] = {
    "exim": lambda letter, _: exim_size(letter.size),
    "exim spaced": lambda letter, _: _spaced(exim_size(letter.size)),
}


def _spaced(text: str) -> str:
    return f"{text[:-1]} {text[-1]}B" if text[-1:].isalpha() else text


SENDERS: Mapping[str, Cell] = {
    "plain": lambda letter, _: letter.sender,
    "null written": lambda letter, _: letter.sender or "<>",
    "brackets": lambda letter, _: f"<{letter.sender}>",
    "brackets escaped": lambda letter, _: f"&lt;{html.escape(letter.sender)}&gt;",
    "daemon": lambda letter, _: letter.sender or "MAILER-DAEMON",
    "login": lambda letter, _: f"<{letter.sender}>" + f" ({letter.login})" * bool(letter.login),
    "mark": lambda letter, _: f"<{letter.sender}>" + " *** frozen ***" * letter.frozen,
    "named": lambda letter, _: f"Some Name <{letter.sender}>",
    "list": lambda letter, _: [letter.sender],
    "mailto": lambda letter, _: (
        f'<a href="mailto:{html.escape(letter.sender)}">{html.escape(letter.sender)}</a>'
    ),
}

RECIPIENTS: Mapping[str, Cell] = {
    "list": lambda letter, _: [*letter.recipients],
    "commas": lambda letter, _: ", ".join(letter.recipients),
    "commas tight": lambda letter, _: ",".join(letter.recipients),
    "blanks": lambda letter, _: " ".join(letter.recipients),
    "semicolons": lambda letter, _: "; ".join(letter.recipients),
    "lines": lambda letter, _: "\n".join(letter.recipients),
    "breaks": lambda letter, _: "<br>".join(letter.recipients),
    "breaks escaped": lambda letter, _: "<br />".join(map(html.escape, letter.recipients)),
    "brackets": lambda letter, _: ", ".join(f"<{address}>" for address in letter.recipients),
    "marks": lambda letter, _: "\n".join(
        [*(f"D {a}" for a in letter.delivered), *letter.recipients]
    ),
    "marks list": lambda letter, _: [*(f"D {a}" for a in letter.delivered), *letter.recipients],
    "marks breaks": lambda letter, _: "<br>".join(
        [*(f"D {a}" for a in letter.delivered), *letter.recipients]
    ),
    "generated": lambda letter, _: "\n".join(
        [
            *(f"D {a}" for a in letter.delivered),
            *letter.recipients,
            *(f"+D {a}" for a in letter.generated),
        ]
    ),
    "reasons": lambda letter, _: [
        f"{address} ({reason})" if reason else address for address, reason in _reasons(letter)
    ],
    "reasons text": lambda letter, _: "\n".join(
        f"{address} ({reason})" if reason else address for address, reason in _reasons(letter)
    ),
    "objects": lambda letter, _: [
        {"address": address, "delay_reason": reason} if reason else {"address": address}
        for address, reason in _reasons(letter)
    ],
    "numbered": lambda letter, _: {str(2 * n): a for n, a in enumerate(letter.recipients)},
    "json text": lambda letter, _: json.dumps([*letter.recipients]),
    "first and number": lambda letter, _: _shortened(letter, "{} (+{})"),
    "first and more": lambda letter, _: _shortened(letter, "{} and {} more"),
    "first and more ru": lambda letter, _: _shortened(letter, "{} и ещё {}"),
    "first and dots": lambda letter, _: (
        letter.recipients[0] + ", ..." * (len(letter.recipients) > 1) if letter.recipients else ""
    ),
    "number": lambda letter, _: len(letter.recipients),
    "items": lambda letter, _: (
        "<ul>" + "".join(f"<li>{html.escape(a)}</li>" for a in letter.recipients) + "</ul>"
    ),
}


def _reasons(letter: Letter) -> list[tuple[str, str]]:
    reasons = letter.reasons or ("",) * len(letter.recipients)
    return [*zip(letter.recipients, reasons, strict=False)]


def _shortened(letter: Letter, form: str) -> str:
    if len(letter.recipients) < 2:
        return "".join(letter.recipients)
    return form.format(letter.recipients[0], len(letter.recipients) - 1)


_WORDS = (
    ("In queue", "Frozen"),
    ("active", "frozen"),
    ("В очереди", "Заморожено"),
    ("", "Frozen"),
    ("", "*** frozen ***"),
    ("у черзі", "заморожене"),
    ("正常", "冻结"),
    ("deferred", "hold"),
    ("", "❄"),
    ("sleeping", "thawed"),
    ("-", "frozen"),
)


def _words(no: str, yes: str) -> Cell:
    return lambda letter, _: yes if letter.frozen else no


STATES: Mapping[str, Cell] = {
    **{f"words {no!r} {yes!r}": _words(no, yes) for no, yes in _WORDS},
    "label": lambda letter, _: (
        f'<span class="label {"bad" if letter.frozen else "good"}">'
        f"{'Frozen' if letter.frozen else 'In queue'}</span>"
    ),
    "picture": lambda letter, _: f'<img src="/img/{"frozen" if letter.frozen else "ok"}.png">',
    "picture for frozen": lambda letter, _: "<i class='snow'></i>" * letter.frozen,
}
FLAGS: Mapping[str, Cell] = {
    "bool": lambda letter, _: letter.frozen,
    "number": lambda letter, _: int(letter.frozen),
    "number text": lambda letter, _: str(int(letter.frozen)),
    "yes": lambda letter, _: "yes" if letter.frozen else "no",
    "да": lambda letter, _: "да" if letter.frozen else "нет",
    "empty": lambda letter, _: "1" if letter.frozen else "",
}

EXTRAS: Mapping[str, Cell] = {
    "subject": lambda letter, pick: pick.choice(
        ("Hello", "Re: bob@example.net", "frozen", "<>", "", "25m", "2.9K", "Re: 3F2A91C0B4")
        + ("1kXpJb-0004Uv-7Q",) * letter.is_exim
    ),
    "host": lambda _, pick: pick.choice(("mx.example.net", "192.0.2.1", "")),
    "tries": lambda _, pick: pick.randint(0, 30),
    "next_try": lambda _, pick: int(NOW) + pick.randint(60, 9999),
    "last_try": lambda _, pick: f"{pick.randint(1, 59)}m",
    "error": lambda _, pick: pick.choice(("", "timed out", "bob@example.net: greylisted", "0")),
    "reply_to": lambda _, pick: pick.choice(("<>", "alice@example.org", "")),
    "user": lambda _, pick: pick.choice(("www-data", "root", "alice", "frozen", "DEADBEEF")),
    "action": lambda letter, _: f"<a href='?del={letter.id}'>x</a>",
    "number": lambda _, pick: pick.randint(1, 200),
    "forced_expire": lambda _, pick: pick.random() < 0.5,
    "cc": lambda _, pick: pick.choice(("dave@example.org, erin@example.org", "", "x@example.com")),
    "frozen_since": lambda _, pick: pick.choice(("", "4d")),
    "header_size": lambda _, pick: pick.randint(200, 3000),
    "spam_score": lambda _, pick: f"{pick.randint(0, 99) / 10}",
    "priority": lambda _, pick: pick.choice(("normal", "low")),
}

# --- objects ----------------------------------------------------------------------------------

KEYS: Mapping[str, tuple[str, ...]] = {
    "id": (
        *("id", "msg_id", "message_id", "queue_id", "ID письма", "Message ID", "mid", "邮件ID"),
        *("Message-ID", "qid", "uid", "ident", "exim_id", "mailq_id", "name", "file"),
    ),
    "age": (
        *("time", "age", "arrival_time", "Time", "date", "Время", "in_queue", "received", "日期"),
        *("queued_for", "waiting", "since", "t", "timestamp", "Дата"),
    ),
    "size": ("size", "message_size", "Size", "Размер", "bytes", "length", "大小", "sz", "vol"),
    "sender": (
        *("sender", "from", "Senders", "Отправитель", "mail_from", "envelope_from", "发件人"),
        *("return_path", "frm", "s", "src", "author"),
    ),
    "recipients": (
        *("recipients", "to", "Recipients", "Получатели", "rcpt", "rcpt_to", "收件人", "receiver"),
        *("for", "r", "dst", "whom", "addressee"),
    ),
    "frozen": ("status", "Status", "Статус", "state", "状态", "flags", "queue_name", "cond", "st"),
    "flag": ("frozen", "is_frozen", "hold", "on_hold", "заморожено", "freeze", "fz"),
}


def _cells(letters: Sequence[Letter], pick: Random) -> tuple[dict[str, Cell], frozenset[str]]:
    """A way to write each field, and which of age and size that tells exactly."""
    exact = set()
    ages, sizes = EXIM_AGES, EXIM_SIZES
    if pick.random() < 0.5:
        ages = EXACT_AGES
        exact.add("age")
    if pick.random() < 0.5:
        sizes = EXACT_SIZES
        exact.add("size")
    cells = {
        "age": ages[pick.choice([*ages])],
        "size": sizes[pick.choice([*sizes])],
        "sender": SENDERS[pick.choice([*SENDERS])],
        "recipients": RECIPIENTS[pick.choice([*RECIPIENTS])],
        "frozen": STATES[pick.choice([*STATES])],
        "flag": FLAGS[pick.choice([*FLAGS])],
        "id": _marked_id if pick.random() < 0.15 else _plain_id,
    }
    return cells, frozenset(exact)


def _plain_id(letter: Letter, _pick: Random) -> str:
    return letter.id


def _marked_id(letter: Letter, pick: Random) -> str:
    if letter.is_exim:
        return letter.id + "-H" if len(letter.id) == 16 else letter.id
    return postfix_id(letter)


def _cell(cell: Cell, letter: Letter, name: str, salt: int) -> Any:
    """The value; what cannot be known of a message is empty."""
    if not letter.readable and name not in ("id", *EXTRAS):
        return ""
    return cell(letter, Random(f"{salt}:{letter.id}:{name}"))


def _objects(
    letters: Sequence[Letter], pick: Random
) -> tuple[list[dict[str, Any]], frozenset[str]]:
    cells, exact = _cells(letters, pick)
    salt = pick.randrange(10**9)
    known = 1.0 if pick.random() < 0.6 else 0.5
    wanted = ["age", "id", "sender", "recipients", "size"]
    if pick.random() < 0.9:
        wanted.append(pick.choice(("frozen", "frozen", "flag")))
    names: dict[str, str] = {}
    for name in wanted:
        keys = KEYS[name]
        names[name] = pick.choice(keys[:3] if pick.random() < known else keys)
    for name in pick.sample(["age", "size", "sender", "recipients"], pick.choice((0, 0, 0, 1, 2))):
        names.pop(name)
    columns = [(key, name, cells[name]) for name, key in names.items()]
    extras = pick.sample([*EXTRAS], pick.choice((0, 0, 1, 2, 4)))
    columns += [(name, name, EXTRAS[name]) for name in extras]
    if pick.random() < 0.4:
        pick.shuffle(columns)
    rows = [
        {key: _cell(cell, letter, name, salt) for key, name, cell in columns} for letter in letters
    ]
    missing = pick.choice(("", "", "", "null", "absent"))
    if missing:
        for letter, row in zip(letters, rows, strict=True):
            if not letter.readable:
                for key in [key for key, value in row.items() if value == ""]:
                    row[key] = None
                    if missing == "absent":
                        del row[key]
    return rows, exact


def _as_objects(letters: Sequence[Letter], pick: Random) -> Shown:
    rows, exact = _objects(letters, pick)
    return Shown(rows, letters, exact)


def _as_numbered_objects(letters: Sequence[Letter], pick: Random) -> Shown:
    """A list with holes, as PHP writes it."""
    rows, exact = _objects(letters, pick)
    return Shown({str(3 * number): row for number, row in enumerate(rows)}, letters, exact)


def _keyed(letters: Sequence[Letter], pick: Random) -> Shown:
    rows, exact = _objects(letters, pick)
    if pick.random() < 0.7:
        rows = [
            {key: value for key, value in row.items() if value != letter.id}
            for letter, row in zip(letters, rows, strict=True)
        ]
    return Shown({r.id: row for r, row in zip(letters, rows, strict=True)}, letters, exact)


def _keyed_arrays(letters: Sequence[Letter], pick: Random) -> Shown:
    shown = _as_arrays(letters, pick)
    payload = {r.id: row for r, row in zip(letters, shown.payload, strict=True)}
    return Shown(payload, letters, shown.exact)


def _postqueue_objects(letters: Sequence[Letter], _pick: Random) -> list[dict[str, Any]]:
    return [
        {
            "queue_name": "hold" if m.frozen else "active" if m.active else "deferred",
            "queue_id": m.id,
            "arrival_time": int(NOW) - m.age,
            "message_size": m.size,
            "forced_expire": m.expires,
            "sender": m.sender or "MAILER-DAEMON",
            "recipients": RECIPIENTS["objects"](m, _pick),
        }
        for m in letters
        if m.readable
    ]


_POSTQUEUE_EXACT = frozenset({"age", "size"})


def _postqueue_json(letters: Sequence[Letter], pick: Random) -> Shown:
    return Shown(_postqueue_objects(letters, pick), letters, _POSTQUEUE_EXACT)


def _json_texts(letters: Sequence[Letter], pick: Random) -> Shown:
    """What exec("postqueue -j") gives: a text for each message, or one of lines."""
    rows = _postqueue_objects(letters, pick)
    if pick.random() < 0.3:
        rows, exact = _objects(letters, pick)
    else:
        exact = _POSTQUEUE_EXACT
    texts = [json.dumps(row, ensure_ascii=pick.random() < 0.5) for row in rows]
    kind = pick.randrange(5)
    payload: Any = texts
    if kind == 0:
        payload = "\n".join(texts)
    elif kind == 1:
        payload = "\n".join(texts) + "\n"
    elif kind == 2:
        payload = json.dumps(rows)
    elif kind == 3:
        payload = [*texts, ""]
    return Shown(payload, letters, exact, separable=True)


def _rows_of_recipients(letters: Sequence[Letter], pick: Random) -> Shown:
    """A row for each who waits: no row tells all of them."""
    rows, exact = _objects(letters, pick)
    payload: list[Any] = []
    for letter, row in zip(letters, rows, strict=True):
        key = next((k for k in KEYS["recipients"] if k in row), None)
        waiting = letter.recipients if letter.readable else [""]
        payload += [row if key is None else row | {key: to} for to in waiting]
    if not pick.randrange(3):
        payload = [[*row.values()] for row in payload]
    return Shown(payload, letters, exact, damaged=True)


# --- arrays -----------------------------------------------------------------------------------

_PAGE = ("age", "id", "sender", "recipients", "size", "frozen")
_EXIM = ("age", "size", "id", "sender", "recipients")


def _array_columns(pick: Random, *, odd: bool) -> list[str]:
    """The panel's or Exim's order; with `odd` another, or not all of them."""
    order = pick.random()
    columns = [*(_PAGE if order < 0.6 else _EXIM)]
    if odd and order > 0.3:
        columns = [*_PAGE]
        pick.shuffle(columns)
    if odd and pick.random() < 0.4:
        columns.remove(pick.choice([name for name in columns if name != "id"]))
    return columns


def _arrays(
    letters: Sequence[Letter], pick: Random, *, odd: bool = False
) -> tuple[list[list[Any]], frozenset[str]]:
    cells, exact = _cells(letters, pick)
    if not odd and cells["sender"] is SENDERS["list"]:
        cells["sender"] = SENDERS["plain"]
    salt = pick.randrange(10**9)
    columns: list[tuple[str, Cell]] = [
        (name, cells[name]) for name in _array_columns(pick, odd=odd)
    ]
    for name in pick.sample([*EXTRAS], pick.choice((0, 0, 1, 1, 2)) if odd else 0):
        columns.insert(
            pick.choice((len(columns), pick.randint(0, len(columns)))), (name, EXTRAS[name])
        )
    rows = [[_cell(cell, letter, name, salt) for name, cell in columns] for letter in letters]
    return rows, exact


def _as_arrays(letters: Sequence[Letter], pick: Random) -> Shown:
    rows, exact = _arrays(letters, pick)
    return Shown(rows, letters, exact)


def _odd_arrays(letters: Sequence[Letter], pick: Random) -> Shown:
    """In other orders, without some columns and with others."""
    rows, exact = _arrays(letters, pick, odd=True)
    return Shown(rows, letters, exact, damaged=True)


def _numbered_arrays(letters: Sequence[Letter], pick: Random) -> Shown:
    """An array with a hole is an object with numbers for keys."""
    rows, exact = _arrays(letters, pick, odd=pick.random() < 0.5)
    payload = []
    for row in rows:
        cells = {str(number): value for number, value in enumerate(row)}
        for number, value in enumerate(row):
            if value in ("", None) and pick.random() < 0.5:
                del cells[str(number)]
        payload.append(cells)
    return Shown(payload, letters, exact, damaged=True)


def _by_fields(letters: Sequence[Letter], pick: Random) -> Shown:
    """A person told which position is what; some rows may be shifted."""
    cells, exact = _cells(letters, pick)
    salt = pick.randrange(10**9)
    names = [*_array_columns(pick, odd=True), *pick.sample([*EXTRAS], pick.choice((0, 1, 2)))]
    pick.shuffle(names)
    rows = [
        [_cell(cells.get(name) or EXTRAS[name], letter, name, salt) for name in names]
        for letter in letters
    ]
    fields: dict[str, str | int] = {
        name: names.index(name) for name in _PAGE if name in names and pick.random() < 0.8
    }
    fields["id"] = names.index("id")
    # A size may look like a short id of Postfix, and a subject be one of Exim.
    looks_like_id = {"subject", "size", "tries", "number", "header_size", "next_try"}
    if pick.random() < 0.3 and letters[0].is_exim and looks_like_id.isdisjoint(names):
        rows = [["", *row] if pick.random() < 0.5 else row for row in rows]
    elif pick.random() < 0.5:
        keys = [f"k{number}" for number in range(len(names))]
        fields = {name: f"k{number}" for name, number in fields.items()}
        payload = [dict(zip(keys, row, strict=True)) for row in rows]
        return Shown(payload, letters, exact, damaged=True, fields=fields)
    return Shown(rows, letters, exact, damaged=True, fields=fields)


def _shifted_arrays(letters: Sequence[Letter], pick: Random) -> Shown:
    """Some rows have a column more at their beginning, or lack an empty one."""
    rows, exact = _arrays(letters, pick, odd=pick.random() < 0.3)
    payload = [
        pick.choice(
            (
                row,
                ["", *row],
                [value for value in row if value != ""],
                [*row, *pick.choice(([""], ["", ""], ["x"]))],
            )
        )
        for row in rows
    ]
    if pick.random() < 0.5:
        length = max(map(len, payload))
        payload = [row + [""] * (length - len(row)) for row in payload]
    return Shown(payload, letters, exact, damaged=True)


def _spread_recipients(letters: Sequence[Letter], pick: Random) -> Shown:
    """Each recipient has a column."""
    cells, exact = _cells(letters, pick)
    salt = pick.randrange(10**9)
    names = [
        name
        for name in _array_columns(pick, odd=pick.random() < 0.3)
        if name not in ("recipients", "frozen")
    ]
    rows = [
        [_cell(cells[name], letter, name, salt) for name in names]
        + ([*letter.recipients] if letter.readable else [])
        for letter in letters
    ]
    if pick.random() < 0.5:
        length = max(map(len, rows))
        rows = [row + [""] * (length - len(row)) for row in rows]
    return Shown(rows, letters, exact, damaged=True)


def _split_lines(letters: Sequence[Letter], pick: Random) -> Shown:
    """Lines of the console, each with its recipients behind it, split at blanks."""
    console = Console(
        listing=pick.choice((0, 1, 1, 2)),
        long_columns=any("z" in letter.id for letter in letters),
        reasons=pick.random() < 0.3,
    )
    rows = []
    how = pick.randrange(4)
    for block in blocks(letters, console):
        line = " ".join([block[0], *map(str.strip, block[1:])])
        if how == 0:
            rows.append(line.split(" "))
        elif how == 1:
            rows.append(line.split())
        elif how == 2:
            rows.append([""] * line.startswith(" ") + line.split())
        else:
            rows.append([piece for piece in line.split("  ") if piece])
    exact = frozenset() if letters[0].is_exim else _POSTQUEUE_EXACT
    return Shown(rows, letters, exact, damaged=True)


def _split_headers(letters: Sequence[Letter], pick: Random) -> Shown:
    """Each line of the console is a row."""
    console = Console(long_columns=any("z" in letter.id for letter in letters))
    rows: list[list[str]] = []
    for block in blocks(letters, console):
        rows += [line.split() if pick.random() < 0.9 else line.split(" ") for line in block]
    exact = frozenset() if letters[0].is_exim else _POSTQUEUE_EXACT
    return Shown(rows, letters, exact, damaged=True)


# --- tables -----------------------------------------------------------------------------------

_HEADINGS = (
    ("Time", "Message ID", "Senders", "Recipients", "Size", "Status"),
    ("Время", "ID сообщения", "Отправители", "Получатели", "Размер", "Статус"),
)


def _table_rows(letters: Sequence[Letter], pick: Random) -> tuple[list[list[str]], frozenset[str]]:
    rows, exact = _arrays(letters, pick, odd=pick.random() < 0.4)
    return [["; ".join(map(_text, _flat(value))) for value in row] for row in rows], exact


def _flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = [*value.values()]
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return str(value["address"])
    return str(value)


def _html_table(letters: Sequence[Letter], pick: Random) -> Shown:
    rows, exact = _table_rows(letters, pick)
    return _as_html(rows, None, letters, exact, pick)


def _html_table_with_headings(letters: Sequence[Letter], pick: Random) -> Shown:
    cells, exact = _cells(letters, pick)
    salt = pick.randrange(10**9)
    rows = [
        ["; ".join(map(_text, _flat(_cell(cells[name], r, name, salt)))) for name in _PAGE]
        for r in letters
    ]
    return _as_html(rows, pick.choice(_HEADINGS), letters, exact, pick)


def _as_html(
    rows: Sequence[Sequence[str]],
    headings: Sequence[str] | None,
    letters: Sequence[Letter],
    exact: frozenset[str],
    pick: Random,
) -> Shown:
    escape = pick.choice((html.escape, str, lambda text: html.escape(text, quote=False)))
    between = pick.choice(("", "\n", "\n  "))
    lines = [
        between.join(["<tr>", *(f"<td>{escape(cell)}</td>" for cell in row), "</tr>"])
        for row in rows
    ]
    if headings:
        lines.insert(0, "<tr>" + "".join(f"<th>{name}</th>" for name in headings) + "</tr>")
    body = between.join(lines)
    payload = pick.choice(("<table>{}</table>", "{}")).format(body)
    return Shown(payload, letters, exact, damaged=True)


def _tabs(letters: Sequence[Letter], pick: Random) -> Shown:
    """Console-like lines with tabs between columns."""
    rows, exact = _table_rows(letters, pick)
    separator = pick.choice(("\t", "\t", " | ", ";", ","))
    lines = [separator.join(cell.replace("\n", " ") for cell in row) for row in rows]
    payload: Any = pick.choice((lines, "\n".join(lines)))
    return Shown(payload, letters, exact, damaged=True)


def _table_stripped(letters: Sequence[Letter], pick: Random) -> Shown:
    """A table whose tags are gone: cells and rows are glued.

    The id is not behind age and size there: without a status it would be a list of Exim's in
    which nothing is frozen.
    """
    cells_of, exact = _cells(letters, pick)
    salt = pick.randrange(10**9)
    names = pick.choice((_PAGE, _PAGE, _PAGE[:5], ("id", "age", "sender", "recipients", "frozen")))
    rows = [
        ["; ".join(map(_text, _flat(_cell(cells_of[name], r, name, salt)))) for name in names]
        for r in letters
    ]
    cells, lines = pick.choice((" ", "", "  ", "\n")), pick.choice(("\n", "", "\n\n"))
    payload = lines.join(cells.join(row) for row in rows)
    return Shown(
        payload, letters, exact, damaged=True, without_id=not (cells.strip("\n") and lines)
    )


def _lengthened(letters: Sequence[Letter], pick: Random) -> Sequence[Letter]:
    """Now and then a list of 300 or of 5,000 rows."""
    odd = pick.random()
    if odd > 0.01:
        return letters
    return long_queue(pick, 5000 if odd < 0.0005 else 300, exim=letters[0].is_exim)


def _two_keys(letters: Sequence[Letter], pick: Random) -> Shown:
    """Two keys for one field: they agree, or one of them is empty in some rows."""
    letters = _lengthened(letters, pick)
    rows, exact = _objects(letters, pick)
    name = pick.choice(("age", "size", "sender", "recipients", "frozen", "flag"))
    cells, exact_again = _cells(letters, pick)
    key = pick.choice([key for key in KEYS[name] if key not in rows[0]])
    salt, empty = pick.randrange(10**9), pick.choice((0.0, 0.0, 0.5, 1.0))
    if name in ("frozen", "flag") or rows[0].keys().isdisjoint(KEYS[name]):
        empty = 0.0  # an empty one would say something wrong
    first = pick.random() < 0.5
    both = []
    for letter, row in zip(letters, rows, strict=True):
        value = "" if pick.random() < empty else _cell(cells[name], letter, name, salt)
        both.append({key: value} | row if first else row | {key: value})
    return Shown(both, letters, exact & exact_again, damaged=True)


_NULL = Letter("", 0, 0, "", ())


def _blank_beside_null(letters: Sequence[Letter], pick: Random) -> Shown:
    """Null senders are written out; a blank one is of a message whose sender was not found."""
    letters = _lengthened(letters, pick)
    null = pick.choice(("null written", "brackets", "brackets escaped", "daemon", "login"))
    cells, exact = _cells(letters, pick)
    cells["sender"] = SENDERS[null]
    salt = pick.randrange(10**9)
    names = ["id", "age", "size", "sender", "recipients", "frozen"]
    for name in pick.sample(["age", "size", "recipients", "frozen"], pick.choice((0, 1, 2))):
        names.remove(name)
    lost = pick.choice((0.1, 0.5, 0.9))
    rows = []
    for letter in letters:
        row = {KEYS[name][0]: _cell(cells[name], letter, name, salt) for name in names}
        if letter.readable and pick.random() < lost:
            row[KEYS["sender"][0]] = ""
            if not letter.sender:
                continue
        rows.append((letter, row))
    if all(row[KEYS["sender"][0]] != cells["sender"](_NULL, pick) for _, row in rows):
        return _as_objects(letters, pick)
    return Shown([row for _, row in rows], [letter for letter, _ in rows], exact)


def _mixed(letters: Sequence[Letter], pick: Random) -> Shown:
    """Rows of several kinds."""
    objects, exact = _objects(letters, pick)
    arrays, exact_arrays = _arrays(letters, pick)
    rows: list[Any] = [pick.choice(pair) for pair in zip(objects, arrays, strict=True)]
    for odd in (
        "no route to host",
        None,
        7,
        [],
        {},
        {"error": "x"},
        ["", "", ""],
        "alice@example.org",
    ):
        if pick.random() < 0.1:
            rows.insert(pick.randint(0, len(rows)), odd)
    return Shown(rows, letters, exact & exact_arrays, damaged=True)


def _contradicting(letters: Sequence[Letter], pick: Random) -> Shown:
    """Some messages have a second row, which says the same or what is so of another message."""
    letters = [replace(letter, fault="") for letter in letters]
    names = pick.choice((("id", "age", "sender", "size"), ("age", "id", "sender", "recipients")))
    cells: dict[str, Cell] = {
        "id": _plain_id,
        "age": EXACT_AGES["epoch"],
        "sender": SENDERS["brackets"],
        "size": EXACT_SIZES["int"],
        "recipients": RECIPIENTS["list"],
    }
    rows: list[dict[str, Any]] = [
        {name: cells[name](letter, pick) for name in names} for letter in letters
    ]
    contradicted = set()
    for letter in letters:
        other = pick.choice(letters)
        if pick.random() < 0.5:
            again = {name: cells[name](other, pick) for name in names} | {"id": letter.id}
            rows.insert(pick.randint(0, len(rows)), again)
            if other.sender != letter.sender:
                contradicted.add(letter.id)
    payload = rows if pick.random() < 0.6 else [[*row.values()] for row in rows]
    # Others may agree in the sender and differ in what may be rounded, or grows.
    odd = frozenset(letter.id for letter in letters) - contradicted
    return Shown(payload, letters, _POSTQUEUE_EXACT, odd, frozenset(contradicted), damaged=True)


# --- the shapes that other tests know ---------------------------------------------------------


def _rendered(render: rendering.Render, *, shows_delivered: bool) -> Shape:
    """A shape of the decoders' round trips: ages are those that Exim's texts tell."""

    def shape(letters: Sequence[Letter], _pick: Random) -> Shown:
        whole = [
            replace(letter, age=rendering.rounded_age(letter.age), generated=(), fault="")
            for letter in letters
            if letter.recipients
        ]
        messages = [
            Message(r.id, r.age, r.size, r.sender, r.recipients, r.delivered, r.frozen)
            for r in whole
        ]
        if not shows_delivered:
            messages = [replace(message, delivered=()) for message in messages]
        # Its ages are relative to another moment.
        ahead = NOW - rendering.NOW
        return Shown(render(messages), whole, _POSTQUEUE_EXACT, ahead=-ahead)

    return shape


def _stood_in(shape_name: replies.ListShape) -> Shape:
    """A shape of the stand-in panel."""

    def shape(letters: Sequence[Letter], pick: Random) -> Shown:
        queued = [
            QueuedMessage(
                r.id, r.age, r.size, r.sender, r.delivered + r.recipients, r.delivered, r.frozen
            )
            for r in letters
            if r.recipients and not (r.delivered and shape_name in _DELIVERED_TOO)
        ]
        whole = [letter for letter in letters if letter.id in {message.id for message in queued}]
        if shape_name in replies.CONSOLE_SHAPES:
            exim = letters[0].is_exim
            console = exim_listing(queued) if exim else postfix_listing(queued, NOW)
            payload = replies.console_payload(shape_name, console)
        else:
            language: Language = pick.choice(("en", "ru"))
            payload = replies.list_payload(shape_name, queued, now=NOW, language=language)
        return Shown(payload, [replace(letter, fault="") for letter in whole])

    return shape


_DELIVERED_TOO: frozenset[replies.ListShape] = frozenset({"objects", "page_arrays", "exim_arrays"})
"""Shapes that list those that were delivered among those that wait, without a mark."""

SHAPES: Mapping[str, Shape] = {
    **{
        f"rendered {name}": _rendered(render, shows_delivered=name in rendering.TELLS_DELIVERED)
        for name, render in {**rendering.EXIM, **rendering.POSTFIX}.items()
    },
    **{f"stand-in's {name}": _stood_in(name) for name in get_args(replies.ListShape)},
    "objects": _as_objects,
    "more objects": _as_objects,
    "numbered objects": _as_numbered_objects,
    "keyed objects": _keyed,
    "keyed arrays": _keyed_arrays,
    "postqueue -j": _postqueue_json,
    "json texts": _json_texts,
    "arrays": _as_arrays,
    "odd arrays": _odd_arrays,
    "numbered arrays": _numbered_arrays,
    "arrays by fields": _by_fields,
    "shifted arrays": _shifted_arrays,
    "a column for each recipient": _spread_recipients,
    "a row for each recipient": _rows_of_recipients,
    "split lines": _split_lines,
    "split headers": _split_headers,
    "html table": _html_table,
    "html table with headings": _html_table_with_headings,
    "tabs": _tabs,
    "table stripped": _table_stripped,
    "two keys for a field": _two_keys,
    "blank beside the null sender": _blank_beside_null,
    "mixed rows": _mixed,
    "rows that contradict": _contradicting,
}

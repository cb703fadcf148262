"""Reads and writes the spool files of Exim 4.96: a message is ID-H (envelope, headers) and ID-D."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from exporter.standin.queue import QueuedMessage

_HEADER_FILE = "-H"
_DATA_FILE = "-D"


def spooled_ids(directory: Path) -> list[str]:
    """The ids of the messages in a spool's `input`, in the order in which Exim lists them."""
    with os.scandir(directory) as entries:
        ids = [
            entry.name.removesuffix(_HEADER_FILE)
            for entry in entries
            if entry.name.endswith(_HEADER_FILE)
        ]
    return sorted(ids, key=_listing_order)


def _listing_order(message_id: str) -> tuple[str, str]:
    # By the second of arrival, then by its fraction; the process id in between does not count.
    second, _, fraction = message_id.split("-")
    return second, fraction


def write_messages(directory: Path, messages: Iterable[QueuedMessage], now: float) -> None:
    """Put messages into a spool's `input`, as if they had arrived `age` seconds before `now`.

    Exim will show each with its size, provided that this leaves room for the headers
    (some 300 bytes). Large bodies are holes that take no space on the disk.
    """
    for message in messages:
        headers = _headers(message, now)
        envelope = _envelope(message, now).encode("utf-8", "surrogateescape")
        body = max(0, message.size - 1 - sum(len(header) for _, header in headers))
        data_start = f"{message.id}{_DATA_FILE}\n".encode()
        _create(directory / f"{message.id}{_DATA_FILE}", data_start, hole=body)
        # The header file last: Exim takes a message to exist once it is there.
        lines = (b"%03d%c %s" % (len(text), flag, text) for flag, text in headers)
        _create(directory / f"{message.id}{_HEADER_FILE}", envelope + b"".join(lines))


def _create(path: Path, content: bytes, *, hole: int = 0) -> None:
    with path.open("xb") as file:
        os.fchmod(file.fileno(), 0o640)
        file.write(content)
        file.truncate(len(content) + hole)


def _headers(message: QueuedMessage, now: float) -> list[tuple[bytes, bytes]]:
    date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(now - message.age))
    sender = message.sender or "mailer-daemon@mail.example"
    texts = (
        ("P", f"Received: from stand-in by mail.example with local\n\tid {message.id}; {date}\n"),
        (" ", "Subject: a message of the stand-in\n"),
        ("F", f"From: <{sender}>\n"),
        (" ", f"Date: {date}\n"),
    )
    return [(flag.encode(), text.encode("utf-8", "surrogateescape")) for flag, text in texts]


def _envelope(message: QueuedMessage, now: float) -> str:
    arrived = int(now - message.age)
    lines = [
        f"{message.id}{_HEADER_FILE}",
        f"stand-in {os.getuid()} {os.getgid()}",
        f"<{message.sender}>",
        f"{arrived} 0",
        "-received_time_usec .000001",
        "-received_protocol local",
        *([f"-frozen {arrived}"] if message.frozen else []),
        "-deliver_firsttime",
        *(_tree(sorted(message.delivered)) or ["XX"]),
        str(len(message.recipients)),
        *message.recipients,
        "\n",
    ]
    return "\n".join(lines)


def _tree(addresses: Sequence[str]) -> list[str]:
    """Exim's binary tree in preorder: each node tells whether it has a left and a right one."""
    if not addresses:
        return []
    middle = len(addresses) // 2
    left, right = addresses[:middle], addresses[middle + 1 :]
    node = f"{'Y' if left else 'N'}{'Y' if right else 'N'} {addresses[middle]}"
    return [node, *_tree(left), *_tree(right)]


def read_messages(directory: Path, now: float) -> list[QueuedMessage]:
    """The messages of a spool's `input`, in the order in which Exim lists them.

    One that leaves meanwhile, or whose file is spoilt, is left out.
    """
    return list(_read_all(directory, now))


def _read_all(directory: Path, now: float) -> Iterator[QueuedMessage]:
    for message_id in spooled_ids(directory):
        try:
            header_file = (directory / f"{message_id}{_HEADER_FILE}").read_bytes()
            yield _parse(header_file, message_id, _body_size(directory, message_id), now)
        except (FileNotFoundError, ValueError, IndexError):
            continue


def _body_size(directory: Path, message_id: str) -> int:
    size = (directory / f"{message_id}{_DATA_FILE}").stat().st_size
    return size - len(f"{message_id}{_DATA_FILE}\n")


_SPOOLED_HEADER = re.compile(rb"(\d{3,}). ", re.DOTALL)


def _parse(header_file: bytes, message_id: str, body_size: int, now: float) -> QueuedMessage:
    envelope, _, headers = header_file.partition(b"\n\n")
    lines = envelope.decode("utf-8", "surrogateescape").split("\n")
    if lines[0] != f"{message_id}{_HEADER_FILE}":
        raise ValueError("not a header file")
    variables_end = next(i for i in range(4, len(lines)) if not lines[i].startswith("-"))
    delivered, recipients_start = _delivered(lines, variables_end)
    count = int(lines[recipients_start])
    recipients = tuple(lines[recipients_start + 1 : recipients_start + 1 + count])
    return QueuedMessage(
        id=message_id,
        age=now - int(lines[3].split()[0]),
        size=_headers_size(headers) + 1 + body_size,
        sender=lines[2][1:-1],
        recipients=recipients,
        delivered=tuple(address for address in recipients if address in delivered),
        frozen=any(line.startswith("-frozen") for line in lines[4:variables_end]),
    )


def _delivered(lines: Sequence[str], start: int) -> tuple[set[str], int]:
    """The addresses of the tree that begins at line `start`, and the line after it."""
    addresses: set[str] = set()
    if lines[start] == "XX":
        return addresses, start + 1
    expected, position = 1, start
    while expected:
        node = lines[position]
        addresses.add(node[3:])
        expected += node[:2].count("Y") - 1
        position += 1
    return addresses, position


def _headers_size(headers: bytes) -> int:
    total = position = 0
    while found := _SPOOLED_HEADER.match(headers, position):
        length = int(found[1])
        total += length
        position = found.end() + length
    return total

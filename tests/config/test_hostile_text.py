"""Long texts in a config take no longer than their length asks: nothing is tried twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.config.access import plain_url
from exporter.config.conditions import parse_condition
from exporter.config.document import parse_document, plain_scalar
from exporter.config.models import split_address
from exporter.config.units import parse_duration, parse_size
from exporter.web.server.passwords import hash_cost

LENGTH = 200_000
"""With quadratic work each of these takes minutes."""

HEADS = (
    "",
    "queue_messages",
    "queue_messages > 5",
    "service_up{",
    'service_up{service="clamav"}',
    "service_up{service=",
    "1",
    "http://",
    "127.0.0.1:",
    "x: ",
)
UNITS = (" ", "\t", " \n", "a", "a ", "1", "1s", "1.", "_", "=", ">=", "{", "}", '"', "{a=", ":")
TAILS = ("", "x", "\n x", "}", "\0")


@pytest.mark.slow
@pytest.mark.parametrize(
    "read",
    [
        parse_condition,
        parse_duration,
        parse_size,
        split_address,
        plain_url,
        plain_scalar,
        hash_cost,
        lambda text: parse_document(text.encode(), Path("x")),
    ],
    ids=["condition", "duration", "size", "address", "url", "scalar", "hash", "yaml"],
)
def test_no_long_text_takes_long(read: Callable[[str], object]) -> None:
    for head in HEADS:
        for unit in UNITS:
            for tail in TAILS:
                text = head + unit * (LENGTH // len(unit)) + tail
                started = time.thread_time()
                try:
                    read(text)
                except ValueError as error:
                    assert len(str(error)) < 1000  # noqa: PT017 - it may be right as well
                except Exception as error:  # noqa: BLE001 - ConfigError, of the YAML alone
                    assert type(error).__name__ == "ConfigError"  # noqa: PT017
                assert time.thread_time() - started < 3.0, (head, unit, tail)

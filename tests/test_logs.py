"""What is written to standard error, in which form, and what is not."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from aiohttp.http_exceptions import BadStatusLine

from exporter.config.models import LogConfig
from exporter.logs import configure_logs


@pytest.fixture(autouse=True)
def root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.getLogger("aiohttp.server").filters.clear()
    structlog.reset_defaults()


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogConfig(format="json"))
    structlog.get_logger("x").warning("host is down", host="mx1", problem="нет ответа")
    logging.getLogger("aiohttp").error("of a library")
    ours, theirs = map(json.loads, capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["host"], ours["level"]) == ("host is down", "mx1", "warning")
    assert ours["problem"] == "нет ответа"
    assert theirs["event"] == "of a library"


def test_levels_below_the_configured_one_are_not_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs(LogConfig(level="warning"))
    structlog.get_logger("x").info("polled")
    assert capsys.readouterr().err == ""


def test_a_traceback_shows_no_local_values(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogConfig())

    def fail(secret: str) -> None:
        raise ValueError("a bug")

    try:
        fail("".join(["correct", "-", "battery"]))
    except ValueError:
        structlog.get_logger("x").exception("it failed")
    text = capsys.readouterr().err
    assert "ValueError: a bug" in text
    assert "correct-battery" not in text


def test_clients_that_do_not_speak_http_fill_no_log(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogConfig())
    configure_logs(LogConfig())  # a reload
    log = logging.getLogger("aiohttp.server")
    for error in (BadStatusLine("FOO"), RuntimeError("a bug")):
        log.error("Error handling request", exc_info=error)
    text = capsys.readouterr().err
    assert "FOO" not in text
    assert text.count("RuntimeError: a bug") == 1

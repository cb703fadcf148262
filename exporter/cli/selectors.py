"""Selectors on the command line: an option for each key of the config's selectors."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from exporter.cli.arguments import together
from exporter.config.errors import explain
from exporter.config.selectors import Selector
from exporter.panel.decode.values import read_id

R = TypeVar("R")

EXAMPLE_ID = "1sAbCd-000001-2X"

_OPTIONS = {key: f"--{key.replace('_', '-')}" for key in Selector.model_fields}
"""The option for each key of a Selector."""


def _once(name: str, **attributes: Any) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Return an option that may be given once: click would silently take the last of two."""
    return click.option(name, multiple=True, callback=_only_one, **attributes)


def _only_one(_: click.Context, option: click.Parameter, values: tuple[Any, ...]) -> Any:
    if len(values) > 1:
        raise click.UsageError(f"{option.opts[0]} is given {len(values)} times: leave one")
    return values[0] if values else None


_options = together(
    click.option("--frozen", is_flag=True, help="Frozen (Exim) or on hold (Postfix)."),
    click.option("--not-frozen", is_flag=True, help="Neither frozen nor on hold."),
    click.option("--bounce", is_flag=True, help="From the null sender <>, as bounces are."),
    click.option("--not-bounce", is_flag=True, help="From a real sender."),
    _once("--older-than", metavar="TIME", help="In the queue for longer, as 12h or 3d."),
    _once("--younger-than", metavar="TIME", help="In the queue for less, as 30m."),
    _once(
        "--sender",
        metavar="GLOB",
        help='Pattern of the sender, as "*@shop.example.com"; quote it for the shell.',
    ),
    _once(
        "--recipient",
        metavar="GLOB",
        help='Pattern that every recipient who still waits must match, as "*@example.net".',
    ),
    _once("--larger-than", metavar="SIZE", help="Of more bytes, as 10MiB or 512KiB."),
    _once("--limit", metavar="N", type=int, help="At most so many, the oldest first."),
    click.option("--everything", is_flag=True, help="Every message that was understood."),
    click.option(
        "--id",
        "ids",
        metavar="ID",
        multiple=True,
        help=f"Only this message, as {EXAMPLE_ID}; may be given several times.",
    ),
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The messages that a command is about."""

    selector: Selector
    only: frozenset[str] | None = None
    """Only those with these ids; None: all."""


def selector_options(*, none_is_all: bool) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Give a command every option of a selector; it gets them as one argument `chosen`.

    `none_is_all`: without any option every message is selected; otherwise that is a mistake.
    """

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(command)
        def call(**parameters: Any) -> R:
            ids = parameters.pop("ids")
            for name in ("frozen", "bounce"):
                parameters[name] = _either(name, parameters[name], parameters.pop(f"not_{name}"))
            given = {name: parameters.pop(name) for name in _OPTIONS}
            chosen = choose(given, ids, none_is_all=none_is_all)
            return command(chosen=chosen, **parameters)

        return _options(call)

    return decorate


def _either(name: str, yes: bool, no: bool) -> bool | None:  # noqa: FBT001
    """Return the value of a flag and its opposite; None when neither is given."""
    if yes and no:
        raise click.UsageError(f"--not-{name} contradicts --{name}: leave one out")
    return yes if yes or no else None


def choose(given: Mapping[str, Any], ids: tuple[str, ...], *, none_is_all: bool) -> Chosen:
    """Return the messages that the options select together.

    Raises:
        click.UsageError: they contradict each other, or one is invalid; the text names it.
    """
    keys = {name: value for name, value in given.items() if value is not None}
    if not keys.get("everything"):
        keys.pop("everything", None)  # a flag that was not given
    only = _read_ids(ids)
    if only is not None:
        for name in ("everything", "limit"):
            if name in keys:
                raise click.UsageError(f"{_OPTIONS[name]} contradicts --id: leave one out")
    nothing_said = not keys.keys() - {"limit"}
    if nothing_said and (only is not None or none_is_all):
        keys["everything"] = True
    try:
        return Chosen(Selector.model_validate(keys), only)
    except ValidationError as error:
        raise click.UsageError(_worded(error, keys)) from None


def _read_ids(ids: tuple[str, ...]) -> frozenset[str] | None:
    read = {given: read_id(given) for given in ids}
    wrong = [given for given, found in read.items() if found is None]
    if wrong:
        raise click.BadParameter(
            f"{', '.join(map(repr, wrong))} has not the form of a queue id, as {EXAMPLE_ID} (Exim) "
            "or 4F1A2B3C4D (Postfix)",
            param_hint="--id",
        )
    return frozenset(found for found in read.values() if found is not None) or None


def _worded(error: ValidationError, keys: Mapping[str, Any]) -> str:
    """Return the config's messages for the mistakes, with options in place of keys."""
    options = _OPTIONS | {
        name: f"--not-{name}" for name in ("frozen", "bounce") if keys.get(name) is False
    }
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        words = re.sub(r"\b(everything|bounce): true", r"--\1", explain(Selector, item))
        key = str(item["loc"][0]) if item["loc"] else ""
        names = "|".join(name for name in options if name != key)
        words = re.sub(rf"(?<!-)\b({names})\b", lambda match: options[match[1]], words)
        lines.append(
            f"{options[key]}: {words}" if key else re.sub("^selects", "this \\g<0>", words)
        )
    return "; ".join(lines)

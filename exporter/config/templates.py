"""Templates of notifications: sandboxed jinja2, checked when the config is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes

from exporter.config.errors import did_you_mean
from exporter.config.template_limits import LONGEST, Environment, not_let_in
from exporter.config.template_words import failure_in_words, syntax_in_words


class Labels(dict[str, str]):
    """Labels, of which one that is not there is empty, as in Prometheus."""

    def __missing__(self, name: str) -> str:
        return ""


VARIABLES: Mapping[str, object] = {
    "alert": "MailQueueFrozen",
    "severity": "warning",
    "host": "mx1",
    "labels": Labels(dc="msk1"),
    "condition": "queue_frozen_messages > 200",
    "value": "1,240",
    "number": 1240.0,
    "threshold": "200",
    "since": "12m",
    "messages": "1,302",
    "frozen": "1,240",
    "frozen_share": "95%",
    "bounces": "1,200",
    "bounce_share": "92%",
    "oldest": "3d 4h",
    "size": "4.2 MiB",
    "senders": "example.com 900, example.org 300",
    "recipients": "example.net 1,100",
    "services": "clamav stopped",
    "failure": "mx1.example.com:8002 refuses connections.",
    "remediation": "purge-frozen-storm: ok, 2h ago",
    "url": "http://127.0.0.1:9897/hosts/mx1",
}
"""What a template can name, with an example of each. What is not known is the text `unknown`, and
`number` is 0 then."""

_FAILURES = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError)
"""A template computes: it may divide by zero or ask a text for a key."""

_TOO_DEEP = (RecursionError, MemoryError, SyntaxError)
"""What jinja2 and Python say of a text with too many brackets or signs in each other."""

_environment = Environment(undefined=StrictUndefined, autoescape=False)


@cache
def _compiled(text: str) -> Template:
    return _environment.from_string(text)


def check_template(text: str) -> str:
    """`text` when it is a template that can be rendered.

    Raises:
        ValueError: it is not; the text says why.
    """
    if len(text) > LONGEST:
        raise ValueError(f"must be at most {LONGEST:,} characters")
    try:
        parsed = _environment.parse(text)
        for word in not_let_in(parsed):
            raise ValueError(
                f"uses {word}, which it must not: it can name variables, compare, compute, "
                "choose with if, and use filters"
            )
        _demand_known(parsed)
        render_template(text, VARIABLES)
    except TemplateSyntaxError as error:
        raise ValueError(syntax_in_words(text, error)) from None
    except TemplateRenderError as error:
        raise ValueError(f"cannot be rendered: {error}") from None
    except _TOO_DEEP:
        raise ValueError("is nested too deeply") from None
    return text


def _demand_known(parsed: nodes.Template) -> None:
    names = {node.name for node in parsed.find_all(nodes.Name)}
    filters = {node.name for node in parsed.find_all(nodes.Filter)}
    tests = {node.name for node in parsed.find_all(nodes.Test)}
    for what, used, known in (
        ("names ", names, list(VARIABLES)),
        ("uses the filter ", filters, sorted(_environment.filters)),
        ("uses the test ", tests, sorted(_environment.tests)),
    ):
        for name in sorted(used.difference(known)):
            hint = _hint(name, known)
            raise ValueError(f"{what}{name[:40]}, which is unknown; {hint}")


def _hint(name: str, known: Iterable[str]) -> str:
    known = [word for word in known if len(word) > 2]  # the short ones are like anything
    return did_you_mean(name, known) or f"known are {', '.join(known)}"


class TemplateRenderError(Exception):
    """A template that was sound by its example cannot be rendered with these values."""


def render_template(text: str, values: Mapping[str, object]) -> str:
    """The text that a template makes of values for VARIABLES, at most LONGEST characters.

    Raises:
        TemplateRenderError: it fails with these values.
    """
    try:
        return _compiled(text).render(values)[:LONGEST]
    except _FAILURES as error:
        raise TemplateRenderError(failure_in_words(error)[:200]) from None

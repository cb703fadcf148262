"""Templates of notifications: jinja2's sandbox, rendered once when the config is read."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from functools import lru_cache

from jinja2 import StrictUndefined, Template, TemplateSyntaxError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from exporter.config.errors import did_you_mean

LONGEST = 4000
"""Characters of a rendered text: what hosts report may be long, and receivers take no more."""


class Labels(dict[str, str]):
    """Labels; a missing one is empty, as in Prometheus."""

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
"""What a template can name, with a sample of each. A text that is not known is `unknown`, and
`number` is 0 then."""

_SIGNS = {
    "end of print statement": "}}",
    "begin of print statement": "{{",
    "end of statement block": "%}",
    "begin of statement block": "{%",
}
"""jinja2's names of its signs."""

# The config is trusted, what hosts report is not: it is only ever a value, never a template.
_environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


@lru_cache(maxsize=1000)
def _compiled(text: str) -> Template:
    return _environment.from_string(text)


def check_template(text: str) -> str:
    """Return `text` if it can be rendered with the samples.

    Raises:
        ValueError: it cannot; the text says why and in which line.
    """
    try:
        # The names in all branches: the samples render only one of them.
        names = find_undeclared_variables(_environment.parse(text))
    except Exception as error:  # noqa: BLE001 - too many nested brackets are a RecursionError
        raise ValueError(f"is not a template: {_problem(text, error)}") from None
    for name in sorted(names - VARIABLES.keys() - _environment.globals.keys()):
        hint = did_you_mean(name, VARIABLES) or f"known are {', '.join(VARIABLES)}"
        raise ValueError(f"names {name[:40]}, which is unknown; {hint}")
    try:
        render_template(text, VARIABLES)
    except TemplateRenderError as error:
        raise ValueError(f"cannot be rendered: {error}") from None
    return text


class TemplateRenderError(Exception):
    """A template cannot be rendered with some values; the text says why and in which line."""


def render_template(text: str, values: Mapping[str, object]) -> str:
    """Render a template with values for VARIABLES, to at most LONGEST characters.

    Raises:
        TemplateRenderError: it fails with these values.
    """
    try:
        return _compiled(text).render(values)[:LONGEST]
    except Exception as error:  # noqa: BLE001 - a template computes: anything may be raised
        raise TemplateRenderError(_problem(text, error)) from None


def _problem(text: str, error: Exception) -> str:
    """Return jinja2's own message, with the template's line where there are several."""
    if isinstance(error, TemplateSyntaxError):
        message, line = error.message or "", error.lineno
        for name, sign in _SIGNS.items():
            message = message.replace(name, sign)
    else:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno or 0 for frame in frames if frame.filename == "<template>"]
        message, line = str(error) or type(error).__name__, lines[-1] if lines else 0
    place = f" (line {line} of the template)" if line and "\n" in text.strip() else ""
    message = " ".join(message.split())
    return f"{message[:1].lower()}{message[1:200].rstrip('.')}{place}"

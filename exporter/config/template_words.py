"""What is wrong with a template, in the words of who wrote it: jinja2 speaks of Python's types."""

from __future__ import annotations

import re

from jinja2 import TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

_BRACKETS = (("{{", "}}"), ("{%", "%}"), ("{#", "#}"))

_BY_TEXT = (
    (
        r"\{[{%]-?\s*(?:if\s+)?[$.]",
        "is written as Prometheus' templates are: here it is {{ host }}, {{ labels.dc }}",
    ),
    (r"\{%-?\s*else\s+if\b", "has {% else if %}: write {% elif %}"),
)
"""What a template that is none may hold, and what is said of it then."""

_BY_MESSAGE = (
    (r"needs to be closed is '(\w+)'", r"does not close {% \1 %} with {% end\1 %}"),
    (r"unknown tag '(elif|else|endif)'", r"has {% \1 %} without {% if %} before it"),
    (r"unknown tag '(\w{1,40})", r"knows no {% \1 %}, only if, elif, else and endif"),
    (
        r"unexpected char '([&!?])'",
        r"is not understood at \1: write and, or, not, or A if B else C",
    ),
    (r"unexpected char ['\"](['\"])", r"does not close a text that begins with \1"),
)
"""What jinja2 says of a template that is none, and what is said instead."""

_TOKENS = {
    "token ": "",
    "end of print statement": "}}",
    "begin of print statement": "{{",
    "end of statement block": "%}",
    "begin of statement block": "{%",
}
"""jinja2's names of signs."""

_FAILURES: tuple[tuple[type[Exception], str, str], ...] = (
    (ZeroDivisionError, "", "it divides by zero"),
    (
        UndefinedError,
        r"has no (?:attribute|element) '?(\w+)",
        r"it asks for \1, which is not there",
    ),
    (SecurityError, r"attribute '(\w+)'", r"it asks for \1, which it must not"),
    (SecurityError, "(.+)", r"\1"),
    (TypeError, "argument", "a filter is given too little, too much or a wrong name"),
    (TypeError, "", "it compares or computes with a text: use number, or ~ to join texts"),
    (ValueError, "invalid literal|could not convert", "it takes a text for a number"),
    (ValueError, "(.+)", r"\1"),
)
"""An error, what it says, and what is said instead."""


def syntax_in_words(text: str, error: TemplateSyntaxError) -> str:
    """Why `text` is no template."""
    line = f" in its line {error.lineno}" if "\n" in text.strip() else ""
    return f"{_syntax(text, error.message or '')}{line}"


def _syntax(text: str, message: str) -> str:
    for opening, closing in _BRACKETS:
        begun, ended = re.escape(opening), re.escape(closing)
        if re.search(rf"(?s){begun}(?:(?!{ended}|{begun}).)*(?:{begun}|\Z)", text):
            return f"does not close {opening} with {closing}"
    for pattern, words in _BY_TEXT:
        if re.search(pattern, text):
            return words
    for pattern, words in _BY_MESSAGE:
        if match := re.search(pattern, message):
            return match.expand(words)
    for token, sign in _TOKENS.items():
        message = message.replace(token, sign)
    return f"is not understood: {message[:1].lower()}{message[1:].rstrip('.')}"


def failure_in_words(error: Exception) -> str:
    """Why a template, though it is one, cannot be rendered with some values."""
    message = str(error)
    for kind, pattern, words in _FAILURES:
        if isinstance(error, kind) and (match := re.search(pattern, message)):
            return match.expand(words)
    return f"{type(error).__name__}: {message}"

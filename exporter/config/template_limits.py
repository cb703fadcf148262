"""What a template may use, so that what it costs is bounded by its length.

A sandbox keeps a template from the program, not from the processor and the memory: a loop, a text
multiplied or a value padded to a billion characters would hold up every poll. So only what cannot
repeat or enlarge anything is let in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST = 4000
"""Characters of a template, and of what it is rendered to."""

METHODS = frozenset(
    {
        *("capitalize", "endswith", "get", "lower", "lstrip", "removeprefix", "removesuffix"),
        *("rsplit", "rstrip", "split", "startswith", "strip", "title", "upper"),
    }
)
"""Methods of texts and labels that return no more than they are given."""

_PLAIN = (
    *("abs", "capitalize", "d", "default", "first", "float", "int", "last", "length", "lower"),
    *("string", "title", "trim", "truncate", "upper", "urlencode"),
)

_LET_IN = (
    *(nodes.Output, nodes.TemplateData, nodes.If),
    *(nodes.Name, nodes.Const, nodes.Tuple, nodes.List, nodes.Getattr, nodes.Getitem, nodes.Slice),
    *(nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.Keyword),
    *(nodes.And, nodes.Or, nodes.Not, nodes.CondExpr, nodes.Concat, nodes.Neg, nodes.Pos),
    *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod),
)
_WORDS: dict[type[nodes.Node], str] = {
    nodes.For: "a loop",
    nodes.Assign: "set",
    nodes.AssignBlock: "set",
    nodes.Macro: "a macro",
    nodes.Call: "a call",
    nodes.Pow: "a power",
}

_FORMAT = re.compile(r"[^%]|%%|%[-+ 0#]?[0-9]{0,2}(?:\.[0-9]{0,2})?[dfgesx]")


def not_let_in(template: nodes.Template) -> Iterator[str]:
    """What a template uses and must not, in words."""
    for node in template.find_all(nodes.Node):
        if isinstance(node, nodes.Call):
            method = node.node
            if not (isinstance(method, nodes.Getattr) and method.attr in METHODS):
                yield "a call"
        elif not isinstance(node, _LET_IN):
            yield _WORDS.get(type(node), type(node).__name__.lower())


class Environment(ImmutableSandboxedEnvironment):
    """jinja2's sandbox, whose filters and signs enlarge nothing."""

    intercepted_binops = frozenset({"*", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.filters = {name: _cut(FILTERS[name]) for name in _PLAIN}
        self.filters |= {"format": _cut(_format), "replace": _cut(_replace), "round": _round}
        self.globals.clear()

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Multiply and divide numbers alone: `"x" * 10**9` and `"%999999999d" % 1` are none."""
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise SecurityError(f"{operator} is for numbers")
        return super().call_binop(context, operator, left, right)


def _cut(made: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose result is no longer than a template's may be."""

    @wraps(made)
    def bounded(value: Any, *arguments: Any, **named: Any) -> Any:
        result = made(value, *arguments, **named)
        return result[:LONGEST] if isinstance(result, str) else result

    return bounded


def _format(pattern: object, *values: object) -> str:
    """`"%.1f" | format(number)`, of at most 99 characters each."""
    text = str(pattern)
    if _FORMAT.sub("", text):
        raise ValueError("format knows %s, %d, %x, %f, %g and %e, at most 99 wide")
    return text % values


def _replace(text: object, old: object, new: object) -> str:
    """Every `old` replaced, as far as the result may be long."""
    most = LONGEST // max(1, len(str(new)))
    return str(text).replace(str(old), str(new), most)


def _round(number: float, digits: int = 0) -> float:
    """A number with at most 9 digits after the point."""
    return round(float(number), max(0, min(int(digits), 9)))

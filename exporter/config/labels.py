"""Names of labels that a config may add to metrics and alerts."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_RESERVED_LABELS = frozenset({"host", "url", "mta", "job", "instance", "le", "quantile"})


def _label_name(name: str) -> str:
    if not _LABEL_NAME.fullmatch(name):
        raise ValueError("must be letters, digits and _, and not start with a digit or __")
    if name in _RESERVED_LABELS:
        raise ValueError("is a label that the exporter or Prometheus sets: choose another name")
    return name


LabelName = Annotated[
    str,
    AfterValidator(_label_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_LABEL_NAME.pattern}$"}),
]
"""The name of a label that the config may add."""

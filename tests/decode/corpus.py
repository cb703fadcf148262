"""The corpus of replies as Python values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from exporter.panel.protocol import Operation

CORPUS = Path(__file__).parents[1] / "corpus"


@dataclass(frozen=True)
class Case:
    """One file of the corpus."""

    name: str
    operation: Operation
    content: dict[str, Any]

    @property
    def body(self) -> bytes:
        """The reply."""
        content = self.content
        if "json" in content:
            return json.dumps(content["json"], ensure_ascii=False).encode()
        if "hex" in content:
            return bytes.fromhex(content["hex"])
        if "repeat" in content:
            return str(content["repeat"]["text"] * content["repeat"]["times"]).encode()
        return str(content["body"]).encode()


@cache
def cases() -> tuple[Case, ...]:
    """Return all of them, in the order of their names."""
    return tuple(_read_cases())


def _read_cases() -> Iterator[Case]:
    for path in sorted(CORPUS.rglob("*.yaml")):
        folder = path.parent.name
        operation = Operation.COUNT if folder == "envelope" else Operation(folder)
        yield Case(f"{folder}/{path.stem}", operation, yaml.safe_load(path.read_text("utf-8")))

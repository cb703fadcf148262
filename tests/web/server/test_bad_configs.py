from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from exporter.config.errors import ConfigError
from exporter.web.server.web_config import load_web_config

CASES = sorted((Path(__file__).parent / "bad").glob("*.yaml"))


def expected(case: Path, folder: Path) -> list[str]:
    lines = case.read_text().splitlines()
    marked = [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]
    return [line.replace("{dir}", str(folder)) for line in marked]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_every_mistake_is_named_with_its_place(case: Path, folder: Path) -> None:
    file = folder / case.name
    shutil.copy(case, file)
    with pytest.raises(ConfigError) as caught:
        load_web_config(file)
    named = [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]
    assert named == expected(case, folder)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"web\.yaml: cannot be read: No such file"):
        load_web_config(tmp_path / "web.yaml")

"""One file per rule in `bad/`; its `# expect:` lines are everything that must be reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config.errors import ConfigError
from exporter.config.loading import load_config

BAD = Path(__file__).parent / "bad"
CASES = sorted([*BAD.glob("*.yaml"), *BAD.glob("*/config.yaml")])


def expected(case: Path) -> list[str]:
    """The lines that the case itself asks for; not all cases are UTF-8."""
    lines = case.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIG_TEST_PASSWORD", "from-the-environment")
    monkeypatch.setenv("CONFIG_TEST_EMPTY", "")
    monkeypatch.delenv("CONFIG_TEST_UNSET", raising=False)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.relative_to(BAD)))
def test_every_mistake_is_reported_and_nothing_else(case: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(case)
    reported = [str(problem).replace(f"{case.parent}/", "") for problem in caught.value.problems]
    assert reported == expected(case)
    assert reported
    assert "s3cret" not in str(caught.value)


def test_the_error_shows_one_mistake_a_line() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(BAD / "several_at_once.yaml")
    assert str(caught.value).splitlines() == [str(p) for p in caught.value.problems]

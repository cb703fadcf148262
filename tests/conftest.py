"""What every test may use, and which tests need a real server.

A test that needs something of tests/packages.txt is marked `real`, by the fixtures that it uses.
`make test-fast` runs all others, with fewer generated examples.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.fixtures.programs",
    "tests.fixtures.standin",
    "tests.fixtures.receiver",
    "tests.fixtures.alertmanager",
]

REAL = {
    *("amtool", "docker_compose", "exim4", "prometheus", "promtool", "systemd_analyze"),
    *("alertmanager", "browser", "clamd", "exim_queue", "spamd"),
}
"""Fixtures behind which something of tests/packages.txt runs."""

FAST = "fast"
"""The profile of Hypothesis for `make test-fast`."""

FAST_EXAMPLES = 10

_OWN_SETTINGS = "_hypothesis_internal_use_settings"
"""Where Hypothesis keeps the settings of a decorator; it has no public name for it."""

# How long a machine takes over an example says nothing of the code: both cores are in use.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(FAST, settings.get_profile("any machine"), max_examples=FAST_EXAMPLES)
settings.load_profile("any machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if REAL.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real)
    if config.getoption("--hypothesis-profile") == FAST:
        for item in items:
            _bound_examples(item)


def _bound_examples(item: pytest.Item) -> None:
    """Bound the examples of a test that asks for a number of its own, which no profile changes."""
    if not isinstance(item, pytest.Function):
        return
    own: settings | None = getattr(item.function, _OWN_SETTINGS, None)
    if own is not None and own.max_examples > FAST_EXAMPLES:
        setattr(item.function, _OWN_SETTINGS, settings(own, max_examples=FAST_EXAMPLES))

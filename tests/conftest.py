"""What every test may use, and which tests need a real server.

A test that needs something of tests/packages.txt is marked `real`, by the fixtures that it uses.
`make test-fast` runs all others that are not marked `slow`, with fewer generated examples.
"""

from __future__ import annotations

import pytest

from tests.examples import register_profiles
from tests.fixtures import prestarted

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

register_profiles()
prestarted.install()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if REAL.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real)

"""What every test may use."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.fixtures.standin",
    "tests.fixtures.receiver",
    "tests.fixtures.alertmanager",
]

# How long a machine takes over an example says nothing of the code: both cores are in use.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

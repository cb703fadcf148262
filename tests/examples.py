"""How many examples Hypothesis makes: as many as a test asks for, or a few in `make test-fast`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

FAST = "fast"
"""The profile of `make test-fast`, chosen with --hypothesis-profile."""

FAST_EXAMPLES = 10

FULL = "any machine"


def register_profiles() -> None:
    """Register the profiles, and load the full one until the option chooses another."""
    # How long a machine takes over an example says nothing of the code: both cores are in use.
    settings.register_profile(FULL, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile(FAST, settings.get_profile(FULL), max_examples=FAST_EXAMPLES)
    settings.load_profile(FULL)


def examples(count: int) -> int:
    """Return `max_examples` for a test that needs a number of its own, which no profile changes."""
    return min(count, FAST_EXAMPLES) if settings().max_examples == FAST_EXAMPLES else count

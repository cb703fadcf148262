"""A daemon over stand-in panels, for what is shipped to be tried on."""

from __future__ import annotations

from tests.daemon.conftest import start_daemon

__all__ = ["start_daemon"]

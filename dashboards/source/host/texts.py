"""What several panels of this dashboard say when there is nothing to show."""

from __future__ import annotations

NOT_TOLD = "The host's panel has not told this in this time."

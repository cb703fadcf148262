"""What a config says about the panel's API: its path, and the names that requests use."""

from __future__ import annotations

from typing import Literal

API_PATH = "/api/api.php"
"""Added to the url of a panel that has no path."""

Dialect = Literal["combined", "documented", "module"]
"""Names of the request fields: the vendor's page, public clients, or both at once."""

Language = Literal["en", "ru"]
"""Language of the panel's sentences."""

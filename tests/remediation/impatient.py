"""The exporter, that waits for what is in flight only for a moment once it is to end."""

from __future__ import annotations

from exporter import app
from exporter.__main__ import main

if __name__ == "__main__":
    app.GRACE = app.ACTION_GRACE = 0.3
    main()

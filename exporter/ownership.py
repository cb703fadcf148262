"""Files that root's commands make where the daemon works, as another user."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def give_to_owner_of(folder: Path, file: int | Path) -> None:
    """Let a file that root has just made belong to whom its folder does.

    An administrator runs a command as root beside a daemon that runs as a user of its own: what
    the command makes first, the daemon must be able to write.
    """
    if os.geteuid() != 0:
        return
    with suppress(OSError):  # then the daemon says that it cannot write
        owner = folder.stat()
        os.chown(file, owner.st_uid, owner.st_gid)

"""Whose files are: what root's commands make where the daemon works, as another user."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from pathlib import Path


def give_to_owner_of(folder: Path, descriptor: int) -> None:
    """Let an open file that root has just made belong to whom its folder does.

    An open one: by its name, whoever may write in the folder could have root give him any file.

    An administrator runs a command as root beside a daemon that runs as a user of its own: what
    the command makes first, the daemon must be able to write.
    """
    if os.geteuid() != 0:
        return
    with suppress(OSError):  # then the daemon says that it cannot write
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def user_name(user: int) -> str:
    """What a user is called; the number for one without a name."""
    with suppress(KeyError):
        return pwd.getpwuid(user).pw_name
    return f"user {user}"

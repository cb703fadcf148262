"""Ownership of the files that root's commands make where the daemon runs as another user."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from pathlib import Path


def give_to_owner_of(folder: Path, descriptor: int) -> None:
    """Give an open file that root has just made to the owner of its folder.

    It takes a descriptor: by name, any user that may write in the folder could have root give
    away another file.

    An administrator runs a command as root beside a daemon that runs as a user of its own: what
    the command makes first, the daemon must be able to write.
    """
    if os.geteuid() != 0:
        return
    with suppress(OSError):  # then the daemon says that it cannot write
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def user_name(user: int) -> str:
    """Return what a user is called; the number for one without a name."""
    with suppress(KeyError):
        return pwd.getpwuid(user).pw_name
    return f"user {user}"

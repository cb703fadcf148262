"""The bcrypt hashes that basic_auth_users of the web config holds."""

from __future__ import annotations

import re

import bcrypt

MAX_PASSWORD_BYTES = 72
"""bcrypt ignores what follows."""

DEFAULT_COST = 12
"""A quarter of a second on a small server; each step more doubles it."""


def hash_password(password: str, *, cost: int = DEFAULT_COST) -> str:
    """Return the bcrypt hash of a password, for basic_auth_users.

    Raises:
        ValueError: the password is empty, or longer than MAX_PASSWORD_BYTES.
    """
    encoded = password.encode()
    if not encoded:
        raise ValueError("an empty password protects nothing")
    if len(encoded) > MAX_PASSWORD_BYTES:
        raise ValueError(f"bcrypt takes at most {MAX_PASSWORD_BYTES} bytes: choose a shorter one")
    return bcrypt.hashpw(encoded, bcrypt.gensalt(cost)).decode()


# The last character of the salt holds two bits only.
_HASH = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")


def hash_cost(hashed: str) -> int:
    """Return the cost of a bcrypt hash.

    Raises:
        ValueError: it is no bcrypt hash.
    """
    match = _HASH.fullmatch(hashed)
    if match is None:
        raise ValueError("is not a bcrypt hash: make one with the command hash-password")
    return int(match[1])


def matches(password: bytes, hashed: bytes) -> bool:
    """Return whether a password has this valid bcrypt hash; takes as long as the hash's cost asks.

    One longer than MAX_PASSWORD_BYTES never matches, and takes as long as any other.
    """
    same = bcrypt.checkpw(password[:MAX_PASSWORD_BYTES], hashed)
    return same and len(password) <= MAX_PASSWORD_BYTES

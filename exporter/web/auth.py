"""Basic auth: who a request says it is from, and whether the password is right.

bcrypt is slow by design, so it runs in one thread beside the event loop, and its verdicts are
kept. Only digests are kept, keyed by a secret of the process: no password stays in memory.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections import Counter, OrderedDict
from collections.abc import Mapping
from concurrent.futures import Executor
from functools import partial

from exporter.web.passwords import hash_cost, matches

MAX_REMEMBERED = 1024
"""Verdicts kept, of right and of wrong passwords each."""

MAX_WAITING = 32
"""Passwords checked or waiting for it at once; at bcrypt's usual cost they take some 8 s."""

MAX_WAITING_PER_CLIENT = 4
"""Of these, from one address: guessing from one place leaves room for the others."""


class TooManyChecksError(Exception):
    """So many passwords wait for their check that this one was not taken."""


def basic_credentials(header: str | None) -> tuple[bytes, bytes] | None:
    """(user, password) of an Authorization header; None when it holds none."""
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except ValueError:
        return None
    return (user, password) if colon else None


class PasswordChecker:
    """Tells whether passwords are right for one set of users."""

    def __init__(self, users: Mapping[str, str], executor: Executor) -> None:
        """`users` maps names to valid bcrypt hashes, at least one; `executor` runs bcrypt."""
        self._hashes = {name.encode(): hashed.encode() for name, hashed in users.items()}
        self._decoys = [_decoy(hash_cost(hashed)) for hashed in users.values()]
        self._executor = executor
        self._secret = secrets.token_bytes(32)
        # Apart from each other: wrong passwords cannot push out what is known of right ones.
        self._right = _Recent(MAX_REMEMBERED)
        self._wrong = _Recent(MAX_REMEMBERED)
        self._running: dict[bytes, asyncio.Future[bool]] = {}
        self._waiting_of = Counter[str]()

    async def check(self, user: bytes, password: bytes, client: str) -> bool:
        """Whether `user` is known and `password` is theirs, asked for by the address `client`.

        Raises:
            TooManyChecksError: the verdict is not known yet, and too many checks are under way.
        """
        known = user in self._hashes
        hashed = self._hashes[user] if known else self._decoy_for(user)
        key = self._digest(user, hashed, password)
        if self._right.holds(key):
            return known
        if self._wrong.holds(key):
            return False
        verdict = self._running.get(key)
        if verdict is None:
            verdict = self._start(key, password, hashed, client)
        # Shielded: a client that hangs up does not cancel what others may wait for.
        return await asyncio.shield(verdict) and known

    def _start(
        self, key: bytes, password: bytes, hashed: bytes, client: str
    ) -> asyncio.Future[bool]:
        if len(self._running) >= MAX_WAITING or self._waiting_of[client] >= MAX_WAITING_PER_CLIENT:
            raise TooManyChecksError
        loop = asyncio.get_running_loop()
        verdict = loop.run_in_executor(self._executor, matches, password, hashed)
        self._running[key] = verdict
        self._waiting_of[client] += 1
        verdict.add_done_callback(partial(self._settle, key, client))
        return verdict

    def _settle(self, key: bytes, client: str, verdict: asyncio.Future[bool]) -> None:
        del self._running[key]
        self._waiting_of[client] -= 1
        if not self._waiting_of[client]:
            del self._waiting_of[client]
        if not verdict.cancelled() and verdict.exception() is None:
            (self._right if verdict.result() else self._wrong).add(key)

    def _decoy_for(self, user: bytes) -> bytes:
        """The hash that an unknown user is checked against, always the same one.

        Its cost is one of the known users', so that time tells nothing about who is known.
        """
        digest = hmac.digest(self._secret, user, hashlib.sha256)
        return self._decoys[int.from_bytes(digest[:8], "big") % len(self._decoys)]

    def _digest(self, user: bytes, hashed: bytes, password: bytes) -> bytes:
        # Neither a base64 hash nor a name of basic auth holds a colon.
        return hmac.digest(self._secret, b":".join((user, hashed, password)), hashlib.sha256)


def _decoy(cost: int) -> bytes:
    """A well-formed bcrypt hash that no password is known for."""
    return b"$2b$%02d$" % cost + b"." * 53


class _Recent:
    """The most recently used keys, up to a number."""

    def __init__(self, capacity: int) -> None:
        self._keys = OrderedDict[bytes, None]()
        self._capacity = capacity

    def holds(self, key: bytes) -> bool:
        if key not in self._keys:
            return False
        self._keys.move_to_end(key)
        return True

    def add(self, key: bytes) -> None:
        self._keys[key] = None
        if len(self._keys) > self._capacity:
            self._keys.popitem(last=False)

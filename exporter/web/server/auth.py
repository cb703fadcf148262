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
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from exporter.web.server.passwords import MAX_PASSWORD_BYTES, hash_cost, matches

MAX_REMEMBERED = 1024
"""Verdicts kept, of right and of wrong passwords each."""

MAX_WAITING = 4096
"""Passwords that wait for their check at once: as many as connections may be open, so that who
guesses on each of them is waited with, not instead of. One takes some 200 bytes."""

Credentials = tuple[bytes, bytes]
"""User and password."""


class TooManyChecksError(Exception):
    """So many passwords wait for their check that this one was not taken."""


def basic_credentials(header: str | None) -> Credentials | None:
    """(user, password) of an Authorization header; None when it holds none."""
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except ValueError:
        return None
    return (user, password) if colon else None


@dataclass(slots=True, eq=False)
class _Check:
    """One password that waits to be checked, or is."""

    key: bytes
    password: bytes
    hashed: bytes
    verdict: asyncio.Future[bool]
    wanted: int = 0
    """Requests that wait for the verdict."""


class PasswordChecker:
    """Tells whether passwords are right for one set of users.

    Nobody is turned away for what others guess: whether a password is right shows only when it
    has had its check, so all of them get it, in turn. The turn goes round the addresses, and
    within one round the users that are named: who guesses from one place, or at one name, delays
    the others by one check. A verdict is kept also when nobody waits for it any more, so that a
    right password passes at once at the next request.
    """

    def __init__(
        self,
        users: Mapping[str, str],
        executor: Executor,
        *,
        remembered: Remembered | None = None,
    ) -> None:
        """What it judges by.

        Args:
            users: valid bcrypt hashes by name, at least one.
            executor: runs bcrypt, one at a time.
            remembered: what the checker that this one replaces knew of passwords; it holds as
                long as a user has the same hash.
        """
        self._hashes = {name.encode(): hashed.encode() for name, hashed in users.items()}
        self._decoys = [_decoy(hash_cost(hashed)) for hashed in users.values()]
        self._executor = executor
        self.remembered = remembered or Remembered(secrets.token_bytes(32))
        """What is known of passwords."""
        self._checks: dict[bytes, _Check] = {}
        self._turns = _Turns()
        self._busy = False
        self._closed = False

    def is_known(self, user: bytes, password: bytes) -> bool:
        """Whether this password is right and has been found so before; costs no check."""
        key = self._digest(user, self._hash_for(user), password)
        return self.remembered.right.holds(key) and user in self._hashes

    async def check(self, user: bytes, password: bytes, client: str) -> bool:
        """Whether `user` is known and `password` is theirs, asked for by the address `client`.

        Raises:
            TooManyChecksError: the verdict is not known yet, and too many checks wait.
        """
        known, hashed = user in self._hashes, self._hash_for(user)
        key = self._digest(user, hashed, password)
        if self.remembered.right.holds(key):
            return known
        if self.remembered.wrong.holds(key):
            return False
        check = self._checks.get(key) or self._begin(key, user, password, hashed, client)
        check.wanted += 1
        self._next()
        try:
            # Shielded: a client that hangs up does not cancel what others may wait for.
            return await asyncio.shield(check.verdict) and known
        finally:
            check.wanted -= 1

    def close(self) -> None:
        """Take no more passwords, and let nobody wait: who does may ask again."""
        self._closed = True
        while (check := self._turns.next()) is not None:
            self._drop(check)

    def _begin(
        self, key: bytes, user: bytes, password: bytes, hashed: bytes, client: str
    ) -> _Check:
        if self._closed:
            raise TooManyChecksError
        if len(self._checks) >= MAX_WAITING:
            forgotten = self._turns.drop_unwanted()
            if forgotten is None:
                raise TooManyChecksError
            self._drop(forgotten)
        verdict = asyncio.get_running_loop().create_future()
        check = self._checks[key] = _Check(key, shortened(password), hashed, verdict)
        self._turns.add(client, user, check)
        return check

    def _next(self) -> None:
        """Begin with the check whose turn it is, unless one runs."""
        loop = asyncio.get_running_loop()
        while not self._busy and (check := self._turns.next()) is not None:
            try:
                running = loop.run_in_executor(
                    self._executor, matches, check.password, check.hashed
                )
            except RuntimeError:  # the executor has ended
                self._drop(check)
                continue
            self._busy = True
            running.add_done_callback(partial(self._settle, check))

    def _settle(self, check: _Check, running: asyncio.Future[bool]) -> None:
        self._busy = False
        if running.cancelled() or running.exception() is not None:
            self._drop(check)
        else:
            del self._checks[check.key]
            (self.remembered.right if running.result() else self.remembered.wrong).add(check.key)
            if not check.verdict.done():
                check.verdict.set_result(running.result())
        self._next()

    def _drop(self, check: _Check) -> None:
        self._checks.pop(check.key, None)
        if check.verdict.done():
            return
        if check.wanted:
            check.verdict.set_exception(TooManyChecksError())
        else:
            check.verdict.cancel()

    def _hash_for(self, user: bytes) -> bytes:
        decoy = self._decoy_for(user)
        return self._hashes.get(user, decoy)

    def _decoy_for(self, user: bytes) -> bytes:
        """The hash that an unknown user is checked against, always the same one.

        Its cost is one of the known users', so that time tells nothing about who is known.
        """
        digest = hmac.digest(self.remembered.secret, user, hashlib.sha256)
        return self._decoys[int.from_bytes(digest[:8], "big") % len(self._decoys)]

    def _digest(self, user: bytes, hashed: bytes, password: bytes) -> bytes:
        # Neither a base64 hash nor a name of basic auth holds a colon.
        return hmac.digest(
            self.remembered.secret, b":".join((user, hashed, password)), hashlib.sha256
        )


MAX_NAME = 100
"""Bytes of a user's name by which those who wait are told apart."""


def shortened(password: bytes) -> bytes:
    """All of a password that a check looks at: that it is too long, if it is."""
    return password[: MAX_PASSWORD_BYTES + 1]


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


class Remembered:
    """Verdicts on passwords, by digests that nobody can make without the secret."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        # Apart from each other: wrong passwords cannot push out what is known of right ones.
        self.right = _Recent(MAX_REMEMBERED)
        self.wrong = _Recent(MAX_REMEMBERED)


class _Turns:
    """What waits, by address and by the user that is named; each in its turn."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str, OrderedDict[bytes, OrderedDict[_Check, None]]] = (
            OrderedDict()
        )

    def add(self, client: str, user: bytes, check: _Check) -> None:
        """Let a check wait: last of its user, and a newcomer after those who wait already."""
        users = self._clients.setdefault(client, OrderedDict())
        users.setdefault(user[:MAX_NAME], OrderedDict())[check] = None

    def next(self) -> _Check | None:
        """Take out whose turn it is; None when nobody waits."""
        if not self._clients:
            return None
        client, users = self._clients.popitem(last=False)
        user, checks = users.popitem(last=False)
        check, _ = checks.popitem(last=False)
        if checks:
            users[user] = checks
        if users:
            self._clients[client] = users
        return check

    def drop_unwanted(self) -> _Check | None:
        """Take out the oldest for which nobody waits any more, where the most of them wait."""
        for client, users in self._clients.items():
            for user, checks in users.items():
                unwanted = next((check for check in checks if not check.wanted), None)
                if unwanted is not None:
                    del checks[unwanted]
                    if not checks:
                        del users[user]
                    if not users:
                        del self._clients[client]
                    return unwanted
        return None

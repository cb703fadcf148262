"""Basic auth: the user that a request names, and whether the password is right.

bcrypt is slow by design, so it runs in one thread beside the event loop, and its results are kept.
Only digests are kept, keyed by a secret of the process: no password stays in memory.
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
"""Results kept, of right and of wrong passwords each."""

MAX_WAITING = 4096
"""Passwords that wait for their check at once: as many as connections may be open, so that guesses
on each of them turn nobody away. One takes some 200 bytes."""

Credentials = tuple[bytes, bytes]
"""User and password."""


class TooManyChecksError(Exception):
    """So many passwords wait for their check that this one was not taken."""


def basic_credentials(header: str | None) -> Credentials | None:
    """Return (user, password) of an Authorization header; None when it holds none."""
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
    """One password that waits for its check, or is in it."""

    key: bytes
    password: bytes
    hashed: bytes
    result: asyncio.Future[bool]
    wanted: int = 0
    """Requests that wait for the result."""


class PasswordChecker:
    """Checks passwords of one set of users.

    Nobody is turned away for what others guess: whether a password is right shows only after its
    check, so every password gets one, in turn. The turn goes round the addresses, and within one
    address round the users that are named: guesses from one place, or at one name, delay the others
    by one check. A result is kept also when nobody waits for it any more, so that a right password
    passes at once at the next request.
    """

    def __init__(
        self,
        users: Mapping[str, str],
        executor: Executor,
        *,
        remembered: RememberedResults | None = None,
    ) -> None:
        """Check passwords of `users`: valid bcrypt hashes by name, at least one.

        `executor` runs bcrypt, one at a time. `remembered` are the results of the checker that this
        one replaces; one holds as long as its user has the same hash.
        """
        self._hashes = {name.encode(): hashed.encode() for name, hashed in users.items()}
        # Well-formed hashes that no password is known for.
        costs = map(hash_cost, users.values())
        self._decoys = [b"$2b$%02d$" % cost + b"." * 53 for cost in costs]
        self._executor = executor
        self.remembered = remembered or RememberedResults(secrets.token_bytes(32))
        """The results so far."""
        self._checks: dict[bytes, _Check] = {}
        self._queue = _FairQueue()
        self._busy = False
        self._closed = False

    @property
    def pending(self) -> int:
        """Checks that wait, and the one that runs."""
        return len(self._checks)

    def is_known(self, user: bytes, password: bytes) -> bool:
        """Return whether this password was found to be right before; costs no check."""
        key = self._digest(user, self._hash_for(user), password)
        return bool(self.remembered.get(key)) and user in self._hashes

    async def check(self, user: bytes, password: bytes, client: str) -> bool:
        """Return whether `password` is that of a known `user`; `client` is the request's address.

        Raises:
            TooManyChecksError: the result is not known yet, and too many checks wait.
        """
        known, hashed = user in self._hashes, self._hash_for(user)
        key = self._digest(user, hashed, password)
        right = self.remembered.get(key)
        if right is not None:
            return right and known
        check = self._checks.get(key) or self._begin(key, user, password, hashed, client)
        check.wanted += 1
        self._start_next()
        try:
            # Shielded: a client that hangs up does not cancel what others may wait for.
            return await asyncio.shield(check.result) and known
        finally:
            check.wanted -= 1

    def close(self) -> None:
        """Take no more passwords; requests that wait get TooManyChecksError."""
        self._closed = True
        while (check := self._queue.next()) is not None:
            self._drop(check)

    def _begin(
        self, key: bytes, user: bytes, password: bytes, hashed: bytes, client: str
    ) -> _Check:
        if self._closed:
            raise TooManyChecksError
        if len(self._checks) >= MAX_WAITING:
            forgotten = self._queue.drop_unwanted()
            if forgotten is None:
                raise TooManyChecksError
            self._drop(forgotten)
        result = asyncio.get_running_loop().create_future()
        check = self._checks[key] = _Check(key, password[: MAX_PASSWORD_BYTES + 1], hashed, result)
        self._queue.add(client, user, check)
        return check

    def _start_next(self) -> None:
        """Start the next check, unless one runs."""
        loop = asyncio.get_running_loop()
        while not self._busy and (check := self._queue.next()) is not None:
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
            self.remembered.add(check.key, right=running.result())
            if not check.result.done():
                check.result.set_result(running.result())
        self._start_next()

    def _drop(self, check: _Check) -> None:
        self._checks.pop(check.key, None)
        if check.result.done():
            return
        if check.wanted:
            check.result.set_exception(TooManyChecksError())
        else:
            check.result.cancel()

    def _hash_for(self, user: bytes) -> bytes:
        """Return a user's hash; of an unknown user a decoy, always the same one.

        Its cost is that of one of the known users, so that the time does not show which users are
        known.
        """
        digest = hmac.digest(self.remembered.secret, user, hashlib.sha256)
        decoy = self._decoys[int.from_bytes(digest[:8], "big") % len(self._decoys)]
        return self._hashes.get(user, decoy)

    def _digest(self, user: bytes, hashed: bytes, password: bytes) -> bytes:
        # Neither a base64 hash nor a name of basic auth holds a colon.
        return hmac.digest(
            self.remembered.secret, b":".join((user, hashed, password)), hashlib.sha256
        )


MAX_NAME = 100
"""Bytes of a user's name by which waiting checks are kept apart."""


class RememberedResults:
    """The most recent results of checks, by digests that nobody can make without the secret."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        # Apart from each other: wrong passwords cannot push out what is known of right ones.
        self.keys = {right: OrderedDict[bytes, None]() for right in (True, False)}

    def get(self, key: bytes) -> bool | None:
        """Return whether a password is right; None when that is not known."""
        for right, keys in self.keys.items():
            if key in keys:
                keys.move_to_end(key)
                return right
        return None

    def add(self, key: bytes, *, right: bool) -> None:
        """Remember a result, and forget the one not used for longest beyond MAX_REMEMBERED."""
        keys = self.keys[right]
        keys[key] = None
        if len(keys) > MAX_REMEMBERED:
            keys.popitem(last=False)


class _FairQueue:
    """The checks that wait, by address and by the user that is named; each in its turn."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str, OrderedDict[bytes, OrderedDict[_Check, None]]] = (
            OrderedDict()
        )

    def add(self, client: str, user: bytes, check: _Check) -> None:
        """Add a check: last of its user; new addresses and users come after those that wait."""
        users = self._clients.setdefault(client, OrderedDict())
        users.setdefault(user[:MAX_NAME], OrderedDict())[check] = None

    def next(self) -> _Check | None:
        """Take out the check that is next; None when none waits."""
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
        """Take out the first check that no request waits for any more; None when there is none."""
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

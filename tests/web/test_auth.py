from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest

from exporter.web import auth
from exporter.web.auth import (
    MAX_REMEMBERED,
    MAX_WAITING,
    MAX_WAITING_PER_CLIENT,
    PasswordChecker,
    TooManyChecksError,
    basic_credentials,
)
from exporter.web.passwords import hash_password

GOOD = hash_password("sesame", cost=4)
OTHER = hash_password("other", cost=5)


def header(text: bytes, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(text).decode()}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (header(b"user:pass"), (b"user", b"pass")),
        (header(b"user:pass", "bASIC"), (b"user", b"pass")),
        (header(b"user:a:b"), (b"user", b"a:b")),
        (header(b":"), (b"", b"")),
        (header(b"\xff:\x00"), (b"\xff", b"\x00")),
        (header(b"no colon"), None),
        (header(b"user:pass", "Bearer"), None),
        ("Basic not*base64", None),
        ("Basic Zm9v\u044f", None),
        ("Basic", None),
        ("", None),
        (None, None),
    ],
)
def test_credentials_of_a_header(value: str | None, expected: object) -> None:
    assert basic_credentials(value) == expected


class Bcrypt:
    """Counts the runs of bcrypt, and holds them up while `go` is not set."""

    def __init__(self) -> None:
        self.hashes: list[bytes] = []
        self.threads: set[str] = set()
        self.go = threading.Event()
        self.go.set()
        self._real = bcrypt.checkpw

    def checkpw(self, password: bytes, hashed: bytes) -> bool:
        self.go.wait(10)
        self.hashes.append(hashed)
        self.threads.add(threading.current_thread().name)
        return self._real(password, hashed)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bcrypt]:
    counting = Bcrypt()
    monkeypatch.setattr(bcrypt, "checkpw", counting.checkpw)
    yield counting
    counting.go.set()


@pytest.fixture
async def checker(runs: Bcrypt) -> AsyncIterator[PasswordChecker]:
    executor = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
    yield PasswordChecker({"prometheus": GOOD, "ops": OTHER}, executor)
    runs.go.set()
    await asyncio.to_thread(executor.shutdown)


async def test_right_and_wrong_passwords_cost_one_run_each(
    checker: PasswordChecker, runs: Bcrypt
) -> None:
    for _ in range(3):
        assert await checker.check(b"prometheus", b"sesame", "c")
        assert not await checker.check(b"prometheus", b"wrong", "c")
        assert not await checker.check(b"ops", b"sesame", "c")
    assert len(runs.hashes) == 3
    assert runs.threads == {"bcrypt_0"}


async def test_an_unknown_user_costs_as_much_as_a_known_one(
    checker: PasswordChecker, runs: Bcrypt
) -> None:
    names = [f"nobody{n}".encode() for n in range(40)]
    for name in names:
        assert not await checker.check(name, b"sesame", "c")
    costs = {hashed[:7] for hashed in runs.hashes}
    assert costs == {b"$2b$04$", b"$2b$05$"}
    first = runs.hashes.copy()
    runs.hashes.clear()
    for name in names:
        await checker.check(name, b"another", "c")
    assert runs.hashes == first  # asking again tells nothing either


async def test_a_password_longer_than_bcrypt_takes_is_only_wrong(
    checker: PasswordChecker, runs: Bcrypt
) -> None:
    assert not await checker.check(b"prometheus", b"x" * 4000, "c")
    assert not await checker.check(b"nobody", b"x" * 4000, "c")
    assert len(runs.hashes) == 2


async def test_equal_checks_at_once_share_one_run(checker: PasswordChecker, runs: Bcrypt) -> None:
    runs.go.clear()
    checks = [
        asyncio.ensure_future(checker.check(b"prometheus", b"sesame", f"c{n}")) for n in range(100)
    ]
    await asyncio.sleep(0)
    runs.go.set()
    assert all(await asyncio.gather(*checks))
    assert len(runs.hashes) == 1


async def test_a_client_that_hangs_up_takes_nothing_from_the_others(
    checker: PasswordChecker, runs: Bcrypt
) -> None:
    runs.go.clear()
    leaving = asyncio.ensure_future(checker.check(b"prometheus", b"sesame", "c"))
    staying = asyncio.ensure_future(checker.check(b"prometheus", b"sesame", "c"))
    await asyncio.sleep(0)
    leaving.cancel()
    runs.go.set()
    assert await staying
    assert len(runs.hashes) == 1


async def test_a_flood_is_bounded_and_known_users_pass(
    checker: PasswordChecker, runs: Bcrypt
) -> None:
    assert await checker.check(b"prometheus", b"sesame", "c")
    runs.go.clear()
    flood = [
        asyncio.ensure_future(checker.check(b"prometheus", b"%d" % n, f"c{n}")) for n in range(1000)
    ]
    await asyncio.sleep(0)
    assert await checker.check(b"prometheus", b"sesame", "c")
    with pytest.raises(TooManyChecksError):
        await checker.check(b"nobody", b"x", "c")
    runs.go.set()
    results = await asyncio.gather(*flood, return_exceptions=True)
    assert results.count(False) == MAX_WAITING
    assert sum(isinstance(r, TooManyChecksError) for r in results) == 1000 - MAX_WAITING
    assert not await checker.check(b"nobody", b"x", "c")  # there is room again


async def test_guessing_from_one_address_leaves_room_for_others(
    checker: PasswordChecker, runs: Bcrypt
) -> None:
    runs.go.clear()
    flood = [
        asyncio.ensure_future(checker.check(b"prometheus", b"%d" % n, "bad")) for n in range(50)
    ]
    await asyncio.sleep(0)
    good = asyncio.ensure_future(checker.check(b"prometheus", b"sesame", "good"))
    await asyncio.sleep(0)
    runs.go.set()
    assert await good
    results = await asyncio.gather(*flood, return_exceptions=True)
    assert results.count(False) == MAX_WAITING_PER_CLIENT


async def test_wrong_passwords_neither_fill_memory_nor_push_out_right_ones(
    checker: PasswordChecker, runs: Bcrypt, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await checker.check(b"prometheus", b"sesame", "c")
    monkeypatch.setattr(auth, "matches", lambda *_: False)
    for n in range(MAX_REMEMBERED + 10):
        assert not await checker.check(b"prometheus", b"%d" % n, "c")
    assert await checker.check(b"prometheus", b"sesame", "c")
    assert len(checker._wrong._keys) == MAX_REMEMBERED
    assert not checker._running
    assert not checker._waiting_of


async def test_no_password_stays_in_memory(checker: PasswordChecker) -> None:
    await checker.check(b"prometheus", b"sesame", "c")
    await checker.check(b"prometheus", b"wrongword", "c")
    held = repr(vars(checker)) + repr(checker._right._keys) + repr(checker._wrong._keys)
    assert "sesame" not in held
    assert "wrongword" not in held


async def test_a_check_that_cannot_run_is_not_remembered(checker: PasswordChecker) -> None:
    checker._executor.shutdown()
    with pytest.raises(RuntimeError):
        await checker.check(b"prometheus", b"sesame", "c")
    assert not checker._running

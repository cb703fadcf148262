from __future__ import annotations

import asyncio
import base64
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import ModuleType

import pytest

from exporter.web.server import auth
from exporter.web.server.auth import (
    MAX_REMEMBERED,
    PasswordChecker,
    TooManyChecksError,
    basic_credentials,
)
from exporter.web.server.passwords import hash_password
from tests.web.server.conftest import Bcrypt

GOOD = hash_password("sesame", cost=4)
OTHER = hash_password("other", cost=5)


def kept_by(module: ModuleType) -> int:
    """Bytes that were allocated by a module since tracing began, and are held still."""
    assert module.__file__ is not None
    of_module = tracemalloc.Filter(inclusive=True, filename_pattern=module.__file__)
    kept = tracemalloc.take_snapshot().filter_traces([of_module])
    return sum(trace.size for trace in kept.traces)


@contextmanager
def tracing() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


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


@pytest.fixture
async def executor(runs: Bcrypt) -> AsyncIterator[ThreadPoolExecutor]:
    executor = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
    yield executor
    runs.go.set()
    await asyncio.to_thread(executor.shutdown)


@pytest.fixture
def checker(executor: ThreadPoolExecutor) -> PasswordChecker:
    return PasswordChecker({"prometheus": GOOD, "ops": OTHER}, executor)


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


async def flooded(
    checker: PasswordChecker, runs: Bcrypt, guesses: int, names: int
) -> tuple[list[asyncio.Task[bool]], asyncio.Task[bool]]:
    """Guesses from one address, and behind them the right password from the same one."""
    runs.go.clear()
    flood = [
        asyncio.ensure_future(checker.check(b"nobody%d" % (n % names), b"%d" % n, "proxy"))
        for n in range(guesses)
    ]
    await asyncio.sleep(0)
    good = asyncio.ensure_future(checker.check(b"prometheus", b"sesame", "proxy"))
    await asyncio.sleep(0)
    return flood, good


@pytest.mark.parametrize("names", [1, 7, 200])
async def test_a_right_password_passes_behind_a_guesser_at_the_same_address(
    checker: PasswordChecker, runs: Bcrypt, names: int
) -> None:
    flood, good = await flooded(checker, runs, 200, names)
    runs.go.set()
    assert await good
    before = runs.hashes.index(GOOD.encode())
    assert before <= names + 1, "one check of each name that is guessed at comes first"
    assert not any(await asyncio.gather(*flood)), "each of them got its check"
    assert len(runs.hashes) == 201


async def test_a_right_password_passes_behind_guesses_at_its_own_user(
    checker: PasswordChecker, runs: Bcrypt
) -> None:
    runs.go.clear()
    flood = [
        asyncio.ensure_future(checker.check(b"prometheus", b"%d" % n, "proxy")) for n in range(100)
    ]
    await asyncio.sleep(0)
    impatient = asyncio.ensure_future(checker.check(b"prometheus", b"sesame", "proxy"))
    await asyncio.sleep(0)
    impatient.cancel()  # a scrape that timed out; its check goes on
    runs.go.set()
    await asyncio.gather(*flood)
    await asyncio.gather(impatient, return_exceptions=True)
    while not checker.is_known(b"prometheus", b"sesame"):  # noqa: ASYNC110 - the check is a thread's
        await asyncio.sleep(0.01)
    runs.go.clear()
    assert await checker.check(b"prometheus", b"sesame", "proxy"), "without another check"
    runs.go.set()


async def test_guesses_from_elsewhere_delay_nobody(checker: PasswordChecker, runs: Bcrypt) -> None:
    flood, good = await flooded(checker, runs, 200, 200)
    other = asyncio.ensure_future(checker.check(b"ops", b"other", "10.0.0.2"))
    await asyncio.sleep(0)
    runs.go.set()
    assert await other
    assert runs.hashes.index(OTHER.encode()) < 3
    assert await good
    await asyncio.gather(*flood)


async def test_a_flood_is_bounded_and_what_nobody_waits_for_goes_first(
    checker: PasswordChecker, runs: Bcrypt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "MAX_WAITING", 50)
    assert await checker.check(b"prometheus", b"sesame", "c")
    runs.go.clear()
    flood = [
        asyncio.ensure_future(checker.check(b"prometheus", b"%d" % n, f"c{n}")) for n in range(60)
    ]
    await asyncio.sleep(0)
    assert checker.pending == 50
    assert await checker.check(b"prometheus", b"sesame", "c"), "what is known needs no check"
    with pytest.raises(TooManyChecksError):
        await checker.check(b"nobody", b"x", "c")
    for guess in flood[5:20]:
        guess.cancel()
    await asyncio.sleep(0)
    newcomer = asyncio.ensure_future(checker.check(b"ops", b"other", "c"))
    await asyncio.sleep(0)
    assert checker.pending == 50
    runs.go.set()
    assert await newcomer
    results = await asyncio.gather(*flood, return_exceptions=True)
    assert sum(isinstance(r, TooManyChecksError) for r in results) == 10
    assert results.count(False) == 35


async def test_a_new_checker_knows_the_passwords_of_users_that_stay(
    checker: PasswordChecker, executor: ThreadPoolExecutor, runs: Bcrypt
) -> None:
    assert await checker.check(b"prometheus", b"sesame", "c")
    assert await checker.check(b"ops", b"other", "c")
    users = {"prometheus": GOOD, "ops": hash_password("new", cost=4)}
    after = PasswordChecker(users, executor, remembered=checker.remembered)
    assert after.is_known(b"prometheus", b"sesame")
    assert not after.is_known(b"ops", b"other")
    assert not await after.check(b"ops", b"other", "c")
    without = PasswordChecker({"ops": OTHER}, executor, remembered=checker.remembered)
    assert not without.is_known(b"prometheus", b"sesame")
    assert not await without.check(b"prometheus", b"sesame", "c")
    assert len(runs.hashes) == 4


async def test_who_waits_at_a_checker_that_ends_may_ask_again(
    checker: PasswordChecker, runs: Bcrypt
) -> None:
    flood, good = await flooded(checker, runs, 5, 5)
    checker.close()
    runs.go.set()
    results = await asyncio.gather(*flood, good, return_exceptions=True)
    assert results[0] is False, "the one that ran"
    assert all(isinstance(result, TooManyChecksError) for result in results[1:])
    with pytest.raises(TooManyChecksError):
        await checker.check(b"prometheus", b"sesame", "c")


async def test_wrong_passwords_neither_fill_memory_nor_push_out_right_ones(
    checker: PasswordChecker, runs: Bcrypt, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await checker.check(b"prometheus", b"sesame", "c")
    monkeypatch.setattr(auth, "matches", lambda *_: False)

    async def guess(numbers: range) -> int:
        """Guess as other users from other addresses; return the bytes that are held then."""
        for n in numbers:
            assert not await checker.check(b"user%d" % n, b"%d" % n, f"address{n}")
        return kept_by(auth)

    with tracing():
        full = await guess(range(MAX_REMEMBERED + 10))
        fuller = await guess(range(MAX_REMEMBERED + 10, MAX_REMEMBERED + 110))
    assert fuller < full + 100 * 50, "nothing is left of an address or a user"
    assert await checker.check(b"prometheus", b"sesame", "c")
    assert len(checker.remembered.keys[False]) == MAX_REMEMBERED
    assert checker.pending == 0


async def test_no_password_stays_in_memory(checker: PasswordChecker) -> None:
    await checker.check(b"prometheus", b"sesame", "c")
    await checker.check(b"prometheus", b"wrongword", "c")
    held = repr(vars(checker)) + repr(vars(checker.remembered))
    assert "sesame" not in held
    assert "wrongword" not in held


async def test_a_check_that_cannot_run_is_not_remembered(
    checker: PasswordChecker, executor: ThreadPoolExecutor
) -> None:
    executor.shutdown()
    with pytest.raises(TooManyChecksError):
        await checker.check(b"prometheus", b"sesame", "c")
    assert checker.pending == 0

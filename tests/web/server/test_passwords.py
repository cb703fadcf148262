from __future__ import annotations

import pytest

from exporter.web.server.passwords import DEFAULT_COST, hash_cost, hash_password, matches


def test_a_hash_fits_its_password_only() -> None:
    hashed = hash_password("sésame", cost=4)
    assert matches("sésame".encode(), hashed.encode())
    assert not matches(b"sesame", hashed.encode())
    assert hash_cost(hashed) == 4


def test_the_default_cost_is_used() -> None:
    assert hash_cost(hash_password("sesame")) == DEFAULT_COST


@pytest.mark.parametrize("password", ["", "x" * 73, "я" * 37])
def test_what_bcrypt_cannot_protect_is_refused(password: str) -> None:
    with pytest.raises(ValueError, match=r"empty|72 bytes"):
        hash_password(password)


def test_what_follows_72_bytes_is_not_ignored() -> None:
    hashed = hash_password("x" * 72, cost=4).encode()
    assert matches(b"x" * 72, hashed)
    assert not matches(b"x" * 73, hashed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "$2b$04$" + "." * 52,
        "$2b$04$" + "." * 54,
        "$2b$03$" + "." * 53,
        "$2b$32$" + "." * 53,
        "$2x$04$" + "." * 53,
        "$2b$04$" + "z" * 53,
        "$5$04$salt$" + "." * 49,
    ],
)
def test_other_text_is_no_hash(text: str) -> None:
    with pytest.raises(ValueError, match="is not a bcrypt hash"):
        hash_cost(text)


@pytest.mark.parametrize("kind", ["2a", "2b", "2y"])
def test_hashes_of_other_tools_are_known(kind: str) -> None:
    hashed = hash_password("sesame", cost=4).replace("$2b$", f"${kind}$")
    assert hash_cost(hashed) == 4
    assert matches(b"sesame", hashed.encode())

"""Queue ids in the forms that Exim and Postfix give them."""

from __future__ import annotations

from typing import Literal

IdStyle = Literal["exim", "exim_long", "postfix"]
"""`exim_long` is the form since Exim 4.97."""

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def queue_id(style: IdStyle, arrived: float, serial: int) -> str:
    """An id for the `serial`-th message, which arrived at Unix time `arrived`.

    Exim's holds the time, the process and a fraction of a second; Postfix's the microsecond
    and the inode. The serial stands for process and inode, so that no two ids are equal.
    """
    if style == "postfix":
        return f"{int(arrived * 1e6) % 10**6:05X}{0x40000 + serial:X}"
    process, fraction = (11, 4) if style == "exim_long" else (6, 2)
    # Exim counts the fraction up to half a second in its smallest unit, so it never is large.
    return "-".join(
        (
            _base62(int(arrived), 6),
            _base62(serial, process),
            _base62(serial * 7 % 1000, fraction),
        )
    )


def _base62(number: int, width: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits.rjust(width, "0")

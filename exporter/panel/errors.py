"""The error that a request to a panel can end in, and the one for a request that was not sent.

The process that decodes large lists raises them too, so nothing of HTTP is imported here.
"""

from __future__ import annotations

import errno
from functools import partial

from exporter.snapshot import HOST_LEVEL_REASONS, Failure, Reason

WANT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE})
"""Numbers of the errors that say that no more files may be open."""

MORE_FILES = (
    "Let it open more of them (LimitNOFILE= in the unit, ulimit -n), or lower poll.concurrency."
)


class NotSentError(Exception):
    """A request was no longer wanted when its turn came: nothing was sent."""


class PanelError(Exception):
    """A request to a panel failed, or its reply was not understood.

    Carries the contract's `reason`, a sentence for the operator, what to try, and whether a
    retry can help. Neither text holds a secret: the code that raises it sees to that.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        hint: str = "",
        retryable: bool = False,
        lost: bool = False,
        own: bool = False,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint
        self.retryable = retryable
        self.lost = lost
        """Whether the panel may have carried out a command although no reply came."""
        self.own = own
        """Whether the exporter itself lacks what it takes to ask. This says nothing of the panel;
        nothing that changes anything was sent to it."""

    def concerns_all(self, *, answered: bool) -> bool:
        """Return whether every other request to this panel would fail in the same way now.

        `answered`: the panel has just replied to another request. Then it is there. That it
        hangs over one request, or breaks off in the middle of a reply, as PHP does over a very
        long list, says nothing of the others.
        """
        if self.own:
            return True
        if self.reason in {Reason.TIMEOUT, Reason.CONNECT}:
            return not answered
        return self.reason in HOST_LEVEL_REASONS

    @property
    def failure(self) -> Failure:
        """The same as a plain value, for a snapshot."""
        return Failure(self.reason, self.message, self.hint, self.retryable, own=self.own)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling, and decoding of large
        # lists raises in another process.
        rebuild = partial(
            PanelError, hint=self.hint, retryable=self.retryable, lost=self.lost, own=self.own
        )
        return rebuild, (self.reason, self.message)


def no_files() -> PanelError:
    """Return the error when the exporter has no file left to ask with; the panel was not asked."""
    return PanelError(
        Reason.UNEXPECTED,
        "The exporter has too many files open to ask the panel, of which this says nothing.",
        hint=MORE_FILES,
        retryable=True,
        own=True,
    )

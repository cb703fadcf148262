"""Sends one notification through Apprise, in a process of its own.

Reads a JSON object on standard input: `url`, and unless only that is to be checked also `title`,
`body` and `type`. Ends with one of the exit codes below and writes nothing: the URL is a secret,
and what Apprise and its services write may hold it.

Run as a file, so nothing of the package is imported here.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys

_LONGEST = 120
"""Seconds after which it ends though no parent is left to end it."""

TAKEN, FAILED, UNKNOWN_URL, NO_APPRISE, SEVERAL_URLS = 0, 71, 72, 73, 74


def main() -> int:
    """Send the notification, or check the URL; return the exit code."""
    order = json.load(sys.stdin)
    try:
        import apprise  # noqa: PLC0415 - the extra [apprise]
    except ImportError:
        return NO_APPRISE
    asset = apprise.AppriseAsset(secure_logging=True, async_mode=False)
    receiver = apprise.Apprise(asset=asset)
    if not receiver.add(order["url"]) or len(receiver) == 0:
        return UNKNOWN_URL
    if len(receiver) > 1:
        return SEVERAL_URLS
    if "body" not in order:
        return TAKEN
    accepted = receiver.notify(
        body=order["body"],
        title=order["title"],
        notify_type=order["type"],
        body_format=apprise.NotifyFormat.TEXT,
    )
    return TAKEN if accepted else FAILED


def run() -> None:
    """Run, and end at once: a thread that a service has left behind must not hold it up."""
    logging.disable()
    signal.alarm(_LONGEST)
    try:
        code = main()
    except BaseException:  # noqa: BLE001 - a traceback may hold the URL
        code = FAILED
    os._exit(code)


if __name__ == "__main__":
    run()

"""Ask a daemon on this machine whether it is healthy: the HEALTHCHECK of the image."""

from __future__ import annotations

import http.client
import ssl
import sys


def healthy(address: str, timeout: float = 3.0) -> bool:
    """Return whether /-/healthy answers at ADDRESS:PORT, over http or https.

    Only that the daemon answers is asked here, so its certificate is not checked, and that the
    web config refuses this client (401, 429) will do.
    """
    plain = http.client.HTTPConnection(address, timeout=timeout)
    encrypted = http.client.HTTPSConnection(
        address,
        timeout=timeout,
        context=ssl._create_unverified_context(),  # noqa: S323, SLF001 - see above
    )
    return any(_answers(connection) for connection in (plain, encrypted))


def _answers(connection: http.client.HTTPConnection) -> bool:
    try:
        connection.request("GET", "/-/healthy")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if healthy(sys.argv[1]) else 1)

"""Sees to it that the Debian packages of tests/packages.txt are there, before the tests run.

Missing ones are installed when that is possible (root and apt-get); else they are named in one
line and the run fails: no test is skipped for want of a package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def missing(listing: str) -> list[str]:
    """The packages of `listing` whose command or file is not found, each once."""
    wanted = [line.split() for line in listing.splitlines() if line and not line.startswith("#")]
    return sorted({package for what, package in wanted if not _is_there(what)})


def _is_there(what: str) -> bool:
    return Path(what).exists() if what.startswith("/") else bool(shutil.which(what, path=SEARCH))


def install(packages: list[str]) -> None:
    """Install with apt-get, as far as that goes."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    # Debian starts what it installs; the tests start their own, on ports of their own.
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *packages],
        ):
            subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL)
    finally:
        if ours:
            policy.unlink()


def main() -> int:
    """The exit code: 0 when everything is there."""
    listing = (Path(__file__).parent / "packages.txt").read_text()
    packages = missing(listing)
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing for the tests: {' '.join(packages)}", flush=True)
        install(packages)
        packages = missing(listing)
    if packages:
        print(f"Missing for the tests: apt-get install {' '.join(packages)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

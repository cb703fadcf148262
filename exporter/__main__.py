"""The command `brainycp-exporter`; `python -m exporter` does the same."""

import errno
import os
import sys


def main() -> None:
    """Run the command line."""
    # Imported only now: the process that decodes large lists imports this module too, as every
    # spawned process does with its parent's main module, and must stay small.
    from exporter.cli import main as commands  # noqa: PLC0415

    try:
        commands()
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        # Python flushes once more at exit what there was no room for.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stderr.write(f"Error: The output cannot be written: {error.strerror}.\n")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()

"""The command `brainycp-exporter`; `python -m exporter` does the same."""


def main() -> None:
    """Run the command line."""
    # Imported only now: the process that decodes large lists imports this module too, as every
    # spawned process does with its parent's main module, and shall not pay for all of it.
    from exporter.cli import main as commands  # noqa: PLC0415

    commands()


if __name__ == "__main__":
    main()

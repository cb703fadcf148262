"""The command `brainycp-exporter`; `python -m exporter` does the same."""

from exporter.cli import main

if __name__ == "__main__":
    main()

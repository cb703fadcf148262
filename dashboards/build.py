"""Write the dashboards' JSON files, or check that they are up to date.

`python -m dashboards.build [--check]`
"""

from __future__ import annotations

from pathlib import Path

import click

from dashboards.source import fleet, host
from dashboards.source.assembly import as_json

HERE = Path(__file__).parent


def built() -> dict[str, str]:
    """The text of each file by its name."""
    return {
        "fleet.json": as_json(fleet.dashboard()),
        "host.json": as_json(host.dashboard()),
    }


@click.command
@click.option("--check", is_flag=True, help="Write nothing; fail when a file is out of date.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=HERE,
    help="Where the files are; by default next to this module.",
)
def main(*, check: bool, folder: Path) -> None:
    """Write the dashboards as JSON files that Grafana imports."""
    stale = [
        name
        for name, text in built().items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != text
    ]
    if check and stale:
        raise click.ClickException(f"{', '.join(stale)} out of date: run `make dashboards`")
    for name in stale:
        (folder / name).write_text(built()[name], "utf-8")
        click.echo(f"{name} written")
    if not stale:
        click.echo("The dashboards are up to date.")


if __name__ == "__main__":
    main()

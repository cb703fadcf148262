"""`diagnose`: every read-only operation once, and how each reply was understood."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click
import uvloop
import yaml
from rich.console import Console
from rich.text import Text

from exporter import __version__
from exporter.cli.poll import choose_hosts
from exporter.cli.terminal import config_option, console, load_or_exit
from exporter.diagnosis import Diagnosis, Finding, diagnose_host
from exporter.panel.decode import anonymise_reply
from exporter.text import duration


@click.command
@click.argument("name", metavar="HOST")
@config_option
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the raw replies, with addresses, ids and secrets replaced, to FILE.",
)
def diagnose(name: str, config_file: Path, save: Path | None) -> None:
    """Ask one host every read-only operation once; show how each reply was understood.

    Proposes the `fields` of the host where the shape of list_msg is not recognised.
    Nothing is changed on the panel. Exit code 0 when everything was understood, else 1.
    """
    config = load_or_exit(config_file).config
    (host,) = choose_hosts(config, (name,))
    if save is not None:
        _claim(save)  # before anything is asked
    diagnosis = uvloop.run(diagnose_host(config, host))
    out = console()
    _show(diagnosis, out)
    if save is not None:
        save.write_text(saved(diagnosis), encoding="utf-8")
        note = f"\nThe replies are in {save}; read it before you send it to anyone."
        out.print(Text(note), soft_wrap=True)
    if not diagnosis.ok:
        raise SystemExit(1)


def _claim(file: Path) -> None:
    """Make the file, for its owner alone; what is there already stays as it is."""
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise click.BadParameter(f"{file}: {error.strerror}", param_hint="--save") from None


def _show(diagnosis: Diagnosis, out: Console) -> None:
    host = diagnosis.host
    out.print(Text.assemble((host.name, "bold"), f"  {host.url}  ({host.dialect} fields)"))
    if diagnosis.certificate_expiry is not None:
        left = diagnosis.certificate_expiry - time.time()
        out.print(f"certificate: {'expires in ' + duration(left) if left > 0 else 'expired'}")
    for finding in diagnosis.findings:
        _show_finding(finding, out)
    if diagnosis.hopeless:
        out.print("\nThe other operations were not asked: they would fail alike.")
    for note in diagnosis.notes:
        out.print(Text.assemble("\n", ("note: ", "yellow"), note))
    if diagnosis.proposed_fields:
        fields = yaml.safe_dump({"fields": diagnosis.proposed_fields}, sort_keys=False)
        out.print("\nTo say by hand what is what in a row, write in this host's config:")
        out.print(Text(fields.rstrip()))


def _show_finding(finding: Finding, out: Console) -> None:
    size = "no reply" if finding.body is None else f"{len(finding.body):,} bytes"
    verdict = ("ok", "green") if finding.failure is None else (finding.failure.reason, "red")
    head = (finding.operation.value, "bold")
    out.print(Text.assemble("\n", head, "  ", verdict, f"  {finding.seconds:.2f} s, {size}"))
    lines = list(finding.lines)
    if finding.failure is not None:
        lines += [finding.failure.message, finding.failure.hint]
    for line in lines:
        if line:
            out.print(Text(f"  {line}"))


def saved(diagnosis: Diagnosis) -> str:
    """The raw replies as YAML, with whatever could tell whose mail it is replaced."""
    secrets = (*diagnosis.host.secret_values, diagnosis.host.username)
    replies = {
        finding.operation.value: (
            {"failure": finding.failure.reason.value} if finding.failure else {}
        )
        | (
            {}
            if finding.body is None
            else {"body": anonymise_reply(finding.body, secrets), "bytes": len(finding.body)}
        )
        for finding in diagnosis.findings
    }
    document = {"version": __version__, "dialect": diagnosis.host.dialect, "replies": replies}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)

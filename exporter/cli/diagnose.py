"""`diagnose`: every read-only operation once, and how each reply was understood."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import click
import uvloop
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from exporter import __version__
from exporter.cli.arguments import choose_hosts, config_option, load_or_exit
from exporter.cli.terminal import console, printable, say, table
from exporter.config.loading import LoadedConfig
from exporter.config.rewriting import HostFile, RewriteError, as_yaml, find_host, write_fields
from exporter.humanize import duration, quoted
from exporter.panel.decode import anonymise_reply, queue_stats
from exporter.panel.decode.anonymise import anonymise_value, safe_text
from exporter.panel.decode.recognition import show_key
from exporter.panel.protocol import Operation
from exporter.panel.redaction import holds_secret, written_forms
from exporter.polling.diagnosis import (
    Diagnosis,
    FieldLine,
    Finding,
    diagnose_host,
    field_lines,
    read_table,
    verdict,
)
from exporter.snapshot import Certainty, Reason


@click.command
@click.argument("name", metavar="HOST")
@config_option
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the raw replies, with addresses, ids and secrets replaced, to FILE.",
)
@click.option(
    "--write",
    is_flag=True,
    help="Add the proposed `fields` to the host's config, and change nothing else there.",
)
def diagnose(name: str, config_file: Path, save: Path | None, *, write: bool) -> None:
    """Ask one host every read-only operation once; show how each reply was understood.

    Of each field of list_msg's rows it shows where it is read, how sure that is, and three values
    as they came. What is only guessed is shown and counted, but nothing acts on it: look at the
    values, and confirm them with the `fields` that are proposed, by hand or with --write.

    Nothing is changed on the panel. Exit code 0 when everything was understood, be it by a guess,
    else 1; also 1 when --write could not write.
    """
    loaded = load_or_exit(config_file)
    (host,) = choose_hosts(loaded.config, (name,))
    place = _place(loaded, name) if write else None
    descriptor = None if save is None else _claim(save)  # before anything is asked
    diagnosis = uvloop.run(diagnose_host(loaded.config, host))
    out = console()
    _show(diagnosis, out)
    if save is not None and descriptor is not None:
        # Not by its name, which another file may have by now.
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(saved(diagnosis))
        note = f"\nThe replies are in {save}; read it before you send it to anyone."
        out.print(Text(note), soft_wrap=True)
    if place is not None:
        _write(loaded, place, diagnosis)
    if not diagnosis.ok:
        raise SystemExit(1)


def _claim(file: Path) -> int:
    """Create the file for its owner alone and return its descriptor; an existing one is refused.

    A link that is there, or is put there later, is not followed.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(file, flags, 0o600)
    except OSError as error:
        raise click.BadParameter(f"{file}: {error.strerror}", param_hint="--save") from None


# --- what is written into the config ------------------------------------------------------------


def _place(loaded: LoadedConfig, name: str) -> HostFile:
    try:
        return find_host(loaded, name)
    except RewriteError as error:
        raise click.ClickException(f"--write: nothing was written. {error}.") from None


def _write(loaded: LoadedConfig, place: HostFile, diagnosis: Diagnosis) -> None:
    fields, host = diagnosis.proposed_fields, diagnosis.host
    if not fields:
        click.echo()
        unsure = (None, Certainty.GUESSED)
        open_ = [line.name for line in diagnosis.fields if line.certainty in unsure]
        hand = f" For {quoted(open_)} do what stands under MISSING." if open_ else ""
        say(f"Nothing was written: there is nothing to propose.{hand}")
        return
    try:
        confirmed = write_fields(loaded, host.name, place, fields)
    except RewriteError as error:
        click.echo(err=True)
        raise click.ClickException(f"Nothing was written. {error}.") from None
    click.echo()
    say(f"Written into {place.file}: {as_yaml(fields)}")
    list_reply = next(f.body for f in diagnosis.findings if f.operation is Operation.LIST)
    assert list_reply is not None  # noqa: S101 - what is proposed comes from it
    rows = read_table(confirmed, list_reply)
    stats = queue_stats(rows)
    say(f"With it: {verdict(rows, stats, [*field_lines(confirmed, rows, stats)])}")
    say("A daemon takes it in with a reload (SIGHUP, or POST /-/reload).")


# --- what is shown ------------------------------------------------------------------------------


def _show(diagnosis: Diagnosis, out: Console) -> None:
    host = diagnosis.host
    out.print(Text.assemble((host.name, "bold"), f"  {host.url}  ({host.dialect} fields)"))
    if diagnosis.certificate_expiry is not None:
        left = diagnosis.certificate_expiry - time.time()
        out.print(f"certificate: {'expires in ' + duration(left) if left > 0 else 'expired'}")
    for finding in diagnosis.findings:
        _show_finding(finding, (*host.secret_values, host.username), out)
    if diagnosis.hopeless:
        out.print("\nThe other operations were not asked: they would fail alike.")
    for note in diagnosis.notes:
        out.print(Text.assemble("\n", ("note: ", "yellow"), note))
    if diagnosis.fields:
        out.print("\nHow the rows of list_msg were read:\n")
        out.print(_table(diagnosis))
    if diagnosis.verdict:
        out.print(Text(f"\n{diagnosis.verdict}"))
    if diagnosis.proposed_fields:
        out.print(
            Text(
                "\nWhere the values above are what they are said to be, confirm it: write below "
                f"this host, or let `diagnose {host.name} --write` do so:\n"
            )
        )
        out.print(Text(f"    {as_yaml(diagnosis.proposed_fields)}"), soft_wrap=True)
    if diagnosis.next_step:
        out.print(Text(f"\n{diagnosis.next_step}"))


_LONGEST_VALUE = 60


def _table(diagnosis: Diagnosis) -> Table:
    shown = table()
    shown.add_column("FIELD", no_wrap=True)
    shown.add_column("FROM", overflow="fold", max_width=14)
    shown.add_column("CERTAINTY", no_wrap=True)
    shown.add_column("VALUES", overflow="fold", max_width=26)
    shown.add_column("MISSING", overflow="fold", max_width=24)
    secrets = diagnosis.host.secret_values
    for line in diagnosis.fields:
        guessed = line.certainty is Certainty.GUESSED
        shown.add_row(
            line.name,
            Text(", ".join(map(show_key, line.keys)) or "-"),
            Text(line.certainty or "not told", style="yellow" if guessed else ""),
            Text("\n".join(_shown(v, secrets) for v in line.samples) or "-"),
            Text(printable(line.missing)),
        )
    return shown


def _shown(value: object, secrets: Sequence[str]) -> str:
    """Return a value as it came, on one line; a panel may echo a secret."""
    text = printable(json.dumps(_discreet(value, secrets), ensure_ascii=False, default=str))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _discreet(value: object, secrets: Sequence[str]) -> object:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return "<secret>" if holds_secret(text, written_forms(secrets)) else value


_UNREAD = frozenset({Reason.NOT_JSON, Reason.UNEXPECTED, Reason.PANEL_ERROR})
_BEGINNING = 200


def _beginning(body: bytes, secrets: Sequence[str]) -> str:
    """Return the start of a reply that was not understood, masked as it is when saved."""
    text = printable(" ".join(anonymise_reply(body, secrets).split()))
    return text if len(text) <= _BEGINNING else f"{text[:_BEGINNING]}…"


def _show_finding(finding: Finding, secrets: Sequence[str], out: Console) -> None:
    size = "no reply" if finding.body is None else f"{len(finding.body):,} bytes"
    verdict = ("ok", "green") if finding.failure is None else (finding.failure.reason, "red")
    head = (finding.operation.value, "bold")
    out.print(Text.assemble("\n", head, "  ", verdict, f"  {finding.seconds:.2f} s, {size}"))
    lines = list(finding.lines)
    if finding.failure is not None:
        lines += [finding.failure.message, finding.failure.hint]
        if finding.body and finding.failure.reason in _UNREAD:
            lines.append(f"It begins: {_beginning(finding.body, secrets)}")
    for line in lines:
        if line:
            out.print(Text(f"  {line}"))


def saved(diagnosis: Diagnosis) -> str:
    """Return the raw replies as YAML, with everything replaced that identifies a person."""
    secrets = (*diagnosis.host.secret_values, diagnosis.host.username)
    replies: dict[str, dict[str, object]] = {}
    for finding in diagnosis.findings:
        reply = replies[finding.operation.value] = {}
        if finding.failure:
            reply["failure"] = finding.failure.reason.value
        if finding.body is not None:
            reply["body"] = anonymise_reply(finding.body, secrets)
            reply["bytes"] = len(finding.body)
    document: dict[str, object] = {
        "version": __version__,
        "dialect": diagnosis.host.dialect,
        "replies": replies,
    }
    if diagnosis.fields:
        document["fields"] = [_saved_line(line, secrets) for line in diagnosis.fields]
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def _saved_line(line: FieldLine, secrets: Sequence[str]) -> dict[str, object]:
    return {
        "field": line.name,
        "from": [safe_text(key) if isinstance(key, str) else key for key in line.keys],
        "certainty": line.certainty.value if line.certainty else "not told",
        "values": [anonymise_value(_discreet(value, secrets)) for value in line.samples],
    }

"""`remediation`: show, stop, approve and run the rules."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from exporter.cli.arguments import (
    all_option,
    config_option,
    exit_on_config_error,
    load_or_exit,
    rule_on_host,
    rule_on_host_arguments,
    yes_option,
)
from exporter.cli.manual_action import show_plan
from exporter.cli.remediation_run import run
from exporter.cli.remediation_status import status
from exporter.cli.session import requester
from exporter.cli.terminal import ask, console, local_time, need_a_terminal, say
from exporter.config.errors import ConfigError
from exporter.config.file_watch import file_exists
from exporter.config.loading import journal_path
from exporter.config.models import Config, HostConfig
from exporter.config.remediation import ON_SERVICE, RemediationRule
from exporter.journal import Actor, Entry, Journal, JournalError, Kind
from exporter.journal.host_lock import journal_of
from exporter.remediation import approvals
from exporter.remediation.plan import Plan


@click.group
def remediation() -> None:
    """See, stop, allow and run the config's remediation rules.

    \b
    brainycp-exporter remediation status --config F
    brainycp-exporter remediation pause "mail migration" --config F
    brainycp-exporter remediation run purge-frozen-storm mx1 --dry-run --config F

    They work on the journal, with or without a daemon; one that runs goes by it.
    """  # noqa: D301 - click's mark before lines that stay as they are


remediation.add_command(status)
remediation.add_command(run)


@remediation.command("pause")
@click.argument("reason", nargs=-1, metavar="[REASON]")
@config_option
def pause(reason: tuple[str, ...], config_file: Path) -> None:
    """Let no rule act on any host until `resume`.

    A rule that is at it stops before its next message. What people do by hand with `queue` and
    `service` is not held back. Of the config only state.path needs to be right.

    \b
    brainycp-exporter remediation pause "mail migration until noon" --config F
    """  # noqa: D301
    try:
        path = journal_path(config_file)  # on a bad night the rest of the config may be wrong
    except ConfigError as error:
        exit_on_config_error(error)
    with journal_to_write(path) as journal:
        text = approvals.pause(journal, signature(), requester(), " ".join(reason))
        unheard = journal.is_used_otherwise()
    say(f"{text} `remediation resume` ends it.")
    if journal_of(config_file, path).others_differ():
        raise click.ClickException(
            f"But a running exporter goes by another state.path than {path}, which the config "
            "named when it was started. It does not see this pause: restart it, or create its "
            "pause_file."
        )
    if unheard:
        raise click.ClickException(
            f"But a running exporter has another journal open than the one at {path}: the file, "
            "or what stands beside it (-wal, -shm), was moved, removed or replaced meanwhile. It "
            "does not see this pause. It ends what it does once it looks at its files; restart it."
        )


@remediation.command("resume")
@click.argument("rule_name", metavar="[RULE", required=False)
@click.argument("name", metavar="HOST]", required=False)
@config_option
def resume(rule_name: str | None, name: str | None, config_file: Path) -> None:
    """End a pause, or let a stopped rule go on.

    \b
    brainycp-exporter remediation resume --config F
    brainycp-exporter remediation resume purge-frozen-storm mx1 --config F

    A rule stops itself on a host when three verifications in a row failed, when mail was lost
    that was not meant, or when the panel cannot do what the rule wants.
    """  # noqa: D301
    config = load_or_exit(config_file).config
    if rule_name is None:
        _resume_all(config)
        return
    if name is None:
        raise click.UsageError("Name the host too, as: remediation resume RULE HOST")
    rule, host = rule_on_host(config, rule_name, name)
    with journal_to_write(config.state.path) as journal:
        stopped = approvals.resume_rule(journal, host, rule.name, signature(), requester())
    if stopped:
        say(f"{rule.name} may act on {name} again. It was: {stopped}")
    else:
        say(f"{rule.name} is not stopped on {name}; there was nothing to do.")


def _resume_all(config: Config) -> None:
    with journal_to_write(config.state.path) as journal:
        paused = approvals.resume(journal, signature(), requester())
    say(f"Resumed. It was: {paused}" if paused else "It was not paused by command.")
    file = config.remediation.pause_file
    if file_exists(file) is not False:
        say(f"Still nothing acts: the pause file {file} exists. Remove it.")


# --- approvals ----------------------------------------------------------------------------------


@remediation.command("approve")
@rule_on_host_arguments
@yes_option
@all_option
@config_option
def approve(rule_name: str, name: str, config_file: Path, *, yes: bool, show_all: bool) -> None:
    """Allow what a rule asks for on a host; asks first.

    It may act on the messages that are shown, and on no others. The daemon does so at its next
    poll of the host, if the condition still holds and no guard objects. An approval counts for
    24 hours and for one action, and lapses when the condition does not hold any more.

    \b
    brainycp-exporter remediation approve purge-frozen-storm mx1 --config F
    """  # noqa: D301
    config = load_or_exit(config_file).config
    rule, host = rule_on_host(config, rule_name, name)
    request, state, plan = _the_request(config, rule, host)
    if state == "approved":
        say(f"{rule.name} on {name} is approved already.")
        return
    show_plan(plan, console(), show_all=show_all)
    before = " It was rejected before." if state == "rejected" else ""
    say(f"{name}: {rule.name} asked at {local_time(request.at)}: {request.text}{before}")
    need_a_terminal(yes=yes)
    if not yes and not asyncio.run(ask("Approve it?")):
        click.echo("Nothing was approved.", err=True)
        raise SystemExit(1)
    _decide(config, rule, host, request, Kind.APPROVED)
    limits = "" if rule.action in ON_SERVICE else " to these messages and no others"
    say(f"Approved{limits}: the daemon acts at its next poll of {name}, if no guard objects.")


@remediation.command("reject")
@rule_on_host_arguments
@config_option
def reject(rule_name: str, name: str, config_file: Path) -> None:
    """Refuse what a rule asks for on a host.

    It may ask again after 24 hours.

    \b
    brainycp-exporter remediation reject purge-frozen-storm mx1 --config F
    """  # noqa: D301
    config = load_or_exit(config_file).config
    rule, host = rule_on_host(config, rule_name, name)
    request, state, _ = _the_request(config, rule, host)
    if state == "rejected":
        say(f"{rule.name} on {name} is rejected already.")
        return
    _decide(config, rule, host, request, Kind.REJECTED)
    say(f"Rejected: {rule.name} does not act on {name}; it may ask again after 24 hours.")


def _the_request(
    config: Config, rule: RemediationRule, host: HostConfig
) -> tuple[Entry, str, Plan]:
    """Return the approval request of a rule, its state, and the messages that it is about.

    Raises:
        click.ClickException: it asks for nothing, or the journal cannot be read.
    """
    try:
        with closing(Journal.open_to_read(config.state.path)) as journal:
            facts = journal.rule_facts(host.name, rule.name, host.panel)
            request = approvals.request_of(journal, rule.name, facts)
            if request is None:
                raise _nothing_asked(rule, host.name)
            return request, facts.approval, Plan(tuple(journal.messages(request.id)))
    except JournalError as error:
        raise click.ClickException(str(error)) from None


def _nothing_asked(rule: RemediationRule, host: str) -> click.ClickException:
    needs = "" if rule.approval == "required" else " It needs no approval."
    return click.ClickException(
        f"{rule.name} asks for nothing on {host}.{needs} `remediation status` shows what waits."
    )


def _decide(
    config: Config, rule: RemediationRule, host: HostConfig, request: Entry, kind: Kind
) -> None:
    try:
        with journal_to_write(config.state.path) as journal:
            # A person may take long to decide: the request must still be the same.
            approvals.decide(journal, host, rule, request.run, kind, signature(), requester())
    except approvals.AskedAnewError as error:
        raise click.ClickException(f"Nothing was decided: {error}") from None
    except approvals.NothingAskedError:
        raise _nothing_asked(rule, host.name) from None


# --- the journal --------------------------------------------------------------------------------


def signature() -> str:
    """Return the user of this command, as the journal names them."""
    return f"{Actor.PERSON}:{requester()}"


@contextmanager
def journal_to_write(path: Path) -> Iterator[Journal]:
    """Open the journal to write; one that fails ends the command."""
    try:
        with closing(Journal.open(path)) as journal:
            yield journal
    except JournalError as error:
        raise click.ClickException(f"Nothing was written down. {error}") from None

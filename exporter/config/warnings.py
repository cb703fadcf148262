"""Warnings: what is allowed in a config, but not as safe or as quick as it could be."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from pathlib import Path

from exporter.config.access import Credentials
from exporter.config.document import Document
from exporter.config.errors import Path_, Problem
from exporter.config.hosts import HostEntry
from exporter.config.models import Config, HostConfig
from exporter.config.panel_api import API_PATH
from exporter.config.selectors import HostSelector
from exporter.config.units import format_duration
from exporter.snapshot import QUEUE

TYPICAL_REQUEST_SECONDS = 2.5
"""What one request to a real panel takes."""

_SHORTEST_CALM_INTERVAL = 4 * TYPICAL_REQUEST_SECONDS  # a poll makes at most four requests

Hosts = Sequence[tuple[HostEntry, HostConfig]]


def find_warnings(config: Config, main: Document, hosts: Hosts) -> tuple[Problem, ...]:
    """Return every warning, in file order; one that comes from a default is given once."""
    found = {
        *_tls_warnings(hosts),
        *_half_paths(hosts),
        *_interval_warnings(config, main, hosts),
        *_capacity_warnings(config, main, hosts),
        *_files_open_to_all(hosts),
        *_rules_without_hosts(config, main),
        *_dangerous_rules(config, main),
    }
    return tuple(sorted(found))


def _tls_warnings(hosts: Hosts) -> Iterator[Problem]:
    for entry, host in hosts:
        if host.tls.insecure_skip_verify:
            yield entry.problem(
                ("tls", "insecure_skip_verify"),
                "the certificate is not checked, so whoever sits in between can read the "
                "password; pin it with fingerprint_sha256 instead",
            )
        if host.address.scheme == "http" and not is_loopback(host.address.host or ""):
            yield entry.problem(
                ("url",), "over plain http the password travels in clear; use https"
            )


def _half_paths(hosts: Hosts) -> Iterator[Problem]:
    for entry, host in hosts:
        path = host.address.path
        if path != API_PATH and API_PATH.startswith(f"{path.rstrip('/')}/"):
            yield entry.problem(
                ("url",), f"has the path {path}, so {API_PATH} is not added: leave the path out"
            )


def is_loopback(host: str) -> bool:
    """Return whether `host` names this machine, as far as can be known without a look-up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _interval_warnings(config: Config, main: Document, hosts: Hosts) -> Iterator[Problem]:
    if message := _interval_message(config.poll.interval, config.poll.timeout):
        key = "interval" if config.poll.interval < _SHORTEST_CALM_INTERVAL else "timeout"
        place = ("poll", key) if ("poll", key) in main.lines else ("poll", "interval")
        yield main.problem(place, message)
    for entry, host in hosts:
        message = _interval_message(config.interval_of(host), config.poll.timeout)
        if message and host.interval is not None:
            yield entry.problem(("interval",), message)


def _interval_message(interval: float, timeout: float) -> str:
    if interval < _SHORTEST_CALM_INTERVAL:
        return (
            f"an interval of {format_duration(interval)} leaves a panel no rest: a poll is up to "
            f"4 requests of about {format_duration(TYPICAL_REQUEST_SECONDS)}; "
            f"use {format_duration(_SHORTEST_CALM_INTERVAL)} or more"
        )
    if timeout > interval:
        return (
            f"poll.timeout ({format_duration(timeout)}) is longer than the interval "
            f"({format_duration(interval)}): polls of a panel that hangs come late; "
            "lower the timeout or raise the interval"
        )
    return ""


def _capacity_warnings(config: Config, main: Document, hosts: Hosts) -> Iterator[Problem]:
    needed = sum(
        (len(host.collectors) + (QUEUE in host.collectors))  # the queue takes two requests
        * TYPICAL_REQUEST_SECONDS
        / config.interval_of(host)
        for _, host in hosts
    )
    if needed > config.poll.concurrency:
        yield main.problem(
            ("poll", "concurrency"),
            f"{len(hosts)} hosts keep about {needed:.0f} requests in flight at "
            f"{format_duration(TYPICAL_REQUEST_SECONDS)} each, but only "
            f"{config.poll.concurrency} are allowed, so polls would come late; "
            "raise concurrency or the interval",
        )


def _files_open_to_all(hosts: Hosts) -> Iterator[Problem]:
    """Yield one warning for each file that everybody can read and that holds a password."""
    seen: set[Path] = set()
    for entry, host in hosts:
        logins: list[tuple[Path_, Credentials]] = [((), host)]
        if host.basic_auth is not None:
            logins.append((("basic_auth",), host.basic_auth))
        for at, login in logins:
            if login.password_file is not None:
                place, file = (*at, "password_file"), login.password_file
                words = "every user of this machine can read the file; chmod it to 600 or 640"
            elif login.password_env is None:
                place = (*at, "password")
                file = entry.place(place)[0].file
                words = (
                    "every user of this machine can read this file and its passwords; "
                    "chmod it to 600 or 640, or use password_file"
                )
            else:
                continue
            if file not in seen and readable_by_everybody(file):
                yield entry.problem(place, words)
            seen.add(file)


def _rules_without_hosts(config: Config, main: Document) -> Iterator[Problem]:
    """Yield rules and patterns that no host matches: misspelt more often than not."""
    if not config.hosts:
        return  # hosts files may bring some, and there is a warning that there are none yet
    for position, rule in enumerate(config.remediation.rules):
        at: Path_ = ("remediation", "rules", position, "hosts")
        patterns = rule.hosts.names
        idle = [p for p in patterns if not _matched(config, HostSelector(names=(p,)))]
        for pattern in idle:
            yield main.problem((*at, "names", patterns.index(pattern)), "matches no host")
        if (not idle or len(idle) < len(patterns)) and not _matched(config, rule.hosts):
            yield main.problem(at, "matches no host, so that the rule never acts")


def _dangerous_rules(config: Config, main: Document) -> Iterator[Problem]:
    for position, rule in enumerate(config.remediation.rules):
        at: Path_ = ("remediation", "rules", position)
        asks_nobody = rule.approval == "none" and config.remediation.mode == "enforce"
        if rule.action == "purge_all" and asks_nobody:
            yield main.problem(
                (*at, "action"),
                "purge_all deletes the mail of real senders too, and nobody is asked; "
                "add approval: required, or choose the messages with delete and `select`",
            )
        limit = rule.select.limit if rule.select is not None else None
        if limit is not None and limit > rule.max_messages:
            yield main.problem(
                (*at, "select", "limit"),
                f"is more than max_messages ({rule.max_messages}), so that nothing is done "
                "just when there is most to do; lower it, or raise max_messages",
            )
        intervals = [config.interval_of(host) for host in _matched(config, rule.hosts)]
        if rule.cooldown < max(intervals, default=0.0):
            yield main.problem(
                (*at, "cooldown"),
                f"{format_duration(rule.cooldown)} is shorter than the poll interval "
                f"({format_duration(max(intervals))}), so that the rule may act at every poll; "
                "give what it did some time to show",
            )


def _matched(config: Config, selector: HostSelector) -> list[HostConfig]:
    return [host for host in config.hosts if selector.matches(host.name, host.labels)]


def readable_by_everybody(file: Path) -> bool:
    """Return whether any user of this machine can open `file`, the folders above it included."""
    try:
        real = file.resolve()
        return bool(real.stat().st_mode & 0o004) and all(
            folder.stat().st_mode & 0o001 for folder in real.parents
        )
    except OSError:
        return False  # gone since it was read

"""The command line: the names of the commands, each loaded when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from exporter import __version__

COMMANDS = {
    "run": "Run the daemon: poll the panels and serve /metrics until SIGTERM or Ctrl-C.",
    "check-config": "Check a config: prints every mistake with its path and line.",
    "poll": "Poll every host of the config, or those named, once; print what they said.",
    "diagnose": "Ask one host every read-only operation once; show how each reply was understood.",
    "queue": "Look at a host's mail queue and act on it, by hand and without the daemon.",
    "service": "See whether a host's clamav or spamassassin runs; switch it on or off.",
    "remediation": "See, stop, allow and run the config's remediation rules.",
    "journal": "Show what rules and people have done, why, and how it ended.",
    "alerts": "List the daemon's own alerts: firing, pending and resolved within a week.",
    "test-notification": "Send RECEIVER one alert that says it is a test.",
    "demo": "Run a fleet of stand-in panels on loopback, and the daemon over it.",
    "hash-password": "Print the bcrypt hash of a password, for basic_auth_users of the web config.",
}
"""The first sentence of each command's help."""

_MODULES = {"test-notification": "try_receiver"}
"""The modules of commands that are not called as their module is."""


def load(name: str) -> click.Command:
    """Return a command, imported."""
    function = name.replace("-", "_")
    module = import_module(f"exporter.cli.{_MODULES.get(name, function)}")
    command: click.Command = getattr(module, function)
    return command


class _Commands(click.Group):
    """A group that holds names and summaries: to import all commands takes a second."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load(str(name)), rest


@click.group(
    cls=_Commands,
    commands={name: click.Command(name, help=words) for name, words in COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(__version__, prog_name="brainycp-exporter")
def main() -> None:
    """Watch the mail queues and mail services of BrainyCP hosting panels.

    \b
    New here?  brainycp-exporter demo            stand-in panels to look at
    Then:      brainycp-exporter check-config F  tells every mistake in a config
               brainycp-exporter poll --config F asks your panels once
               brainycp-exporter run --config F  the daemon, for Prometheus
    By hand:   brainycp-exporter queue --help    look at mail queues, act on them
               brainycp-exporter journal --help  what was done, why, by which user
    """  # noqa: D301 - click's mark before lines that stay as they are

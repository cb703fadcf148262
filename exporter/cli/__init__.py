"""The commands."""

from __future__ import annotations

import click

from exporter import __version__
from exporter.cli.alerts import alerts
from exporter.cli.check_config import check_config
from exporter.cli.demo import demo
from exporter.cli.diagnose import diagnose
from exporter.cli.hash_password import hash_password
from exporter.cli.journal import journal
from exporter.cli.poll import poll
from exporter.cli.queue import queue
from exporter.cli.remediation import remediation
from exporter.cli.run import run
from exporter.cli.service import service
from exporter.cli.try_receiver import test_notification


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="brainycp-exporter")
def main() -> None:
    """Watch the mail queues and mail services of BrainyCP hosting panels.

    \b
    New here?  brainycp-exporter demo            stand-in panels to look at
    Then:      brainycp-exporter check-config F  tells every mistake in a config
               brainycp-exporter poll --config F asks your panels once
               brainycp-exporter run --config F  the daemon, for Prometheus
    By hand:   brainycp-exporter queue --help    look at mail queues, act on them
               brainycp-exporter journal --help  what was done, by whom and why
    """  # noqa: D301 - click's mark before lines that stay as they are


_COMMANDS = (
    *(run, check_config, poll, diagnose, queue, service, remediation, journal, alerts),
    *(test_notification, demo, hash_password),
)
for command in _COMMANDS:
    main.add_command(command)

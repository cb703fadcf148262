"""Reads everything that a config names: all that must be right before anything is started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from exporter.alerting.apprise import mistake_in
from exporter.config.alerting import AppriseConfig
from exporter.config.document import read_document
from exporter.config.errors import ConfigError, Problem
from exporter.config.loading import LoadedConfig, load_config, valid_parts
from exporter.web.server.web_config import WebSettings, load_web_config


@dataclass(frozen=True, slots=True)
class Usable:
    """A config; everything that it names is read and checked."""

    loaded: LoadedConfig
    web: WebSettings

    @property
    def hosts_globs(self) -> list[str]:
        """Absolute globs of the hosts files, to be re-read when what they match changes."""
        base_dir = self.loaded.file.absolute().parent
        return [str(base_dir / pattern) for pattern in self.loaded.config.hosts_files]


def load_everything(file: Path) -> Usable:
    """Return the config and its web config.

    Raises:
        ConfigError: with every mistake of every file.
    """
    problems: list[Problem] = []
    loaded: LoadedConfig | None = None
    web = WebSettings()
    try:
        loaded = load_config(file)
        config = loaded.config
        receivers, web_file = dict(enumerate(config.alerting.apprise)), config.web.config_file
    except ConfigError as error:
        problems += error.problems
        receivers, web_file = valid_parts(file)
    problems += _unusable_urls(file, receivers)
    try:
        web = WebSettings() if web_file is None else load_web_config(web_file)
    except ConfigError as error:
        problems += error.problems
    if loaded is None or problems:
        raise ConfigError(problems)
    return Usable(loaded, web)


def _unusable_urls(file: Path, receivers: Mapping[int, AppriseConfig]) -> Iterator[Problem]:
    """Yield a problem for each URL that Apprise does not know: only Apprise can check it."""
    if find_spec("apprise") is None:
        return  # the section has that mistake already
    mistakes = {position: mistake_in(receiver) for position, receiver in receivers.items()}
    if any(mistakes.values()):
        main = read_document(file)
        for position, words in mistakes.items():
            if words:
                yield main.problem(("alerting", "apprise", position), words)

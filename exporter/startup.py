"""Reads everything that a config names: what must be right before anything is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from exporter.alerting.apprise import mistake_in
from exporter.config.document import ConfigError, read_document
from exporter.config.loading import LoadedConfig, load_config
from exporter.web.toolkit import WebSettings, load_web_config


@dataclass(frozen=True, slots=True)
class Usable:
    """A config with everything it names read and checked."""

    loaded: LoadedConfig
    web: WebSettings

    @property
    def hosts_globs(self) -> list[str]:
        """Absolute globs of the hosts files, to be re-read when what they match changes."""
        base_dir = self.loaded.file.absolute().parent
        return [str(base_dir / pattern) for pattern in self.loaded.config.hosts_files]


def load_everything(file: Path) -> Usable:
    """The config and its web config.

    Raises:
        ConfigError: with every mistake of every file.
    """
    loaded = load_config(file)
    _demand_usable_urls(loaded)
    web_file = loaded.config.web.config_file
    return Usable(loaded, WebSettings() if web_file is None else load_web_config(web_file))


def _demand_usable_urls(loaded: LoadedConfig) -> None:
    """See that Apprise knows its URLs: only it can tell."""
    receivers = loaded.config.alerting.apprise
    mistakes = [(position, mistake_in(receiver)) for position, receiver in enumerate(receivers)]
    if any(words for _, words in mistakes):
        main = read_document(loaded.file)
        raise ConfigError(
            main.problem(("alerting", "apprise", position), words)
            for position, words in mistakes
            if words
        )

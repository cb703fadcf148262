"""clamav and spamassassin: whether a service runs, from words of four languages."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator

from exporter.panel.decode.envelope import Reply, quote, unexpected

_MAX_TEXT = 20_000
_MAX_VALUES = 200
_MAX_DEPTH = 6

_RUNNING = (
    # English and systemd
    *("running", "started", "enabled", "active", "online", "alive"),
    # Russian
    *("включен", "включена", "включено", "запущен", "запущена", "запущено", "работает"),
    *("активен", "активна", "активно", "активный"),
    # Ukrainian
    *("увімкнено", "увімкнений", "увімкнена", "увімкнен", "запущений", "працює"),
    *("активний", "ввімкнено"),
)
_STOPPED = (
    *("stopped", "disabled", "inactive", "dead", "failed", "offline", "down", "start failed"),
    *("failed to start", "halted", "crashed"),
    *("отключен", "отключена", "отключено", "выключен", "выключена", "выключено"),
    *("остановлен", "остановлена", "остановлено", "неактивен", "неактивна", "неактивно"),
    *("незапущен", "запуск завершился с ошибкой", "завершился с ошибкой", "ошибка запуска"),
    *("вимкнено", "вимкнений", "вимкнена", "зупинено", "зупинений", "зупинена", "неактивний"),
    *("відключено", "запуск завершився з помилкою", "завершився з помилкою"),
)
_RUNNING_ZH = ("已启用", "启用", "已启动", "启动", "正在运行", "运行中", "运行", "已开启", "开启")
_STOPPED_ZH = (
    *("已禁用", "禁用", "已停止", "停止", "未启用", "未启动", "未运行", "没有运行", "不在运行"),
    *("启动失败", "已关闭", "关闭", "未开启", "未激活"),
)
_SHORT = {"on": True, "1": True, "true": True, "yes": True, "up": True}
_SHORT |= {"off": False, "0": False, "false": False, "no": False}
"""Words too common to mean a status inside a sentence: only alone or after a colon."""

# Keys of an object, those that speak of the process before those that speak of the boot.
_KEYS = (
    ("running", "is_running", "active", "is_active", "status", "state", "статус", "состояние"),
    ("enabled", "is_enabled", "on", "value", "result", "detail", "message", "mess", "text"),
)

_VERDICTS = dict.fromkeys((*_RUNNING, *_RUNNING_ZH), True)
_VERDICTS |= dict.fromkeys((*_STOPPED, *_STOPPED_ZH), False)
_NEGATION = (
    r"(?:n't|(?<!\w)(?:not|never|не|ні|нет|no longer))(?:\s+(?:yet|currently|been|был[ао]?))?"
)


def _longest_first(words: tuple[str, ...]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_STATUS = re.compile(
    rf"(?P<negation>{_NEGATION}\s{{1,5}})?"
    rf"(?<!\w)(?P<word>{_longest_first(_RUNNING + _STOPPED)})(?!\w)"
    rf"|(?P<negation_zh>未|没有|没|不)?(?P<chinese>{_longest_first(_RUNNING_ZH + _STOPPED_ZH)})"
)
_SYSTEMD = re.compile(r"^\s*active:\s*([a-z-]+)(?:\s*\(([a-z-]+)\))?", re.MULTILINE)
_AFTER_COLON = re.compile(rf"(?:[:=]|\bis)\s*({'|'.join(_SHORT)})\s*[.!]?\s*\Z")
_TAG = re.compile(r"<[^<>]{0,500}>")
_SPACE = re.compile(r"[^\S\n]+")


def decode_service_status(reply: Reply) -> bool:
    """Whether the service runs.

    Only the payload is asked; the reply's own text ("Команда выполнена") tells of the command,
    and speaks for the service only when there is no payload. `systemctl status` output is
    judged by its `Active:` line alone, as the rest tells of the boot and of the past.

    Raises:
        PanelError: `unexpected` when no known word is there, or when words contradict.
    """
    payload = reply.payload
    empty = payload is None or payload in ("", [], {})
    told = reply.text if empty else payload
    verdicts = set(_verdicts(told, reply.operation.value, _MAX_DEPTH))
    if len(verdicts) == 1:
        return verdicts.pop()
    problem = "contradicts itself" if verdicts else "holds no known status word"
    shown = payload if isinstance(payload, str) and payload else reply.text
    raise unexpected(f"The status of {reply.operation.value} {problem}.{quote(shown)}")


def _verdicts(value: object, service: str, depth: int) -> Iterator[bool]:
    if isinstance(value, bool):
        yield value
    elif isinstance(value, int | float):
        if value in (0, 1):
            yield bool(value)
    elif isinstance(value, str):
        yield from _in_text(value)
    elif isinstance(value, list) and depth:
        yield from _in_list(value, service, depth - 1)
    elif isinstance(value, dict) and depth:
        yield from _in_mapping(value, service, depth - 1)


def _in_list(values: list[object], service: str, depth: int) -> Iterator[bool]:
    if all(isinstance(value, str) for value in values):
        yield from _in_text("\n".join(str(value) for value in values[:_MAX_VALUES]))
    elif len(values) == 1:
        yield from _verdicts(values[0], service, depth)


def _in_mapping(values: dict[str, object], service: str, depth: int) -> Iterator[bool]:
    lower = {key.strip().lower(): value for key, value in list(values.items())[:_MAX_VALUES]}
    for keys in ((service,), *_KEYS):
        told = [lower[key] for key in keys if key in lower]
        found = {verdict for value in told for verdict in _verdicts(value, service, depth)}
        if found:
            yield from found
            return
    # Numbers under other keys are process ids and the like.
    for value in lower.values():
        if isinstance(value, str) and value.strip().lower() not in _SHORT:
            yield from _in_text(value)


def _in_text(text: str) -> Iterator[bool]:
    text = _TAG.sub(" ", html.unescape(text[:_MAX_TEXT]))
    text = unicodedata.normalize("NFKC", text).lower().replace("ё", "е").replace("’", "'")
    text = _SPACE.sub(" ", text).strip()
    bare = text.strip(" .!*●•'\"\n")
    if bare in _SHORT:
        yield _SHORT[bare]
        return
    systemd = _SYSTEMD.search(text)
    if systemd:
        yield from _systemd(systemd[1], systemd[2])
        return
    for match in _STATUS.finditer(text):
        running = _VERDICTS[match["chinese"] or match["word"]]
        if match["negation"] is None and match["negation_zh"] is None:
            yield running
        elif running:
            yield False
        else:
            # "not stopped" may be starting, reloading, anything: both, so that it is no verdict.
            yield from (True, False)
    after_colon = _AFTER_COLON.search(text)
    if after_colon:
        yield _SHORT[after_colon[1]]


def _systemd(state: str, detail: str | None) -> Iterator[bool]:
    # "active (exited)" is a start script that ended; whether the daemon lives is not told.
    if state in ("active", "reloading") and detail != "exited":
        yield True
    elif state in ("inactive", "failed"):
        yield False

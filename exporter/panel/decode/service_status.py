"""clamav and spamassassin: whether a service runs or is installed.

Only known texts count, in the four languages of the panel and as systemd prints them. A text is
read whole: any further word may turn its sense (past, doubt, another service).
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from typing import cast

from exporter.panel.decode.envelope import CODE_KEYS, decode_reply, quote, unexpected
from exporter.panel.protocol import Operation
from exporter.snapshot import ServiceState

_MAX_TEXT = 20_000
_MAX_VALUES = 200
_MAX_DEPTH = 6

_RUNNING = ServiceState(running=True)
_STOPPED = ServiceState(running=False)
_ABSENT = ServiceState(running=False, installed=False)

_State = ServiceState | None
"""None for a status that is there and not understood."""

_NAMES = {
    "clamav": ("clamav-daemon", "clamav", "clamd"),
    "spamassassin": ("spamassassin", "spamd"),
}
_SHORT = {
    **dict.fromkeys(("on", "1", "true", "yes", "up"), _RUNNING),
    **dict.fromkeys(("off", "0", "false", "no", "down"), _STOPPED),
}
"""Words too common to mean a status anywhere but alone or behind a colon or "is"."""
_WORDS = {
    **dict.fromkeys(
        (
            *("running", "started", "enabled", "active", "active (running)", "online"),
            *("включен", "включена", "включено", "запущен", "запущена", "запущено", "работает"),
            *("активен", "активна", "активно", "активный"),
            *("увімкнено", "ввімкнено", "увімкнений", "запущений", "працює", "активний"),
            *("启用", "已启用", "启动", "已启动", "开启", "已开启"),
            *("运行", "在运行", "正在运行", "运行中"),
            "包括",  # "to include": what a machine made of "on" in one language pack
        ),
        _RUNNING,
    ),
    **dict.fromkeys(
        (
            *("stopped", "disabled", "inactive", "inactive (dead)", "dead", "offline"),
            *("dead but pid file exists", "dead but subsys locked"),  # init scripts of CentOS
            *("отключен", "отключена", "отключено", "выключен", "выключена", "выключено"),
            *("остановлен", "остановлена", "остановлено", "неактивен", "неактивна", "неактивно"),
            *("вимкнено", "вимкнений", "зупинено", "зупинений", "неактивний", "відключено"),
            *("禁用", "已禁用", "停止", "已停止", "关闭", "已关闭", "停用", "已停用", "未激活"),
        ),
        _STOPPED,
    ),
}
_FAILED = frozenset(
    {
        *("failed", "start failed", "failed to start", "启动失败", "завершился с ошибкой"),
        *("запуск завершился с ошибкой", "запуск завершився з помилкою", "ошибка запуска"),
    }
)
"""What a failed start says, alone or behind the service's name: "status: failed" may be about
the command."""
_DENIED = {
    **{word: _STOPPED for word, state in _WORDS.items() if state is _RUNNING},
    **dict.fromkeys(
        (
            *("installed", "установлен", "установлена", "установлено"),
            *("встановлено", "встановлений", "встановлена", "安装"),
        ),
        _ABSENT,
    ),
}
"""What is known of a service by the words that are denied: "not stopped" may be anything, and
"installed" that is not denied says nothing of whether it runs."""

_PID = r"\(pid:? [\d ,]{1,200}\)"
_DENIAL = re.compile(r"(?:not|isn't|не)[\s-]+|尚?未|没有?")
_LABELS = {
    service: re.compile(
        r"(?:"
        rf"(?:{'|'.join(map(re.escape, names))})(?:\.service)?(?:\s?[:=]\s?|\s(?:{_PID}\s)?)"
        r"|(?:service|daemon|status|state)(?:\s?[:=]\s?|\s)"
        r"|(?:служба|сервис|статус|состояние|сервіс|стан)(?:\s?[:=]\s?|\s)"
        r"|(?:服务|状态)(?:\s?[:=]\s?|\s)?"
        rf"|(?:active|running|enabled)\s?[:=]\s?(?=(?:{'|'.join(_SHORT)})\Z)"
        r")*(?:is\s)?"
    )
    for service, names in _NAMES.items()
}
"""What may stand before a word for a state and leaves it as it is."""
_BEFORE_SHORT = re.compile(r"(?:.*(?:[:=]\s?|is\s))?", re.DOTALL)

_SYSTEMD = re.compile(r"^ ?active: ?([a-z-]+)(?: ?\(([a-z-]+)\))?", re.MULTILINE)
_NOT_FOUND_UNIT = re.compile(r"^ ?loaded: ?not-found\b", re.MULTILINE)
_TAG = re.compile(r"<[^<>]{0,500}>")
_SPACE = re.compile(r"[^\S\n]+")

# Keys of an object, those that speak of the process before those that speak of the boot.
_KEYS = (
    ("running", "is_running", "active", "is_active", "status", "state", "статус", "состояние"),
    ("enabled", "is_enabled"),
)
_INSTALLED_KEYS = ("installed", "is_installed")


def decode_service_reply(body: bytes, operation: Operation) -> ServiceState:
    """Return what a service does, by a reply to its operation.

    Only the payload is decoded. The reply's own text is about the command ("Команда выполнена"),
    and in two of the panel's language packs it always says "enabled". `systemctl status` output
    is judged by its `Active:` line: the rest is about the boot and the past.

    Raises:
        PanelError: as `decode_reply`, and `unexpected` when the payload is no known text, or when
            texts contradict.
    """
    reply = decode_reply(body, operation)
    payload = reply.payload
    if payload is None or payload in ("", [], {}):
        # Whatever stands beside it is about the command, not about the service.
        raise unexpected(f"The reply to {operation.value} tells no status: it has no payload.")
    states: set[_State] = set(_states(payload, operation.value, _MAX_DEPTH))
    if states == {_ABSENT, _STOPPED}:
        return _ABSENT
    (state, *others) = states or {None}
    if state is not None and not others:
        return state
    if _RUNNING in states and len(states - {None}) > 1:
        problem = "contradicts itself"
    else:
        problem = "is not clear" if states else "holds no known status word"
    shown = payload if isinstance(payload, str) and payload else reply.text
    raise unexpected(f"The status of {operation.value} {problem}.{quote(shown)}")


def _states(value: object, service: str, depth: int) -> Iterator[_State]:
    """Yield the states in a value."""
    if isinstance(value, bool | int | float):
        if value in (0, 1):
            yield _RUNNING if value else _STOPPED
    elif isinstance(value, str):
        yield from _in_text(value, service)
    elif isinstance(value, list) and depth:
        yield from _in_list(value, service, depth - 1)
    elif isinstance(value, dict) and depth:
        yield from _in_mapping(value, service, depth - 1)


def _in_list(values: list[object], service: str, depth: int) -> Iterator[_State]:
    if len(values) == 1:
        yield from _states(values[0], service, depth)
    elif len(values) <= _MAX_VALUES and all(isinstance(value, str) for value in values):
        yield from _in_text("\n".join(map(str, values)), service)


def _in_mapping(values: dict[str, object], service: str, depth: int) -> Iterator[_State]:
    lower = {key.strip().lower(): value for key, value in list(values.items())[:_MAX_VALUES]}
    if any(lower.get(key) not in (None, 0, "0", "", [], {}) for key in CODE_KEYS):
        return
    if any(_is_no(lower[key]) for key in _INSTALLED_KEYS if key in lower):
        yield _ABSENT
    # Numbers and words under other keys are process ids, versions, other services.
    for keys in (_NAMES[service], *_KEYS):
        given = [lower[key] for key in keys if lower.get(key) not in (None, "", [], {})]
        for value in given:
            found = set(_states(value, service, depth))
            yield from found or {None}
        if given:
            return


def _is_no(value: object) -> bool:
    if isinstance(value, str):
        return _SHORT.get(value.strip().lower()) is _STOPPED
    return value in (False, 0)


def _in_text(text: str, service: str) -> Iterator[ServiceState]:
    whole = len(text) <= _MAX_TEXT
    text = _TAG.sub(" ", html.unescape(text[:_MAX_TEXT]))
    text = unicodedata.normalize("NFKC", text).lower().replace("ё", "е").replace("’", "'")
    text = _SPACE.sub(" ", text).strip()
    if whole and (state := _in_words(text, service)):
        yield state
    elif _NOT_FOUND_UNIT.search(text):
        yield _ABSENT
    else:
        for match in _SYSTEMD.finditer(text):
            # The unit named above may be the updater's, not the scanner's.
            if "freshclam" not in text[: match.start()]:
                yield from _systemd(match[1], match[2])


def _in_words(text: str, service: str) -> ServiceState | None:
    """Return the state that a whole text names, a label before it aside."""
    bare = " ".join(text.strip(" .!*●•'\"\n").split())
    label = cast("re.Match[str]", _LABELS[service].match(bare))[0]
    word = bare.removeprefix(label)
    if word in _SHORT:
        return _SHORT[word] if _BEFORE_SHORT.fullmatch(label) else None
    if word in _FAILED:
        return _STOPPED if label.rstrip(" :") in ("", *_NAMES[service]) else None
    word = re.sub(rf"\s?{_PID}", "", word).strip(" .[]")
    denial = None if word in _WORDS else _DENIAL.match(word)
    return _DENIED.get(word[denial.end() :]) if denial else _WORDS.get(word)


def _systemd(state: str, detail: str | None) -> Iterator[ServiceState]:
    # "active (exited)" is a start script that ended; whether the daemon lives is not known.
    if state in ("active", "reloading") and detail != "exited":
        yield _RUNNING
    elif state in ("inactive", "failed"):
        yield _STOPPED

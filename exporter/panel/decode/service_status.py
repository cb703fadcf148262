"""clamav and spamassassin: whether a service runs or is installed, in words of four languages."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator

from exporter.panel.decode.envelope import CODE_KEYS, Reply, decode_reply, quote, unexpected
from exporter.panel.protocol import Operation
from exporter.snapshot import ServiceState

_MAX_TEXT = 20_000
_MAX_VALUES = 200
_MAX_DEPTH = 6

_NAMES = {
    "clamav": ("clamav", "clamd", "clamav-daemon"),
    "spamassassin": ("spamassassin", "spamd"),
}
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
    *("stopped", "disabled", "inactive", "dead", "offline", "down", "halted", "crashed"),
    *("отключен", "отключена", "отключено", "выключен", "выключена", "выключено"),
    *("остановлен", "остановлена", "остановлено", "неактивен", "неактивна", "неактивно"),
    *("незапущен", "вимкнено", "вимкнений", "вимкнена", "зупинено", "зупинений", "зупинена"),
    *("неактивний", "відключено"),
)
_FAILED = frozenset(
    {
        *("failed", "start failed", "failed to start", "启动失败"),
        *("запуск завершился с ошибкой", "завершился с ошибкой", "ошибка запуска"),
        *("запуск завершився з помилкою", "завершився з помилкою"),
    }
)
"""What a failed start says; these words inside any other sentence tell of something else."""
_RUNNING_ZH = ("已启用", "启用", "已启动", "启动", "正在运行", "运行中", "运行", "已开启", "开启")
_STOPPED_ZH = ("已禁用", "禁用", "已停止", "停止", "已关闭", "关闭", "未激活", "已停用", "停用")
_INSTALLED = frozenset(
    {
        *("installed", "установлен", "установлена", "установлено"),
        *("встановлено", "встановлений", "встановлена", "інстальовано"),
    }
)
"""Denied, it is a state of its own; alone it tells nothing of whether the service runs."""
_ABSENT_ZH = re.compile(
    r"(?:当前|服务|软件|程序|组件|系统|状态|为|是)*+(?:尚未|并未|未|没有?)被?安装"
)
_SHORT = {"on": True, "1": True, "true": True, "yes": True, "up": True, "包括": True}
_SHORT |= {"off": False, "0": False, "false": False, "no": False}
"""Words too common to mean a status inside a sentence: only alone or after a known key. 包括
("to include") is what a machine made of "on" in one of the panel's language packs."""

_NEGATIONS = frozenset(
    {
        *("not", "no", "none", "nothing", "neither", "nor", "without", "non", "never", "0"),
        *("cannot", "can't", "couldn't", "isn't", "aren't", "unable"),
        *("не", "ни", "нет", "ні", "немає"),
    }
)
_INSIDE_NEGATION = frozenset(
    {
        *("be", "been", "to", "yet", "currently", "longer", "process", "processes", "service"),
        *("daemon", "is", "are", "был", "была", "было", "бути", "сейчас", "процесс", "процессов"),
    }
)
_MAX_INSIDE_NEGATION = 3
_FILLERS = frozenset(
    {
        *(
            "is",
            "are",
            "the",
            "and",
            "but",
            "now",
            "currently",
            "status",
            "state",
            "pid",
            "process",
        ),
        *("processes", "service", "daemon", "server", "file", "exists", "antivirus", "antispam"),
        *("статус", "состояние", "служба", "сервис", "демон", "процесс", "сейчас", "и", "но"),
        *(
            "антивирус",
            "антиспам",
            "стан",
            "зараз",
            "сервіс",
            "і",
            "та",
            "状态",
            "服务",
            "服务状态",
        ),
    }
)
"""Words that leave a status as it is. Any other word beside a status makes it unclear."""

# Keys of an object, those that speak of the process before those that speak of the boot.
_KEYS = (
    ("running", "is_running", "active", "is_active", "status", "state", "статус", "состояние"),
    ("enabled", "is_enabled"),
)

_INSTALLED_KEYS = ("installed", "is_installed")


class _Absent:
    """The verdict that a service is not installed."""


_ABSENT = _Absent()

_Verdict = bool | _Absent | None
"""None where there are status words but their sense is not clear."""

_VERDICTS = dict.fromkeys((*_RUNNING, *_RUNNING_ZH), True)
_VERDICTS |= dict.fromkeys((*_STOPPED, *_STOPPED_ZH), False)


def _longest_first(words: tuple[str, ...]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_TOKEN = re.compile(r"\d+(?:\.\d+)*|[\u4e00-\u9fff]+|[^\W\d_\u4e00-\u9fff]+(?:'[^\W\d_]+)?")
_PUNCTUATION = re.compile(r"[\s.,:;()\[\]*●•!'\"=-]*")
_JOINED = re.compile(r"\s+|\s?-\s?")
_CHINESE = re.compile(
    r"(?:当前|服务|状态|进程|为|是)*+(?P<negation>(?:未能?|没有?|不能?|无法|尚未)在?)?"
    rf"(?P<word>{_longest_first(_RUNNING_ZH + _STOPPED_ZH)})(?:状态)?"
)
_SYSTEMD = re.compile(r"^ ?active: ?([a-z-]+)(?: ?\(([a-z-]+)\))?", re.MULTILINE)
_KEY_VALUE = {
    service: re.compile(
        rf"(?:(?:{_longest_first(names)})(?:\.service|[ -](?:daemon|service))?"
        r"|(?:(?:service|daemon|clamav|clamd|spamassassin|spamd) )?"
        r"(?:status|state|active|running|enabled|статус|состояние|стан|状态))"
        rf"(?:\s?[:=]\s?|\sis\s)({_longest_first(tuple(_SHORT))})"
    )
    for service, names in _NAMES.items()
}
_NOT_INSTALLED_VALUE = re.compile(
    r"(?:[a-z-]{1,20}[ .:])?(?:is[ _])?installed ?[:=] ?(?:no|false|0|off)"
)
_NOT_FOUND_UNIT = re.compile(r"^ ?loaded: ?not-found\b", re.MULTILINE)
_TAG = re.compile(r"<[^<>]{0,500}>")
_SPACE = re.compile(r"[^\S\n]+")


def decode_service_reply(body: bytes, operation: Operation) -> ServiceState:
    """What a service does, by a reply to its operation.

    Raises:
        PanelError: as `decode_reply` and `decode_service_status`.
    """
    return decode_service_status(decode_reply(body, operation))


def decode_service_status(reply: Reply) -> ServiceState:
    """What the service does.

    Only the payload is asked. The reply's own text tells of the command ("Команда выполнена"),
    and two of the panel's language packs say "enabled" there always. `systemctl status` output is
    judged by its `Active:` line, as the rest tells of the boot and of the past.

    Raises:
        PanelError: `unexpected` when no known word is there, when words contradict, or when a
            word beside them may turn their sense (past, doubt, another service).
    """
    payload = reply.payload
    if payload is None or payload in ("", [], {}):
        # Whatever stands beside it tells of the command, not of the service.
        raise unexpected(
            f"The reply to {reply.operation.value} tells no status: it has no payload."
        )
    verdicts = set(_verdicts(payload, reply.operation.value, _MAX_DEPTH))
    if verdicts in ({True}, {False}):
        return ServiceState(running=True in verdicts)
    if verdicts in ({_ABSENT}, {_ABSENT, False}):
        return ServiceState(running=False, installed=False)
    if True in verdicts and len(verdicts - {None}) > 1:
        problem = "contradicts itself"
    else:
        problem = "is not clear" if verdicts else "holds no known status word"
    shown = payload if isinstance(payload, str) and payload else reply.text
    raise unexpected(f"The status of {reply.operation.value} {problem}.{quote(shown)}")


def _verdicts(value: object, service: str, depth: int) -> Iterator[_Verdict]:
    """What a value says."""
    if isinstance(value, bool):
        yield value
    elif isinstance(value, int | float):
        if value in (0, 1):
            yield bool(value)
    elif isinstance(value, str):
        yield from _in_text(value, service)
    elif isinstance(value, list) and depth:
        yield from _in_list(value, service, depth - 1)
    elif isinstance(value, dict) and depth:
        yield from _in_mapping(value, service, depth - 1)


def _in_list(values: list[object], service: str, depth: int) -> Iterator[_Verdict]:
    if len(values) == 1:
        yield from _verdicts(values[0], service, depth)
    elif len(values) <= _MAX_VALUES and all(isinstance(value, str) for value in values):
        yield from _in_text("\n".join(map(str, values)), service)


def _in_mapping(values: dict[str, object], service: str, depth: int) -> Iterator[_Verdict]:
    lower = {key.strip().lower(): value for key, value in list(values.items())[:_MAX_VALUES]}
    if any(lower.get(key) not in (None, 0, "0", "", [], {}) for key in CODE_KEYS):
        return
    if any(_denies(lower[key]) for key in _INSTALLED_KEYS if key in lower):
        yield _ABSENT
    # Numbers and words under other keys are process ids, versions, other services.
    for keys in (_NAMES[service], *_KEYS):
        told = [lower[key] for key in keys if lower.get(key) not in (None, "", [], {})]
        for value in told:
            found = set(_verdicts(value, service, depth))
            yield from found or {None}
        if told:
            return


def _denies(value: object) -> bool:
    """Whether a value is a plain no."""
    word = value.strip().lower() if isinstance(value, str) else ""
    return value in (False, 0) if not isinstance(value, str) else _SHORT.get(word) is False


def _in_text(text: str, service: str) -> Iterator[_Verdict]:
    whole = len(text) <= _MAX_TEXT
    text = _TAG.sub(" ", html.unescape(text[:_MAX_TEXT]))
    text = unicodedata.normalize("NFKC", text).lower().replace("ё", "е").replace("’", "'")
    text = _SPACE.sub(" ", text).strip()
    bare = text.strip(" .!*●•'\"\n")
    key_value = _KEY_VALUE[service].fullmatch(bare)
    systemd = list(_SYSTEMD.finditer(text))
    if bare in _SHORT:
        yield _SHORT[bare]
    elif key_value:
        yield _SHORT[key_value[1]]
    elif _NOT_INSTALLED_VALUE.fullmatch(bare) or _NOT_FOUND_UNIT.search(text):
        yield _ABSENT
    elif systemd:
        if "freshclam" in text[: systemd[0].start()]:
            yield None  # the unit is the updater's, not the scanner's
        for match in systemd:
            yield from _systemd(match[1], match[2])
    elif _without_name(bare, service) in _FAILED:
        yield False
    elif whole:
        yield from _in_sentence(text, service)


def _without_name(text: str, service: str) -> str:
    for name in sorted(_NAMES[service], key=len, reverse=True):
        if text.startswith((f"{name} ", f"{name}: ")):
            return text.removeprefix(name).removeprefix(":").strip()
    return text


def _in_sentence(text: str, service: str) -> Iterator[_Verdict]:
    """The verdicts of a sentence whose every word is known; None when one may turn its sense."""
    verdicts: list[_Verdict] = []
    clear = True
    negated_words: int | None = None
    """How many words ago a negation stands that has met no status word yet."""
    end = 0
    for match in _TOKEN.finditer(text):
        gap, word = text[end : match.start()], match[0]
        end = match.end()
        clear = clear and bool(_PUNCTUATION.fullmatch(gap))
        if negated_words is not None and not _JOINED.fullmatch(gap):
            clear = False
        told, negated = _word(word)
        if told is not None:
            verdicts += _senses(told, negated=negated or negated_words is not None)
            negated_words = None
        elif word in _NEGATIONS:
            clear = clear and negated_words is None
            negated_words = 0
        elif negated_words is not None:
            negated_words += 1
            known = word in _INSIDE_NEGATION or word in _NAMES[service]
            clear = clear and known and negated_words <= _MAX_INSIDE_NEGATION
        elif word == "could" and text[end : end + 4] == " not":
            continue
        elif not (word in _FILLERS or word in _NAMES[service] or word[0].isdecimal()):
            clear = False
    clear = clear and negated_words is None and bool(_PUNCTUATION.fullmatch(text, end))
    if verdicts and not clear:
        yield None
    yield from verdicts


def _senses(told: _Verdict, *, negated: bool) -> list[_Verdict]:
    """What a status word says, denied or not; several for what is no verdict."""
    if isinstance(told, _Absent):
        return [_ABSENT] if negated else []  # that it is installed does not tell whether it runs
    if negated and not told:
        return [True, False]  # "not stopped" may be starting, reloading, anything
    return [bool(told) and not negated]


def _word(word: str) -> tuple[_Verdict, bool]:
    """What a word says of the service, and whether it holds its own negation.

    Of one for installed that is _ABSENT, with a negation.
    """
    if word in _INSTALLED:
        return _ABSENT, False
    if _ABSENT_ZH.fullmatch(word):
        return _ABSENT, True
    chinese = _CHINESE.fullmatch(word)
    if chinese:
        return _VERDICTS[chinese["word"]], chinese["negation"] is not None
    return _VERDICTS.get(word), False


def _systemd(state: str, detail: str | None) -> Iterator[bool]:
    # "active (exited)" is a start script that ended; whether the daemon lives is not told.
    if state in ("active", "reloading") and detail != "exited":
        yield True
    elif state in ("inactive", "failed"):
        yield False

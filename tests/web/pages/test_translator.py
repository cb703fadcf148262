from __future__ import annotations

import re
import string
from pathlib import Path
from typing import Any

import pytest

import exporter.web
from exporter.web.pages.translator import LANGUAGES, UNKNOWN, language_of, texts, translator

EN, RU = translator("en"), translator("ru")

WEB = Path(exporter.web.__file__).parent
SOURCES = [*WEB.glob("pages/*.py"), *WEB.glob("templates/*.html")]


def forms(text: Any) -> dict[str, str]:
    return text if isinstance(text, dict) else {"": text}


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", sorted(texts()))
def test_every_text_says_the_same_in_both_languages(key: str) -> None:
    text = texts()[key]
    assert tuple(text) == LANGUAGES
    named = {frozenset(placeholders(form)) for lang in text for form in forms(text[lang]).values()}
    assert len(named) == 1, named
    assert len({isinstance(text[lang], dict) for lang in text}) == 1
    for lang in text:
        assert all(form and form == form.strip() for form in forms(text[lang]).values())


def test_every_plural_has_every_form_of_its_language() -> None:
    wanted = {"en": {"one", "other"}, "ru": {"one", "few", "many", "other"}}
    plurals = [text for text in texts().values() if isinstance(text["en"], dict)]
    assert plurals
    for text in plurals:
        assert {lang: set(text[lang]) for lang in LANGUAGES} == wanted


def test_russian_is_russian_and_english_is_english() -> None:
    # A word with a letter of the other alphabet looks right and is found by no search.
    for key, text in texts().items():
        for lang, alien in (("en", "[а-яё]"), ("ru", r"\b\w*(?:[а-яё][a-z]|[a-z][а-яё])\w*\b")):
            for form in forms(text[lang]).values():
                assert re.search(alien, form, re.IGNORECASE) is None, (key, form)


def used() -> tuple[set[str], set[str]]:
    """Keys that the code and the templates name, and beginnings of those that they put together."""
    whole, begun = set[str](), set[str]()
    for file in SOURCES:
        text = file.read_text(encoding="utf-8")
        whole |= set(re.findall(r"""["'](\w+)["']""", text))
        begun |= set(re.findall(r"""["'](\w+_)["']\s*~""", text))
        begun |= set(re.findall(r"""f["'](\w+_)\{""", text))
    return whole, begun


def test_every_text_is_used() -> None:
    whole, begun = used()
    idle = [key for key in texts() if key not in whole and not key.startswith(tuple(begun))]
    assert idle == []


def test_every_text_that_is_used_exists() -> None:
    named = set[str]()
    for file in SOURCES:
        text = file.read_text(encoding="utf-8")
        named |= set(re.findall(r"""\b(?:tr|self)\.text\(\s*["'](\w+)["']""", text))
    assert len(named) > 50
    assert {key for key in named if not key.endswith("_")} - set(texts()) == set()


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("ru", "ru"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("en-GB,ru;q=0.9", "en"),
        ("de,ru;q=0.5,en;q=0.4", "ru"),
        ("de,fr;q=0.7", "en"),
        ("ru;q=0", "en"),
        ("ru;q=0.1,en;q=0.9", "en"),
        ("ru,en", "ru"),
        ("en;q=0.5, ru-RU;q=0.1, ru; q=0.9", "ru"),
        ("ru;q=nan", "en"),
        ("RU", "ru"),
        ("ru;q=nonsense", "en"),
        (";;;,,=q", "en"),
        ("x" * 100_000 + ",ru", "en"),
        ("*", "en"),
    ],
)
def test_the_reader_chooses_the_language(header: str, language: str) -> None:
    assert language_of(header) == language


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "1 сервер недоступен"),
        (2, "2 сервера недоступны"),
        (5, "5 серверов недоступно"),
        (11, "11 серверов недоступно"),
        (21, "21 сервер недоступен"),
        (1240, "1\xa0240 серверов недоступно"),
    ],
)
def test_counts_bend_the_words(count: int, said: str) -> None:
    assert RU.text("headline_down", n=count) == said


@pytest.mark.parametrize(
    ("value", "english", "russian"),
    [
        (None, UNKNOWN, UNKNOWN),
        (float("nan"), UNKNOWN, UNKNOWN),
        (float("inf"), UNKNOWN, UNKNOWN),
        (0, "0", "0"),
        (999, "999", "999"),
        (1240, "1,240", "1\xa0240"),
        (1_234_567, "1,234,567", "1\xa0234\xa0567"),
    ],
)
def test_numbers(value: float | None, english: str, russian: str) -> None:
    assert EN.number(value) == english
    assert RU.number(value) == russian


@pytest.mark.parametrize(
    ("value", "english", "russian"),
    [
        (None, UNKNOWN, UNKNOWN),
        (float("inf"), UNKNOWN, UNKNOWN),
        (0, "0", "0"),
        (300, "300", "300"),
        (1240, "1.2K", "1,2\xa0тыс."),
        (5_000_000, "5M", "5\xa0млн"),
    ],
)
def test_short_numbers(value: float | None, english: str, russian: str) -> None:
    assert EN.short(value) == english
    assert RU.short(value) == russian


@pytest.mark.parametrize(
    ("value", "said"),
    [(98, "+98"), (-12, "−12"), (0, "0"), (None, UNKNOWN), (float("nan"), UNKNOWN)],
)
def test_signed_numbers(value: float | None, said: str) -> None:
    assert EN.signed(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, UNKNOWN),
        (float("nan"), UNKNOWN),
        (float("inf"), UNKNOWN),
        (0, "0 s"),
        (-5, "0 s"),
        (0.04, "40 ms"),
        (0.0001, "1 ms"),
        (12, "12 s"),
        (59.7, "1 min"),
        (312, "5 min 12 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (90_000, "1 d 1 h"),
        (3 * 86400 + 4 * 3600 + 59 * 60, "3 d 4 h"),
    ],
)
def test_durations(seconds: float | None, said: str) -> None:
    assert EN.duration(seconds).replace("\xa0", " ") == said


@pytest.mark.parametrize(
    ("count", "english", "russian"),
    [
        (None, UNKNOWN, UNKNOWN),
        (0, "0 B", "0 Б"),
        (1023, "1,023 B", "1 023 Б"),
        (1024, "1 KiB", "1 КиБ"),
        (3_040_870, "2.9 MiB", "2,9 МиБ"),
        (200 * 2**20, "200 MiB", "200 МиБ"),
        (5000 * 2**30, "5,000 GiB", "5 000 ГиБ"),
    ],
)
def test_sizes(count: float | None, english: str, russian: str) -> None:
    assert EN.size(count).replace("\xa0", " ") == english
    assert RU.size(count).replace("\xa0", " ") == russian


def test_a_moment_tells_utc_and_what_lies_beyond_every_calendar_is_unknown() -> None:
    said = EN.time(1_800_000_000)
    assert 'datetime="2027-01-15T08:00:00+00:00"' in said
    assert 'title="2027-01-15 08:00:00 UTC"' in said
    assert "12\xa0s ago" in EN.ago(1_800_000_000, 1_800_000_012)
    for at in (None, float("nan"), float("inf"), 1e18, -1e18):
        assert EN.time(at) == UNKNOWN
        assert EN.ago(at, 0) == UNKNOWN


def test_what_is_left_for_later_is_filled_in() -> None:
    html = EN.ago_later(1_800_000_000.25)
    assert EN.filled_in(html, 1_800_000_060.25) == EN.ago(1_800_000_000.25, 1_800_000_060.25)


def test_what_is_filled_in_is_escaped_beside_markup() -> None:
    said = EN.text("page_of", page="<b>", pages=EN.time(0))
    assert "&lt;b&gt;" in said
    assert "<time" in said

"""Templates: what they can say, and that none costs more than its length."""

from __future__ import annotations

import time

import pytest

from exporter.config.template_limits import LONGEST
from exporter.config.templates import (
    VARIABLES,
    Labels,
    TemplateRenderError,
    check_template,
    render_template,
)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{ host }}: {{ value }} frozen", "mx1: 1,240 frozen"),
        ("{{ labels.dc }}{{ labels.team }}{{ labels['dc'] }}", "msk1msk1"),
        ("{{ labels.get('team', 'nobody') }}", "nobody"),
        ("{% if number > 1000 %}many{% elif number > 10 %}some{% else %}few{% endif %}", "many"),
        ("{{ 'a' if host.startswith('mx') and 'mail' not in services else 'b' }}", "a"),
        ("{{ '%.1f' | format(number / 3) }} of 100 %", "413.3 of 100 %"),
        ("{{ '%5d|%-3s|%%' | format(number, 'x') }}", " 1240|x  |%"),
        ("{{ (number * 2 + 1) % 7 }} {{ (number / 7) | round(2) }}", "3.0 177.14"),
        ("{{ host | replace('mx', 'node ') | upper }} {{ senders.split(',')[0] }}",
         "NODE 1 example.com 900"),
        ("{{ host[:2] ~ '-' ~ alert | truncate(8) | lower }}", "mx-mailq..."),
        ("{{ failure | default('nothing', true) | trim | first }}", "m"),
        ("{% raw %}{{ x }}{% endraw %}{# note #}", "{{ x }}"),
    ],
)  # fmt: skip
def test_what_a_template_can_say(text: str, rendered: str) -> None:
    assert render_template(check_template(text), VARIABLES) == rendered


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{{ "x" * 1000000000 }}', "* is for numbers"),
        ("{{ 9 ** 9 ** 9 }}", "uses a power"),
        ('{{ "%999999999d" % 1 }}', "% is for numbers"),
        ('{{ "%999999999d" | format(1) }}', "at most 99 wide"),
        ('{{ "%*d" | format(999999999, 1) }}', "at most 99 wide"),
        ("{{ host | center(1000000000) }}", "uses the filter center, which is unknown; "),
        ("{{ host | indent(1000000000) }}", "uses the filter indent, which is unknown; "),
        ("{{ host | wordwrap(1) }}", "uses the filter wordwrap, which is unknown; "),
        ("{{ host.ljust(1000000000) }}", "uses a call"),
        ("{{ '{:1000000000}'.format(1) }}", "uses a call"),
        ("{{ host.__class__.__mro__ }}", "asks for __class__, which it must not"),
        ("{{ host['__class__'] }}", "asks for __class__, which it must not"),
        ("{{ (host | attr('__class__')) }}", "uses the filter attr, which is unknown; "),
        ("{{ host.format.__globals__ }}", "asks for __globals__, which it must not"),
        ("{{ labels.clear() }}", "uses a call"),
        ("{{ range(5) }}", "uses a call"),
        ("{{ self }}", "names self"),
        ("{{ cycler }}", "names cycler"),
        ("{% for a in senders %}{% endfor %}", "uses a loop"),
        ("{% set a = host %}", "uses set"),
        ("{% set a %}x{% endset %}", "uses set"),
        ("{% macro f() %}{{ f() }}{% endmacro %}", "uses a macro"),
        ("{% include 'x' %}", "uses include"),
        ("{% filter upper %}x{% endfilter %}", "uses filterblock"),
        ("{% block x %}{% endblock %}", "uses block"),
        ("{% with a = host %}{% endwith %}", "uses with"),
        ("{{ hostt }}", "names hostt, which is unknown; did you mean host?"),
        ("{{ zzz }}", "names zzz, which is unknown; known are alert, severity"),
        ("{{ host | uper }}", "uses the filter uper, which is unknown; did you mean upper?"),
        ("{{ 1 if host is blue }}", "uses the test blue, which is unknown; known are "),
        ("{{ host", "does not close {{ with }}"),
        ("{{ host } is {{ value }}", "does not close {{ with }}"),
        ("{% if number > 5 }{{ host }}", "does not close {% with %}"),
        ("{# note", "does not close {# with #}"),
        ("{% if host %}\n\n", "does not close {% if %} with {% endif %}"),
        ("{{ host }}{% endif %}", "has {% endif %} without {% if %} before it"),
        ("{% if number %}a{% else if host %}b{% endif %}", "write {% elif %}"),
        ("{% nothing %}", "knows no {% nothing %}, only if, elif, else and endif"),
        ("{{ $labels.host }}", "is written as Prometheus' templates are"),
        ("{{ .Labels.host }}", "is written as Prometheus' templates are"),
        ("{% if $value %}", "is written as Prometheus' templates are"),
        ("{{ frozen && bounces }}", "is not understood at &: write and, or, not"),
        ("{{ 'mx }}", "does not close a text that begins with '"),
        ('{{ "mx }}', 'does not close a text that begins with "'),
        ("{{ }}", "is not understood: expected an expression, got '}}'"),
        ("one\n{{ host host }}", "is not understood: expected '}}', got 'host' in its line 2"),
        ("{{ 1 / 0 }}", "cannot be rendered: it divides by zero"),
        ("{{ number + host }}", "cannot be rendered: it compares or computes with a text"),
        ("{{ 'a' if value > 5 }}", "cannot be rendered: it compares or computes with a text"),
        ("{{ host.nothing }}", "cannot be rendered: it asks for nothing, which is not there"),
        ("{{ host | replace('a') }}", "a filter is given too little"),
        ("{{ number | round('x') }}", "it takes a text for a number"),
        ("{{ " + "(" * 1500 + "1" + ")" * 1500 + " }}", "is nested too deeply"),
        ("{{ 1" + "+1" * 1900 + " }}", "is nested too deeply"),
        ("{{ " + "not " * 900 + "1 }}", "is nested too deeply"),
        ("x" * (LONGEST + 1), "must be at most 4,000 characters"),
    ],
)  # fmt: skip
def test_what_it_cannot(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"\A") as caught:
        check_template(text)
    assert why in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "step",
    ["| replace('', host)", "~ host ~ host", "| urlencode", "| replace('m', host ~ host)"],
)
def test_no_template_grows_out_of_hand(step: str) -> None:
    hostile = dict(VARIABLES) | {"host": "m%" * 2000}
    text = "{{ host " + step * 60 + " }}"
    began = time.process_time()
    assert len(render_template(check_template(text), hostile)) == LONGEST
    assert time.process_time() - began < 5


def test_what_fails_with_other_values_is_told_apart() -> None:
    text = check_template("{{ 1000 / number }}")
    with pytest.raises(TemplateRenderError, match=r"^it divides by zero$"):
        render_template(text, dict(VARIABLES) | {"number": 0.0})


def test_values_are_not_templates() -> None:
    hostile = dict(VARIABLES) | {"host": "{{ 7 * 7 }}", "labels": Labels(dc="{% raw %}")}
    assert render_template("{{ host }} {{ labels.dc }}", hostile) == "{{ 7 * 7 }} {% raw %}"

"""Templates of notifications: what they can say, and what a mistake in one is called."""

from __future__ import annotations

import pytest

from exporter.config.templates import (
    LONGEST,
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
        ("{% for s in senders.split(', ') %}[{{ s }}]{% endfor %}",
         "[example.com 900][example.org 300]"),
        ("{% set who = labels.dc | upper %}{{ who | center(8) }}|", "  MSK1  |"),
    ],
)  # fmt: skip
def test_what_a_template_can_say(text: str, rendered: str) -> None:
    assert render_template(check_template(text), VARIABLES) == rendered


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{{ hostt }}", "names hostt, which is unknown; did you mean host?"),
        ("{{ zzz }}", "names zzz, which is unknown; known are alert, severity"),
        ("{% if number > 5 %}{{ host }}{% else %}{{ hostt }}{% endif %}", "names hostt, "),
        ("{{ host | uper }}", "is not a template: no filter named 'uper'"),
        ("{{ 1 if host is blue }}", "cannot be rendered: no test named 'blue' found"),
        ("{{ host", "is not a template: unexpected end of template, expected '}}'"),
        ("{{ host } is {{ value }}", "is not a template: unexpected '}'"),
        ("{% if host %}\n\n", "The innermost block that needs to be closed is 'if'"),
        ("{% nothing %}", "is not a template: encountered unknown tag 'nothing'"),
        ("{{ $labels.host }}", "is not a template: unexpected char '$' at 3"),
        ("{{ }}", "is not a template: expected an expression, got '}}'"),
        ("one\n{{ host host }}",
         "is not a template: expected token '}}', got 'host' (line 2 of the template)"),
        ("one\n\n{{ 1 / 0 }}", "cannot be rendered: division by zero (line 3 of the template)"),
        ("{{ number + host }}", "cannot be rendered: unsupported operand type(s) for +"),
        ("{{ host.nothing }}", "cannot be rendered: 'str object' has no attribute 'nothing'"),
        ("{{ number | round('x') }}", "cannot be rendered: "),
        ("{{ " + "(" * 1500 + "1" + ")" * 1500 + " }}", "maximum recursion depth exceeded"),
        ("{{ 1" + "+1" * 1900 + " }}", "maximum recursion depth exceeded"),
        # The sandbox's.
        ("{{ host.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object"),
        ("{{ host['__class__'] }}", "access to attribute '__class__' of 'str' object"),
        ("{{ host | attr('__class__') }}", "access to attribute '__class__' of 'str' object"),
        ("{{ '{0.__class__}'.format(host) }}", "access to attribute '__class__' of 'str' object"),
        ("{{ host.format.__globals__ }}", "access to attribute '__globals__'"),
        ("{{ labels.clear() }}", "access to attribute 'clear' of 'Labels' object is unsafe"),
        ("{% for n in range(10 ** 9) %}{% endfor %}", "cannot be rendered: range too big"),
        ("{% include '/etc/passwd' %}", "cannot be rendered: no loader"),
    ],
)  # fmt: skip
def test_what_it_cannot(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"\A") as caught:
        check_template(text)
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_rendered_text_has_a_limit_whatever_hosts_report() -> None:
    hostile = dict(VARIABLES) | {"senders": "m%" * LONGEST}
    assert len(render_template("{{ senders }}", hostile)) == LONGEST


def test_what_fails_with_other_values_is_a_render_error() -> None:
    text = check_template("{{ 1000 / number }}")
    with pytest.raises(TemplateRenderError, match=r"^float division by zero$"):
        render_template(text, dict(VARIABLES) | {"number": 0.0})


@pytest.mark.parametrize("hostile", ["{{ 7 * 7 }}", "{% raw %}", "{{ host", "{{ host.__class__ }}"])
def test_values_are_not_templates(hostile: str) -> None:
    values = dict(VARIABLES) | {"host": hostile, "labels": Labels(dc=hostile)}
    assert render_template("{{ host }} {{ labels.dc }}", values) == f"{hostile} {hostile}"

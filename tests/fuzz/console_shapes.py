"""Console text as panels may hand it on: whole, as lines, made for a page, cut, glued, wrapped."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from tests.fuzz.console import Block, Console, blocks, footer, heading
from tests.fuzz.shown import Shape, Shown
from tests.fuzz.truth import Letter

WARNINGS = (
    "postqueue: warning: Mail system is down -- accessing queue directly",
    "postqueue: warning: /etc/postfix/main.cf, line 12: overriding earlier entry: mynetworks=x",
    "mailq: warning: inet_protocols: disabling IPv6 name/address support: Address family not",
    "exim: warning: purging the environment.",
    "2026-11-30 11:59:00 WARNING: purging the environment.",
    "2026-11-30 11:59:00 Warning: purging the environment.\n  Suggested action: use keep_env.",
    "PHP Warning:  Module 'imap' already loaded in Unknown on line 0",
    "bash: warning: setlocale: LC_ALL: cannot change locale (en_US.UTF-8)",
)

NOISE = (
    *WARNINGS,
    "LOG: MAIN PANIC",
    "  Failed to open file /var/spool/exim/input: Permission denied",
    "Total messages: 12",
    "root@mx1:~#",
    "==================================",
    "Статус очереди",
)
"""Lines that say nothing of being warnings, too."""


def _console(letters: Sequence[Letter], pick: Random) -> Console:
    """A console that can print these."""
    return Console(
        listing=pick.choice((0, 0, 0, 1, 2)),
        suffix=any(len(letter.id) == 23 for letter in letters) and pick.random() < 0.6,
        long_columns=any("z" in letter.id for letter in letters if not letter.is_exim),
        reasons=pick.random() < 0.8,
    )


def _exact(letters: Sequence[Letter]) -> frozenset[str]:
    return frozenset() if letters[0].is_exim else frozenset({"age", "size"})


def _lines(
    letters: Sequence[Letter], all_blocks: Sequence[Block], pick: Random, *, warned: bool = True
) -> list[str]:
    """All that the command prints."""
    console = Console(long_columns=any("z" in letter.id for letter in letters))
    lines: list[str] = []
    for block in all_blocks:
        lines += [*block, ""]
    if not letters[0].is_exim:
        lines = [heading(console), *lines, footer(letters)]
    if warned and pick.random() < 0.15:
        lines = [pick.choice(WARNINGS), *lines]
    return lines


# --- how a whole text is handed on ----------------------------------------------------------------


def _as_text(lines: list[str], _pick: Random) -> Any:
    return "\n".join(lines) + "\n"


def _trimmed_text(lines: list[str], _pick: Random) -> Any:
    return "\n".join(lines).strip()


def _as_lines(lines: list[str], _pick: Random) -> Any:
    return [line.rstrip() for line in lines]


def _trimmed_lines(lines: list[str], _pick: Random) -> Any:
    return [line.strip() for line in lines]


def _filtered_lines(lines: list[str], _pick: Random) -> Any:
    """PHP's array_filter: without the empty ones, and with holes in the numbering."""
    return {str(number): line for number, line in enumerate(lines) if line}


def _lines_without_blank(lines: list[str], _pick: Random) -> Any:
    return [line for line in lines if line]


def _trimmed_without_blank(lines: list[str], _pick: Random) -> Any:
    return [line.strip() for line in lines if line]


def _text_without_blank(lines: list[str], _pick: Random) -> Any:
    return "\n".join(line for line in lines if line)


def _crlf(lines: list[str], _pick: Random) -> Any:
    return "\r\n".join(lines)


def _squeezed(lines: list[str], _pick: Random) -> Any:
    """Each run of blanks is one."""
    return "\n".join(re.sub(r"[ \t]+", " ", line) for line in lines)


def _breaks(lines: list[str], pick: Random) -> Any:
    text = html.escape("\n".join(lines)) if pick.random() < 0.7 else "\n".join(lines)
    return text.replace("\n", pick.choice(("<br />\n", "<br>", "<br/>", "<BR>\n")))


def _pre(lines: list[str], pick: Random) -> Any:
    text = html.escape("\n".join(lines), quote=pick.random() < 0.5)
    return pick.choice(("<pre>{}</pre>", "<pre>\n{}\n</pre>\n", '<pre class="x">{}</pre>')).format(
        text
    )


def _html_rows(lines: list[str], pick: Random) -> Any:
    rows = [f"<tr><td>{html.escape(line).replace(' ', '&nbsp;')}</td></tr>" for line in lines]
    return "<table>" + pick.choice(("", "\n")).join(rows) + "</table>"


def _html_items(lines: list[str], pick: Random) -> Any:
    tag = pick.choice(("p", "li", "div"))
    return "".join(f"<{tag}>{html.escape(line)}</{tag}>" for line in lines)


def _text_of_messages(lines: list[str], _pick: Random) -> Any:
    """explode("\\n\\n", …): a text for each message."""
    return [piece for piece in "\n".join(lines).split("\n\n") if piece.strip()]


def _flat_messages(lines: list[str], pick: Random) -> Any:
    """A line for each message."""
    glue = pick.choice((" ", "  ", "\n "))
    return [
        glue.join(piece.split("\n")) for piece in "\n".join(lines).split("\n\n") if piece.strip()
    ]


def _numbered(lines: list[str], _pick: Random) -> Any:
    return {str(number): line for number, line in enumerate(lines)}


WHOLE: Mapping[str, Callable[[list[str], Random], Any]] = {
    "text": _as_text,
    "trimmed text": _trimmed_text,
    "lines": _as_lines,
    "trimmed lines": _trimmed_lines,
    "filtered lines": _filtered_lines,
    "lines without blank ones": _lines_without_blank,
    "trimmed lines without blank ones": _trimmed_without_blank,
    "text without blank lines": _text_without_blank,
    "crlf": _crlf,
    "squeezed": _squeezed,
    "breaks": _breaks,
    "pre": _pre,
    "html rows": _html_rows,
    "html items": _html_items,
    "texts of messages": _text_of_messages,
    "numbered lines": _numbered,
}


# --- damage ---------------------------------------------------------------------------------------


def _strip_tags(text: str) -> str:
    """PHP's, which takes addresses in brackets for tags."""
    return re.sub(r"<(?!\s)[^<>]*>", "", text)


def _stripped(lines: list[str], pick: Random) -> Any:
    """Senders are gone, and so may be the ends of lines."""
    return _strip_tags(pick.choice(("<br>", "<br>\n")).join(lines))


def _glued(lines: list[str], _pick: Random) -> Any:
    return "".join(lines)


def _joined(lines: list[str], pick: Random) -> Any:
    return pick.choice((" ", "  ", "\t", ", ", "; ", " | ")).join(lines)


def _joined_and_squeezed(lines: list[str], _pick: Random) -> Any:
    return " ".join(" ".join(lines).split())


def _wrapped_hard(lines: list[str], pick: Random) -> Any:
    """Cut at 80 columns wherever that is, as a terminal and PHP's chunk_split do."""
    width = pick.choice((80, 80, 72, 60))
    pieces: list[str] = []
    for line in lines:
        pieces += [line[at : at + width] for at in range(0, max(1, len(line)), width)]
    return "\n".join(pieces) if pick.random() < 0.7 else pieces


def _wrapped_at_blanks(lines: list[str], pick: Random) -> Any:
    width = pick.choice((80, 72, 40))
    pieces: list[str] = []
    for line in lines:
        wrapped = textwrap.wrap(
            line,
            width,
            subsequent_indent=pick.choice(("", "", "    ")),
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
            replace_whitespace=False,
        )
        indent = line[: len(line) - len(line.lstrip())]
        pieces += [indent + wrapped[0].lstrip(), *wrapped[1:]] if wrapped else [line]
    return "\n".join(pieces)


def _heading_glued(lines: list[str], pick: Random) -> Any:
    """The first line is at the end of the one above it: a break was stripped."""
    return "\n".join([(lines[0] + lines[1]) if len(lines) > 1 else lines[0], *lines[2:]])


def _footer_glued(lines: list[str], pick: Random) -> Any:
    decoded = [line for line in lines if line]
    return "\n".join([*decoded[:-2], "".join(decoded[-2:])])


def _tabbed(lines: list[str], _pick: Random) -> Any:
    """Blanks of more than one became tabs."""
    return "\n".join(re.sub(r" {2,}", "\t", line) for line in lines)


def _shifted(lines: list[str], pick: Random) -> Any:
    """Everything is further right, or in quotes, or numbered as `cat -n` does."""
    kind = pick.randrange(4)
    if kind == 0:
        return "\n".join(" " * 9 + line for line in lines)
    if kind == 1:
        return "\n".join("\t" + line for line in lines)
    if kind == 2:
        return "\n".join(f"{number:>6}\t{line}" for number, line in enumerate(lines, 1))
    return "\n".join(f"> {line}" for line in lines)


WORN: Mapping[str, Callable[[list[str], Random], Any]] = {
    "flat messages": _flat_messages,
    "tags stripped": _stripped,
    "glued": _glued,
    "joined": _joined,
    "joined and squeezed": _joined_and_squeezed,
    "wrapped hard": _wrapped_hard,
    "wrapped at blanks": _wrapped_at_blanks,
    "heading glued": _heading_glued,
    "footer glued": _footer_glued,
    "tabbed": _tabbed,
    "shifted": _shifted,
}


def _whole(show: Callable[[list[str], Random], Any], *, separable: bool) -> Shape:
    def shape(letters: Sequence[Letter], pick: Random) -> Shown:
        if show is _wrapped_at_blanks:  # `(frozen)` on a line of its own is somebody's mark
            letters = [
                replace(letter, login=letter.login.replace("frozen", "")) for letter in letters
            ]
        all_blocks = blocks(letters, _console(letters, pick))
        payload = show(_lines(letters, all_blocks, pick), pick)
        return Shown(payload, letters, _exact(letters), separable=separable, damaged=not separable)

    return shape


# --- damage to single messages --------------------------------------------------------------------


def _strange_headers(letters: Sequence[Letter], pick: Random) -> Shown:
    """Some messages' first lines have a form that is not known."""
    all_blocks = blocks(letters, _console(letters, pick))
    for letter, block in zip(letters, all_blocks, strict=True):
        if pick.random() < 0.5:
            block[0] = _strange(block[0], letter, pick)
    lines = _lines(letters, all_blocks, pick)
    show = WHOLE[pick.choice([*WHOLE])]
    return Shown(show(lines, pick), letters, _exact(letters), separable=True)


def _strange(line: str, letter: Letter, pick: Random) -> str:
    sender = f"<{letter.sender}>"
    strange = (
        line.replace(sender, letter.sender),
        line.replace(sender, f'"{letter.sender}"'),
        line.replace(sender, f"[{letter.sender}]"),
        line.replace(sender, ""),
        line.replace(letter.id, letter.id + "-J"),
        line.replace(letter.id, letter.id + "?"),
        line.replace(letter.id, f"[{letter.id}]"),
        line.replace(letter.id, letter.id + " queued"),
        f"{letter.id} {line.replace(letter.id, '')}",
        line.replace("m ", " min ", 1),
        line + " *** locked ***",
        line + " (in delivery)",
        line.replace(" 30 ", " 30. "),
        line.replace("Mon ", "Пн "),
        re.sub(r"(\d\d):(\d\d):\d\d", r"\1:\2", line),
    )
    return pick.choice(strange)


def _cut_columns(letters: Sequence[Letter], pick: Random) -> Shown:
    """`cut -c1-80`: the ends of long lines are gone without a trace."""
    width = pick.choice((80, 70, 60))
    all_blocks = blocks(letters, _console(letters, pick))
    cut = {
        letter.id
        for letter, block in zip(letters, all_blocks, strict=True)
        if any(len(line) > width for line in block)
    }
    lines = [line[:width] for line in _lines(letters, all_blocks, pick, warned=False)]
    return Shown("\n".join(lines), letters, _exact(letters), frozenset(cut), separable=True)


def _cut_end(letters: Sequence[Letter], pick: Random) -> Shown:
    """The text ends anywhere: a limit of the panel."""
    all_blocks = blocks(letters, _console(letters, pick))
    lines = _lines(letters, all_blocks, pick)
    text = "\n".join(lines)
    end = pick.randint(0, len(text))
    pieces = text[:end].split("\n")
    last = {
        letter.id
        for letter, block in zip(letters, all_blocks, strict=True)
        if any(line in pieces[-9:] or line.startswith(pieces[-1]) for line in block)
    }
    return Shown(
        text[:end] if pick.random() < 0.5 else pieces,
        letters,
        _exact(letters),
        frozenset(last),
        separable=True,
        without_id=True,
    )


def _cut_start(letters: Sequence[Letter], pick: Random) -> Shown:
    """`tail`: the first lines are gone."""
    all_blocks = blocks(letters, _console(letters, pick))
    lines = _lines(letters, all_blocks, pick)
    lines = lines[pick.randrange(len(lines)) :]
    show = WHOLE[pick.choice([*WHOLE])]
    return Shown(show(lines, pick), letters, _exact(letters), separable=True)


def _headers_alone(letters: Sequence[Letter], pick: Random) -> Shown:
    """`mailq | grep`: the first lines of the messages alone."""
    all_blocks = [block[:1] for block in blocks(letters, _console(letters, pick))]
    lines = [line for block in all_blocks for line in block]
    show = WHOLE[pick.choice([*WHOLE])]
    # The mark of a message whose header lines are damaged stands in a line of its own.
    letters = [replace(letter, frozen=letter.frozen and not letter.fault) for letter in letters]
    return Shown(show(lines, pick), letters, _exact(letters), separable=True)


def _spread(letters: Sequence[Letter], pick: Random) -> Shown:
    """A blank line behind every line, as two ends of lines for each make it."""
    all_blocks = blocks(letters, _console(letters, pick))
    lines = [piece for line in _lines(letters, all_blocks, pick) for piece in (line, "")]
    show = pick.choice((_as_text, _as_lines, _trimmed_lines))
    return Shown(show(lines, pick), letters, _exact(letters))


def _blank_above_recipients(letters: Sequence[Letter], pick: Random) -> Shown:
    """Recipients apart from their message, and messages close together."""
    all_blocks = blocks(letters, _console(letters, pick))
    lines = [
        line
        for block in all_blocks
        for at, line in enumerate([*block[:1], "", *block[1:]])
        if at != 1 or pick.random() < 0.5
    ]
    return Shown("\n".join(lines), letters, _exact(letters))


def _noise_between(letters: Sequence[Letter], pick: Random) -> Shown:
    """Warnings and messages of the panel between the lines."""
    lines = []
    for block in blocks(letters, _console(letters, pick)):
        lines += [*block, ""]
        if pick.random() < 0.5:
            lines += [pick.choice(NOISE)] + [""] * (pick.random() < 0.5)
    return Shown("\n".join(lines), letters, _exact(letters))


def _empty(_letters: Sequence[Letter], pick: Random) -> Shown:
    """What the commands print of an empty queue."""
    lines = [
        *([pick.choice(WARNINGS)] if pick.random() < 0.4 else []),
        pick.choice(("Mail queue is empty", "Mail queue is empty", "", heading(Console()))),
    ]
    show = WHOLE[pick.choice([*WHOLE])]
    # A warning alone may hide that the command failed: that is one thing not understood.
    decoded = len(lines) == 1 or "empty" in lines[-1]
    return Shown(show(lines, pick), (), separable=decoded)


SHAPES: Mapping[str, Shape] = {
    **{f"console {name}": _whole(show, separable=True) for name, show in WHOLE.items()},
    **{f"console {name}": _whole(show, separable=False) for name, show in WORN.items()},
    "console with strange headers": _strange_headers,
    "console cut at a column": _cut_columns,
    "console cut at its end": _cut_end,
    "console cut at its start": _cut_start,
    "console headers alone": _headers_alone,
    "console spread": _spread,
    "console with blanks within": _blank_above_recipients,
    "console with noise between": _noise_between,
    "console of an empty queue": _empty,
}

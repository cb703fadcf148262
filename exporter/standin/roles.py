"""What the hosts of a fleet of stand-in panels are like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from exporter.standin.panel import PanelOptions
from exporter.standin.queue import IdStyle
from exporter.standin.replies import CountStyle, EnvelopeStyle, ListShape, ReplyStyle
from exporter.standin.traffic import BUSY, CALM, GROWING, STORM, Profile

USERNAME = "monitor"

SLOW_CALL = 2.5
"""Seconds that one call takes on a real panel, as users of its API report."""


@dataclass(frozen=True, slots=True)
class Role:
    """What one host of a fleet is like."""

    story: str
    profile: Profile = CALM
    style: ReplyStyle = field(default_factory=ReplyStyle)
    ids: IdStyle = "exim"
    stopped: tuple[str, ...] = ()
    """Services that do not run."""
    listening: Literal["always", "never", "at times"] = "always"
    tls: bool = False
    delay: float = 0
    """Seconds that each call takes."""
    wrong_password: bool = False
    """The password that the operator configured is not the panel's."""

    def options(self, password: str) -> PanelOptions:
        """Return the panel's options, when the operator configured this password."""
        return PanelOptions(
            username=USERNAME,
            password=f"not {password}" if self.wrong_password else password,
            style=self.style,
            delay=self.delay,
        )


_STORIES: Sequence[Role] = (
    Role("calm"),
    Role("growing queue", GROWING, ReplyStyle("page_arrays", "detail_text", ascii_only=False)),
    Role("storm of frozen bounces", STORM, ReplyStyle("console_text", "sentence")),
    Role(
        "clamav stopped",
        BUSY,
        ReplyStyle("console_lines", "list", php_warning=True),
        stopped=("clamav",),
    ),
    Role("down", listening="never"),
    Role("slow", BUSY, ReplyStyle("exim_arrays", envelope="public"), delay=SLOW_CALL),
    Role("bad password", wrong_password=True),
    Role("self-signed certificate", style=ReplyStyle("postqueue_json"), ids="postfix", tls=True),
    Role("comes and goes", style=ReplyStyle(bom=True), ids="exim_long", listening="at times"),
)


def demo_roles(count: int) -> list[Role]:
    """Return the roles of a demo: the stories first, then plain hosts."""
    return [*_STORIES[:count], *plain_hosts(count - len(_STORIES))]


def plain_hosts(count: int, *, calm: bool = False) -> list[Role]:
    """Return hosts without a story, calm and some busy, that answer in every way in turn."""
    roles = [_plain(number) for number in range(count)]
    return [replace(role, story="calm", profile=CALM) for role in roles] if calm else roles


_SHAPES: tuple[ListShape, ...] = get_args(ListShape)
_COUNTS: tuple[CountStyle, ...] = get_args(CountStyle)
_ENVELOPES: tuple[EnvelopeStyle, ...] = get_args(EnvelopeStyle)


def _plain(number: int) -> Role:
    shape = _SHAPES[number % len(_SHAPES)]
    style = ReplyStyle(
        shape,
        _COUNTS[number % len(_COUNTS)],
        _ENVELOPES[number % len(_ENVELOPES)],
        code_as_text=number % 3 == 1,
        ascii_only=number % 2 == 0,
    )
    ids: IdStyle = "exim_long" if number % 2 else "exim"
    if shape.startswith("postqueue"):
        ids = "postfix"
    return Role("busy", BUSY, style, ids) if number % 10 == 9 else Role("calm", CALM, style, ids)

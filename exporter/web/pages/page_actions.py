"""The actions that the page offers: approve, reject, pause, resume. Only with passwords."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web

from exporter.journal import Actor, Journal, Kind
from exporter.remediation.approvals import NothingAskedError, decide, pause, resume, resume_rule
from exporter.remediation.controller import RemediationController
from exporter.web.server.access_control import USER

LONGEST_REASON = 200
"""Characters of the reason of a pause that are kept."""


class RefusedError(Exception):
    """A request to act is refused; the text says why."""


@dataclass(slots=True)
class PageActions:
    """Carries out the forms of the page."""

    controller: RemediationController
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def user(self, request: web.Request) -> str:
        """Return the user of a request; "" when that is not known, and then nobody may act."""
        # From the access control alone: a name in the request is not checked without users.
        return str(request.get(USER, ""))

    def token(self, user: str) -> str:
        """Return what a form must hold to be one that this page made for this user."""
        return hmac.new(self._secret, user.encode(), hashlib.sha256).hexdigest()

    async def act(self, request: web.Request) -> None:
        """Carry out a form, and write that into the journal with the user's name.

        Raises:
            RefusedError: it is refused.
            JournalError: it could not be written down, so that it was not done.
        """
        user = self.user(request)
        if not user:
            raise RefusedError("The web config has no users: nobody may act from the page.")
        # A page of another site can make a browser send the password along.
        if not _is_of_this_site(request):
            raise RefusedError("This was sent by a page of another site.")
        values = await _form(request)
        if not hmac.compare_digest(values.get("token", "").encode(), self.token(user).encode()):
            raise RefusedError("This form is not of this page, or older than the exporter's start.")
        what = request.match_info["what"]
        await self.controller.journal.do(lambda journal: self._do(journal, what, values, user))
        await self.controller.follower.read_journal()

    def _do(self, journal: Journal, what: str, values: Mapping[str, str], user: str) -> None:
        host, rule_name = values.get("host", ""), values.get("rule", "")
        actor = f"{Actor.PERSON}:{user}"
        if what == "pause":
            why = " ".join(values.get("reason", "").split())[:LONGEST_REASON]
            pause(journal, actor, user, why)
            return
        if what == "resume" and not rule_name:
            resume(journal, actor, user)
            return
        known, state = self.controller.fleet.find(host, rule_name)
        if known is None or state is None:
            raise RefusedError(f"There is no rule {rule_name!r:.80} for a host {host!r:.80}.")
        rule, panel = state.rule, known.config
        if what == "resume":
            resume_rule(journal, panel, rule_name, actor, user)
            return
        kind = {"approve": Kind.APPROVED, "reject": Kind.REJECTED}[what]
        try:
            decide(journal, panel, rule, values.get("run", ""), kind, actor, user)
        except NothingAskedError as error:
            raise RefusedError(str(error)) from None


async def _form(request: web.Request) -> Mapping[str, str]:
    if request.content_type != "application/x-www-form-urlencoded":
        raise RefusedError("This is not a form of this page.")
    try:
        return {name: str(value) for name, value in (await request.post()).items()}
    except (ValueError, LookupError):  # a charset that is none, or more fields than any form has
        raise RefusedError("This form cannot be read.") from None


def _is_of_this_site(request: web.Request) -> bool:
    """Return whether a request is from a page of this site, or from no browser."""
    # A browser that sends this header decides: a proxy may pass on another Host than the one it
    # was asked for, which Origin names.
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    try:
        return origin is None or urlsplit(origin).netloc.lower() == request.host.lower()
    except ValueError:
        return False

"""What a person can do from the page: approve, reject, pause, resume. Only with passwords."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web
from yarl import URL

from exporter.journal import Actor, Journal, Kind
from exporter.remediation.decisions import (
    NothingAskedError,
    decide,
    pause,
    resume,
    resume_rule,
)
from exporter.remediation.desk import Desk
from exporter.web.auth import basic_credentials

LONGEST_REASON = 200


class RefusedError(Exception):
    """A request to act is not followed; the text says why."""


@dataclass(slots=True)
class Acts:
    """Follows what people ask for."""

    desk: Desk
    has_users: Callable[[], bool]
    """Whether the web config has users, so that who asks is known."""
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def user(self, request: web.Request) -> str:
        """Who asks; "" when that is not known, and then nobody may act.

        The gate has checked the password by now.
        """
        if not self.has_users():
            return ""
        credentials = basic_credentials(request.headers.get("Authorization"))
        return credentials[0].decode("utf-8", "replace") if credentials else ""

    def token(self, user: str) -> str:
        """What a form must hold to be one that this page made for this user."""
        return hmac.new(self._secret, user.encode(), hashlib.sha256).hexdigest()

    async def act(self, request: web.Request) -> str:
        """Do what a form asks for, and write it into the journal with the user's name.

        Returns:
            What was done, in a sentence.

        Raises:
            RefusedError: it is not followed.
            JournalError: it could not be written down, so that it was not done.
        """
        user = self._demand_right_to_act(request)
        form = await request.post()
        values = {name: value for name, value in form.items() if isinstance(value, str)}
        if not hmac.compare_digest(values.get("token", "").encode(), self.token(user).encode()):
            raise RefusedError("This form is not of this page, or older than the exporter's start.")
        actor = f"{Actor.PERSON}:{user}"
        what = request.match_info["what"]
        done = await self.desk.journal.do(
            lambda journal: self._do(journal, what, values, actor, user)
        )
        await self.desk.read_journal()
        return done

    def _demand_right_to_act(self, request: web.Request) -> str:
        user = self.user(request)
        if not user:
            raise RefusedError("The web config has no users: nobody may act from the page.")
        # A page of another site can make a browser send the password along.
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        origin = request.headers.get("Origin")
        if site != "same-origin" or (origin is not None and URL(origin).authority != request.host):
            raise RefusedError("This was sent by a page of another site.")
        return user

    def _do(
        self, journal: Journal, what: str, values: dict[str, str], actor: str, user: str
    ) -> str:
        host, rule_name = values.get("host", ""), values.get("rule", "")
        if what == "pause":
            why = " ".join(values.get("reason", "").split())[:LONGEST_REASON]
            return pause(journal, actor, user, why).text
        if what == "resume" and not rule_name:
            return resume(journal, actor, user) or "It was not paused."
        rule = self.desk.config.rule(rule_name)
        if rule is None or not self.desk.is_for(host, rule_name):
            raise RefusedError(f"There is no rule {rule_name!r:.80} for a host {host!r:.80}.")
        if what == "resume":
            return resume_rule(journal, host, rule_name, actor, user) or "It was not stopped."
        kind = {"approve": Kind.APPROVED, "reject": Kind.REJECTED}[what]
        try:
            return decide(journal, host, rule, values.get("run", ""), kind, actor, user).text
        except NothingAskedError as error:
            raise RefusedError(str(error)) from None

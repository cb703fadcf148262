"""The routes of the status pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from exporter.alertmanager.alert import badness
from exporter.journal import Entry, JournalError, Kind
from exporter.panel.errors import PanelError
from exporter.remediation.controller import RemediationController
from exporter.remediation.guards import storm_bound
from exporter.remediation.rule_status import live_statuses
from exporter.remediation.selection import describe
from exporter.snapshot import HostGoneError, Message
from exporter.web.pages.change_feed import ChangeFeed
from exporter.web.pages.fleet import Fleet
from exporter.web.pages.fleet_filter import FleetFilter
from exporter.web.pages.host import host_values
from exporter.web.pages.live import Live
from exporter.web.pages.messages import ListingCache, ListQueue, MessageQuery, masking, message_page
from exporter.web.pages.page_actions import PageActions, RefusedError
from exporter.web.pages.render import Renderer, page, page_of, paged, translator_for

STATIC = Path(__file__).parents[1] / "static"

NEWEST = 20
"""Entries of the journal on a host's page."""

MAX_ENTRIES = 5000
"""Entries that the journal's page looks through."""

MAX_SHOWN = 1000
"""Messages of a plan that are shown."""


class Pages:
    """The pages for people, and the few actions that they offer."""

    def __init__(
        self,
        feed: ChangeFeed,
        controller: RemediationController,
        actions: PageActions,
        list_queue: ListQueue,
    ) -> None:
        """Show the hosts of `feed`, and the rules and the journal of `controller`."""
        self.feed = feed
        self.mask = False
        """Whether addresses are shown in part only."""
        self._controller = controller
        self._actions = actions
        self._renderer = Renderer()
        self._fleet = Fleet(feed, self._renderer)
        self._live = Live(feed, self._fleet)
        self._listings = ListingCache(list_queue, feed.data.clock)

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Return the routes."""
        return [
            web.get("/", self.fleet),
            web.get("/hosts/{name}", self.host),
            web.get("/hosts/{name}/messages", self.messages),
            web.get("/alerts", self.alerts),
            web.get("/journal", self.journal),
            web.get("/remediation", self.remediation),
            web.post("/remediation/{what:approve|reject|pause|resume}", self.act),
            # A stream has no end, so a HEAD would be answered with a body.
            web.get("/events", self._live.events, allow_head=False),
            web.static("/static", STATIC),
        ]

    async def close(self) -> None:
        """End what is kept live."""
        await self._live.close()
        await self._listings.close()

    def apply_config(self, *, mask: bool) -> None:
        """Apply a new config: hosts may have come, gone or changed."""
        self.mask = mask
        self.feed.reconfigured()
        self._listings.forget_all()

    async def fleet(self, request: web.Request) -> web.Response:
        """Show every host."""
        tr = translator_for(request)
        return page(request, await self._fleet.page(FleetFilter.from_query(request.query), tr))

    async def host(self, request: web.Request) -> web.Response:
        """Show one host."""
        name, trouble = request.match_info["name"], ""
        seen = self.feed.position()  # before anything of the page is read
        try:
            entries = await self._controller.follower.entries(host=name, newest=NEWEST)
        except JournalError as error:
            entries, trouble = [], str(error)
        # The config may have changed while the journal was read: the host is looked for now.
        data = self.feed.data
        record = data.store.get(name)
        if record is None:
            return self._no_host(request, "../")
        states = self._controller.fleet.states(name)
        return self._page(
            request,
            "host.html",
            "../",
            watched=f"host:{name}",
            seen=seen,
            trouble=trouble,
            rules=live_statuses(states, data.projection, data.clock()),
            entries=entries[::-1],
            **host_values(self.feed, record, translator_for(request)),
        )

    async def messages(self, request: web.Request) -> web.Response:
        """Show the messages of one queue."""
        name = request.match_info["name"]
        if self.feed.data.store.get(name) is None:
            return self._no_host(request, "../../")
        query = MessageQuery.from_query(request.query)
        values: dict[str, Any] = {"host": name, "query": request.query, "failure": ""}
        try:
            listed = await self._listings.get(name)
        except HostGoneError:
            return self._no_host(request, "../../")
        except PanelError as error:
            values["failure"] = str(error)
        else:
            listing = listed.listing
            shown, guessed = message_page(listed, query, mask=self.mask)
            values |= {
                "wanted": query,
                "shown": shown,
                "guessed": guessed,
                "cut": listing.matching > len(listing.chosen),
                "most": len(listing.chosen),
                "unread": listing.unparsed,
                "listed_at": listed.at,
                "address": masking(mask=self.mask),
                "link": _linker(request),
            }
        return self._page(request, "messages.html", "../../", **values)

    async def alerts(self, request: web.Request) -> web.Response:
        """Show alerts that fire, may fire, and have resolved; and their receivers."""
        stats, evaluator = self.feed.data.outcomes, self.feed.data.evaluator
        names = sorted({receiver for receiver, _ in stats.counts})
        return self._page(
            request,
            "alerts.html",
            here="nav_alerts",
            watched="all",
            seen=self.feed.position(),
            firing=sorted(evaluator.firing(), key=badness),
            pending=sorted(evaluator.pending(), key=lambda p: (p.remaining, p.host)),
            recent=list(reversed(list(evaluator.recent()))),
            receivers=[(n, stats.last_ok.get(n), stats.failing.get(n, "")) for n in names],
        )

    async def journal(self, request: web.Request) -> web.Response:
        """Show what was done: all of it page by page, or one run with its messages."""
        seen, query, run = self.feed.position(), request.query, request.query.get("run", "")
        trouble, entries, messages = "", list[Entry](), list[Message]()
        try:
            filters = {name: query[name] for name in ("host", "rule", "run") if query.get(name)}
            entries = await self._controller.follower.entries(newest=MAX_ENTRIES, **filters)
            if run:
                messages = await self._messages_of(entries)
        except JournalError as error:
            trouble = str(error)
        words = query.get("q", "").lower()
        found = [entry for entry in entries[::-1] if not words or words in _all_text(entry)]
        return self._page(
            request,
            "journal.html",
            here="nav_journal",
            watched="" if query else "all",
            seen=seen,
            cut=len(entries) == MAX_ENTRIES,
            most=MAX_ENTRIES,
            run=run,
            query={name: value for name, value in query.items() if value},
            trouble=trouble,
            shown=paged(found, page_of(query)),
            link=_linker(request),
            messages=messages,
            address=masking(mask=self.mask),
        )

    async def _messages_of(self, entries: Iterable[Entry]) -> list[Message]:
        planned = [e.id for e in entries if e.kind in {Kind.INTENT, Kind.APPROVAL_REQUESTED}]
        if not planned:
            return []
        found = await self._controller.journal.do(lambda journal: journal.messages(planned[-1]))
        return found[:MAX_SHOWN]

    async def remediation(self, request: web.Request) -> web.Response:
        """Show the rules and their status."""
        data, controller = self.feed.data, self._controller
        seen, now = self.feed.position(), data.clock()
        config = controller.fleet.config
        paused = await controller.follower.paused() if config.rules else ""
        statuses = live_statuses(controller.fleet.states(), data.projection, now)
        busy = [s for s in statuses if s.word != "calm" or s.last is not None]
        user, hosts = self._actions.user(request), len(data.store)
        return self._page(
            request,
            "remediation.html",
            here="nav_remediation",
            watched="all",
            seen=seen,
            config=config,
            paused=paused,
            wanting=controller.fleet.wanting,
            hosts=hosts,
            bound=int(storm_bound(config, hosts)),
            user=user,
            token=self._actions.token(user) if user else "",
            busy=busy,
            calm=len(statuses) - len(busy),
            describe=describe,
        )

    async def act(self, request: web.Request) -> web.StreamResponse:
        """Do what a form asks for, then show the page anew."""
        try:
            await self._actions.act(request)
        except (RefusedError, JournalError) as error:
            status = 403 if isinstance(error, RefusedError) else 503
            note = {"text": str(error), "back": "remediation", "link": "act_back"}
            return self._page(
                request, "note.html", "../", status=status, title="act_failed", **note
            )
        self.feed.refresh()
        # A reload must not send the form again.
        return web.Response(status=303, headers={"Location": "../remediation"})

    def _no_host(self, request: web.Request, root: str) -> web.Response:
        text = translator_for(request).text("not_found_text")
        note = {"text": text, "back": "", "link": "back_to_fleet"}
        return self._page(request, "note.html", root, status=404, title="not_found", **note)

    def _page(
        self,
        request: web.Request,
        template: str,
        root: str = "./",
        *,
        status: int = 200,
        **values: object,
    ) -> web.Response:
        values = {"now": self.feed.data.clock(), **values}
        html = self._renderer.html(template, translator_for(request), root, **values)
        return page(request, html, status=status)


def _all_text(entry: Entry) -> str:
    parts = (entry.host, entry.rule, entry.action, entry.actor, entry.outcome, entry.text)
    return " ".join((*parts, entry.kind.value)).lower()


def _linker(request: web.Request) -> Callable[[int], str]:
    """Return the function that makes the query of another page of what is shown."""
    return lambda number: urlencode({**request.query, "page": str(number)})

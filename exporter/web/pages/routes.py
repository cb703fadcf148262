"""The routes of the status pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
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
from exporter.web.pages.host import host_html
from exporter.web.pages.live import Live
from exporter.web.pages.messages import ListQueue, Lists, Wanted, masking, shown
from exporter.web.pages.page_actions import PageActions, RefusedError
from exporter.web.pages.render import Renderer, page, page_of, paged, reader
from exporter.web.pages.translator import Translator

STATIC = Path(__file__).parents[1] / "static"

NEWEST = 20
"""Entries of the journal on a host's page."""

MOST_ENTRIES = 5000
"""Entries that the journal's page looks through."""

MOST_SHOWN = 1000
"""Messages of a plan that are shown."""


class Pages:
    """What people look at, and the few things that they can do there."""

    def __init__(
        self,
        board: ChangeFeed,
        controller: RemediationController,
        acts: PageActions,
        list_queue: ListQueue,
    ) -> None:
        """What they show.

        Args:
            board: the fleet.
            controller: the rules, and the journal.
            acts: follows what people ask for.
            list_queue: lists a queue now.
        """
        self.board = board
        self.mask = False
        """Whether addresses are shown in part only."""
        self._controller = controller
        self._acts = acts
        self._renderer = Renderer.made()
        self._fleet = Fleet(board, self._renderer)
        self._live = Live(board, self._fleet)
        self._lists = Lists(list_queue, board.sources.clock)

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """The routes."""
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
        await self._lists.close()

    def reconfigured(self, *, mask: bool) -> None:
        """Follow a new config: hosts may have come, gone or changed."""
        self.mask = mask
        self.board.reconfigured()
        self._lists.forget_all()

    async def fleet(self, request: web.Request) -> web.Response:
        """Every host."""
        return page(request, await self._fleet.page(FleetFilter.of(request.query), reader(request)))

    async def host(self, request: web.Request) -> web.Response:
        """One host."""
        w, name = reader(request), request.match_info["name"]
        seen, trouble = self.board.position(), ""
        try:
            entries = await self._controller.entries(host=name, newest=NEWEST)
        except JournalError as error:
            entries, trouble = [], str(error)
        # The config may have changed while the journal was read: the host is looked for now.
        record = self.board.sources.store.get(name)
        if record is None:
            return self._no_host(request, w, "../")
        now = self.board.sources.clock()
        states = [state for state in self._controller.states() if state[0] == name]
        html = host_html(
            self._renderer,
            self.board,
            record,
            w,
            rules=live_statuses(states, self.board.sources.projection, now),
            entries=entries[::-1],
            trouble=trouble,
            seen=seen,
        )
        return page(request, html)

    async def messages(self, request: web.Request) -> web.Response:
        """The messages of one queue."""
        w, name = reader(request), request.match_info["name"]
        if self.board.sources.store.get(name) is None:
            return self._no_host(request, w, "../../")
        wanted = Wanted.of(request.query)
        values: dict[str, object] = {"host": name, "query": request.query, "failure": ""}
        try:
            listed = await self._lists.get(name)
        except HostGoneError:
            return self._no_host(request, w, "../../")
        except PanelError as error:
            values["failure"] = str(error)
        else:
            found = shown(listed, wanted, mask=self.mask)
            listing = listed.listing
            values |= {
                "wanted": wanted,
                "shown": found,
                "cut": listing.matching > len(listing.chosen),
                "most": len(listing.chosen),
                "unread": listing.unparsed,
                "listed_at": listed.at,
                "now": self.board.sources.clock(),
                "address": masking(mask=self.mask),
                "link": _linker(request),
            }
        return page(request, self._renderer.html("messages.html", w, "../../", **values))

    async def alerts(self, request: web.Request) -> web.Response:
        """Alerts that fire, may fire, and have resolved; and who is told."""
        sources = self.board.sources
        outcomes = sources.outcomes
        failing = {name: str(error) for name, error in outcomes.failing.items()}
        names = sorted({receiver for receiver, _ in outcomes.counts})
        receivers = [(n, outcomes.last_ok.get(n), failing.get(n, "")) for n in names]
        html = self._renderer.html(
            "alerts.html",
            reader(request),
            "./",
            here="nav_alerts",
            watched="all",
            seen=self.board.position(),
            now=sources.clock(),
            firing=sorted(sources.evaluator.firing(), key=badness),
            pending=sorted(sources.evaluator.pending(), key=lambda p: (p.remaining, p.host)),
            recent=list(reversed(list(sources.evaluator.recent()))),
            receivers=receivers,
        )
        return page(request, html)

    async def journal(self, request: web.Request) -> web.Response:
        """What was done: all of it page by page, or one run with its messages."""
        seen, query, run = self.board.position(), request.query, request.query.get("run", "")
        trouble, entries, messages = "", list[Entry](), list[Message]()
        try:
            filters = {name: query[name] for name in ("host", "rule", "run") if query.get(name)}
            entries = await self._controller.entries(newest=MOST_ENTRIES, **filters)
            if run:
                messages = await self._messages_of(entries)
        except JournalError as error:
            trouble = str(error)
        words = query.get("q", "").lower()
        found = [entry for entry in entries[::-1] if not words or words in _all_text(entry)]
        shown_entries = paged(found, page_of(query))
        html = self._renderer.html(
            "journal.html",
            reader(request),
            "./",
            here="nav_journal",
            watched="" if query else "all",
            seen=seen,
            cut=len(entries) == MOST_ENTRIES,
            most=MOST_ENTRIES,
            now=self.board.sources.clock(),
            run=run,
            query={name: value for name, value in query.items() if value},
            trouble=trouble,
            entries=shown_entries.items,
            page=shown_entries.page,
            pages=shown_entries.pages,
            link=_linker(request),
            messages=messages,
            address=masking(mask=self.mask),
        )
        return page(request, html)

    async def _messages_of(self, entries: Iterable[Entry]) -> list[Message]:
        planned = [e.id for e in entries if e.kind in {Kind.INTENT, Kind.APPROVAL_REQUESTED}]
        if not planned:
            return []
        found = await self._controller.journal.do(lambda journal: journal.messages(planned[-1]))
        return found[:MOST_SHOWN]

    async def remediation(self, request: web.Request) -> web.Response:
        """The rules and how they stand."""
        return page(request, await self._remediation_html(request))

    async def _remediation_html(self, request: web.Request) -> str:
        sources, config, user = (
            self.board.sources,
            self._controller.config,
            self._acts.user(request),
        )
        now = sources.clock()
        paused, seen = "", self.board.position()
        if config.rules:
            paused = await self._controller.paused()
            config = self._controller.config
        stand = live_statuses(self._controller.states(), sources.projection, now)
        hosts = len(sources.store)
        return self._renderer.html(
            "remediation.html",
            reader(request),
            "./",
            here="nav_remediation",
            watched="all",
            seen=seen,
            now=now,
            config=config,
            paused=paused,
            wanting=self._controller.wanting(),
            hosts=hosts,
            bound=int(storm_bound(config, hosts)),
            user=user,
            token=self._acts.token(user) if user else "",
            busy=[s for s in stand if s.word != "calm" or s.last is not None],
            calm=sum(s.word == "calm" and s.last is None for s in stand),
            runs=sources.projection.waiting_runs(now),
            describe=describe,
        )

    async def act(self, request: web.Request) -> web.StreamResponse:
        """Do what a form asks for, then show the page anew."""
        w = reader(request)
        try:
            await self._acts.act(request)
        except (RefusedError, JournalError) as error:
            status = 403 if isinstance(error, RefusedError) else 503
            html = self._renderer.html(
                "note.html",
                w,
                "../",
                title=w.t("act_failed"),
                text=str(error),
                back="remediation",
                link_text=w.t("act_back"),
            )
            return page(request, html, status=status)
        self.board.look()
        # A reload must not send the form again.
        return web.Response(status=303, headers={"Location": "../remediation"})

    def _no_host(self, request: web.Request, w: Translator, root: str) -> web.Response:
        html = self._renderer.html(
            "note.html",
            w,
            root,
            title=w.t("not_found"),
            text=w.t("not_found_text"),
            back="",
            link_text=w.t("back_to_fleet"),
        )
        return page(request, html, status=404)


def _all_text(entry: Entry) -> str:
    parts = (entry.host, entry.rule, entry.action, entry.actor, entry.outcome, entry.text)
    return " ".join((*parts, entry.kind.value)).lower()


def _linker(request: web.Request) -> Callable[[int], str]:
    """Makes the query of another page of what is shown."""

    def link(number: int) -> str:
        return urlencode({**request.query, "page": str(number)})

    return link

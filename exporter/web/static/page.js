// Keeps a page live: rows of the fleet as they change, other pages as a whole, times in the
// reader's own zone, and a word when the exporter is gone. Without it every page works by reload.
"use strict";

const body = document.body;
const units = body.dataset.units.split(",");
const SECONDS = [86400, 3600, 60, 1];
const SILENCE = 25000; // milliseconds without a sign of life, of which there is one each 10 s

// How far this machine's clock is ahead of the exporter's, by which everything is dated.
const SKEW = Date.now() - 1000 * Number(body.dataset.now);

let lastSign = Date.now();
let offlineSince = null;

function shortDuration(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const parts = [];
  for (let i = 0; i < SECONDS.length && parts.length < 2; i += 1) {
    const count = Math.floor(rest / SECONDS[i]);
    rest %= SECONDS[i];
    if (count) parts.push(`${count}\u00a0${units[i]}`);
    else if (parts.length) break;
  }
  return parts.join("\u00a0") || `0\u00a0${units[3]}`;
}

// The page's language as the reader's own country writes it: 14:05 or 2:05 PM.
const { lang } = document.documentElement;
const locale = navigator.languages.find((tag) => tag.split("-")[0] === lang) ?? lang;
const localTime = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" });
const clockTime = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });
const shortTime = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });

function localise(root) {
  for (const time of root.querySelectorAll("time:not(.ago)")) {
    time.textContent = localTime.format(new Date(time.dateTime));
  }
  for (const tick of root.querySelectorAll("text[data-time]")) {
    tick.textContent = shortTime.format(new Date(1000 * Number(tick.dataset.time)));
  }
  for (const hover of root.querySelectorAll("rect[data-time] > title")) {
    const at = new Date(1000 * Number(hover.parentNode.dataset.time));
    const lines = hover.textContent.split("\n");
    hover.textContent = [localTime.format(at), ...lines.slice(1)].join("\n");
  }
  age(root);
}

function age(root) {
  // While the exporter is gone nothing grows older than it was seen to be.
  const now = (offlineSince ?? Date.now()) - SKEW;
  for (const time of root.querySelectorAll("time.ago")) {
    const seconds = (now - new Date(time.dateTime)) / 1000;
    time.textContent = body.dataset.ago.replace("%D%", shortDuration(seconds));
  }
}

// --- The fleet: find, filter, sort ---------------------------------------------------------------

const filterForm = document.getElementById("filter");
const table = document.querySelector("#fleet tbody");
let worst = new Map(); // places in the server's order, worst first

function rank(names) {
  worst = new Map(names.map((name, index) => [name, index]));
}

function order(a, b, key) {
  const place = ({ dataset }) => worst.get(dataset.name) ?? Infinity;
  if (key === "worst") return place(a) - place(b) || 0;
  const number = ({ dataset }) => (dataset[key] ? Number(dataset[key]) : -Infinity);
  return number(b) - number(a) || (a.dataset.name < b.dataset.name ? -1 : 1);
}

function choose() {
  const wanted = new FormData(filterForm);
  const text = (wanted.get("q") ?? "").trim().toLowerCase();
  const state = wanted.get("state") ?? "";
  const label = wanted.get("label") ?? "";
  const rows = [...table.rows];
  let shown = 0;
  for (const row of rows) {
    const words = row.dataset.text.split("\n");
    const takes =
      (!text || row.dataset.text.toLowerCase().includes(text)) &&
      (!label || words.includes(label)) &&
      (!state || row.dataset.state === state || (state === "bad" && row.dataset.state !== "up"));
    row.hidden = !takes;
    shown += takes ? 1 : 0;
  }
  const sorted = [...rows].sort((a, b) => order(a, b, wanted.get("sort") ?? "worst"));
  if (sorted.some((row, index) => row !== rows[index])) {
    const focused = document.activeElement;
    table.append(...sorted);
    if (focused && table.contains(focused)) focused.focus();
  }
  document.getElementById("nothing").hidden = shown > 0;
  const words = table.parentNode.dataset.shown;
  document.getElementById("shown").textContent = words.replace("%N%", shown.toLocaleString(locale));
}

function remember() {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(filterForm)) {
    if (value && !(name === "sort" && value === "worst")) query.set(name, value);
  }
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
}

function replaceRows(rows) {
  for (const [name, html] of Object.entries(rows)) {
    const holder = document.createElement("template");
    holder.innerHTML = html; // escaped by the server; the policy of the page lets no script run
    const fresh = holder.content.querySelector("tr");
    const old = document.getElementById(`host-${name}`);
    localise(fresh);
    if (old) {
      const focused = old.contains(document.activeElement) ? document.activeElement : null;
      old.replaceWith(fresh);
      if (focused) focusAgain(fresh, focused);
    } else {
      table.append(fresh);
    }
  }
}

// What had the focus was replaced: it goes to what is the same now.
function focusAgain(place, before) {
  const href = before.getAttribute("href");
  const links = [...place.querySelectorAll("a")];
  (links.find((link) => link.getAttribute("href") === href) ?? links[0])?.focus();
}

// --- Other pages: fetched again as a whole -------------------------------------------------------

let fetching = false;
let again = false;

// Somebody is at a form: it is left alone until they leave it.
function isBusy(main) {
  const atIt = document.activeElement;
  return main.contains(atIt) && atIt.matches("input, select, textarea, button");
}

function keepWritten(main, next) {
  for (const field of main.querySelectorAll("input:not([type=hidden]), textarea")) {
    const same = next.querySelector(`[name="${field.name}"]`);
    if (same && field.value !== field.defaultValue) same.value = field.value;
  }
}

async function refresh() {
  const main = document.querySelector("main");
  if (fetching || isBusy(main)) {
    again = true;
    return;
  }
  fetching = true;
  again = false;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (isBusy(main)) throw new Error("somebody went to a form meanwhile");
    const focused = main.contains(document.activeElement) ? document.activeElement : null;
    const open = [...main.querySelectorAll("details")].map((details) => details.open);
    const next = fresh.querySelector("main");
    localise(next);
    next.querySelectorAll("details").forEach((details, index) => {
      details.open = open[index] ?? details.open;
    });
    keepWritten(main, next);
    document.title = fresh.title;
    main.replaceChildren(...next.childNodes);
    online();
    if (focused?.matches("a")) focusAgain(main, focused);
    fetching = false;
    catchUp();
  } catch {
    again = true; // with the next sign of life; the stream shows when the exporter is gone
    fetching = false;
  }
}

function catchUp() {
  if (again && !fetching) refresh();
}

// --- The stream ----------------------------------------------------------------------------------

function online() {
  lastSign = Date.now();
  if (offlineSince === null) return;
  offlineSince = null;
  body.classList.remove("offline");
  document.getElementById("offline").hidden = true;
}

function offline() {
  if (offlineSince !== null) return;
  offlineSince = lastSign;
  const note = document.getElementById("offline");
  note.textContent = body.dataset.offline.replace("%TIME%", clockTime.format(new Date(lastSign)));
  note.hidden = false;
  body.classList.add("offline");
}

const RETRY = 5000; // milliseconds
let seen = body.dataset.seen; // where this page stands among the changes

function open() {
  const query = new URLSearchParams({ watch: body.dataset.watched, seen });
  const stream = new EventSource(`${body.dataset.events}?${query}`);
  stream.onerror = () => {
    offline();
    // After an answer that is no stream, of a proxy or of too many pages, a browser gives up.
    if (stream.readyState === EventSource.CLOSED) setTimeout(open, RETRY * (1 + Math.random()));
  };
  stream.addEventListener("alive", () => {
    online();
    catchUp();
  });
  stream.addEventListener("fleet", (event) => {
    seen = event.lastEventId;
    const news = JSON.parse(event.data);
    if (news.reload) {
      location.reload(); // hosts came or went
      return;
    }
    online();
    if (news.order) rank(news.order);
    replaceRows(news.rows);
    document.getElementById("summary").innerHTML = news.summary;
    localise(document.getElementById("summary"));
    document.title = news.title;
    // Only what is new is read out, not each number as it moves.
    const said = document.getElementById("said");
    if (headline !== null && headline !== news.headline) said.textContent = news.headline;
    headline = news.headline;
    choose();
  });
  stream.addEventListener("changed", (event) => {
    seen = event.lastEventId;
    refresh();
  });
}

let headline = document.querySelector("#summary h1")?.textContent ?? null;

function listen() {
  if (!body.dataset.watched) return;
  open();
  document.addEventListener("focusout", () => {
    setTimeout(catchUp); // the focus is on its way: nothing has it in this moment
  });
  setInterval(() => {
    if (Date.now() - lastSign > SILENCE) offline();
    age(document);
  }, 1000);
}

body.classList.add("live");
localise(document);
if (filterForm && table) {
  rank(table.parentNode.dataset.order.split(" "));
  for (const kind of ["input", "submit"]) {
    filterForm.addEventListener(kind, (event) => {
      event.preventDefault();
      choose();
      remember();
    });
  }
}
listen();

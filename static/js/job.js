// The job page: its log from the first byte and then live, its grid, and how the connection stands.

import { JobGrid } from "./jobgrid.js";
import { LogLines } from "./loglines.js";
import { LogSearch } from "./logsearch.js";
import { LogView } from "./logview.js";
import { follow } from "./socket.js";

const panel = document.getElementById("log");
const words = document.getElementById("words").dataset;
const titles = read("step-titles");
const stateWords = read("state-words");
const part = (name) => panel.querySelector(`[data-${name}]`);

// A page holds a part of a log that is larger than this: lines, and bytes of one that is read from its beginning.
const KEEP_LINES = 250_000;
const PART_BYTES = 4 * 1024 * 1024;
const BEFORE_HIT_BYTES = 256 * 1024;

let log = new LogLines(Number(panel.dataset.after));
let stopAt = Infinity; // the byte at which reading of a part stops
const view = new LogView(part("lines"), {
  many: panel.dataset.many === "1",
  words: { line: words.line, byte: words.byte, cut: words.cut, console: words.console },
  file: (machine) => `${panel.dataset.file}?machine=${encodeURIComponent(machine ?? "console")}`,
  onChange: show,
});
let ended = false;
const grid = new JobGrid(document.getElementById("grid"));

function take(frames) {
  const touched = new Set();
  let news = false;
  for (const frame of frames) {
    if (frame.type === "log") for (const line of log.feed(frame)) touched.add(line);
    else if (frame.type === "end") ended = true;
    else news = true;
    if (frame.type === "step") {
      grid.take(frame);
      sayStep(frame);
    }
  }
  if (touched.size) view.update(touched);
  if (log.lines.length > KEEP_LINES) view.drop(log.keep(KEEP_LINES * 0.8));
  if (news || ended) refreshSoon();
  show();
  if (wanted && log.count >= wanted) jumpTo(wanted);
  if (wantedByte >= 0 && log.bytes > wantedByte) jumpToByte(wantedByte);
  if (log.bytes >= stopAt && !ended) {
    feed.stop();
    connection("part");
  }
}

// ---- the parts above the log are the server's: asked for again when something changed, once a second at most

let refreshing = 0;
let tookMs = 0;
function refreshSoon() {
  if (refreshing) return;
  // What takes long to make is asked for less often.
  refreshing = setTimeout(refresh, Math.max(800, 5 * tookMs));
}

async function refresh() {
  const began = Date.now();
  // A menu that somebody has opened is not closed under their hands.
  if (document.querySelector("#live details.pop[open]")) {
    refreshing = 0;
    return;
  }
  await window.htmx.ajax("GET", `${grid.path}?part=live&${grid.query}`, { target: "#live", swap: "innerHTML" });
  tookMs = Date.now() - began;
  refreshing = 0;
  grid.compare();
}

const over = () => document.getElementById("job-state").dataset.ended === "1";
// The clocks of what runs go on without news.
setInterval(() => document.hidden || over() || refreshSoon(), 5000);
setInterval(() => document.hidden || grid.tick(), 1000);
document.addEventListener("visibilitychange", () => document.hidden || ended || refreshSoon());

// A table that somebody reads is not folded up under their eyes.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  if (event.detail.target.querySelector("details[open]")) event.detail.shouldSwap = false;
});

function sayStep(frame) {
  if (["pending", "running"].includes(frame.state)) return;
  // Of many machines only what went wrong: nobody can listen to 500.
  if (grid.many && ["succeeded", "skipped"].includes(frame.state)) return;
  document.getElementById("job-said").textContent = words.stepEnded
    .replace("{machine}", frame.machine ?? words.console)
    .replace("{title}", titles[frame.key] ?? frame.key)
    .replace("{state}", stateWords[frame.state] ?? frame.state);
}

// ---- connection

const CHIPS = {
  connecting: ["is-waiting", "waiting"], live: ["is-running", "running"], lost: ["is-unreachable", "unreachable"],
  polling: ["is-warning", "retry"], part: ["is-waiting", "pause"], ended: ["is-ok", "ok"], refused: ["is-failed", "failed"],
}; // prettier-ignore

function connection(state, detail) {
  const [css, icon] = CHIPS[state];
  const chip = document.createElement("span");
  chip.className = `st ${css}`;
  chip.append(symbol(icon), words[state]);
  part("link").replaceChildren(chip);
  const banner = document.getElementById("link-lost");
  const line = String(log.count.toLocaleString("en"));
  const said = {
    lost: words.lostLine.replace("{seconds}", detail?.seconds ?? 0).replace("{line}", line),
    polling: words.pollingLine,
    refused: words.refusedLine,
  }[state];
  banner.hidden = !said;
  if (said) banner.querySelector("[data-lost]").textContent = said;
  banner.querySelector("[data-retry]").hidden = state === "refused";
  panel.dataset.state = state;
  // Where WebSockets are blocked nothing tells of steps.
  grid.untold = ["polling", "lost", "part"].includes(state);
}
document.querySelector("[data-retry]").addEventListener("click", () => feed.retry());

// ---- the bar over the log

part("follow").addEventListener("change", (event) => view.follow(event.target.checked));
part("new").addEventListener("click", () => view.follow(true));
part("next").addEventListener("click", () => stepHit(1));
part("prev").addEventListener("click", () => stepHit(-1));
let typing;
part("search").addEventListener("input", (event) => {
  clearTimeout(typing);
  search.clear();
  typing = setTimeout(() => view.search(event.target.value), 150);
});
part("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    event.preventDefault();
    stepHit(event.shiftKey ? -1 : 1);
  }
});
part("machine")?.addEventListener("change", () => {
  part("shown-step").textContent = "";
  search.clear();
  view.filter(chosenMachine(), log.lines);
});

function chosenMachine() {
  const name = part("machine")?.value ?? "";
  return name === "console" ? null : name;
}

// ---- a part of a large log, and the search of all of it

const search = new LogSearch(panel.dataset.find, show);

/** The page holds all of the log that there is. */
function isWhole() {
  return log.first === 0 && stopAt === Infinity;
}

async function stepHit(by) {
  const term = part("search").value;
  if (isWhole() || !term) return view.step(by);
  const here = view.top()?.position ?? 0;
  let hit;
  if (search.term === term) hit = search.step(by);
  else if (await search.begin(term, part("machine")?.value ?? "", here)) hit = search.from(here);
  show();
  if (!hit) return;
  if (hit.position >= log.first && hit.position < log.bytes) jumpToByte(hit.position);
  else readPart(hit.position - BEFORE_HIT_BYTES, hit.position);
}

/** Read the log anew from a byte on, a part of it; `wantedAt` is the byte whose line is to be shown. */
function readPart(from, wantedAt = -1) {
  const after = Math.max(0, from);
  restart(after, after + PART_BYTES);
  view.follow(false);
  wantedByte = wantedAt;
}

/** Read from a byte on up to the end, live. */
function readNewest() {
  restart(Math.max(0, length() - PART_BYTES), Infinity);
  view.follow(true);
}

function restart(after, stop) {
  feed.stop();
  stopAt = stop;
  ended = false;
  log = new LogLines(after);
  view.filter(chosenMachine(), log.lines);
  feed = begin(after);
}

function length() {
  return Math.max(Number(panel.dataset.length), log.bytes, search.length);
}

part("first").addEventListener("click", () => readPart(0, 0));
part("earlier").addEventListener("click", () => readPart(log.first - PART_BYTES, log.first - 1));
part("later").addEventListener("click", () => readPart(log.bytes - BEFORE_HIT_BYTES, log.bytes - 1));
part("newest").addEventListener("click", readNewest);

function showPart() {
  const whole = isWhole();
  part("part").hidden = whole || log.count === 0;
  if (whole) return;
  const numbers = { from: log.first, to: log.bytes, all: length() };
  part("part-said").textContent = words.partLine.replace(/\{(\w+)\}/g, (_, name) => numbers[name].toLocaleString("en"));
  part("first").disabled = part("earlier").disabled = log.first === 0;
  part("later").disabled = part("newest").disabled = stopAt === Infinity || ended;
}

function hitsSaid() {
  if (!search.term) {
    if (!view.term) return "";
    if (view.hits.length === 0) return isWhole() ? words.noHits : words.noHitsHere;
    return words.hits.replace("{now}", view.hit + 1).replace("{all}", view.hits.length.toLocaleString("en"));
  }
  if (search.failed) return words.searchFailed;
  const share = search.length ? Math.floor((100 * search.searched) / search.length) : 0;
  const more = search.whole ? "" : ` ${words.searched.replace("{percent}", share)}`;
  if (!search.hits.length) return search.whole ? words.noHits : more.trim();
  return words.hits.replace("{now}", search.index + 1).replace("{all}", search.hits.length.toLocaleString("en")) + more;
}

/** What the bar says: count, hits, new lines, Follow. */
function show() {
  part("follow").checked = view.following;
  const fresh = part("new");
  fresh.hidden = view.following || view.unseen === 0 || stopAt !== Infinity;
  fresh.textContent = view.unseen === 1 ? words.newLine : words.newLines.replace("{count}", view.unseen);
  part("hits").textContent = hitsSaid();
  const hit = search.term && search.hit;
  part("hit").hidden = !hit;
  if (hit) part("hit").textContent = `${hit.machine ?? words.console}: ${hit.text.trim()}`;
  if (log.numbered && log.count && stopAt === Infinity) {
    part("count").textContent = words.count
      .replace("{lines}", log.count.toLocaleString("en"))
      .replace("{bytes}", log.bytes.toLocaleString("en"));
  }
  showPart();
  part("lines").hidden = view.shown.length === 0;
  part("blank").hidden = view.shown.length > 0;
  if (ended && log.count === 0 && isWhole()) part("blank").textContent = words.nothing;
  else if (log.count > 0) part("blank").textContent = words.nothingHere;
}

// ---- a cell of the grid leads to its step's log; the address to a line

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-show-step]");
  if (!link) return;
  const id = Number(link.dataset.showStep);
  const name = link.dataset.machine;
  if (part("machine")) {
    part("machine").value = name || "console";
    view.filter(chosenMachine(), log.lines);
  }
  part("shown-step").textContent = `${name || words.console} · ${link.title}`;
  const first = view.shown.find((line) => line.step === id);
  if (first) view.goTo(first);
});

let wanted = 0;
let wantedByte = -1;
window.addEventListener("hashchange", jumpToHash);

function jumpToHash() {
  const [, kind, digits] = /^#([LB])(\d+)$/.exec(location.hash) ?? [];
  const number = Number(digits);
  if (kind === "B" && number >= log.first && number < log.bytes) jumpToByte(number);
  else if (kind === "B") readPart(number - BEFORE_HIT_BYTES, number);
  if (kind !== "L") return;
  if (!log.numbered) readPart(0);
  if (log.count >= number) jumpTo(number);
  else wanted = number;
}

function jumpTo(number) {
  wanted = 0;
  view.goTo(log.numberedAs(number));
}

function jumpToByte(byte) {
  wantedByte = -1;
  const line = log.at(byte);
  view.goTo(line);
  view.mark(line);
}

function symbol(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "ic");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

function read(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

function begin(after) {
  return follow({
    socketUrl: (offset) => `${panel.dataset.socket}?after=${offset}&since=${encodeURIComponent(panel.dataset.since)}`,
    pollUrl: panel.dataset.poll,
    after,
    onFrames: take,
    onState: connection,
  });
}

// Last: it tells its first state at once, and all of the above must be there by then.
let feed;
if (panel.dataset.removed !== "1") {
  feed = begin(log.first);
  jumpToHash();
}

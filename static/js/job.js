// The job page: its log from the first byte and then live, its grid, and how the connection stands.

import { LogLines } from "./loglines.js";
import { LogView } from "./logview.js";
import { follow } from "./socket.js";

const panel = document.getElementById("log");
const words = document.getElementById("words").dataset;
const steps = read("step-names");
const stateWords = read("state-words");
const part = (name) => panel.querySelector(`[data-${name}]`);

const log = new LogLines();
const view = new LogView(part("lines"), {
  many: panel.dataset.many === "1",
  words: { line: words.line, console: words.console },
  onChange: show,
});
let ended = false;

function take(frames) {
  const touched = new Set();
  let news = false;
  for (const frame of frames) {
    if (frame.type === "log") for (const line of log.feed(frame)) touched.add(line);
    else if (frame.type === "end") ended = true;
    else news = true;
    if (frame.type === "step") sayStep(frame);
  }
  if (touched.size) view.update(touched);
  if (news || ended) refreshSoon();
  show();
  if (wanted && log.lines.length >= wanted) jumpTo(wanted);
}

// ---- the parts above the log are the server's: asked for again when something changed, once a second at most

let refreshing = 0;
function refreshSoon() {
  if (refreshing) return;
  refreshing = setTimeout(() => {
    refreshing = 0;
    window.htmx.trigger("#live", "refresh");
  }, 800);
}
// The clocks of what runs go on without news.
setInterval(() => {
  if (!document.hidden && document.getElementById("job-state").dataset.ended !== "1") refreshSoon();
}, 5000);
document.addEventListener("visibilitychange", () => document.hidden || ended || refreshSoon());

// A table that somebody reads is not folded up under their eyes.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  if (event.detail.target.querySelector("details[open]")) event.detail.shouldSwap = false;
});

function sayStep(frame) {
  const step = steps[frame.step];
  if (!step || ["pending", "running"].includes(frame.state)) return;
  document.getElementById("job-said").textContent = words.stepEnded
    .replace("{machine}", step.machine ?? words.console)
    .replace("{title}", step.title)
    .replace("{state}", stateWords[frame.state] ?? frame.state);
}

// ---- connection

const CHIPS = {
  connecting: ["is-waiting", "waiting"], live: ["is-running", "running"], lost: ["is-unreachable", "unreachable"],
  polling: ["is-warning", "retry"], ended: ["is-ok", "ok"], refused: ["is-failed", "failed"],
}; // prettier-ignore

function connection(state, detail) {
  const [css, icon] = CHIPS[state];
  const chip = document.createElement("span");
  chip.className = `st ${css}`;
  chip.append(symbol(icon), words[state]);
  part("link").replaceChildren(chip);
  const banner = document.getElementById("link-lost");
  const line = String(log.lines.length.toLocaleString("en"));
  const said = {
    lost: words.lostLine.replace("{seconds}", detail?.seconds ?? 0).replace("{line}", line),
    polling: words.pollingLine,
    refused: words.refusedLine,
  }[state];
  banner.hidden = !said;
  if (said) banner.querySelector("[data-lost]").textContent = said;
  banner.querySelector("[data-retry]").hidden = state === "refused";
  panel.dataset.state = state;
}
document.querySelector("[data-retry]").addEventListener("click", () => feed.retry());

// ---- the bar over the log

part("follow").addEventListener("change", (event) => view.follow(event.target.checked));
part("new").addEventListener("click", () => view.follow(true));
part("next").addEventListener("click", () => view.step(1));
part("prev").addEventListener("click", () => view.step(-1));
let typing;
part("search").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => view.search(event.target.value), 150);
});
part("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    event.preventDefault();
    view.step(event.shiftKey ? -1 : 1);
  }
});
part("machine")?.addEventListener("change", () => {
  part("shown-step").textContent = "";
  view.filter(chosenMachine(), log.lines);
});

function chosenMachine() {
  const name = part("machine")?.value ?? "";
  return name === "console" ? null : name;
}

/** What the bar says: count, hits, new lines, Follow. */
function show() {
  part("follow").checked = view.following;
  const fresh = part("new");
  fresh.hidden = view.following || view.unseen === 0;
  fresh.textContent = view.unseen === 1 ? words.newLine : words.newLines.replace("{count}", view.unseen);
  part("hits").textContent = !view.term
    ? ""
    : view.hits.length === 0
      ? words.noHits
      : words.hits.replace("{now}", view.hit + 1).replace("{all}", view.hits.length);
  if (log.lines.length) {
    part("count").textContent = words.count
      .replace("{lines}", log.lines.length.toLocaleString("en"))
      .replace("{bytes}", log.bytes.toLocaleString("en"));
  }
  part("lines").hidden = view.shown.length === 0;
  part("blank").hidden = view.shown.length > 0;
  if (ended && log.lines.length === 0) part("blank").textContent = words.nothing;
  else if (log.lines.length > 0) part("blank").textContent = words.nothingHere;
}

// ---- a cell of the grid leads to its step's log; the address to a line

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-show-step]");
  if (!link) return;
  const id = Number(link.dataset.showStep);
  const step = steps[id];
  const name = step.machine ?? "console";
  if (part("machine")) {
    part("machine").value = name;
    view.filter(chosenMachine(), log.lines);
  }
  part("shown-step").textContent = `${step.machine ?? words.console} · ${step.title}`;
  const first = view.shown.find((line) => line.step === id);
  if (first) view.goTo(first);
});

let wanted = Number(/^#L(\d+)$/.exec(location.hash)?.[1] ?? 0);
window.addEventListener("hashchange", () => {
  const number = Number(/^#L(\d+)$/.exec(location.hash)?.[1] ?? 0);
  if (number) jumpTo(number);
});

function jumpTo(number) {
  wanted = 0;
  const line = log.lines[number - 1];
  if (line) view.goTo(line);
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

// Last: it tells its first state at once, and all of the above must be there by then.
const feed = follow({
  socketUrl: panel.dataset.socket,
  pollUrl: panel.dataset.poll,
  after: 0,
  onFrames: take,
  onState: connection,
});

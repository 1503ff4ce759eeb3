// Overview and Machines: fresh whenever the fleet says that something changed. Readings are drawn into the map's cells as
// they come, ten times a second at most; what they change beyond load and heat is the server's to draw.
import { keepFresh } from "./live.js";

const HEALTH = { OK: "ok", Warning: "warning", Alarm: "failed", Critical: "failed" };
const AVERAGES_MS = 10_000;

let averaged = Date.now();
const waiting = new Map();
let drawing = 0;
// Machine -> its cells, for as long as the map is the one that they were found in.
let cells = new Map();
let first = null;

const page = keepFresh({
  socketUrl: "/ws/fleet",
  wants: (frame) => frame.type !== "telemetry",
  onFrames: (frames) => {
    if (!document.getElementById("fleet-map")) return;
    for (const frame of frames) {
      if (frame.type !== "telemetry") continue;
      for (const [name, reading] of Object.entries(frame.machines)) waiting.set(name, reading);
    }
    if (waiting.size && !drawing && !document.hidden) drawing = requestAnimationFrame(draw);
  },
});

function draw() {
  drawing = 0;
  const map = document.getElementById("fleet-map");
  if (map.firstElementChild !== first) {
    first = map.firstElementChild;
    cells = new Map([...map.querySelectorAll("[data-of]")].map((row) => [row.dataset.of, row.querySelectorAll("[data-h]")]));
  }
  let other = Date.now() - averaged > AVERAGES_MS;
  for (const [name, reading] of waiting) {
    const those = cells.get(name);
    if (those) other = !fill(name, those, reading, map.dataset.words) || other;
  }
  waiting.clear();
  if (other) {
    averaged = Date.now();
    page.refresh();
  }
}

// Whether the cells are those of the reading, so that load and heat are all that there is to draw.
function fill(name, those, reading, words) {
  if (reading.state !== "ok") return [...those].every((cell) => cell.dataset.l === undefined);
  if (reading.chips.length > those.length) return false;
  let same = true;
  reading.chips.forEach((chip, place) => {
    const cell = those[place];
    const health = HEALTH[chip.health] ?? "unknown";
    if (cell.dataset.h !== health || cell.classList.contains("absent") !== (cell.tagName === "A" && chip.aicore_percent === null)) {
      same = false;
      return;
    }
    const load = chip.aicore_percent === null ? null : Math.round(chip.aicore_percent);
    const temp = chip.temp_c === null ? null : Math.round(chip.temp_c);
    step(cell, "l", load === null ? null : Math.floor((Math.max(0, load) * 8) / 100));
    step(cell, "t", temp === null ? null : Math.floor((Math.max(0, temp - 30) * 8) / 60));
    if (cell.tagName !== "A") return;
    text(cell.querySelector(".v-load"), load === null ? "–" : String(load));
    text(cell.querySelector(".v-heat"), temp === null ? "–" : `${temp}°`);
    const said = words
      .replace("{machine}", name)
      .replace("{npu}", chip.npu_id)
      .replace("{load}", load ?? "–")
      .replace("{temp}", temp ?? "–")
      .replace("{health}", chip.health ?? "–");
    if (cell.title !== said) {
      cell.title = said;
      cell.setAttribute("aria-label", said);
    }
  });
  return same;
}

function step(cell, key, value) {
  const now = value === null ? undefined : String(Math.min(7, value));
  if (cell.dataset[key] === now) return;
  if (now === undefined) delete cell.dataset[key];
  else cell.dataset[key] = now;
}

function text(place, value) {
  if (place && place.textContent !== value) place.textContent = value;
}

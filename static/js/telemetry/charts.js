// The charts of the Machine page: 1 h, 24 h or 30 d of its NPUs; zoomed by drag, by buttons or by keys; live; as a table;
// as CSV. The cards below them are the legend, and show the figures under the cursor, or those of now.

import { follow } from "../socket.js";
import { clock, Plots } from "./plots.js";
import { csvUrl, figure, keyOf, lastHour, METRICS, periods, periodsOf, RANGES, stepFor } from "./series.js";
import { fillTable } from "./table.js";

const SHORTEST_S = { "1h": 30, "24h": 600, "30d": 6 * 3600 };
const AGAIN_MS = 60_000;
const STEP = { "24h": 300, "30d": 3600 };

export function charts(box, machine) {
  return new Charts(box, machine);
}

class Charts {
  constructor(box, machine) {
    Object.assign(this, { box, machine, words: box.dataset });
    this.cards = [...document.querySelectorAll("[data-npu]")];
    this.chips = this.cards.map((card) => `${card.dataset.npu}/${card.dataset.chip}`);
    this.labels = this.cards.map((card) => card.dataset.label);
    this.range = "1h";
    this.stat = "mean";
    this.zoom = null;
    this.newest = new Map();
    const places = Object.fromEntries(METRICS.map((metric) => [metric, box.querySelector(`[data-plot="${metric}"]`)]));
    this.plots = new Plots(places, this.labels, {
      onZoom: (from, to) => this.zoomTo(from, to),
      onReset: () => this.reset(),
      onCursor: (index) => this.figures(index),
    });
    this.bind();
    this.load();
    new MutationObserver(() => this.plots.again()).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
    follow({
      socketUrl: `/ws/machines/${encodeURIComponent(machine)}/telemetry`,
      onFrames: (frames) => frames.filter((frame) => frame.type === "samples").forEach((frame) => this.sample(frame)),
    });
    setInterval(() => this.range === "1h" || document.hidden || this.append(), AGAIN_MS);
  }

  bind() {
    const root = this.box.closest("section");
    this.root = root;
    root.querySelectorAll("[data-range]").forEach((button) =>
      button.addEventListener("click", () => {
        this.range = button.dataset.range;
        this.zoom = null;
        this.load();
      }),
    );
    root.querySelector("[data-stat]").addEventListener("change", (event) => {
      this.stat = event.target.value;
      this.load();
    });
    const moves = { in: () => this.scale(0.5), out: () => this.scale(2), back: () => this.move(-0.5), on: () => this.move(0.5), reset: () => this.reset() };
    root.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", moves[button.dataset.zoom]));
    const keys = { "+": moves.in, "=": moves.in, "-": moves.out, PageUp: moves.back, PageDown: moves.on, Escape: moves.reset, 0: moves.reset, ArrowLeft: () => this.plots.step(-1), ArrowRight: () => this.plots.step(1) };
    this.box.addEventListener("keydown", (event) => {
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      keys[event.key]();
    });
    this.box.addEventListener("mouseleave", () => this.figures(null));
    this.box.addEventListener("blur", () => this.figures(null));
    this.table = root.querySelector("#npu-table");
    const as = root.querySelector("#as-table");
    as.addEventListener("click", () => {
      const shown = as.getAttribute("aria-pressed") !== "true";
      as.setAttribute("aria-pressed", String(shown));
      this.table.hidden = !shown;
      this.draw();
    });
    this.table.querySelector("select").addEventListener("change", () => this.draw());
  }

  /** All of the range, anew. */
  async load() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const wait = this.root.querySelector("#npu-wait");
    const slow = setTimeout(() => (wait.textContent = this.words.waitWords), 300);
    const now = Date.now() / 1000;
    let made = null;
    try {
      if (this.range === "1h") made = await lastHour(this.machine, this.chips);
      else made = await periods(this.machine, this.chips, now - RANGES[this.range], now, STEP[this.range], this.stat);
    } catch {
      if (turn === this.turn) wait.textContent = this.words.awayWords;
    }
    clearTimeout(slow);
    if (turn !== this.turn || !made) return;
    wait.textContent = made.at.length ? "" : this.words.noneWords;
    this.series = made;
    this.fine = null;
    this.draw();
    if (this.zoom) this.refine();
  }

  /** What came since; of 24 h and 30 d, the newest periods again. */
  async append() {
    const { series, range, stat } = this;
    if (!series?.step) return;
    try {
      const from = (series.at.at(-1) ?? Date.now() / 1000 - RANGES[range]) - series.step;
      const body = await periodsOf(this.machine, from, Date.now() / 1000, series.step, stat);
      if (series !== this.series) return;
      series.addPeriods(body, stat);
      series.dropBefore(Date.now() / 1000 - RANGES[range]);
      this.draw();
    } catch {
      // The console is away: the page's own line says so.
    }
  }

  sample(frame) {
    for (const chip of frame.chips) this.newest.set(keyOf(chip), chip);
    if (this.plots.index === undefined || this.plots.index === null) this.figures(null);
    if (this.range !== "1h" || !this.series) return;
    this.series.addSample(frame);
    this.series.dropBefore(this.series.at.at(-1) - RANGES["1h"]);
    if (this.series.at.length) this.root.querySelector("#npu-wait").textContent = "";
    this.soon ??= setTimeout(() => {
      this.soon = null;
      requestAnimationFrame(() => this.draw());
    }, 100);
  }

  whole() {
    const to = Math.max(Date.now() / 1000 - 3, this.series?.at.at(-1) ?? 0);
    const first = this.series?.at[0] ?? to - 60;
    // A machine that was just added is shown since then.
    return [this.range === "1h" ? Math.max(to - RANGES["1h"], Math.min(first, to - 60)) : to - RANGES[this.range], to];
  }

  draw() {
    if (!this.series) return;
    const [from, to] = this.zoom ?? this.whole();
    const series = this.fine && this.zoom ? this.fine : this.series;
    this.shown = series;
    const tabled = !this.table.hidden;
    this.box.hidden = tabled || !this.series.at.length;
    if (!this.box.hidden) this.plots.show(series, from, to);
    if (tabled) fillTable(this.table, series, from, to, this.words);
    for (const button of this.root.querySelectorAll("[data-range]")) {
      button.setAttribute("aria-pressed", String(button.dataset.range === this.range));
    }
    this.root.querySelector("[data-stat]").closest("label").hidden = this.range === "1h";
    for (const name of ["out", "back", "on", "reset"]) this.root.querySelector(`[data-zoom=${name}]`).disabled = !this.zoom;
    this.root.querySelector("[data-csv]").href = csvUrl(this.machine, from, to, series.step ?? 60);
    this.root.querySelector("#npu-span").textContent = `${clock(from, true)} – ${clock(to, true)} ${this.words.zone}`;
  }

  zoomTo(from, to) {
    const [first, last] = this.whole();
    const least = SHORTEST_S[this.range];
    const width = Math.min(last - first, Math.max(least, to - from));
    const begin = Math.min(Math.max(first, from), last - width);
    this.zoom = width >= last - first ? null : [begin, begin + width];
    this.draw();
    this.refine();
  }

  scale(by) {
    const [from, to] = this.zoom ?? this.whole();
    const half = ((to - from) * by) / 2;
    // At the cursor, where there is one.
    const middle = this.shown?.at[this.plots.index] ?? (from + to) / 2;
    this.zoomTo(middle - half, middle + half);
  }

  move(by) {
    const [from, to] = this.zoom ?? this.whole();
    this.zoomTo(from + (to - from) * by, to + (to - from) * by);
  }

  reset() {
    this.zoom = null;
    this.draw();
  }

  /** Of a part, finer periods, where they are kept for all of it. */
  async refine() {
    const zoom = this.zoom;
    this.fine = null;
    const step = zoom && stepFor(zoom[1] - zoom[0]);
    if (!zoom || !this.series.step || step >= this.series.step) return;
    const turn = this.turn;
    try {
      const made = await periods(this.machine, this.chips, zoom[0], zoom[1], step, this.stat);
      const coarse = this.series.at.find((at) => at >= zoom[0]) ?? Infinity;
      if (turn !== this.turn || zoom !== this.zoom || !(made.at[0] <= coarse)) return;
      made.silent = made.silent.length ? made.silent : this.series.silent;
      this.fine = made;
      this.draw();
    } catch {
      // The coarse ones stay.
    }
  }

  /** On the cards: what is under the cursor, or what is now. */
  figures(index) {
    if (index === null) this.plots.index = null;
    const at = index === null ? undefined : this.shown?.at[index];
    this.root.querySelector("#npu-at").textContent = at === undefined ? this.words.nowWords : clock(at, this.range !== "1h");
    this.cards.forEach((card, i) => {
      const chip = this.newest.get(this.chips[i]);
      for (const field of card.querySelectorAll("[data-f]")) {
        const metric = field.dataset.f;
        const value = at === undefined ? figure(chip, metric) : this.shown.values[metric]?.[i][index];
        if (value !== undefined && (value !== null || chip || at !== undefined)) field.textContent = value === null ? "–" : Math.round(value);
      }
    });
  }
}

// One uPlot a metric, with one cursor and one zoom for all of them. Lines are told apart by colour and by dash; health is
// told by the height of a bar as well as by its colour; the time in which a machine was silent is hatched.

import { METRICS } from "./series.js";

const RANGE = { aicore_percent: [0, 100], hbm_used_percent: [0, 100], temp_c: [20, 100], power_w: [0, 100] };
const UNIT = { aicore_percent: "%", hbm_used_percent: "%", temp_c: "°C", power_w: "W" };
const DASHES = [undefined, [6, 4], [2, 3], [10, 3, 2, 3]];
const BAR = ["--ok-dot", "--warning-dot", "--failed-dot", "--failed-dot"];

const token = (key) => getComputedStyle(document.documentElement).getPropertyValue(key).trim();
export const clock = (at, long) =>
  long ? `${new Date(at * 1000).toLocaleDateString("sv-SE").slice(5)} ${time(at).slice(0, 5)}` : time(at);
const time = (at) => new Date(at * 1000).toLocaleTimeString("sv-SE");

export class Plots {
  /** `places`: metric -> element. `onZoom(from, to)`, `onReset()`, `onCursor(index or null)`. */
  constructor(places, labels, { onZoom, onReset, onCursor }) {
    Object.assign(this, { places, labels, onZoom, onReset, onCursor });
    this.plots = [];
    new ResizeObserver(() => this.fit()).observe(places[METRICS[0]]);
  }

  /** Draw a series between two times. */
  show(series, from, to) {
    this.series = series;
    this.span = [from, to];
    if (!this.plots.length) this.make();
    this.plots.forEach((plot, n) => {
      plot.batch(() => {
        plot.setData([series.at, ...series.values[METRICS[n]]], false);
        plot.setScale("x", { min: from, max: to });
      });
    });
  }

  make() {
    this.hatch = hatched();
    this.plots = METRICS.map((metric) => {
      const place = this.places[metric];
      const options = metric === "health" ? this.lanes(place) : this.lines(metric, place);
      return new window.uPlot(options, [this.series.at, ...this.series.values[metric]], place);
    });
  }

  /** Again, with other colours. */
  again() {
    this.plots.forEach((plot) => plot.destroy());
    this.plots = [];
    if (this.series) this.show(this.series, ...this.span);
  }

  fit() {
    METRICS.forEach((metric, n) => {
      const width = this.places[metric].clientWidth;
      if (width && this.plots[n]) this.plots[n].setSize({ width, height: this.height(metric) });
    });
  }

  height(metric) {
    return metric === "health" ? 36 + 14 * this.labels.length : window.innerWidth < 640 ? 130 : 150;
  }

  /** Move the cursor by points; for the keyboard. */
  step(by) {
    const plot = this.plots[0];
    const [from, to] = this.span;
    const shown = this.series.at.map((at, i) => i).filter((i) => this.series.at[i] >= from && this.series.at[i] <= to);
    if (!plot || !shown.length) return;
    const here = shown.indexOf(this.index ?? shown.at(-1));
    const next = shown[Math.min(shown.length - 1, Math.max(0, (here < 0 ? shown.length - 1 : here) + by))];
    for (const one of this.plots) one.setCursor({ left: one.valToPos(this.series.at[next], "x"), top: 10 }, false);
    this.point(next);
  }

  point(index) {
    this.index = index;
    this.onCursor(index);
  }

  shared(metric, place, width) {
    const axis = {
      stroke: token("--chart-axis"),
      font: `12px ${token("--font") || "sans-serif"}`,
      grid: { stroke: token("--chart-grid"), width: 1 },
      ticks: { stroke: token("--chart-grid"), width: 1 },
    };
    const ticks = (_, all) => {
      const span = this.span[1] - this.span[0];
      if (span > 2 * 86400) return all.map((at) => new Date(at * 1000).toLocaleDateString("sv-SE").slice(5));
      return all.map((at) => time(at).slice(0, span < 300 ? 8 : 5));
    };
    const days = [86400, 2 * 86400, 5 * 86400, 10 * 86400];
    const incrs = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, ...days];
    return {
      width: place.clientWidth || 300,
      height: this.height(metric),
      padding: [8, 24, 0, 0],
      legend: { show: false },
      axes: [{ ...axis, size: 28, space: 64, incrs, values: ticks }, { ...axis, size: width }],
      cursor: {
        sync: { key: "machine-telemetry", setSeries: false },
        drag: { x: true, y: false, setScale: false },
        points: { size: 6 },
        bind: { dblclick: () => () => this.onReset() },
      },
      hooks: {
        drawClear: [(plot) => this.shade(plot)],
        setSelect: [(plot) => this.selected(plot)],
        setCursor: [(plot) => plot.cursor.event && this.point(plot.cursor.idx ?? null)],
      },
    };
  }

  lines(metric, place) {
    const shared = this.shared(metric, place, 56);
    const series = this.labels.map((label, i) => ({
      label,
      stroke: token(`--chart-${(i % 4) + 1}`),
      width: 1.5,
      dash: DASHES[Math.floor(i / 4) % DASHES.length],
      points: { show: (plot, n) => alone(plot.data[n]), size: 4 },
    }));
    const [low, high] = RANGE[metric];
    const range = (_, from, to) => [Math.min(low, from ?? low), Math.max(high, Math.ceil((to ?? high) / 50) * 50)];
    const values = (_, all) => all.map((value) => `${value} ${UNIT[metric]}`);
    return {
      ...shared,
      scales: { x: { time: true }, y: { range: metric.endsWith("percent") ? [low, high] : range } },
      axes: [shared.axes[0], { ...shared.axes[1], values }],
      series: [{}, ...series],
    };
  }

  /** One lane a chip: a thin bar where it is well, a taller one the worse it is. */
  lanes(place) {
    const count = this.labels.length;
    const shared = this.shared("health", place, 56);
    const splits = () => this.labels.map((_, i) => count - i - 0.5);
    return {
      ...shared,
      scales: { x: { time: true }, y: { range: [0, count] } },
      axes: [shared.axes[0], { ...shared.axes[1], splits, values: () => this.labels.map(short), grid: { show: false } }],
      series: [{}, ...this.labels.map((label) => ({ label, stroke: "transparent", points: { show: false } }))],
      hooks: { ...shared.hooks, draw: [(plot) => this.bars(plot)] },
    };
  }

  bars(plot) {
    const { ctx } = plot;
    const [from, to] = this.span;
    const lane = plot.bbox.height / this.labels.length;
    const colours = BAR.map(token);
    const usual = this.series.step ?? this.series.gap;
    this.labels.forEach((_, chip) => {
      const values = this.series.values.health[chip];
      const middle = plot.bbox.top + lane * (chip + 0.5);
      for (let i = 0; i < values.length; ) {
        const value = values[i];
        let end = i + 1;
        while (end < values.length && same(values[end], value)) end += 1;
        // To the next reading; the last one as far as a reading counts.
        const until = values[end] === undefined ? this.series.at[end - 1] + usual : this.series.at[end];
        if (value !== null && until > from && this.series.at[i] < to) {
          const left = plot.valToPos(Math.max(from, this.series.at[i]), "x", true);
          const right = plot.valToPos(Math.min(to, until), "x", true);
          const worst = Math.ceil(value);
          const tall = lane * [0.25, 0.55, 0.8, 0.95][worst];
          ctx.fillStyle = colours[worst];
          ctx.fillRect(left, middle - tall / 2, Math.max(1, right - left), tall);
        }
        i = end;
      }
    });
  }

  shade(plot) {
    const { ctx } = plot;
    const [from, to] = this.span;
    ctx.save();
    ctx.fillStyle = ctx.createPattern(this.hatch, "repeat");
    for (const [since, until] of this.series.silent) {
      if (until <= from || since >= to) continue;
      const left = plot.valToPos(Math.max(since, from), "x", true);
      const right = plot.valToPos(Math.min(until, to), "x", true);
      ctx.fillRect(left, plot.bbox.top, Math.max(2, right - left), plot.bbox.height);
    }
    ctx.restore();
  }

  selected(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const from = plot.posToVal(left, "x");
    const to = plot.posToVal(left + width, "x");
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    // Each of them is told of the same selection.
    if (plot.cursor.event) this.onZoom(from, to);
  }
}

const same = (one, other) => one === other || (one !== null && other !== null && other !== undefined && Math.ceil(one) === Math.ceil(other));
const short = (label) => label.replace(/^NPU\s*/, "");
const alone = (column) => column.filter((value) => value !== null).length < 3;

/** Diagonal lines: silence is told by a pattern, not by a colour. */
function hatched() {
  const size = 8 * Math.ceil(window.devicePixelRatio);
  const tile = Object.assign(document.createElement("canvas"), { width: size, height: size });
  const ctx = tile.getContext("2d");
  ctx.strokeStyle = token("--line-strong");
  ctx.globalAlpha = 0.5;
  ctx.lineWidth = size / 8;
  for (const shift of [-size, 0, size]) {
    ctx.moveTo(shift, size);
    ctx.lineTo(shift + size, 0);
  }
  ctx.stroke();
  return tile;
}

// The Machine page: fresh when this machine or a job changes; one live chart of its NPUs, with the same figures as a table.
import { keepFresh } from "./live.js";
import { follow } from "./socket.js";

const name = document.querySelector("[data-machine]").dataset.machine;
const HOUR_S = 3600;
const GAP_S = 20;

const page = keepFresh({
  socketUrl: "/ws/fleet",
  wants: (frame) => frame.type === "job" || (frame.type === "machine" && frame.machine === name),
});

const box = document.getElementById("npu-chart");
if (box) chart(box);
// A driver that was just installed lists its NPUs for the first time.
document.addEventListener("fresh", ({ target }) => {
  if (target.id !== "npus" || !document.getElementById("npu-chart")) return;
  delete target.dataset.live;
  chart(document.getElementById("npu-chart"));
});

function chart(place) {
  const cards = [...document.querySelectorAll("[data-npu]")];
  const chips = cards.map((card) => `${card.dataset.npu}/${card.dataset.chip}`);
  const wait = document.getElementById("npu-wait");
  const rows = document.querySelector("#npu-table tbody");
  const data = [[], ...chips.map(() => [])];
  let plot = null;
  let drawing = 0;
  let slow = setTimeout(() => (wait.textContent = place.dataset.waitWords), 300);

  function add(sample) {
    const at = Date.parse(sample.at) / 1000;
    const before = data[0].at(-1);
    if (!(at > (before ?? 0))) return;
    if (before && at - before > GAP_S) {
      // Nothing was read in between: a line drawn across would claim that something was.
      data[0].push(before + 1);
      for (const column of data.slice(1)) column.push(null);
    }
    data[0].push(at);
    const byChip = new Map(sample.chips.map((chip) => [`${chip.npu_id}/${chip.chip_id}`, chip]));
    chips.forEach((key, i) => data[i + 1].push(byChip.get(key)?.aicore_percent ?? null));
    while (data[0][0] < at - HOUR_S) for (const column of data) column.shift();
    for (const card of cards) figures(card, byChip.get(`${card.dataset.npu}/${card.dataset.chip}`));
  }

  function figures(card, chip) {
    if (!chip) return;
    for (const field of card.querySelectorAll("[data-f]")) {
      const value = chip[field.dataset.f];
      if (value === undefined) continue;
      field.textContent = value === null ? "–" : field.dataset.unit === "gib" ? gib(value) : Math.round(value);
    }
  }

  function draw() {
    if (drawing) return;
    drawing = requestAnimationFrame(() => {
      drawing = 0;
      clearTimeout(slow);
      wait.textContent = data[0].length ? "" : place.dataset.noneWords;
      wait.hidden = data[0].length > 0;
      place.hidden = !data[0].length || !document.getElementById("npu-table").hidden;
      if (!data[0].length) return;
      if (!plot && !place.hidden) plot = make(place, chips, data);
      else plot?.setData(data);
      if (!document.getElementById("npu-table").hidden) table();
    });
  }

  function table() {
    const step = Math.max(1, Math.ceil(data[0].length / 60));
    const lines = [];
    for (let i = data[0].length - 1; i >= 0; i -= step) {
      const line = document.createElement("tr");
      line.append(cell("th", clock(data[0][i])), ...chips.map((_, c) => cell("td", data[c + 1][i] ?? "–", "num")));
      lines.push(line);
    }
    rows.replaceChildren(...lines);
  }

  function cell(tag, text, css) {
    const made = document.createElement(tag);
    if (tag === "th") made.scope = "row";
    if (css) made.className = css;
    made.textContent = text;
    return made;
  }

  const button = document.getElementById("as-table");
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(shown));
    document.getElementById("npu-table").hidden = !shown;
    draw();
  });

  new ResizeObserver(() => plot?.setSize({ width: place.clientWidth, height: height() })).observe(place.parentElement);
  new MutationObserver(() => {
    plot?.destroy();
    plot = null;
    draw();
  }).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });

  fetch(`/api/v1/machines/${encodeURIComponent(name)}/telemetry/?minutes=60`, { headers: { Accept: "application/json" } })
    .then((answer) => (answer.ok ? answer.json() : { samples: [] }))
    .catch(() => ({ samples: [] }))
    .then((body) => {
      body.samples.forEach(add);
      draw();
      follow({
        socketUrl: `/ws/machines/${encodeURIComponent(name)}/telemetry`,
        onFrames: (frames) => {
          frames.filter((frame) => frame.type === "samples").forEach(add);
          draw();
        },
      });
    });
}

function make(place, chips, data) {
  const style = getComputedStyle(document.documentElement);
  const token = (key) => style.getPropertyValue(key).trim();
  const axis = {
    stroke: token("--chart-axis"),
    font: `12px ${token("--font") || "sans-serif"}`,
    grid: { stroke: token("--chart-grid"), width: 1 },
    ticks: { stroke: token("--chart-grid"), width: 1 },
  };
  const lines = chips.map((key, i) => ({
    label: `NPU ${key.split("/")[0]}`,
    stroke: token(`--chart-${(i % 4) + 1}`),
    width: 1.5,
    // Colour alone tells nobody apart: the second four are dashed, and each line's figure stands in the legend.
    dash: i >= 4 ? [6, 4] : undefined,
    points: { show: false },
    value: (_, value) => (value === null || value === undefined ? "–" : `${Math.round(value)} %`),
  }));
  return new window.uPlot(
    {
      width: place.clientWidth,
      height: height(),
      padding: [8, 32, 0, 0],
      scales: { x: { time: true, range: (_, from, to) => [Math.min(from, to - 60), to] }, y: { range: [0, 100] } },
      axes: [
        { ...axis, space: 80, incrs: [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600], values: (_, ticks) => ticks.map((tick) => clock(tick).slice(0, ticks.at(-1) - ticks[0] < 300 ? 8 : 5)) },
        { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => `${tick} %`) },
      ],
      series: [{ label: place.dataset.timeWords, value: (_, at) => (at === null ? "–" : clock(at)) }, ...lines],
      cursor: { drag: { x: true, y: false } },
      legend: { live: true },
    },
    data,
    place,
  );
}

const height = () => (innerWidth < 640 ? 160 : 200);
const clock = (at) => new Date(at * 1000).toLocaleTimeString("sv-SE");
const gib = (mb) => (mb / 1024).toFixed(mb < 10240 ? 1 : 0);

export { page };

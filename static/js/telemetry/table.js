// The same figures as a table: newest first, sixty rows at most.
import { clock } from "./plots.js";

const HEALTH = ["OK", "Warning", "Alarm", "Critical"];
const ROWS = 60;

export function fillTable(table, series, from, to, words) {
  const metric = table.querySelector("select").value;
  const shown = series.at.map((_, i) => i).filter((i) => series.at[i] >= from && series.at[i] <= to && read(series, metric, i));
  const step = Math.max(1, Math.ceil(shown.length / ROWS));
  const lines = shown
    .reverse()
    .filter((_, n) => n % step === 0)
    .map((i) => [series.at[i], series.values[metric].map((column) => text(column[i], metric))]);
  for (const [since, until] of series.silent) {
    if (until > from && since < to) lines.push([since, series.chips.map(() => words.silentWords)]);
  }
  lines.sort((one, other) => other[0] - one[0]);
  const long = to - from > 86_000;
  table.querySelector("tbody").replaceChildren(...lines.map(([at, cells]) => row(clock(at, long), cells)));
}

const read = (series, metric, i) => series.values[metric].some((column) => column[i] !== null);

function text(value, metric) {
  if (value === null || value === undefined) return "–";
  return metric === "health" ? HEALTH[Math.ceil(value)] : String(Math.round(value * 10) / 10);
}

function row(head, cells) {
  const line = document.createElement("tr");
  const first = document.createElement("th");
  first.scope = "row";
  first.textContent = head;
  line.append(first, ...cells.map((value) => Object.assign(document.createElement("td"), { className: "num", textContent: value })));
  return line;
}

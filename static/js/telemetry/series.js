// What the charts of a machine draw: columns of times and values per metric and chip, from samples or from periods.
//
// A Series is { at: [s], values: { metric: [[...] per chip] }, silent: [[from, to]], step }. Where nothing was read
// there is a null, so that no line is drawn across.

export const METRICS = ["aicore_percent", "hbm_used_percent", "temp_c", "power_w", "health"];
export const RANGES = { "1h": 3600, "24h": 86400, "30d": 2592000 };
export const STEPS = [60, 120, 300, 600, 900, 1800, 3600];
const HEALTH = { OK: 0, Warning: 1, Alarm: 2, Critical: 3 };
// Most points a chart shows.
const POINTS = 400;

export const stepFor = (seconds) => STEPS.find((step) => seconds / step <= POINTS) ?? 3600;
export const keyOf = (chip) => `${chip.npu_id}/${chip.chip_id ?? 0}`;
const seconds = (iso) => Date.parse(iso) / 1000;
const iso = (at) => new Date(at * 1000).toISOString();

export class Series {
  /** `gap`: seconds after which the next reading is not joined to the one before. */
  constructor(chips, gap) {
    this.chips = chips;
    this.gap = gap;
    this.at = [];
    this.values = Object.fromEntries(METRICS.map((metric) => [metric, chips.map(() => [])]));
    this.silent = [];
  }

  push(at, of) {
    const before = this.at.at(-1);
    if (!(at > (before ?? 0))) return;
    if (before && at - before > this.gap) this.row(before + Math.min(1, this.gap / 2), () => null);
    this.row(at, of);
  }

  row(at, of) {
    this.at.push(at);
    for (const metric of METRICS) this.chips.forEach((_, i) => this.values[metric][i].push(of(metric, i) ?? null));
  }

  addSample(sample) {
    const byChip = new Map(sample.chips.map((chip) => [keyOf(chip), chip]));
    this.push(seconds(sample.at), (metric, i) => figure(byChip.get(this.chips[i]), metric));
  }

  /** Periods that are newer than what is there; those that it has are written over. */
  addPeriods(body, stat, until = Infinity) {
    const byChip = new Map(body.npus.map((npu) => [keyOf(npu), npu.metrics]));
    const first = body.at.length ? seconds(body.at[0]) : Infinity;
    while (this.at.length && this.at.at(-1) >= first - this.gap / 2) this.pop();
    body.at.forEach((at, n) => {
      if (seconds(at) < until) this.push(seconds(at), (metric, i) => byChip.get(this.chips[i])?.[metric]?.[stat]?.[n]);
    });
    this.addSilent(body.silent);
  }

  addSilent(spans) {
    for (const { since, until } of spans) {
      const last = this.silent.at(-1);
      if (last && seconds(since) <= last[1]) last[1] = Math.max(last[1], seconds(until));
      else this.silent.push([seconds(since), seconds(until)]);
    }
  }

  pop() {
    this.at.pop();
    for (const metric of METRICS) for (const column of this.values[metric]) column.pop();
  }

  dropBefore(at) {
    let count = 0;
    while (count < this.at.length && this.at[count] < at) count += 1;
    if (!count) return;
    this.at.splice(0, count);
    for (const metric of METRICS) for (const column of this.values[metric]) column.splice(0, count);
  }
}

export function figure(chip, metric) {
  if (!chip) return null;
  if (metric === "health") return HEALTH[chip.health] ?? null;
  if (metric !== "hbm_used_percent") return chip[metric] ?? null;
  return chip.hbm_total_mb && chip.hbm_used_mb !== null ? (100 * chip.hbm_used_mb) / chip.hbm_total_mb : null;
}

async function ask(machine, query) {
  const answer = await fetch(`/api/v1/machines/${encodeURIComponent(machine)}/telemetry/?${new URLSearchParams(query)}`, {
    headers: { Accept: "application/json" },
  });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return answer.json();
}

export const periodsOf = (machine, from, to, step, stat) =>
  ask(machine, { since: iso(from), until: iso(to), step, stats: stat, metrics: METRICS.join(",") });

/** The last hour sample by sample; before what Redis has, by the minute. */
export async function lastHour(machine, chips) {
  const now = Date.now() / 1000;
  const [samples, minutes] = await Promise.allSettled([
    ask(machine, { minutes: 60 }),
    periodsOf(machine, now - RANGES["1h"], now, 60, "mean"),
  ]);
  if (samples.status === "rejected" && minutes.status === "rejected") throw samples.reason;
  const read = samples.value?.samples ?? [];
  const made = new Series(chips, Math.max(20, 3 * (samples.value?.interval_s ?? 2)));
  const first = read.length ? seconds(read[0].at) : Infinity;
  if (minutes.value) {
    made.gap = 90;
    made.addPeriods(minutes.value, "mean", first - 60);
    made.gap = Math.max(20, 3 * (samples.value?.interval_s ?? 20));
    made.silent = [];
  }
  read.forEach((sample) => made.addSample(sample));
  made.addSilent(samples.value?.silent ?? minutes.value.silent);
  return made;
}

export async function periods(machine, chips, from, to, step, stat) {
  const made = new Series(chips, step * 1.5);
  made.step = step;
  made.addPeriods(await periodsOf(machine, from, to, step, stat), stat);
  return made;
}

export const csvUrl = (machine, from, to, step) =>
  `/api/v1/machines/${encodeURIComponent(machine)}/telemetry/?${new URLSearchParams({ since: iso(from), until: iso(to), step, format: "csv" })}`;

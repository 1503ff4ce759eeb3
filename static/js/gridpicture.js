// All cells of a large job as one picture: a column a machine, its steps from top to bottom, in lines as wide as the page.
// 6,000 cells are one element, and a change repaints one cell. Colours are the page's own tokens.

const TOKENS = {
  s: "--ok-dot", k: "--ok-tint", r: "--running-dot", u: "--unreachable-dot", f: "--failed-dot", e: "--failed-dot",
  i: "--interrupted-dot", c: "--unknown-dot", p: "--surface-3",
}; // prettier-ignore
const WIDE = 6;
const BELOW = 7; // Room under a line, where a machine that is not OK is marked.

export class GridPicture {
  constructor(canvas, data) {
    Object.assign(this, { canvas, machines: data.machines, letters: data.letters, onPick: () => {} });
    this.states = data.states.map((text) => [...text]);
    this.places = new Map(); // step id -> [machine, column]
    data.ids.forEach((row, machine) => row.forEach((id, column) => id && this.places.set(id, [machine, column])));
    this.steps = data.columns.length;
    this.draw = this.draw.bind(this);
    new ResizeObserver(this.draw).observe(canvas.parentElement);
    new MutationObserver(this.draw).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
    canvas.addEventListener("click", (event) => {
      const machine = this.at(event);
      if (machine) this.onPick(machine);
    });
    canvas.addEventListener("pointermove", (event) => (canvas.title = this.at(event) ?? ""));
  }

  /** A step's new state; whether the picture has that step. */
  set(step, state) {
    const place = this.places.get(step);
    if (!place) return false;
    const [machine, column] = place;
    this.states[machine][column] = this.letters[state] ?? "p";
    if (this.pen) this.paint(machine);
    return true;
  }

  draw() {
    const width = this.canvas.parentElement.clientWidth - 2 * parseFloat(getComputedStyle(this.canvas.parentElement).paddingLeft);
    if (width <= 0) return;
    const style = getComputedStyle(document.documentElement);
    this.colours = Object.fromEntries(Object.entries(TOKENS).map(([letter, name]) => [letter, style.getPropertyValue(name)]));
    this.high = width < 600 ? 3 : 5;
    this.perLine = Math.max(1, Math.floor(width / WIDE));
    this.lineHigh = this.steps * this.high + BELOW;
    const lines = Math.ceil(this.machines.length / this.perLine);
    const scale = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(lines * this.lineHigh * scale);
    this.pen = this.canvas.getContext("2d");
    this.pen.scale(scale, scale);
    this.machines.forEach((_, machine) => this.paint(machine));
  }

  paint(machine) {
    const left = (machine % this.perLine) * WIDE;
    const top = Math.floor(machine / this.perLine) * this.lineHigh;
    this.pen.clearRect(left, top, WIDE, this.lineHigh);
    let bad = "";
    this.states[machine].forEach((letter, column) => {
      if (letter === " ") return;
      if ("feiu".includes(letter)) bad ||= letter;
      this.pen.fillStyle = this.colours[letter];
      this.pen.fillRect(left, top + column * this.high, WIDE - 1, this.high - 1);
    });
    if (!bad) return;
    // Not by colour alone: a mark under the column.
    this.pen.fillStyle = this.colours[bad];
    this.pen.fillRect(left, top + this.lineHigh - BELOW + 1, WIDE - 1, 3);
  }

  at(event) {
    const line = Math.floor(event.offsetY / this.lineHigh);
    const place = Math.floor(event.offsetX / WIDE);
    return place < this.perLine ? this.machines[line * this.perLine + place] : undefined;
  }
}

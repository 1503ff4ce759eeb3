// The grid of a job: machines down, steps across. Its rows come from the server; here cells that have changed are taken
// anew one by one, all cells are drawn as one picture, and the arrow keys go from cell to cell.

import { GridPicture } from "./gridpicture.js";

const SHORTEST_MS = 800;
const MOST_CELLS = 200; // Of more the rows are taken whole.

export class JobGrid {
  constructor(root) {
    this.root = root;
    this.path = root.dataset.path;
    this.seconds = document.getElementById("grid-words").dataset.seconds;
    this.changed = new Set();
    this.stale = false; // The rows are to be taken whole.
    this.untold = false; // Nothing tells which steps change.
    this.timer = 0;
    this.took = 0;
    this.taking = null;
    const drawn = document.getElementById("grid-picture");
    this.picture = drawn && new GridPicture(root.querySelector("[data-picture] canvas"), JSON.parse(drawn.textContent));
    if (this.picture) this.picture.onPick = (machine) => this.find(machine);
    root.addEventListener("keydown", (event) => this.key(event));
    root.addEventListener("focusin", (event) => event.target.matches("[data-show-step]") && this.rove(event.target));
    root.addEventListener("click", (event) => event.target.closest("[data-reorder]") && this.takeRows());
    root.addEventListener("htmx:beforeRequest", () => this.taking?.abort());
    document.addEventListener("htmx:afterSettle", () => this.settle());
    this.settle();
  }

  get rows() {
    return document.getElementById("grid-rows");
  }

  get query() {
    return this.rows.dataset.query;
  }

  get many() {
    return Boolean(this.picture);
  }

  /** A step as it is now. */
  take(frame) {
    const known = this.picture?.set(frame.step, frame.state);
    const cell = document.getElementById(`c${frame.step}`);
    // What a new connection tells of steps under way is what the page was made with.
    if (cell && cell.dataset.s === frame.state && frame.progress === null) return;
    if (cell) this.changed.add(frame.step);
    else if (!known && frame.state !== "pending") this.stale = true; // What only runs after a failure has no cell yet.
    if (this.changed.size || this.stale) this.soon();
  }

  /** Whether the server would show other rows now; nothing is moved under a pointer or the focus. */
  compare() {
    if (this.untold) this.stale = true;
    if (this.rows.dataset.mark !== document.getElementById("grid-bar").dataset.mark) {
      const busy = this.rows.matches(":hover") || this.rows.contains(document.activeElement);
      const button = this.rows.querySelector("[data-reorder]");
      if (busy && button) button.hidden = false;
      else this.stale = true;
    }
    if (this.stale) this.soon();
  }

  soon() {
    if (this.timer || document.hidden) return;
    this.timer = setTimeout(() => this.flush(), Math.max(SHORTEST_MS, 5 * this.took));
  }

  async flush() {
    const began = Date.now();
    const ids = [...this.changed];
    this.changed.clear();
    if (this.stale || ids.length > MOST_CELLS) await this.takeRows();
    else if (ids.length) await this.takeCells(ids);
    this.took = Date.now() - began;
    this.timer = 0;
    if (this.changed.size || this.stale) this.soon();
  }

  /** The rows and the bar anew. It gives way to what the reader asks for, whichever of the two began first. */
  async takeRows() {
    this.stale = Boolean(this.root.querySelector(".htmx-request"));
    if (this.stale) return;
    this.taking = new AbortController();
    try {
      const url = `${this.path}?part=grid&${this.query}`;
      const answer = await fetch(url, { redirect: "error", signal: this.taking.signal });
      const text = await answer.text();
      if (answer.ok) window.htmx.swap("#grid-rows", text, { swapStyle: "outerHTML" });
    } catch {
      this.stale = true;
    }
  }

  async takeCells(ids) {
    try {
      const answer = await fetch(`${this.path}?part=cells&${ids.map((id) => `id=${id}`).join("&")}`, { redirect: "error" });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const element of fresh.body.querySelectorAll("[id]")) {
        const here = document.getElementById(element.id);
        if (!here) continue;
        const focused = here === document.activeElement;
        element.tabIndex = element.matches("a") ? here.tabIndex : element.tabIndex;
        here.replaceWith(element);
        if (focused) element.focus({ preventScroll: true });
      }
    } catch {
      // The console is away: when the link is back the rows are taken whole.
      this.stale = true;
    }
  }

  /** The clocks of running steps. */
  tick() {
    for (const clock of this.rows.querySelectorAll("[data-since]")) {
      const total = Math.max(0, Math.round((Date.now() - Date.parse(clock.dataset.since)) / 1000));
      const two = (n) => String(n).padStart(2, "0");
      const [hours, minutes] = [Math.floor(total / 3600), Math.floor(total / 60) % 60];
      let now = hours ? `${hours}:${two(minutes)}:${two(total % 60)}` : `${minutes}:${two(total % 60)}`;
      if (total < 60) now = this.seconds.replace("{n}", total);
      // The name of the cell ends in what is seen in it.
      const cell = clock.closest("a");
      cell.setAttribute("aria-label", cell.getAttribute("aria-label").replace(clock.textContent, now));
      clock.textContent = now;
    }
  }

  find(machine) {
    const field = document.getElementById("grid-find");
    field.value = machine;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  }

  // ---- one stop of the Tab key for a table; the arrow keys go on from there

  settle() {
    for (const table of this.rows.querySelectorAll("table")) {
      const cells = [...table.querySelectorAll("[data-show-step]")];
      const stop = cells.find((cell) => cell === document.activeElement) ?? cells[0];
      for (const cell of cells) cell.tabIndex = cell === stop ? 0 : -1;
    }
  }

  rove(cell) {
    for (const other of cell.closest("table").querySelectorAll('[data-show-step][tabindex="0"]')) other.tabIndex = -1;
    cell.tabIndex = 0;
  }

  key(event) {
    const cell = event.target.closest?.("[data-show-step]");
    if (!cell || event.altKey || event.metaKey) return;
    if (event.key === " ") {
      event.preventDefault();
      cell.click();
      return;
    }
    const place = cell.closest("td");
    const row = place.parentElement;
    const all = [...row.parentElement.rows];
    const at = all.indexOf(row);
    const column = place.cellIndex;
    const inRow = (line, from, by) => {
      for (let n = from; line && n > 0 && n < line.cells.length; n += by) {
        const found = line.cells[n].querySelector("[data-show-step]");
        if (found) return found;
      }
      return null;
    };
    const inColumn = (from, by) => {
      for (let n = from; n >= 0 && n < all.length; n += by) {
        const found = all[n].cells[column]?.querySelector("[data-show-step]");
        if (found) return found;
      }
      return null;
    };
    const next = {
      ArrowRight: () => inRow(row, column + 1, 1),
      ArrowLeft: () => inRow(row, column - 1, -1),
      ArrowDown: () => inColumn(at + 1, 1),
      ArrowUp: () => inColumn(at - 1, -1),
      PageDown: () => inColumn(Math.min(at + 10, all.length - 1), -1),
      PageUp: () => inColumn(Math.max(at - 10, 0), 1),
      Home: () => (event.ctrlKey ? inColumn(0, 1) : inRow(row, 1, 1)),
      End: () => (event.ctrlKey ? inColumn(all.length - 1, -1) : inRow(row, row.cells.length - 1, -1)),
    }[event.key]?.();
    if (!next) return;
    event.preventDefault();
    next.focus();
  }
}

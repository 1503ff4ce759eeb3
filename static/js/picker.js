// The list of machines in a form: finding among hundreds, ticking ranges, one stop of the Tab key.

const SPACE = /\s+/;

export class Picker {
  constructor(box) {
    this.box = box;
    this.list = box.querySelector(".targets-list");
    if (!this.list) return;
    this.rows = [...this.list.querySelectorAll("li")].map((row) => ({
      row, input: row.querySelector("input"), words: row.textContent.toLowerCase(),
    })); // prettier-ignore
    this.words = document.getElementById("target-words").dataset;
    this.last = null; // The row that was ticked last: where a range begins.
    this.onlyChosen = false;
    this.many = this.rows.some(({ input }) => input.type === "checkbox");
    const find = box.querySelector("[data-filter]");
    find.addEventListener("input", () => this.show(find.value));
    find.addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault(); // It would send the form.
      if (event.key === "ArrowDown") this.go(event, this.shown()[0]);
    });
    this.find = find;
    box.querySelector("[data-all-shown]")?.addEventListener("click", () => this.tick(this.shown(), true));
    box.querySelector("[data-none]")?.addEventListener("click", () => this.tick(this.rows, false));
    const only = box.querySelector("[data-only-chosen]");
    only?.addEventListener("click", () => {
      this.onlyChosen = !this.onlyChosen;
      only.setAttribute("aria-pressed", this.onlyChosen);
      this.show(find.value);
    });
    box.addEventListener("change", () => this.count());
    if (this.many) {
      this.list.addEventListener("click", (event) => this.click(event));
      this.list.addEventListener("keydown", (event) => this.key(event));
      this.list.addEventListener("focusin", (event) => this.rove(event.target));
      this.rove((this.rows.find(({ input }) => input.checked) ?? this.rows.find(({ input }) => !input.disabled))?.input);
    }
    this.count();
  }

  shown() {
    return this.rows.filter(({ row, input }) => !row.hidden && !input.disabled);
  }

  show(text) {
    const terms = text.toLowerCase().split(SPACE).filter(Boolean);
    let any = false;
    for (const { row, input, words } of this.rows) {
      row.hidden = (this.onlyChosen && !input.checked) || !terms.every((term) => words.includes(term));
      any ||= !row.hidden;
    }
    this.box.querySelector("[data-nothing]").hidden = any;
    const first = this.shown()[0];
    if (this.many && first && !this.shown().some(({ input }) => input.tabIndex === 0)) this.rove(first.input);
  }

  tick(rows, on) {
    for (const { input } of rows) if (!input.disabled) input.checked = on;
    this.count();
  }

  count() {
    const on = this.rows.filter(({ input }) => input.checked && input.value).length;
    const text = on === 0 ? "" : (on === 1 ? this.words.one : this.words.many).replace("{n}", on);
    const aim = this.box.querySelector("[name=aim]:checked")?.value ?? "machines";
    this.box.querySelector("[data-chosen]").textContent = aim === "machines" ? text : "";
  }

  /** Shift and a click: everything between the last one and this one becomes as this one is now. */
  click(event) {
    const input = event.target.closest("input");
    if (!input) return;
    const shown = this.shown();
    const here = shown.findIndex((one) => one.input === input);
    if (event.shiftKey && this.last !== null) {
      const from = shown.findIndex((one) => one.input === this.last);
      if (from >= 0) this.tick(shown.slice(Math.min(from, here), Math.max(from, here) + 1), input.checked);
    }
    this.last = input;
  }

  key(event) {
    const shown = this.shown();
    const here = shown.findIndex(({ input }) => input === event.target);
    if (here < 0) return;
    if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.tick(shown, !shown.every(({ input }) => input.checked));
      return;
    }
    const to = {
      ArrowDown: here + 1, ArrowUp: here - 1, PageDown: Math.min(here + 10, shown.length - 1),
      PageUp: Math.max(here - 10, 0), Home: 0, End: shown.length - 1,
    }[event.key]; // prettier-ignore
    if (to === undefined) return;
    if (to < 0) return this.go(event, { input: this.find });
    const range = shown.slice(Math.min(here, to), Math.max(here, to) + 1);
    if (event.shiftKey) this.tick(range, true);
    this.go(event, shown[to]);
  }

  go(event, place) {
    if (!place) return;
    event.preventDefault();
    place.input.focus();
    place.row?.scrollIntoView({ block: "nearest" });
  }

  rove(input) {
    if (!input || input.type !== "checkbox") return;
    for (const one of this.rows) one.input.tabIndex = one.input === input ? 0 : -1;
    if (document.activeElement === input) this.last ??= input;
  }
}

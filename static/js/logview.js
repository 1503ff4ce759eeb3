// The log on the page. A block of 200 lines is one piece of text until it comes near the window, and rows with number,
// time and colours while it is there: 100,000 lines cost 500 text nodes, and the browser's own search finds them all.

import { pieces } from "./ansi.js";
import { textOf } from "./loglines.js";

const BLOCK = 200;
const ROWS_KEPT = 30; // Blocks that stay rows after they were scrolled away.

export class LogView {
  /** `box` scrolls. `many`: lines of several machines. `onChange()` after the count, the hits or Follow changed. */
  constructor(box, { many, words, onChange }) {
    Object.assign(this, { box, many, words, onChange });
    this.shown = []; // the lines that the filter lets through; line.place is the index in here
    this.blocks = [];
    this.rich = new Set();
    this.machine = ""; // "" for all
    this.following = true;
    this.unseen = 0;
    this.term = "";
    this.hits = [];
    this.hit = -1;
    this.lastTop = 0;
    this.watcher = new IntersectionObserver((seen) => this.watch(seen), { root: box, rootMargin: "800px 0px" });
    box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    box.classList.toggle("many", many);
  }

  /** Lines that are new or have changed, in any order. */
  update(touched) {
    const dirty = new Set();
    for (const line of [...touched].sort((a, b) => a.number - b.number)) {
      if (!this.lets(line)) continue;
      if (line.place === undefined) {
        this.place(line);
        if (!this.following) this.unseen += 1;
      } else if (this.block(line).rows) this.redraw(line);
      if (!this.block(line).rows) dirty.add(this.block(line));
      this.noteHit(line);
    }
    for (const block of dirty) asText(block, this.linesOf(block));
    this.settle();
  }

  /** Show one machine's lines (`null`: the console's), or with "" those of all. */
  filter(machine, lines) {
    this.machine = machine;
    this.box.classList.toggle("many", this.many && machine === "");
    for (const block of this.blocks) this.watcher.unobserve(block.element);
    this.box.replaceChildren();
    this.blocks = [];
    this.rich.clear();
    this.shown = [];
    for (const line of lines) {
      delete line.place;
      if (this.lets(line)) this.place(line);
    }
    for (const block of this.blocks) asText(block, this.linesOf(block));
    this.unseen = 0;
    this.search(this.term, false);
    this.settle();
  }

  lets(line) {
    return this.machine === "" || line.machine === this.machine;
  }

  place(line) {
    line.place = this.shown.push(line) - 1;
    if (line.place % BLOCK === 0) {
      const element = document.createElement("div");
      element.className = "blk text";
      this.blocks.push({ element, number: this.blocks.length, rows: null });
      if (this.blocks.length > 1) this.blocks.at(-2).element.classList.add("full");
      this.box.append(element);
      this.watcher.observe(element);
    }
    const block = this.block(line);
    if (block.rows) {
      const row = this.row(line);
      block.rows.push(row);
      block.element.append(row);
    }
  }

  block(line) {
    return this.blocks[Math.floor(line.place / BLOCK)];
  }

  linesOf(block) {
    return this.shown.slice(block.number * BLOCK, (block.number + 1) * BLOCK);
  }

  watch(seen) {
    for (const { target, isIntersecting } of seen) {
      const block = this.blocks.find((one) => one.element === target);
      if (!block) continue;
      block.near = isIntersecting;
      if (isIntersecting) this.asRows(block);
    }
    for (const block of this.rich) {
      if (this.rich.size <= ROWS_KEPT) break;
      if (!block.near) {
        this.rich.delete(block);
        asText(block, this.linesOf(block));
      }
    }
    if (this.following) this.toEnd();
  }

  asRows(block) {
    if (block.rows) return;
    block.rows = this.linesOf(block).map((line) => this.row(line));
    block.element.classList.remove("text");
    block.element.replaceChildren(...block.rows);
    this.rich.add(block);
  }

  row(line) {
    const row = document.createElement("div");
    row.className = "ln";
    row.id = `L${line.number}`;
    const number = document.createElement("a");
    number.className = "no";
    number.href = `#L${line.number}`;
    number.textContent = line.number.toLocaleString("en");
    number.setAttribute("aria-label", this.words.line.replace("{number}", number.textContent));
    number.tabIndex = -1;
    row.append(number, part("at", clock(line.at)));
    if (this.many) row.append(part("who", line.machine ?? this.words.console));
    const text = part("t", "");
    row.append(text);
    this.fill(text, line);
    return row;
  }

  redraw(line) {
    this.fill(this.block(line).rows[line.place % BLOCK].lastChild, line);
  }

  fill(text, line) {
    text.replaceChildren();
    for (const { text: words, css } of pieces(line.raw, line.style)) {
      const into = css ? text.appendChild(part(css, "")) : text;
      into.append(...marked(words, this.term, this.hits[this.hit] === line));
    }
  }

  // ---- searching

  /** Find `term` in what is shown; with `go` move to the first hit after the top of the window. */
  search(term, go = true) {
    this.term = term.toLowerCase();
    this.hits = this.term ? this.shown.filter((line) => textOf(line).toLowerCase().includes(this.term)) : [];
    this.hit = -1;
    if (go && this.hits.length) {
      const top = this.topLine();
      const next = this.hits.findIndex((line) => line.place >= top);
      this.toHit(next < 0 ? 0 : next);
    } else this.redrawAll();
    this.onChange();
  }

  /** The next hit, or with -1 the one before; round at the ends. */
  step(by) {
    if (this.hits.length) this.toHit((this.hit + by + this.hits.length) % this.hits.length);
    this.onChange();
  }

  toHit(index) {
    this.hit = index;
    this.goTo(this.hits[index]);
    this.redrawAll();
  }

  noteHit(line) {
    if (!this.term || !textOf(line).toLowerCase().includes(this.term)) return;
    // Only the newest lines change: a line that is a hit already is among the last ones.
    if (!this.hits.slice(-BLOCK).includes(line)) this.hits.push(line);
  }

  redrawAll() {
    for (const block of this.rich) for (const line of this.linesOf(block)) this.redraw(line);
  }

  topLine() {
    const top = this.box.getBoundingClientRect().top;
    for (const block of this.blocks) {
      if (block.element.getBoundingClientRect().bottom <= top) continue;
      if (!block.rows) return block.number * BLOCK;
      const row = block.rows.findIndex((one) => one.getBoundingClientRect().bottom > top);
      return block.number * BLOCK + Math.max(0, row);
    }
    return 0;
  }

  /** Bring a line into the middle of the box; Follow goes off. */
  goTo(line) {
    if (line.place === undefined) return;
    this.following = false;
    this.asRows(this.block(line));
    for (const old of this.box.querySelectorAll(".ln.now")) old.classList.remove("now");
    const row = this.block(line).rows[line.place % BLOCK];
    row.classList.add("now");
    const centre = () => {
      const shift = row.getBoundingClientRect().top - this.box.getBoundingClientRect().top - this.box.clientHeight / 3;
      this.box.scrollTop += shift;
      this.lastTop = this.box.scrollTop;
    };
    // Twice: blocks that come near get their real height only when they are drawn.
    centre();
    requestAnimationFrame(centre);
    this.onChange();
  }

  // ---- following

  follow(on) {
    this.following = on;
    if (on) this.unseen = 0;
    this.settle();
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.box;
    const atEnd = scrollHeight - scrollTop - clientHeight < 8;
    if (this.following && !atEnd && scrollTop < this.lastTop - 2) {
      this.following = false;
      this.onChange();
    } else if (!this.following && atEnd && scrollTop > this.lastTop) {
      this.follow(true);
    }
    this.lastTop = scrollTop;
  }

  settle() {
    if (this.following) {
      this.unseen = 0;
      this.toEnd();
      requestAnimationFrame(() => this.following && this.toEnd());
    }
    this.onChange();
  }

  toEnd() {
    this.box.scrollTop = this.box.scrollHeight;
    this.lastTop = this.box.scrollTop;
  }
}

function asText(block, lines) {
  block.rows = null;
  block.element.classList.add("text");
  block.element.textContent = lines.map(textOf).join("\n");
}

function part(css, text) {
  const made = document.createElement("span");
  made.className = css;
  made.textContent = text;
  return made;
}

function marked(text, term, now) {
  if (!term) return [text];
  const found = [];
  const lower = text.toLowerCase();
  let from = 0;
  for (let at = lower.indexOf(term); at >= 0; at = lower.indexOf(term, from)) {
    if (at > from) found.push(text.slice(from, at));
    const mark = document.createElement("mark");
    mark.textContent = text.slice(at, at + term.length);
    if (now) mark.className = "now";
    found.push(mark);
    from = at + term.length;
  }
  found.push(text.slice(from));
  return found;
}

function clock(iso) {
  const at = new Date(iso);
  const two = (n) => String(n).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${Math.floor(at.getMilliseconds() / 100)}`;
}

// The log on the page. A block of 200 lines is one piece of text until it comes near the window, and rows with number,
// time and colours while it is there: 100,000 lines cost 500 text nodes, and the browser's own search finds them all.

import { pieces, styleAfter } from "./ansi.js";
import { textOf } from "./loglines.js";

const BLOCK = 200;
const FRAMES = 15; // As long a line that was gone to is held in its place.
const ROWS_KEPT = 30; // Blocks that stay rows after they were scrolled away.

export class LogView {
  /**
   * `box` scrolls. `many`: lines of several machines. `file(machine)`: where a machine's log is downloaded from.
   * `onChange()` after the count, the hits or Follow changed.
   */
  constructor(box, { many, words, file, onChange }) {
    Object.assign(this, { box, many, words, file, onChange });
    this.shown = []; // the lines that the filter lets through; line.place is the index in here
    this.blocks = [];
    this.dropped = 0; // blocks at the beginning that are not kept
    this.byElement = new WeakMap();
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
    for (const line of [...touched].sort((a, b) => a.order - b.order)) {
      if (!this.lets(line)) continue;
      if (line.place === undefined) {
        this.place(line);
        if (!this.following) this.unseen += 1;
      } else if (this.shown[line.place] !== line) {
        continue; // It was dropped, and goes on all the same.
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
    this.watcher.disconnect();
    this.box.replaceChildren();
    this.blocks = [];
    this.dropped = 0;
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

  /** Forget lines before this order, a block at a time. */
  drop(order) {
    for (; this.dropped < this.blocks.length - 1; this.dropped += 1) {
      const block = this.blocks[this.dropped];
      const end = (block.number + 1) * BLOCK;
      if (this.shown[end - 1].order >= order) break;
      this.watcher.unobserve(block.element);
      block.element.remove();
      this.rich.delete(block);
      this.blocks[this.dropped] = null;
      this.shown.fill(undefined, block.number * BLOCK, end);
    }
    const now = this.hits[this.hit];
    this.hits = this.hits.filter((line) => line.place >= this.dropped * BLOCK);
    this.hit = this.hits.indexOf(now);
  }

  lets(line) {
    return this.machine === "" || line.machine === this.machine;
  }

  place(line) {
    line.place = this.shown.push(line) - 1;
    if (line.place % BLOCK === 0) {
      const element = document.createElement("div");
      element.className = "blk text";
      const block = { element, number: this.blocks.length, rows: null };
      this.blocks.push(block);
      this.byElement.set(element, block);
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
      const block = this.byElement.get(target);
      if (!block || this.blocks[block.number] !== block) continue;
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
    // In a part of a log nobody knows how many lines there are before: its bytes are counted.
    row.id = line.number ? `L${line.number}` : `B${line.position}`;
    const number = document.createElement("a");
    number.className = "no";
    number.href = `#${row.id}`;
    number.textContent = line.number ? line.number.toLocaleString("en") : "·";
    const said = line.number ? this.words.line : this.words.byte;
    number.setAttribute("aria-label", said.replace("{number}", (line.number || line.position).toLocaleString("en")));
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
    this.fillWith(text, line, line.raw, line.style);
    if (!line.cut) return;
    const note = text.appendChild(document.createElement("a"));
    note.className = "left-out";
    note.href = this.file(line.machine);
    note.download = "";
    note.textContent = this.words.cut.replace("{count}", line.cut.toLocaleString("en"));
    this.fillWith(text, line, line.tail, styleAfter(line.raw, line.style));
  }

  fillWith(text, line, raw, style) {
    for (const { text: words, css } of pieces(raw, style)) {
      const into = css ? text.appendChild(part(css, "")) : text;
      into.append(...marked(words, this.term, this.hits[this.hit] === line));
    }
  }

  // ---- searching

  /** Find `term` in what is shown; with `go` move to the first hit after the top of the window. */
  search(term, go = true) {
    this.term = term.toLowerCase();
    this.hits = this.term ? this.shown.filter((line) => line && textOf(line).toLowerCase().includes(this.term)) : [];
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

  /** Of the hits this line is the one that was gone to. */
  mark(line) {
    this.hit = this.hits.indexOf(line);
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
      if (!block) continue;
      if (block.element.getBoundingClientRect().bottom <= top) continue;
      if (!block.rows) return block.number * BLOCK;
      const row = block.rows.findIndex((one) => one.getBoundingClientRect().bottom > top);
      return block.number * BLOCK + Math.max(0, row);
    }
    return 0;
  }

  /** The line at the top of the window. */
  top() {
    return this.shown[this.topLine()];
  }

  /** Bring a line into the middle of the box; Follow goes off. */
  goTo(line) {
    if (line?.place === undefined || this.shown[line.place] !== line) return;
    this.following = false;
    this.asRows(this.block(line));
    for (const old of this.box.querySelectorAll(".ln.now")) old.classList.remove("now");
    const row = this.block(line).rows[line.place % BLOCK];
    row.classList.add("now");
    // Again and again: blocks that come near get their real height only when they are drawn.
    let left = FRAMES;
    const centre = () => {
      if (this.following || !row.isConnected) return;
      const before = this.box.scrollTop;
      this.box.scrollTop += row.getBoundingClientRect().top - this.box.getBoundingClientRect().top - this.box.clientHeight / 3;
      this.lastTop = this.box.scrollTop;
      left = Math.abs(this.lastTop - before) > 1 ? left - 1 : Math.min(left - 1, 2);
      if (left > 0) requestAnimationFrame(centre);
    };
    centre();
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

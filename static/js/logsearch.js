// Searching all of a log on the server, where the page holds only a part of it. One answer looks through so many bytes;
// hits come in the order in which their lines ended, and are put in that of their beginnings.

const MOST = 2000; // Hits that a person may want to go through.
const PAGE = 200;

export class LogSearch {
  /** `url` is the REST address; `onChange()` after hits came or the search came to its end. */
  constructor(url, onChange) {
    Object.assign(this, { url, onChange });
    this.clear();
  }

  clear() {
    this.asked?.abort();
    this.asked = null;
    this.term = "";
    this.hits = []; // {position, machine, text, ...} by position
    this.index = -1;
    this.searched = 0;
    this.length = 0;
    this.whole = true;
    this.failed = false;
  }

  get hit() {
    return this.hits[this.index];
  }

  /** Begin anew; resolves when there is a hit at or after the byte `here`, or else when all was searched. */
  async begin(term, machine, here) {
    this.clear();
    this.term = term;
    this.whole = false;
    const asked = (this.asked = new AbortController());
    const first = deferred();
    this.reading = this.read(term, machine, here, asked, first.resolve);
    await first.promise;
    return asked === this.asked;
  }

  async read(term, machine, here, asked, found) {
    const known = new Map();
    try {
      while (!this.whole && known.size < MOST) {
        const query = new URLSearchParams({ q: term, machine, after: this.searched, most: PAGE });
        const answer = await fetch(`${this.url}?${query}`, { headers: { Accept: "application/json" }, signal: asked.signal });
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        const body = await answer.json();
        const now = this.hit;
        for (const hit of body.hits) known.set(hit.position, hit);
        this.hits = [...known.values()].sort((a, b) => a.position - b.position);
        this.index = now ? this.hits.findIndex((hit) => hit.position === now.position) : -1;
        Object.assign(this, { searched: body.next, length: body.length, whole: body.whole });
        if (this.hits.some((hit) => hit.position >= here)) found();
        this.onChange();
      }
    } catch (wrong) {
      if (asked.signal.aborted) return found();
      this.failed = true;
    }
    found();
    this.onChange();
  }

  /** The first hit at or after the byte `here`, or the first of all. */
  from(here) {
    this.index = Math.max(0, this.hits.findIndex((hit) => hit.position >= here));
    return this.hit;
  }

  /** The next hit, or with -1 the one before; round at the ends. */
  step(by) {
    if (this.hits.length) this.index = (this.index + by + this.hits.length) % this.hits.length;
    return this.hit;
  }
}

function deferred() {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}

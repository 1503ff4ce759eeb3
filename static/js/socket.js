/**
 * A live connection that a page can rely on. The interface:
 *
 *   const feed = follow({
 *     socketUrl: "/ws/jobs/7/log",                       // string, or (offset) => string; a string gets ?after=OFFSET
 *     pollUrl: "/api/v1/jobs/7/log/",                     // the same for REST; left out: no fallback
 *     after: 0,                                          // position to begin at; left out: the stream has no positions
 *     onFrames: (frames) => {},                          // an array, in order, once an animation frame at most
 *     onState: (state, detail) => {},                    // see below
 *     readPoll: (body, offset) => ({ frames, next, ended }),  // only when the REST answer is not that of a job's log
 *   });
 *   feed.offset; feed.retry(); feed.stop();
 *
 * States: "connecting"; "live"; "lost" ({seconds} until the next attempt, told each second); "polling" (WebSockets are
 * blocked: the REST log is asked every 2 s); "ended" (the log is whole); "refused" ({code}: 4401 not logged in, 4404 no
 * such thing, 4400 a bad position). After "ended" and "refused" nothing more comes.
 *
 * A message of the server is a JSON array of frames ({type, ...}). Frames of type "log" carry {offset, size}: what was
 * already handed on is dropped, and a gap makes the connection start again at the gap, so that onFrames sees each byte
 * once and in order. "idle" frames only show that the server is there.
 */

const QUIET_MS = 40_000; // The server says something every 15 s: after this the link is dead, whatever TCP thinks.
const POLL_MS = 2_000;
const SOCKET_AGAIN_MS = 30_000;
const BLOCKED_AFTER = 3; // Attempts in a row that never opened.
const LONGEST_PAUSE_S = 30;

export function follow(options) {
  const feed = new Feed(options);
  feed.connect();
  return feed;
}

class Feed {
  constructor({ socketUrl, pollUrl, after, onFrames, onState, readPoll }) {
    Object.assign(this, { socketUrl, pollUrl, onFrames });
    this.onState = onState ?? (() => {});
    this.readPoll = readPoll ?? readLog;
    this.offset = after;
    this.socket = null;
    this.pending = [];
    this.drawing = false;
    this.failures = 0; // attempts that never opened
    this.pause = 0.5;
    this.timers = new Set();
    this.done = false;
    this.wake = () => this.done || this.socket || this.retry();
    this.hide = () => document.hidden && this.drawing && setTimeout(() => this.draw(), 250);
    window.addEventListener("online", this.wake);
    // A hidden page gets no animation frames; what waits for one would pile up.
    document.addEventListener("visibilitychange", this.hide);
  }

  connect() {
    this.clearTimers();
    if (this.done) return;
    if (!this.polling) this.onState("connecting");
    const url = new URL(address(this.socketUrl, this.offset), window.location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = (this.socket = new WebSocket(url));
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.failures = 0;
      this.polling = false;
      this.clearTimers();
      this.expectWord();
      this.onState("live");
    };
    socket.onmessage = (event) => {
      if (socket !== this.socket) return;
      this.pause = 0.5;
      this.expectWord();
      this.take(JSON.parse(event.data));
    };
    socket.onclose = ({ code }) => {
      if (socket !== this.socket) return;
      this.socket = null;
      clearTimeout(this.silence);
      if (this.done || this.ending) return;
      if (code >= 4400 && code < 4500) return this.finish("refused", { code });
      if (!opened) this.failures += 1;
      if (this.pollUrl && this.failures >= BLOCKED_AFTER) return this.startPolling();
      this.countDown();
    };
  }

  /** Frames from either way: drop repeats, stop at a gap, hand the rest on. */
  take(frames) {
    for (const frame of frames) {
      if (frame.type === "idle") continue;
      if (frame.type === "log" && this.offset !== undefined) {
        if (frame.offset + frame.size <= this.offset) continue;
        if (frame.offset !== this.offset) return this.restart();
        this.offset = frame.offset + frame.size;
      }
      this.pending.push(frame);
      if (frame.type === "end") this.ending = true;
    }
    if (this.pending.length && !this.drawing) {
      this.drawing = true;
      if (document.hidden) setTimeout(() => this.draw(), 250);
      else requestAnimationFrame(() => this.draw());
    }
  }

  draw() {
    if (!this.drawing) return;
    this.drawing = false;
    const frames = this.pending;
    this.pending = [];
    if (frames.length) this.onFrames(frames);
    if (this.ending) this.finish("ended");
  }

  /** Try again in `pause` seconds (with jitter: a restarted server must not meet all its pages at once). */
  countDown() {
    const until = Date.now() + this.pause * (500 + Math.random() * 1000);
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_S);
    const tick = () => {
      const left = until - Date.now();
      if (left <= 0) return this.connect();
      this.onState("lost", { seconds: Math.ceil(left / 1000) });
      this.later(tick, Math.min(left, 1000));
    };
    tick();
  }

  startPolling() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const over = () => this.done || !this.polling || turn !== this.turn;
    let told = this.polling;
    this.polling = true;
    this.later(() => this.connect(), SOCKET_AGAIN_MS);
    const ask = async () => {
      try {
        const answer = await fetch(address(this.pollUrl, this.offset), { headers: { Accept: "application/json" } });
        if (answer.status === 401 || answer.status === 403) return this.finish("refused", { code: 4401 });
        if (answer.status === 404) return this.finish("refused", { code: 4404 });
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        const { frames, ended, next } = this.readPoll(await answer.json(), this.offset);
        if (over()) return;
        if (!told) this.onState("polling");
        told = true;
        this.take(ended ? [...frames, { type: "end", offset: next }] : frames);
        // The log comes in pages: while there is more, don't wait.
        this.later(ask, frames.length && !ended && this.offset !== undefined ? 50 : POLL_MS);
      } catch {
        // Neither way works: the console itself is away.
        if (over()) return;
        this.polling = false;
        this.failures = 0;
        this.clearTimers();
        this.countDown();
      }
    };
    ask();
  }

  /** Connect now instead of after the countdown. */
  retry() {
    if (this.done) return;
    this.pause = 0.5;
    this.drop();
    this.connect();
  }

  restart() {
    this.drop();
    this.countDown();
  }

  drop() {
    const old = this.socket;
    this.socket = null;
    old?.close();
    clearTimeout(this.silence);
    this.clearTimers();
  }

  stop() {
    this.done = true;
    this.drop();
    window.removeEventListener("online", this.wake);
    document.removeEventListener("visibilitychange", this.hide);
  }

  finish(state, detail) {
    this.stop();
    this.onState(state, detail);
  }

  expectWord() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.restart(), QUIET_MS);
  }

  later(call, ms) {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      call();
    }, ms);
    this.timers.add(timer);
  }

  clearTimers() {
    this.timers.forEach(clearTimeout);
    this.timers.clear();
  }
}

function address(given, offset) {
  if (typeof given === "function") return given(offset);
  return offset === undefined ? given : `${given}?after=${offset}`;
}

/** The answer of `GET /api/v1/jobs/ID/log/`. */
function readLog(body) {
  return { frames: body.frames.map((frame) => ({ type: "log", ...frame })), next: body.next, ended: body.ended };
}

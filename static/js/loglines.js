// Frames of a job's log -> lines. Several machines print at the same time, and a frame may end anywhere: in the middle of
// a line, of an escape sequence, of a character. So each step has its own decoder and its own unfinished line.

import { PLAIN, plain, styleAfter } from "./ansi.js";

// Of a longer line its beginning and its end are kept: no browser shows 50 MB without a line break.
const LONGEST = 32768;
const ENDS = 8192;
const encoder = new TextEncoder();

export class LogLines {
  /** `after`: the byte of the log that the first frame begins at. From 0 on lines are numbered. */
  constructor(after = 0) {
    this.lines = []; // {order, number, position, machine, step, at, raw, tail, cut, style}, as their first bytes were stored
    this.sources = new Map(); // step id -> {decoder, open, style}
    this.numbered = after === 0;
    this.count = 0; // lines that began, kept or not
    this.first = after; // the byte that what is kept begins at
    this.bytes = after; // the byte that it goes up to
  }

  /** Takes one frame; returns the lines that are new or have changed. */
  feed(frame) {
    let source = this.sources.get(frame.step_id);
    if (!source) this.sources.set(frame.step_id, (source = { decoder: new TextDecoder(), open: null, style: PLAIN }));
    this.bytes = frame.offset + frame.size;
    const touched = new Set();
    const raw = bytesOf(frame);
    const parts = decoded(source.decoder, frame, raw).split("\n");
    let begin = 0;
    parts.forEach((part, index) => {
      const last = index === parts.length - 1;
      if (!source.open && !(last && part === "")) source.open = this.add(frame, frame.offset + begin, source.style);
      if (source.open) {
        append(source.open, part);
        touched.add(source.open);
        if (!last) {
          source.style = ended(source.open);
          source.open = null;
        }
      }
      begin = raw ? raw.indexOf(10, begin) + 1 : begin + part.length + 1;
    });
    return touched;
  }

  add(frame, position, style) {
    const line = {
      order: this.count, number: this.numbered ? this.count + 1 : 0, position, machine: frame.machine,
      step: frame.step_id, at: frame.at, raw: "", tail: "", cut: 0, style,
    };
    this.count += 1;
    this.lines.push(line);
    return line;
  }

  /** The line with this number, if it is kept. */
  numberedAs(number) {
    return this.numbered ? this.lines[number - 1 - (this.count - this.lines.length)] : undefined;
  }

  /** The line that begins at this byte, or the last one that begins before it. */
  at(position) {
    let low = 0;
    let high = this.lines.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.lines[middle].position <= position) low = middle + 1;
      else high = middle;
    }
    return this.lines[Math.max(0, low - 1)];
  }

  /** Keep the newest `count` lines; returns the order of the first that is kept. */
  keep(count) {
    if (this.lines.length > count) {
      this.lines = this.lines.slice(-count);
      this.first = this.lines[0].position;
    }
    return this.count - this.lines.length;
  }
}

/** The text of a line as a person reads it: no codes, the last state of what was overwritten. */
export function textOf(line) {
  return line.cut ? `${plain(line.raw)} … ${plain(line.tail)}` : plain(line.raw);
}

/** A carriage return starts the line over: only what follows the last one is kept, in the style that it was left in. */
function append(line, part) {
  if (line.cut) {
    const rest = line.tail + part;
    const at = rest.lastIndexOf("\r", rest.length - 2);
    if (at < 0) {
      line.cut += Math.max(0, rest.length - ENDS);
      line.tail = rest.slice(-ENDS);
      return;
    }
    Object.assign(line, { style: styleAfter(line.raw, line.style), raw: rest.slice(at + 1), tail: "", cut: 0 });
  } else {
    line.raw += part;
    const at = line.raw.lastIndexOf("\r", line.raw.length - 2);
    if (at >= 0) {
      line.style = styleAfter(line.raw.slice(0, at), line.style);
      line.raw = line.raw.slice(at + 1);
    }
  }
  if (line.raw.length > LONGEST) {
    line.cut = line.raw.length - 2 * ENDS;
    line.tail = line.raw.slice(-ENDS);
    line.raw = line.raw.slice(0, ENDS);
  }
}

/** Takes the carriage returns off the end of a line; returns the style that it leaves. */
function ended(line) {
  if (line.cut) line.tail = line.tail.replace(/\r+$/, "");
  else line.raw = line.raw.replace(/\r+$/, "");
  return styleAfter(line.raw + line.tail, line.style);
}

/** The bytes of a frame, where its characters do not count them. */
function bytesOf(frame) {
  if (frame.data !== undefined) return Uint8Array.from(atob(frame.data), (letter) => letter.charCodeAt(0));
  return frame.text.length === frame.size ? null : encoder.encode(frame.text);
}

/** A frame carries its bytes as well when they are no whole UTF-8; what they leave unfinished waits for the next frame. */
function decoded(decoder, frame, raw) {
  return frame.data === undefined ? decoder.decode() + frame.text : decoder.decode(raw, { stream: true });
}

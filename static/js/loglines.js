// Frames of a job's log -> lines. Several machines print at the same time, and a frame may end anywhere: in the middle of
// a line, of an escape sequence, of a character. So each step has its own decoder and its own unfinished line.

import { PLAIN, plain, styleAfter } from "./ansi.js";

export class LogLines {
  constructor() {
    this.lines = []; // {number, machine, step, at, raw, style}; numbered as their first bytes were stored
    this.sources = new Map(); // step id -> {decoder, open, style}
    this.bytes = 0;
  }

  /** Takes one frame; returns the lines that are new or have changed. */
  feed(frame) {
    let source = this.sources.get(frame.step_id);
    if (!source) this.sources.set(frame.step_id, (source = { decoder: new TextDecoder(), open: null, style: PLAIN }));
    this.bytes = frame.offset + frame.size;
    const touched = new Set();
    const parts = decoded(source.decoder, frame).split("\n");
    parts.forEach((part, index) => {
      const last = index === parts.length - 1;
      if (!source.open && !(last && part === "")) source.open = this.add(frame, source.style);
      if (!source.open) return;
      append(source.open, part);
      touched.add(source.open);
      if (!last) {
        source.open.raw = source.open.raw.replace(/\r+$/, "");
        source.style = styleAfter(source.open.raw, source.open.style);
        source.open = null;
      }
    });
    return touched;
  }

  add(frame, style) {
    const line = {
      number: this.lines.length + 1, machine: frame.machine, step: frame.step_id, at: frame.at, raw: "", style,
    };
    this.lines.push(line);
    return line;
  }
}

/** The text of a line as a person reads it: no codes, the last state of what was overwritten. */
export function textOf(line) {
  return plain(line.raw);
}

/** A carriage return starts the line over: only what follows the last one is kept, in the style that it was left in. */
function append(line, part) {
  line.raw += part;
  const at = line.raw.lastIndexOf("\r", line.raw.length - 2);
  if (at >= 0) {
    line.style = styleAfter(line.raw.slice(0, at), line.style);
    line.raw = line.raw.slice(at + 1);
  }
}

/** A frame carries its bytes as well when they are no whole UTF-8; what they leave unfinished waits for the next frame. */
function decoded(decoder, frame) {
  if (frame.data === undefined) return decoder.decode() + frame.text;
  const bytes = Uint8Array.from(atob(frame.data), (letter) => letter.charCodeAt(0));
  return decoder.decode(bytes, { stream: true });
}

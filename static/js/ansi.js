// Terminal colours -> classes of the style sheet. A style is an object that is never changed, so lines can share it.

export const PLAIN = Object.freeze({ colour: "", bold: false, dim: false, italic: false, underline: false });

// One escape sequence (of which only "...m" means anything here), or a control character that is no tab.
const CODES = /\x1b\[([0-9;:]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|[\x00-\x08\x0b-\x1f\x7f]/g;
const UNFINISHED = /\x1b(?:\[[0-9;:]*)?$/;
const COLOURS = ["", "ar", "ag", "ay", "ab", "am", "ac", ""];

/** The text without any codes. */
export function plain(raw) {
  return raw.includes("\x1b") || /[\x00-\x08\x0b-\x1f\x7f]/.test(raw) ? raw.replace(UNFINISHED, "").replace(CODES, "") : raw;
}

/** The style after `raw`, when it began with `style`. */
export function styleAfter(raw, style) {
  if (!raw.includes("\x1b")) return style;
  let now = style;
  for (const [, numbers, letter] of raw.matchAll(CODES)) if (letter === "m") now = changed(now, numbers);
  return now;
}

/** `raw` as pieces [{text, css}] of one style each. */
export function pieces(raw, style) {
  const found = [];
  const whole = raw.replace(UNFINISHED, "");
  let now = style;
  let from = 0;
  const take = (to) => {
    if (to > from) found.push({ text: whole.slice(from, to), css: css(now) });
  };
  for (const match of whole.matchAll(CODES)) {
    take(match.index);
    from = match.index + match[0].length;
    if (match[2] === "m") now = changed(now, match[1]);
  }
  take(whole.length);
  return found;
}

function css(style) {
  const names = [style.dim && !style.colour ? "ad" : style.colour];
  if (style.bold) names.push("bo");
  if (style.italic) names.push("it");
  if (style.underline) names.push("ul");
  return names.filter(Boolean).join(" ");
}

function changed(style, numbers) {
  const codes = numbers.split(/[;:]/).map(Number);
  let now = style;
  for (let i = 0; i < codes.length; i += 1) {
    const code = codes[i];
    if (code === 0) now = PLAIN;
    else if (code === 1) now = { ...now, bold: true };
    else if (code === 2) now = { ...now, dim: true };
    else if (code === 3) now = { ...now, italic: true };
    else if (code === 4) now = { ...now, underline: true };
    else if (code === 22) now = { ...now, bold: false, dim: false };
    else if (code === 23) now = { ...now, italic: false };
    else if (code === 24) now = { ...now, underline: false };
    else if (code >= 30 && code <= 37) now = { ...now, colour: COLOURS[code - 30] };
    else if (code === 39) now = { ...now, colour: "" };
    else if (code === 90) now = { ...now, colour: "ad" };
    else if (code >= 91 && code <= 97) now = { ...now, colour: COLOURS[code - 90] };
    else if (code === 38 || code === 48) {
      // 38;5;N or 38;2;R;G;B. Of the 256 the first sixteen have a class; backgrounds have none.
      if (codes[i + 1] === 5) {
        if (code === 38 && codes[i + 2] < 16) now = { ...now, colour: codes[i + 2] === 8 ? "ad" : COLOURS[codes[i + 2] % 8] };
        i += 2;
      } else if (codes[i + 1] === 2) i += 4;
    }
  }
  return now;
}

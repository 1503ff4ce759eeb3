"""Lines of a .jsonl as a model's inputs: texts by the model's own tokenizer, or the inputs' values themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from jobs.conversion.checks import Port
from jobs.quantization.calibration.arrays import feeds_of, refuse
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.samples import KINDS, Feed

MEND = 'Give a .jsonl with one {"text": ..., "intent": ...} a line, or an .npz with one array for each input.'


def read_lines(
    content: bytes, name: str, inputs: list[Port], profile: Path | None, most: int
) -> tuple[list[Feed], list[int] | None]:
    """At most `most` feeds, and the right answers where every line has one that the profile knows.

    Raises QuantizationRefused: `calibration-invalid`, `profile-needed`, `profile-invalid`.
    """
    rows: list[dict[str, Any]] = []
    named = {port.name for port in inputs}
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            text = row.get("text")
        except (ValueError, AttributeError) as error:
            raise refuse(f'Line {number} of {name} is no JSON object with a "text".', MEND) from error
        if not (isinstance(text, str) and text.strip()) and not named <= set(row):
            raise refuse(f'Line {number} of {name} is no JSON object with a "text".', MEND)
        rows.append(row)
    if not rows:
        raise refuse(f"{name} holds no text.", MEND)
    if named <= set(rows[0]):
        return _values(rows[:most], name, inputs), None
    return _texts(rows, name, inputs, profile, most)


def _values(rows: list[dict[str, Any]], name: str, inputs: list[Port]) -> list[Feed]:
    feeds: list[Feed] = []
    for number, row in enumerate(rows, start=1):
        where = f"row {number} of {name}"
        try:
            arrays = {port.name: np.asarray(row[port.name]) for port in inputs}
        except (KeyError, ValueError) as error:
            raise refuse(f"{where[:1].upper()}{where[1:]} has no even array for each input.", MEND) from error
        feeds += feeds_of(arrays, inputs, where, 1)
    return feeds


def _texts(
    rows: list[dict[str, Any]], name: str, inputs: list[Port], profile: Path | None, most: int
) -> tuple[list[Feed], list[int] | None]:
    if profile is None:
        raise QuantizationRefused(
            "profile-needed",
            f"{name} holds texts, and nothing says how they become the model's inputs.",
            "Give the model's profile as well (--profile profile.json).",
        )
    tokenizer, labels = _read_profile(profile)
    answers = [row.get("intent", row.get("label")) for row in rows]
    strange = sorted({str(answer) for answer in answers if answer is not None and labels and answer not in labels})
    if strange:
        raise refuse(f"{name} names labels that the model does not have: {', '.join(strange[:3])}.", MEND)
    texts = [str(row.get("text", "")) for row in rows[:most]]
    known = [labels.index(answer) for answer in answers[:most] if answer is not None and answer in labels]
    feeds = []
    for encoding in tokenizer.encode_batch(texts):
        parts = {"attention_mask": encoding.attention_mask, "token_type_ids": encoding.type_ids}
        feeds.append(
            {
                port.name: np.array([parts.get(port.name, encoding.ids)], KINDS.get(port.type, np.int64))
                for port in inputs
            }
        )
    return feeds, known if len(known) == len(texts) else None


def _read_profile(path: Path) -> tuple[Tokenizer, list[str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tokenizer = Tokenizer.from_str(json.dumps(content["tokenizer"]))
        tokenizer.enable_truncation(int(content["max_length"]))
        tokenizer.no_padding()
        return tokenizer, [str(label) for label in content["labels"]]
    # tokenizers raises bare Exception for whatever it cannot read.
    except Exception as error:
        raise QuantizationRefused(
            "profile-invalid",
            f"The profile {path.name} cannot be used: it needs tokenizer, max_length and labels.",
            "Give the profile that the conversion wrote beside the model.",
        ) from error

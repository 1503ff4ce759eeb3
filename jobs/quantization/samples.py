"""What a model is tried on: texts or arrays that somebody gave, or inputs that are made up when nobody did."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from tokenizers import Tokenizer

from jobs.conversion.checks import Port
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.files import read_start
from jobs.quantization.choice import nodes_of
from jobs.quantization.errors import QuantizationRefused

Feed = dict[str, NDArray[Any]]
MOST_ROWS = 1000
GENERATED_ROWS = 16
GENERATED_LENGTH = 32
GENERATED_SIDE = 224
SEED = 7
KINDS = {"float": np.float32, "float16": np.float16, "double": np.float64, "int64": np.int64, "int32": np.int32}


@dataclass(frozen=True)
class Samples:
    """Feeds of one row each. `labels` are the right answers, one a row, where the file gives them for every row."""

    origin: str
    feeds: list[Feed]
    labels: list[int] | None = None


def read_calibration(path: Path, inputs: list[Port], profile: Path | None) -> Samples:
    """A .jsonl of {"text", "intent"} or an .npz with one array for each input, rows first.

    Raises QuantizationRefused: `calibration-invalid`, `profile-needed`, `profile-invalid`.
    """
    try:
        start = read_start(path)
    except ConversionRefused as refused:
        raise _invalid(refused.message) from refused
    if start.startswith(b"PK\x03\x04"):
        return _arrays(path, inputs)
    if profile is None:
        raise QuantizationRefused(
            "profile-needed",
            f"{path.name} holds texts, and nothing says how they become the model's inputs.",
            "Give the model's profile as well (--profile profile.json).",
        )
    return _texts(path, inputs, profile)


def _arrays(path: Path, inputs: list[Port]) -> Samples:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _invalid(f"{path.name} cannot be read: {error}.") from error
    missing = [port.name for port in inputs if port.name not in arrays]
    if missing:
        raise _invalid(f"{path.name} has no array for the input {', '.join(missing)}.")
    rows = {len(arrays[port.name]) if arrays[port.name].ndim else 0 for port in inputs}
    if len(rows) != 1 or not min(rows):
        raise _invalid(f"The arrays in {path.name} have different numbers of rows: {sorted(rows)}.")
    count = min(min(rows), MOST_ROWS)
    wanted = {port.name: KINDS.get(port.type) for port in inputs}
    feeds = [
        {name: arrays[name][row : row + 1].astype(kind or arrays[name].dtype) for name, kind in wanted.items()}
        for row in range(count)
    ]
    return Samples(f"{path.name} ({count} rows)", feeds)


def _texts(path: Path, inputs: list[Port], profile: Path) -> Samples:
    tokenizer, labels = _read_profile(profile)
    texts: list[str] = []
    answers: list[str | None] = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            text = row["text"]
            if not isinstance(text, str) or not text.strip():
                raise ValueError
        except (ValueError, KeyError, TypeError) as error:
            raise _invalid(f'Line {number} of {path.name} is no JSON object with a "text".') from error
        texts.append(text)
        answers.append(row.get("intent", row.get("label")))
    if not texts:
        raise _invalid(f"{path.name} holds no text.")
    texts = texts[:MOST_ROWS]
    strange = sorted({str(answer) for answer in answers if answer is not None and labels and answer not in labels})
    if strange:
        raise _invalid(f"{path.name} names labels that the model does not have: {', '.join(strange[:3])}.")
    known = [labels.index(answer) for answer in answers[:MOST_ROWS] if answer is not None and answer in labels]
    feeds = []
    for encoding in tokenizer.encode_batch(texts):
        parts = {"attention_mask": encoding.attention_mask, "token_type_ids": encoding.type_ids}
        feeds.append(
            {
                port.name: np.array([parts.get(port.name, encoding.ids)], KINDS.get(port.type, np.int64))
                for port in inputs
            }
        )
    return Samples(f"{path.name} ({len(texts)} rows)", feeds, known if len(known) == len(texts) else None)


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


def _invalid(what: str) -> QuantizationRefused:
    return QuantizationRefused(
        "calibration-invalid",
        what,
        'Give a .jsonl with one {"text": ..., "intent": ...} a line, or an .npz with one array for each input.',
    )


def made_up(model: onnx.ModelProto, inputs: list[Port]) -> Samples:
    """Random inputs of plausible shape, the same each time: word numbers within their table, masks of ones."""
    generator = np.random.default_rng(SEED)
    tables = _tables(model)
    feeds: list[Feed] = []
    for _ in range(GENERATED_ROWS):
        feed: Feed = {}
        for port in inputs:
            shape = _sizes(port)
            kind = KINDS.get(port.type, np.bool_ if port.type == "bool" else np.float32)
            if np.issubdtype(kind, np.floating):
                feed[port.name] = generator.standard_normal(shape).astype(kind)
            elif port.name in tables:
                feed[port.name] = generator.integers(0, tables[port.name], shape).astype(kind)
            else:
                feed[port.name] = np.ones(shape, kind)
        feeds.append(feed)
    return Samples(f"{GENERATED_ROWS} generated inputs: random, not real data", feeds)


def _tables(model: onnx.ModelProto) -> dict[str, int]:
    """Inputs that are looked up in a table, and the table's number of rows."""
    rows = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if tensor.dims}
    return {node.input[1]: rows[node.input[0]] for node in _gathers(model) if node.input[0] in rows}


def _gathers(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    return (node for node, _ in nodes_of(model.graph) if node.op_type == "Gather")


def _sizes(port: Port) -> list[int]:
    """A shape with every open size filled in: one row, and lengths or sides that models of that rank take."""
    fill = GENERATED_SIDE if len(port.shape) == 4 else GENERATED_LENGTH
    sizes = [size if isinstance(size, int) and size > 0 else fill for size in port.shape]
    if port.shape and not (isinstance(port.shape[0], int) and port.shape[0] > 0):
        sizes[0] = 1
    if len(sizes) == 4 and sizes[1] == fill and not isinstance(port.shape[1], int):
        sizes[1] = 3
    return sizes

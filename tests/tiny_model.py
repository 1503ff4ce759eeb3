"""A classifier of some hundred bytes with a tokenizer of a dozen words: real formats, answers known beforehand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

LABELS = ["card", "money", "account"]
INPUTS = ["input_ids", "attention_mask"]
# One word in each column's favour.
WORDS = {"card": 0, "lost": 0, "money": 1, "transfer": 1, "account": 2, "open": 2}


def tokenizer() -> dict:
    vocabulary = {"[PAD]": 0, "[UNK]": 1, **{word: index for index, word in enumerate(WORDS, 2)}}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return json.loads(made.to_str())


def model(batch: int | str = "batch", length: int | str = "length", opset: int = 13) -> onnx.ModelProto:
    """logits = sum over tokens of mask * table[id]."""
    table = np.zeros((len(WORDS) + 2, len(LABELS)), dtype=np.float32)
    for row, label in enumerate(WORDS.values(), 2):
        table[row, label] = 3.0
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"], "gather"),
        helper.make_node("Cast", ["attention_mask"], ["mask"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"], "unsqueeze"),
        helper.make_node("Mul", ["rows", "column"], ["kept"], "mul"),
        helper.make_node("ReduceSum", ["kept", "middle"], ["logits"], "sum", keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, [batch, length]) for name in INPUTS],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, len(LABELS)])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([-1], dtype=np.int64), "last"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "middle"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def profile(**changes) -> dict:
    return {
        "schema": 1, "task": "classify", "name": "tiny", "labels": LABELS, "max_length": 16, "inputs": INPUTS,
        "tokenizer": tokenizer(), **changes,
    }  # fmt: skip


def release(folder: Path, **changes) -> Path:
    """A model folder as an image holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model(), str(folder / "model.onnx"))
    (folder / "profile.json").write_text(json.dumps(profile(**changes)))
    return folder

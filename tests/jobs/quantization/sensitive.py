"""Models that a scheme hurts, so that a budget has something to do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from tests.jobs.quantization.models import FLOAT, SIZE, model, port, save


def coarse(name: str, seed: int, width: int = SIZE) -> TensorProto:
    """A weight that 8 bits ruin: one row is so large that all others become 0 beside it."""
    values = np.random.default_rng(seed).standard_normal((SIZE, width)).astype(np.float32) * 0.2
    values[0] = 3e4
    return numpy_helper.from_array(values, name)


def skewed(name: str, seed: int) -> TensorProto:
    """A weight that 4 bits hurt and 8 bits do not: in every block one value is much larger than the others."""
    values = np.random.default_rng(seed).standard_normal((SIZE, SIZE)).astype(np.float32) * 0.2
    values[::32] *= 40
    return numpy_helper.from_array(values, name)


def chain(*weights: TensorProto) -> onnx.ModelProto:
    """Products one after the other; between them a Tanh, and a 0 for the row that makes a weight coarse."""
    mask = np.ones((1, SIZE), np.float32)
    mask[0, ::32] = 0
    nodes, name = [], "x"
    for number, one in enumerate(weights):
        masked, product, out = f"m{number}", f"p{number}", "y" if number == len(weights) - 1 else f"h{number}"
        nodes.append(helper.make_node("Mul", [name, "mask"], [masked]))
        nodes.append(helper.make_node("MatMul", [masked, one.name], [product]))
        nodes.append(helper.make_node("Tanh" if out != "y" else "Identity", [product], [out]))
        name = out
    return model(nodes, [*weights, numpy_helper.from_array(mask, "mask")])


def labelled(folder: Path) -> tuple[Path, Path, Path, int]:
    """A table of words whose class is their number, through a weight that 8 bits ruin.

    Writes the model, its profile and the questions, and says where they are and how many questions.
    """
    words = {f"w{number}": number for number in range(64)}
    table = np.zeros((64, SIZE), np.float32)
    table[:, 1:65] = np.eye(64)
    values = np.zeros((SIZE, 64), np.float32)
    values[1:65] = np.eye(64)
    values[0] = 3e4
    after = np.random.default_rng(1).standard_normal((64, 64)).astype(np.float32) * 0.01 + np.eye(64, dtype=np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "b"], ["classes"]),
        helper.make_node("MatMul", ["classes", "c"], ["words"]),
        helper.make_node("ReduceSum", ["words", "axis"], ["y"], keepdims=0),
    ]
    stored = [
        numpy_helper.from_array(values, "b"),
        numpy_helper.from_array(after.astype(np.float32), "c"),
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([1]), "axis"),
    ]
    ids = [port("ids", TensorProto.INT64, 1, "n")]
    source = save(model(nodes, stored, ids, out=port("y", FLOAT, 1, 64)), folder / "in.onnx")
    tokenizer = Tokenizer(WordLevel(words, "w0"))
    tokenizer.pre_tokenizer = Whitespace()
    profile = {"tokenizer": json.loads(tokenizer.to_str()), "max_length": 8, "labels": list(words)}
    (folder / "profile.json").write_text(json.dumps(profile), encoding="utf-8")
    # Two of them are labelled wrong: accuracy is not agreement.
    lines = [{"text": word, "intent": word if number > 1 else "w9"} for number, word in enumerate(words)]
    (folder / "asked.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return source, folder / "profile.json", folder / "asked.jsonl", len(lines)

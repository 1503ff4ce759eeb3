"""Small encoders with random weights under the names that transformers saves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from safetensors.numpy import save_file

BERT: dict[str, Any] = {
    "model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu", "vocab_size": 80, "hidden_size": 32,
    "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "max_position_embeddings": 40,
    "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
}  # fmt: skip
ROBERTA = BERT | {
    "model_type": "roberta", "architectures": ["RobertaModel"], "type_vocab_size": 1, "pad_token_id": 1,
}  # fmt: skip


def weights_of(config: dict[str, Any], heads: dict[str, tuple[int, ...]], prefix: str = "bert.") -> dict[str, Any]:
    """The encoder's weights under `prefix`, and those of `heads` beside them."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
    } | _norm("embeddings.LayerNorm", hidden)
    for index in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{index}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= _dense(f"{layer}.attention.{part}", hidden, hidden)
        shapes |= _dense(f"{layer}.intermediate.dense", inner, hidden) | _dense(f"{layer}.output.dense", hidden, inner)
        shapes |= _norm(f"{layer}.attention.output.LayerNorm", hidden) | _norm(f"{layer}.output.LayerNorm", hidden)
    random = np.random.default_rng(1)
    all_of_them = {f"{prefix}{name}": shape for name, shape in shapes.items()} | heads
    return {
        name: random.normal("LayerNorm.weight" in name, 0.2, shape).astype(np.float32)
        for name, shape in all_of_them.items()
    }


def _dense(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def save(folder: Path, config: dict[str, Any], weights: dict[str, Any]) -> Path:
    """A model folder."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "model.safetensors")
    return folder


def texts(filler: int = 0) -> dict[str, np.ndarray]:
    """Three made-up texts as inputs; the second is shorter, and filled up with `filler`."""
    ids = np.random.default_rng(3).integers(5, 80, (3, 20))
    mask = np.ones_like(ids)
    ids[1, 12:], mask[1, 12:] = filler, 0
    types = np.zeros_like(ids)
    types[:, 8:] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def answers(file: Path, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a converted model answers, by the outputs' names."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    known = {port.name: feed[port.name] for port in session.get_inputs()}
    return dict(zip([port.name for port in session.get_outputs()], session.run(None, known), strict=True))

"""Small decoders with random weights, saved as a model folder, and the ONNX that is made of one, stepped by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from safetensors.numpy import save_file

LLAMA: dict[str, Any] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "vocab_size": 128,
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}  # fmt: skip
QWEN2 = LLAMA | {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "tie_word_embeddings": True}

# As DeepSeek-V2 has it in small: queries of a rank of their own, experts in groups; DeepSeek-V2-Lite has neither.
DEEPSEEK = LLAMA | {
    "model_type": "deepseek_v2", "architectures": ["DeepseekV2ForCausalLM"], "num_hidden_layers": 3,
    "num_key_value_heads": 4, "q_lora_rank": 24, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
    "v_head_dim": 12, "first_k_dense_replace": 1, "n_routed_experts": 8, "num_experts_per_tok": 3,
    "moe_intermediate_size": 64, "n_shared_experts": 2, "topk_method": "group_limited_greedy", "n_group": 4,
    # The norms inside the attention keep to 1e-6 whatever the model's is.
    "rms_norm_eps": 1e-3,
    "topk_group": 2, "routed_scaling_factor": 1.5, "norm_topk_prob": False,
    "rope_scaling": {
        "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 32, "beta_slow": 1,
        "mscale": 0.8, "mscale_all_dim": 0.6,
    },
}  # fmt: skip
LITE = DEEPSEEK | {
    "q_lora_rank": None, "topk_method": "greedy", "n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.0,
}  # fmt: skip


def weights_of(config: dict[str, Any], seed: int = 1) -> dict[str, np.ndarray]:
    """Random weights under the names and in the shapes that transformers saves."""
    shapes = _latent_shapes(config) if config["model_type"] == "deepseek_v2" else _grouped_shapes(config)
    random = np.random.default_rng(seed)
    # Norms about 1, and matrices large enough that attention and gates are not flat.
    return {
        name: (random.normal(1 if "norm" in name else 0, 0.2, shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


def _grouped_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    size = config.get("head_dim") or hidden // config["num_attention_heads"]
    heads, keys = config["num_attention_heads"] * size, config["num_key_value_heads"] * size
    biased = config["model_type"] == "qwen2" or config.get("attention_bias", False)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config["vocab_size"], hidden)}
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}"
        for part, (rows, columns) in {"q": (heads, hidden), "k": (keys, hidden), "v": (keys, hidden)}.items():
            shapes[f"{layer}.self_attn.{part}_proj.weight"] = (rows, columns)
            if biased:
                shapes[f"{layer}.self_attn.{part}_proj.bias"] = (rows,)
        shapes[f"{layer}.self_attn.o_proj.weight"] = (hidden, heads)
        if config.get("attention_bias", False):
            shapes[f"{layer}.self_attn.o_proj.bias"] = (hidden,)
        shapes |= _gated_shapes(f"{layer}.mlp", hidden, inner, bias=config.get("mlp_bias", False))
        shapes |= {f"{layer}.{norm}_layernorm.weight": (hidden,) for norm in ("input", "post_attention")}
    shapes["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    return shapes


def _latent_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    hidden, heads, inner = config["hidden_size"], config["num_attention_heads"], config["moe_intermediate_size"]
    rank, turned, query = config["kv_lora_rank"], config["qk_rope_head_dim"], config["q_lora_rank"]
    plain, value, biased = config["qk_nope_head_dim"], config["v_head_dim"], config.get("mlp_bias", False)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config["vocab_size"], hidden)}
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}"
        one = f"{layer}.self_attn"
        if query:
            shapes |= {f"{one}.q_a_proj.weight": (query, hidden), f"{one}.q_a_layernorm.weight": (query,)}
        last = "q_b_proj" if query else "q_proj"
        shapes[f"{one}.{last}.weight"] = (heads * (plain + turned), query or hidden)
        shapes[f"{one}.kv_a_proj_with_mqa.weight"] = (rank + turned, hidden)
        shapes[f"{one}.kv_a_layernorm.weight"] = (rank,)
        shapes[f"{one}.kv_b_proj.weight"] = (heads * (plain + value), rank)
        shapes[f"{one}.o_proj.weight"] = (hidden, heads * value)
        if config.get("attention_bias", False):
            shapes |= {f"{one}.kv_a_proj_with_mqa.bias": (rank + turned,), f"{one}.o_proj.bias": (hidden,)}
            shapes |= {f"{one}.q_a_proj.bias": (query,)} if query else {}
        if index < config["first_k_dense_replace"]:
            shapes |= _gated_shapes(f"{layer}.mlp", hidden, config["intermediate_size"], bias=biased)
        else:
            shapes[f"{layer}.mlp.gate.weight"] = (config["n_routed_experts"], hidden)
            for expert in range(config["n_routed_experts"]):
                shapes |= _gated_shapes(f"{layer}.mlp.experts.{expert}", hidden, inner, bias=False)
            shared = config["n_shared_experts"] * inner
            shapes |= _gated_shapes(f"{layer}.mlp.shared_experts", hidden, shared, bias=biased)
        shapes |= {f"{layer}.{norm}_layernorm.weight": (hidden,) for norm in ("input", "post_attention")}
    shapes["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    return shapes


def _gated_shapes(name: str, hidden: int, inner: int, *, bias: bool) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for part, shape in {"gate": (inner, hidden), "up": (inner, hidden), "down": (hidden, inner)}.items():
        shapes[f"{name}.{part}_proj.weight"] = shape
        if bias:
            shapes[f"{name}.{part}_proj.bias"] = shape[:1]
    return shapes


def save(folder: Path, config: dict[str, Any], weights: dict[str, np.ndarray], shards: int = 1) -> Path:
    """A model folder, in one file or in shards with their index."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        save_file(weights, folder / "model.safetensors")
        return folder
    placed = {name: f"model-{index % shards + 1:05}-of-{shards:05}.safetensors" for index, name in enumerate(weights)}
    for file in set(placed.values()):
        save_file({name: weights[name] for name, at in placed.items() if at == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    return folder


class Model:
    """A converted decoder; `step` feeds tokens and keeps the cache."""

    def __init__(self, file: Path) -> None:
        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        self.reset()

    def reset(self) -> None:
        self.cache: dict[str, np.ndarray] = {}
        self.mask: np.ndarray | None = None

    def step(self, ids: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """[batch, tokens] -> logits [batch, tokens, vocabulary]; `mask` is of these tokens, 0 for padding."""
        new = np.ones_like(ids) if mask is None else mask
        self.mask = new if self.mask is None else np.concatenate([self.mask, new], axis=1)
        positions = np.maximum(self.mask.cumsum(axis=1) - 1, 0)[:, -ids.shape[1] :]
        feed = {"input_ids": ids, "attention_mask": self.mask, "position_ids": positions}
        for port in self.session.get_inputs()[3:]:
            empty = np.zeros((len(ids), port.shape[1], 0, port.shape[3]), self._type(port.type))
            feed[port.name] = self.cache.get(port.name, empty)
        logits, *present = self.session.run(None, feed)
        names = [port.name.replace("present", "past_key_values") for port in self.session.get_outputs()[1:]]
        self.cache = dict(zip(names, present, strict=True))
        return logits

    def greedy(self, ids: np.ndarray, count: int) -> list[int]:
        """The `count` likeliest tokens after one row of tokens, each fed back."""
        self.reset()
        written: list[int] = []
        step = ids
        for _ in range(count):
            written.append(int(self.step(step)[0, -1].argmax()))
            step = np.array([[written[-1]]])
        return written

    @staticmethod
    def _type(name: str) -> type:
        return np.float16 if name == "tensor(float16)" else np.float32

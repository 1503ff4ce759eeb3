"""The whole decoder as a graph: embedding, layers, norm, logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper

from jobs.conversion.decoders.attention import GroupedLayer, make_context
from jobs.conversion.decoders.config import DecoderConfig, GroupedAttention
from jobs.conversion.decoders.latent import LatentLayer
from jobs.conversion.decoders.mixture import Mixture
from jobs.conversion.decoders.parts import Parts

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
PLAIN_INPUTS = ("input_ids", "attention_mask", "position_ids")


def add_decoder(
    parts: Parts, config: DecoderConfig, positions: int, experts: str, layer_done: Callable[[int], None]
) -> None:
    """Adds everything; the output is `logits` [batch, sequence, vocabulary], float32.

    `experts` is one of `mixture.FORMS`, and of no consequence where there are none.
    """
    graph = parts.graph
    embedding = parts.table(EMBEDDING, (config.vocabulary, config.hidden))
    values = graph.add("Gather", [embedding, "input_ids"], "embeddings", axis=0)
    attention = _attention(parts, config, positions)
    mixture = Mixture(parts, config.experts, config.hidden, experts, bias=config.mlp_bias) if config.experts else None
    for index in range(config.layers):
        name = f"model.layers.{index}"
        normal = parts.norm(f"{name}.input_layernorm", values, config.hidden, config.epsilon)
        attended = attention.add(f"{name}.self_attn", normal, index)
        values = graph.add("Add", [values, attended], f"{name}/attended")
        normal = parts.norm(f"{name}.post_attention_layernorm", values, config.hidden, config.epsilon)
        if mixture and index >= mixture.shape.first:
            inner = mixture.add(f"{name}.mlp", normal)
        else:
            inner = parts.gated(f"{name}.mlp", normal, config.hidden, config.intermediate, bias=config.mlp_bias)
        values = graph.add("Add", [values, inner], f"{name}/output")
        layer_done(index)
    _logits(parts, config, parts.norm("model.norm", values, config.hidden, config.epsilon))


def _attention(parts: Parts, config: DecoderConfig, positions: int) -> GroupedLayer | LatentLayer:
    context, shape = make_context(parts, config, positions), config.attention
    if isinstance(shape, GroupedAttention):
        return GroupedLayer(parts, shape, config.hidden, context)
    return LatentLayer(parts, shape, config.hidden, context, config.rope.score_factor)


def _logits(parts: Parts, config: DecoderConfig, values: str) -> None:
    """The head as Gemm, which reads its rows as they are stored.

    So one copy serves both ends of a tied model, and the largest matrix of any model need not be transposed.
    """
    graph = parts.graph
    head = EMBEDDING if config.tied else parts.table(HEAD, (config.vocabulary, config.hidden))
    rows = parts.reshape(values, "logits/rows", -1, config.hidden)
    flat = graph.add("Gemm", [rows, head], "logits/flat", transB=1)
    tokens = graph.add("Shape", ["input_ids"], "logits/tokens")
    width = graph.constant([config.vocabulary], np.int64)
    shape = graph.add("Concat", [tokens, width], "logits/shape", axis=0)
    narrow = graph.add("Reshape", [flat, shape], "logits" if parts.type == TensorProto.FLOAT else "logits/narrow")
    parts.cast(narrow, "logits", TensorProto.FLOAT)


def model_inputs(config: DecoderConfig, kind: int) -> list[onnx.ValueInfoProto]:
    """int64 `input_ids` and `position_ids` [batch, sequence], `attention_mask` [batch, total]; then the cache.

    `past_key_values.N.key` and `.value` are [batch, heads, past, units] of element type `kind`; past may be 0.
    """
    sizes = (["batch", "sequence"], ["batch", "total"], ["batch", "sequence"])
    plain = [
        helper.make_tensor_value_info(name, TensorProto.INT64, shape)
        for name, shape in zip(PLAIN_INPUTS, sizes, strict=True)
    ]
    return plain + _cache(config, "past_key_values", "past", kind)


def model_outputs(config: DecoderConfig, kind: int) -> list[onnx.ValueInfoProto]:
    """`logits`, then `present.N.key` and `.value`, the past with the new tokens after it."""
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "sequence", config.vocabulary])
    return [logits, *_cache(config, "present", "total", kind)]


def _cache(config: DecoderConfig, prefix: str, length: str, kind: int) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(f"{prefix}.{index}.{part}", kind, ["batch", heads, length, units])
        for index in range(config.layers)
        for part, (heads, units) in zip(("key", "value"), config.attention.cache, strict=True)
    ]

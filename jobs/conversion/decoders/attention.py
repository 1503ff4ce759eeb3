"""Attention with a cache: what a layer remembers of the tokens before comes in, what it remembers now goes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from jobs.conversion.bert import MASKED
from jobs.conversion.decoders.angles import add_angles
from jobs.conversion.decoders.config import DecoderConfig, GroupedAttention
from jobs.conversion.decoders.parts import END, Parts
from jobs.conversion.graph import Graph


@dataclass(frozen=True)
class Context:
    """What all layers share: the angles of the tokens' positions and what each token must not see.

    `angles` are cosine and sine, [batch, 1, sequence, size / 2]; `hidden` is float32, [batch, 1, sequence, total].
    """

    angles: tuple[str, str]
    hidden: str


def make_context(parts: Parts, config: DecoderConfig, positions: int) -> Context:
    """From `position_ids` [batch, sequence] and `attention_mask` [batch, total], total being past and sequence."""
    return Context(add_angles(parts, config.rope, positions), _hidden(parts.graph))


def _hidden(graph: Graph) -> str:
    """0 where a token may look, MASKED where the mask says no or the other token comes later.

    The keys are numbered 0 to total - 1, and the tokens given are the last of them.
    """
    zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
    total = graph.add("Gather", [graph.add("Shape", ["attention_mask"], "mask/shape"), one], "mask/total", axis=0)
    given = graph.add("Gather", [graph.add("Shape", ["input_ids"], "mask/given_shape"), one], "mask/given", axis=0)
    keys = graph.add("Range", [zero, total, one], "mask/keys")
    first = graph.add("Unsqueeze", [graph.add("Sub", [total, given], "mask/past"), _axes(graph, 0)], "mask/first")
    tokens = graph.add("Slice", [keys, first, graph.constant([END], np.int64), _axes(graph, 0)], "mask/tokens")
    column = graph.add("Unsqueeze", [tokens, _axes(graph, 1)], "mask/column")
    earlier = graph.add("LessOrEqual", [keys, column], "mask/earlier")
    earlier = graph.add("Cast", [earlier], "mask/earlier/float", to=TensorProto.FLOAT)
    shown = graph.add("Unsqueeze", ["attention_mask", _axes(graph, 1, 2)], "mask/shown")
    shown = graph.add("Cast", [shown], "mask/shown/float", to=TensorProto.FLOAT)
    seen = graph.add("Mul", [shown, earlier], "mask/seen")
    outside = graph.add("Sub", [graph.constant(1.0), seen], "mask/outside")
    return graph.add("Mul", [outside, graph.constant(MASKED)], "mask/hidden")


def _axes(graph: Graph, *axes: int) -> str:
    return graph.constant(list(axes), np.int64)


class GroupedLayer:
    """Grouped-query attention (arXiv 2305.13245) as Llama and Qwen2 have it.

    Keys and values are not repeated for their group of heads; the group's queries become rows of one matrix instead.
    """

    def __init__(self, parts: Parts, shape: GroupedAttention, hidden: int, context: Context) -> None:
        self.parts = parts
        self.shape = shape
        self.width = hidden
        self.context = context
        group = shape.heads // shape.key_heads
        self.hidden = context.hidden
        if group > 1:
            repeats = parts.graph.constant([1, 1, group, 1], np.int64)
            self.hidden = parts.graph.add("Tile", [context.hidden, repeats], "mask/group")

    def add(self, name: str, values: str, index: int) -> str:
        """[batch, sequence, hidden] -> the same; reads and writes the cache of layer `index`."""
        parts, graph, shape = self.parts, self.parts.graph, self.shape
        width, kept = shape.heads * shape.size, shape.key_heads * shape.size
        query = parts.linear(f"{name}.q_proj", values, self.width, width, bias=shape.bias)
        query = parts.heads(query, f"{name}/query", shape.heads, shape.size)
        query = parts.turn(f"{name}/query", query, self.context.angles, shape.size)
        query = parts.scale(query, f"{name}/query/scaled", shape.size**-0.5)
        query = parts.reshape(query, f"{name}/query/grouped", 0, shape.key_heads, -1, shape.size)
        key = parts.linear(f"{name}.k_proj", values, self.width, kept, bias=shape.bias)
        key = parts.heads(key, f"{name}/key", shape.key_heads, shape.size)
        key = parts.turn(f"{name}/key", key, self.context.angles, shape.size)
        value = parts.linear(f"{name}.v_proj", values, self.width, kept, bias=shape.bias)
        value = parts.heads(value, f"{name}/value", shape.key_heads, shape.size)
        keys, all_values = remember(graph, index, key, value)
        columns = graph.add("Transpose", [keys], f"{name}/key/columns", perm=[0, 1, 3, 2])
        scores = graph.add("MatMul", [query, columns], f"{name}/scores")
        chances = parts.chances(name, scores, self.hidden)
        answer = graph.add("MatMul", [chances, all_values], f"{name}/answer")
        answer = parts.reshape(answer, f"{name}/answer/heads", 0, shape.heads, -1, shape.size)
        answer = parts.merged(answer, f"{name}/answer", width)
        return parts.linear(f"{name}.o_proj", answer, width, self.width, bias=shape.output_bias)


def remember(graph: Graph, index: int, key: str, value: str) -> tuple[str, str]:
    """Joins the past of a layer and its new part, each [batch, heads, tokens, units]; both are outputs."""
    joined = [
        graph.add("Concat", [f"past_key_values.{index}.{part}", new], f"present.{index}.{part}", axis=2)
        for part, new in (("key", key), ("value", value))
    ]
    return joined[0], joined[1]

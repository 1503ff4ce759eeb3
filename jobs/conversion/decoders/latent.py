"""DeepSeek-V2's attention: a token leaves one latent vector and one turned key behind, whatever the number of heads.

The matrix that would make each head's keys and values of the latent vectors is multiplied into the query and into the
answer instead (arXiv 2405.04434, section 2.1.2): what has been seen is never expanded, neither in the cache nor in a
step. With 4096 tokens seen, expanding them would cost DeepSeek-V2-Lite 8.6 billion products a layer and token, and this
costs 73 million.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.conversion.decoders.attention import Context, remember
from jobs.conversion.decoders.deepseek import LatentAttention
from jobs.conversion.decoders.parts import Parts

# The norms between the two matrices of queries and of latents do not have the model's rms_norm_eps.
EPSILON = 1e-6


class LatentLayer:
    """Multi-head latent attention. `factor` is what YaRN multiplies the scores with."""

    def __init__(self, parts: Parts, shape: LatentAttention, hidden: int, context: Context, factor: float) -> None:
        self.parts = parts
        self.shape = shape
        self.width = hidden
        self.context = context
        self.factor = factor * (shape.plain + shape.turned) ** -0.5
        # Pairs that lie side by side are turned; as two halves they need no strides. Scores stay: both sides move.
        halves = np.concatenate([np.arange(0, shape.turned, 2), np.arange(1, shape.turned, 2)])
        head = np.concatenate([np.arange(shape.plain), shape.plain + halves])
        size = shape.plain + shape.turned
        self.query_rows = (np.arange(shape.heads)[:, None] * size + head).ravel()
        self.latent_rows = np.concatenate([np.arange(shape.rank), shape.rank + halves])

    def add(self, name: str, values: str, index: int) -> str:
        """[batch, sequence, hidden] -> the same; reads and writes the cache of layer `index`."""
        parts, graph, shape = self.parts, self.parts.graph, self.shape
        plain, turned = self._query(name, values)
        latents, keys = self._latents(name, values, index)
        plain = graph.add("MatMul", [plain, self._key_matrix(name)], f"{name}/query/latent")
        scores = [
            self._rows_by(f"{name}/scores/{part}", query, key, units)
            for part, query, key, units in (
                ("latent", plain, latents, shape.rank), ("turned", turned, keys, shape.turned),
            )
        ]  # fmt: skip
        total = graph.add("Add", scores, f"{name}/scores/rows")
        total = parts.reshape(total, f"{name}/scores", 0, shape.heads, -1, 0)
        chances = parts.chances(name, total, self.context.hidden)
        rows = parts.reshape(chances, f"{name}/chances/rows", 0, 1, -1, 0)
        answer = graph.add("MatMul", [rows, latents], f"{name}/answer/rows/latent")
        answer = parts.reshape(answer, f"{name}/answer/latent", 0, shape.heads, -1, shape.rank)
        answer = graph.add("MatMul", [answer, self._value_matrix(name)], f"{name}/answer")
        width = shape.heads * shape.value
        answer = parts.merged(answer, f"{name}/answer", width)
        return parts.linear(f"{name}.o_proj", answer, width, self.width, bias=shape.bias)

    def _query(self, name: str, values: str) -> tuple[str, str]:
        """[batch, heads, sequence, plain] and [..., turned], both scaled."""
        parts, shape, size = self.parts, self.shape, self.shape.plain + self.shape.turned
        width, rank, last = self.width, shape.query_rank, "q_proj"
        if rank is not None:
            values = parts.linear(f"{name}.q_a_proj", values, width, rank, bias=shape.bias)
            values = parts.norm(f"{name}.q_a_layernorm", values, rank, EPSILON)
            width, last = rank, "q_b_proj"
        query = parts.linear(f"{name}.{last}", values, width, shape.heads * size, bias=False, rows=self.query_rows)
        query = parts.scale(query, f"{name}/query/scaled", self.factor)
        query = parts.heads(query, f"{name}/query", shape.heads, size)
        plain = parts.slice(query, f"{name}/query/plain", 0, shape.plain)
        turned = parts.slice(query, f"{name}/query/unturned", shape.plain, size)
        return plain, parts.turn(f"{name}/query", turned, self.context.angles, shape.turned)

    def _latents(self, name: str, values: str, index: int) -> tuple[str, str]:
        """[batch, 1, total, rank] and the turned keys [batch, 1, total, turned], the past with the new tokens."""
        parts, graph, shape = self.parts, self.parts.graph, self.shape
        size = shape.rank + shape.turned
        both = parts.linear(
            f"{name}.kv_a_proj_with_mqa", values, self.width, size, bias=shape.bias, rows=self.latent_rows
        )
        latent = parts.slice(both, f"{name}/latent/plain", 0, shape.rank)
        latent = parts.norm(f"{name}.kv_a_layernorm", latent, shape.rank, EPSILON)
        latent = parts.heads(latent, f"{name}/latent", 1, shape.rank)
        key = parts.slice(both, f"{name}/key/plain", shape.rank, size)
        key = parts.heads(key, f"{name}/key", 1, shape.turned)
        key = parts.turn(f"{name}/key", key, self.context.angles, shape.turned)
        return remember(graph, index, latent, key)

    def _rows_by(self, name: str, query: str, keys: str, units: int) -> str:
        """[batch, heads, sequence, units] by [batch, 1, total, units] -> [batch, 1, heads * sequence, total].

        All heads look at the same keys: as rows of one matrix they are one product.
        """
        rows = self.parts.reshape(query, f"{name}/query", 0, 1, -1, units)
        columns = self.parts.graph.add("Transpose", [keys], f"{name}/columns", perm=[0, 1, 3, 2])
        return self.parts.graph.add("MatMul", [rows, columns], f"{name}/product")

    def _key_matrix(self, name: str) -> str:
        """[heads, plain, rank]: the upper rows of each head in `kv_b_proj`, as they are stored."""
        key, stored, shape = f"{name}.kv_b_proj.weight", self._stored, self.shape
        rows = self._head_rows(0, shape.plain).ravel()
        blocks = self.parts.weights.blocks(key, stored, self.parts.precision, rows=rows)
        return self.parts.stored(f"{name}.kv_b_proj.key", (shape.heads, shape.plain, shape.rank), blocks)

    def _value_matrix(self, name: str) -> str:
        """[heads, rank, value]: the lower rows of each head in `kv_b_proj`, transposed head by head."""
        key, shape = f"{name}.kv_b_proj.weight", self.shape

        def blocks() -> Iterator[Iterator[NDArray[Any]]]:
            for rows in self._head_rows(shape.plain, shape.plain + shape.value):
                yield self.parts.weights.blocks(key, self._stored, self.parts.precision, transposed=True, rows=rows)

        return self.parts.stored(
            f"{name}.kv_b_proj.value", (shape.heads, shape.rank, shape.value), chain.from_iterable(blocks())
        )

    @property
    def _stored(self) -> tuple[int, int]:
        return self.shape.heads * (self.shape.plain + self.shape.value), self.shape.rank

    def _head_rows(self, start: int, end: int) -> NDArray[np.int64]:
        """[heads, end - start]: which rows of `kv_b_proj` each head has there."""
        return np.arange(self.shape.heads)[:, None] * (self.shape.plain + self.shape.value) + np.arange(start, end)

"""A BERT encoder as ONNX: embeddings, layers, mean pooling over the mask, unit length, and a head if there is one.

Only operators of opset 13 are used, and LayerNorm and GELU are spelled out, because what is built here goes through
`atc`: CANN 5 and 6 read opset 9 to 13, CANN 8.0 reads 11 to 15 (FACTS section 2), and LayerNormalization came with 17.
The spelling is the one that PyTorch's exporter writes: ATC and ONNX Runtime both know it and fuse it back.
Small constants are chosen to survive float16, which is `atc`'s default precision.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from jobs.conversion.decoders.shards import Shards
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.graph import Graph

OPSET = 13
# The IR version of ONNX 1.8, the oldest that CANN's documents name beside opset 13.
IR_VERSION = 7
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
FLOAT32 = np.dtype(np.float32)
# exp(-10000) is 0 in float32 and in float16, and -10000 itself still fits float16.
MASKED = -10000.0
# Smaller than any real norm, larger than float16's smallest number: an empty row gives zeros, not NaN.
TINY = 1e-6


@dataclass(frozen=True)
class BertConfig:
    """The figures of config.json that decide the graph."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int
    token_types: int
    epsilon: float

    @classmethod
    def read(cls, path: Path) -> BertConfig:
        """Reads and checks config.json. Raises `config-missing`, `config-invalid`, `architecture-unsupported`."""
        if not path.is_file():
            raise ConversionRefused(
                "config-missing",
                f"There is no config.json in {path.parent.name}.",
                "Give the whole model folder: config.json, model.safetensors and tokenizer.json.",
            )
        try:
            raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            cls._refuse_variants(raw)
            config = cls(
                vocabulary=int(raw["vocab_size"]),
                hidden=int(raw["hidden_size"]),
                layers=int(raw["num_hidden_layers"]),
                heads=int(raw["num_attention_heads"]),
                intermediate=int(raw["intermediate_size"]),
                positions=int(raw["max_position_embeddings"]),
                token_types=int(raw.get("type_vocab_size", 2)),
                epsilon=float(raw.get("layer_norm_eps", 1e-12)),
            )
        except (ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
            raise ConversionRefused(
                "config-invalid",
                f"config.json in {path.parent.name} cannot be used: {error!r}.",
                "Take the config.json that belongs to the weights.",
            ) from error
        if min(config.vocabulary, config.hidden, config.layers, config.heads) < 1 or config.hidden % config.heads:
            raise ConversionRefused(
                "config-invalid",
                f"config.json in {path.parent.name} asks for {config.heads} heads in {config.hidden} hidden units.",
                "Take the config.json that belongs to the weights.",
            )
        return config

    @staticmethod
    def _refuse_variants(raw: dict[str, Any]) -> None:
        wanted = (
            ("model_type", "bert", "bert"),
            ("position_embedding_type", "absolute", "absolute"),
            ("hidden_act", "gelu", "gelu"),
        )
        for key, expected, default in wanted:
            if raw.get(key, default) != expected or (key == "model_type" and key not in raw):
                raise ConversionRefused(
                    "architecture-unsupported",
                    f"This converter builds BERT encoders; config.json says {key} = {raw.get(key)!r}.",
                    "Export the model to ONNX where it was trained and bring the ONNX file.",
                )


@dataclass(frozen=True)
class Head:
    """A dense layer on the sentence vector: `weight` [labels, hidden], `bias` [labels], both float32."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    labels: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, hidden: int) -> Head:
        """Reads an npz with `weight`, `bias` and `labels`. Raises `head-invalid` or what `read_start` refuses."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                weight = stored["weight"].astype(np.float32)
                bias = stored["bias"].astype(np.float32)
                labels = tuple(str(label) for label in stored["labels"])
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ConversionRefused(
                "head-invalid",
                f"The head {path.name} cannot be read: {error}.",
                "Give an npz with weight [labels, hidden], bias [labels] and labels, without pickled objects.",
            ) from error
        if weight.ndim != 2 or weight.shape[1] != hidden or not bias.shape == (len(labels),) == weight.shape[:1]:
            raise ConversionRefused(
                "head-invalid",
                f"The head {path.name} does not fit: weight {list(weight.shape)}, bias {list(bias.shape)}, "
                f"{len(labels)} labels, for {hidden} hidden units.",
                "Train the head on this encoder's vectors.",
            )
        return cls(weight, bias, labels)


class BertBuilder:
    """Adds the encoder's parts to a graph, streaming each weight out of `weights` as float32."""

    def __init__(self, graph: Graph, weights: Shards, config: BertConfig) -> None:
        self.graph = graph
        self.weights = weights
        self.config = config
        # BertModel saves bare names, BertForX saves the same under "bert.".
        self.prefix = "bert." if "bert.embeddings.word_embeddings.weight" in weights else ""

    def sentence_vector(self, layer_done: Any) -> str:
        """[batch, hidden] vectors of unit length; `layer_done(index)` is called after each layer."""
        hidden = self._embeddings()
        mask = self._attention_bias()
        for index in range(self.config.layers):
            hidden = self._layer(f"encoder.layer.{index}", hidden, mask)
            layer_done(index)
        return self._pool(hidden)

    def classify(self, vector: str, head: Head) -> str:
        """[batch, labels] logits."""
        weight = self.graph.weight("head.weight", head.weight.T)
        bias = self.graph.weight("head.bias", head.bias)
        return self.graph.add("Add", [self.graph.add("MatMul", [vector, weight], "head/matmul"), bias], "logits")

    def _embeddings(self) -> str:
        graph, config = self.graph, self.config
        words = self._table("embeddings.word_embeddings.weight", config.vocabulary)
        positions = self._table("embeddings.position_embeddings.weight", config.positions)
        types = self._table("embeddings.token_type_embeddings.weight", config.token_types)
        word = graph.add("Gather", [words, "input_ids"], "embeddings/word", axis=0)
        token_type = graph.add("Gather", [types, "token_type_ids"], "embeddings/type", axis=0)
        shape = graph.add("Shape", ["input_ids"], "embeddings/shape")
        zero, one, two = (graph.constant([value], np.int64) for value in (0, 1, 2))
        length = graph.add("Slice", [shape, one, two, zero], "embeddings/length")
        position = graph.add("Slice", [positions, zero, length, zero], "embeddings/position")
        both = graph.add("Add", [word, token_type], "embeddings/word_and_type")
        return self._norm("embeddings.LayerNorm", graph.add("Add", [both, position], "embeddings/sum"))

    def _attention_bias(self) -> str:
        graph = self.graph
        axes = graph.constant([1, 2], np.int64)
        mask = graph.add("Unsqueeze", ["attention_mask", axes], "mask/unsqueeze")
        mask = graph.add("Cast", [mask], "mask/float", to=TensorProto.FLOAT)
        outside = graph.add("Sub", [graph.constant(1.0), mask], "mask/outside")
        return graph.add("Mul", [outside, graph.constant(MASKED)], "mask/bias")

    def _layer(self, name: str, hidden: str, mask: str) -> str:
        graph, config = self.graph, self.config
        size = config.hidden // config.heads
        split = graph.constant([0, 0, config.heads, size], np.int64)
        merge = graph.constant([0, 0, config.hidden], np.int64)
        parts = {}
        for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
            dense = self._dense(f"{name}.attention.self.{part}", hidden, config.hidden, config.hidden)
            shaped = graph.add("Reshape", [dense, split], f"{name}/{part}/split")
            parts[part] = graph.add("Transpose", [shaped], f"{name}/{part}/heads", perm=order)
        scores = graph.add("MatMul", [parts["query"], parts["key"]], f"{name}/scores")
        scores = graph.add("Div", [scores, graph.constant(math.sqrt(size))], f"{name}/scaled")
        scores = graph.add("Add", [scores, mask], f"{name}/masked")
        chances = graph.add("Softmax", [scores], f"{name}/softmax", axis=-1)
        context = graph.add("MatMul", [chances, parts["value"]], f"{name}/context")
        context = graph.add("Transpose", [context], f"{name}/context/rows", perm=[0, 2, 1, 3])
        context = graph.add("Reshape", [context, merge], f"{name}/context/merged")
        attended = self._dense(f"{name}.attention.output.dense", context, config.hidden, config.hidden)
        attended = graph.add("Add", [attended, hidden], f"{name}/attention/residual")
        attended = self._norm(f"{name}.attention.output.LayerNorm", attended)
        inner = self._dense(f"{name}.intermediate.dense", attended, config.hidden, config.intermediate)
        outer = self._dense(f"{name}.output.dense", self._gelu(name, inner), config.intermediate, config.hidden)
        outer = graph.add("Add", [outer, attended], f"{name}/output/residual")
        return self._norm(f"{name}.output.LayerNorm", outer)

    def _gelu(self, name: str, values: str) -> str:
        graph = self.graph
        scaled = graph.add("Div", [values, graph.constant(math.sqrt(2.0))], f"{name}/gelu/scaled")
        error = graph.add("Erf", [scaled], f"{name}/gelu/erf")
        shifted = graph.add("Add", [error, graph.constant(1.0)], f"{name}/gelu/shifted")
        product = graph.add("Mul", [values, shifted], f"{name}/gelu/product")
        return graph.add("Mul", [product, graph.constant(0.5)], f"{name}/gelu")

    def _norm(self, name: str, values: str) -> str:
        graph, shape = self.graph, (self.config.hidden,)
        mean = graph.add("ReduceMean", [values], f"{name}/mean", axes=[-1], keepdims=1)
        centred = graph.add("Sub", [values, mean], f"{name}/centred")
        squared = graph.add("Pow", [centred, graph.constant(2.0)], f"{name}/squared")
        variance = graph.add("ReduceMean", [squared], f"{name}/variance", axes=[-1], keepdims=1)
        shifted = graph.add("Add", [variance, graph.constant(self.config.epsilon)], f"{name}/shifted")
        deviation = graph.add("Sqrt", [shifted], f"{name}/deviation")
        normal = graph.add("Div", [centred, deviation], f"{name}/normal")
        scale = self._weight(f"{name}.weight", self._norm_name(name, "weight", "gamma"), shape)
        scaled = graph.add("Mul", [normal, scale], f"{name}/scaled")
        bias = self._weight(f"{name}.bias", self._norm_name(name, "bias", "beta"), shape)
        return graph.add("Add", [scaled, bias], f"{name}/output")

    def _norm_name(self, name: str, *endings: str) -> str:
        # Checkpoints ported from TensorFlow say gamma and beta.
        modern, old = (f"{name}.{ending}" for ending in endings)
        return old if self.prefix + old in self.weights else modern

    def _pool(self, hidden: str) -> str:
        graph = self.graph
        words = graph.constant([1], np.int64)
        mask = graph.add("Cast", ["attention_mask"], "pool/mask", to=TensorProto.FLOAT)
        column = graph.add("Unsqueeze", [mask, graph.constant([2], np.int64)], "pool/column")
        kept = graph.add("Mul", [hidden, column], "pool/kept")
        total = graph.add("ReduceSum", [kept, words], "pool/total", keepdims=0)
        count = graph.add("ReduceSum", [column, words], "pool/count", keepdims=0)
        # At least one: a row that only fills a batch has no word at all.
        count = graph.add("Max", [count, graph.constant(1.0)], "pool/at_least_one")
        mean = graph.add("Div", [total, count], "pool/mean")
        norm = graph.add("ReduceL2", [mean], "pool/norm", axes=[1], keepdims=1)
        norm = graph.add("Max", [norm, graph.constant(TINY)], "pool/safe_norm")
        return graph.add("Div", [mean, norm], "embedding")

    def _dense(self, name: str, values: str, inputs: int, outputs: int) -> str:
        key = f"{name}.weight"
        blocks = self.weights.blocks(self.prefix + key, (outputs, inputs), FLOAT32, transposed=True)
        matrix = self.graph.streamed_weight(key, FLOAT32, (inputs, outputs), blocks)
        product = self.graph.add("MatMul", [values, matrix], f"{name}/matmul")
        bias = self._weight(f"{name}.bias", f"{name}.bias", (outputs,))
        return self.graph.add("Add", [product, bias], f"{name}/output")

    def _table(self, name: str, rows: int) -> str:
        return self._weight(name, name, (rows, self.config.hidden))

    def _weight(self, name: str, stored: str, shape: tuple[int, ...]) -> str:
        """A weight as it is stored, under `name` in the model."""
        blocks = self.weights.blocks(self.prefix + stored, shape, FLOAT32)
        return self.graph.streamed_weight(name, FLOAT32, shape, blocks)


def model_inputs() -> list[onnx.ValueInfoProto]:
    """The three int64 inputs, [batch, sequence]."""
    return [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in INPUTS]

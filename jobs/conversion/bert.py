"""A BERT or RoBERTa encoder as ONNX: embeddings, layers, and a vector of unit length for the whole text.

What a head makes of it: `heads`.

Only operators of opset 13 are used, and LayerNorm and GELU are spelled out, because what is built here goes through
`atc`: CANN 5 and 6 read opset 9 to 13, CANN 8.0 reads 11 to 15 (FACTS section 2), and LayerNormalization came with 17.
The spelling is the one that PyTorch's exporter writes: ATC and ONNX Runtime both know it and fuse it back.
Small constants are chosen to survive float16, which is `atc`'s default precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from jobs.conversion.decoders.fields import Fields
from jobs.conversion.decoders.shards import Shards
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.graph import Graph

OPSET = 13
# The IR version of ONNX 1.8, the oldest that CANN's documents name beside opset 13.
IR_VERSION = 7
# model_type -> the name that a model with a head saves its encoder under.
FAMILIES = {"bert": "bert", "roberta": "roberta", "xlm-roberta": "roberta", "camembert": "roberta"}
DECODERS = ("llama", "qwen2", "deepseek_v2")
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
FLOAT32 = np.dtype(np.float32)
# exp(-10000) is 0 in float32 and in float16, and -10000 itself still fits float16.
MASKED = -10000.0
# Smaller than any real norm, larger than float16's smallest number: an empty row gives zeros, not NaN.
TINY = 1e-6


@dataclass(frozen=True)
class BertConfig:
    """The figures of config.json that decide the graph. `filler` is the token that fills rows up.

    RoBERTa's positions are those of the tokens that are none, counted from `filler` + 1 on; of BERT there is no
    `filler`, and they are counted from 0 on.
    """

    family: str
    vocabulary: int
    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int
    token_types: int
    epsilon: float
    filler: int | None

    @classmethod
    def of(cls, fields: Fields) -> BertConfig:
        """Reads and checks what config.json says. Raises `config-invalid`, `architecture-unsupported`."""
        family = fields.text("model_type", "nothing at all")
        if family not in FAMILIES:
            raise ConversionRefused(
                "architecture-unsupported",
                f"This converter builds {', '.join(FAMILIES)} encoders and {', '.join(DECODERS)} decoders; "
                f"{fields.where} names {family!r}.",
                "Export the model to ONNX where it was trained and bring the ONNX file.",
            )
        fields.absent("quantization_config")
        fields.fixed("position_embedding_type", "absolute")
        fields.fixed("hidden_act", "gelu")
        fields.fixed("is_decoder", False)
        config = cls(
            family=family,
            vocabulary=fields.count("vocab_size"),
            hidden=fields.count("hidden_size"),
            layers=fields.count("num_hidden_layers"),
            heads=fields.count("num_attention_heads"),
            intermediate=fields.count("intermediate_size"),
            positions=fields.count("max_position_embeddings"),
            token_types=fields.count("type_vocab_size", 2),
            epsilon=fields.number("layer_norm_eps", 1e-12),
            filler=fields.count("pad_token_id", 1, least=0) if FAMILIES[family] == "roberta" else None,
        )
        if config.hidden % config.heads:
            raise fields.invalid(
                "num_attention_heads", f"{config.heads} heads do not share {config.hidden} hidden units evenly"
            )
        if config.longest < 2:
            raise fields.invalid("max_position_embeddings", f"{config.positions} is too small")
        return config

    @property
    def longest(self) -> int:
        """How many tokens the model reads at most."""
        return self.positions - (0 if self.filler is None else self.filler + 1)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Of RoBERTa no `token_type_ids`: it has one type."""
        return INPUTS if self.filler is None else INPUTS[:2]


class BertBuilder:
    """Adds the encoder's parts to a graph, streaming each weight out of `weights` as float32."""

    def __init__(self, graph: Graph, weights: Shards, config: BertConfig) -> None:
        self.graph = graph
        self.weights = weights
        self.config = config
        # BertModel saves bare names, BertForX saves the same under "bert.".
        prefix = f"{FAMILIES[config.family]}."
        self.prefix = prefix if f"{prefix}embeddings.word_embeddings.weight" in weights else ""

    def encode(self, layer_done: Callable[[int], None]) -> str:
        """[batch, sequence, hidden]; `layer_done(index)` is called after each layer."""
        hidden = self._embeddings()
        mask = self._attention_bias()
        for index in range(self.config.layers):
            hidden = self._layer(f"encoder.layer.{index}", hidden, mask)
            layer_done(index)
        return hidden

    def first_token(self, hidden: str) -> str:
        """[batch, hidden] of the token that stands before every text."""
        return self.graph.add("Gather", [hidden, self.graph.constant(0, np.int64)], "pool/first", axis=1)

    def _embeddings(self) -> str:
        graph, config = self.graph, self.config
        words = self._table("embeddings.word_embeddings.weight", config.vocabulary)
        positions = self._table("embeddings.position_embeddings.weight", config.positions)
        types = self._table("embeddings.token_type_embeddings.weight", config.token_types)
        word = graph.add("Gather", [words, "input_ids"], "embeddings/word", axis=0)
        if config.filler is None:
            token_type = graph.add("Gather", [types, "token_type_ids"], "embeddings/type", axis=0)
            shape = graph.add("Shape", ["input_ids"], "embeddings/shape")
            zero, one, two = (graph.constant([value], np.int64) for value in (0, 1, 2))
            length = graph.add("Slice", [shape, one, two, zero], "embeddings/length")
            position = graph.add("Slice", [positions, zero, length, zero], "embeddings/position")
        else:
            token_type = graph.add("Gather", [types, graph.constant(0, np.int64)], "embeddings/type", axis=0)
            position = graph.add("Gather", [positions, self._counted(config.filler)], "embeddings/position", axis=0)
        both = graph.add("Add", [word, token_type], "embeddings/word_and_type")
        return self._norm("embeddings.LayerNorm", graph.add("Add", [both, position], "embeddings/sum"))

    def _counted(self, filler: int) -> str:
        """The tokens' positions, `filler`'s own for what fills a row up."""
        graph = self.graph
        empty = graph.add("Equal", ["input_ids", graph.constant(filler, np.int64)], "positions/empty")
        full = graph.add("Cast", [graph.add("Not", [empty], "positions/full")], "positions/one", to=TensorProto.INT64)
        count = graph.add("CumSum", [full, graph.constant(1, np.int64)], "positions/count")
        count = graph.add("Mul", [count, full], "positions/counted")
        return graph.add("Add", [count, graph.constant(filler, np.int64)], "positions")

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

    def sentence_vector(self, hidden: str, pooling: str) -> str:
        """[batch, hidden] of unit length: of the first token (`cls`), or the mean of all (`mean`)."""
        graph = self.graph
        vector = self.first_token(hidden) if pooling == "cls" else self._mean(hidden)
        norm = graph.add("ReduceL2", [vector], "pool/norm", axes=[1], keepdims=1)
        norm = graph.add("Max", [norm, graph.constant(TINY)], "pool/safe_norm")
        return graph.add("Div", [vector, norm], "embedding")

    def _mean(self, hidden: str) -> str:
        graph = self.graph
        words = graph.constant([1], np.int64)
        mask = graph.add("Cast", ["attention_mask"], "pool/mask", to=TensorProto.FLOAT)
        column = graph.add("Unsqueeze", [mask, graph.constant([2], np.int64)], "pool/column")
        kept = graph.add("Mul", [hidden, column], "pool/kept")
        total = graph.add("ReduceSum", [kept, words], "pool/total", keepdims=0)
        count = graph.add("ReduceSum", [column, words], "pool/count", keepdims=0)
        # At least one: a row that only fills a batch has no word at all.
        count = graph.add("Max", [count, graph.constant(1.0)], "pool/at_least_one")
        return graph.add("Div", [total, count], "pool/mean")

    def dense(
        self, name: str, values: str, inputs: int, outputs: int, output: str = "", *, inside: bool = False
    ) -> str:
        """[..., inputs] -> [..., outputs] by the weight and bias of that name.

        They lie beside the encoder's weights or (`inside`) among them.
        """
        prefix, key = self.prefix if inside else "", f"{name}.weight"
        blocks = self.weights.blocks(prefix + key, (outputs, inputs), FLOAT32, transposed=True)
        matrix = self.graph.streamed_weight(key, FLOAT32, (inputs, outputs), blocks)
        product = self.graph.add("MatMul", [values, matrix], f"{name}/matmul")
        blocks = self.weights.blocks(f"{prefix}{name}.bias", (outputs,), FLOAT32)
        bias = self.graph.streamed_weight(f"{name}.bias", FLOAT32, (outputs,), blocks)
        return self.graph.add("Add", [product, bias], output or f"{name}/output")

    def _dense(self, name: str, values: str, inputs: int, outputs: int) -> str:
        return self.dense(name, values, inputs, outputs, inside=True)

    def _table(self, name: str, rows: int) -> str:
        return self._weight(name, name, (rows, self.config.hidden))

    def _weight(self, name: str, stored: str, shape: tuple[int, ...]) -> str:
        """A weight as it is stored, under `name` in the model."""
        blocks = self.weights.blocks(self.prefix + stored, shape, FLOAT32)
        return self.graph.streamed_weight(name, FLOAT32, shape, blocks)


def model_inputs(config: BertConfig) -> list[onnx.ValueInfoProto]:
    """The int64 inputs, [batch, sequence]."""
    shape = ["batch", "sequence"]
    return [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in config.inputs]

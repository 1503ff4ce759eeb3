"""safetensors folder -> ONNX of a decoder, streamed: `convert_decoder`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from jobs.conversion.bert import IR_VERSION, OPSET
from jobs.conversion.decoders.config import DecoderConfig, read_config
from jobs.conversion.decoders.decoder import EMBEDDING, HEAD, add_decoder, model_inputs, model_outputs
from jobs.conversion.decoders.mixture import FORMS
from jobs.conversion.decoders.parts import Parts
from jobs.conversion.decoders.shards import Shards
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.graph import Graph, Tally, WeightStore
from jobs.conversion.writing import Progress, Report, Written, provenance, write

# Larger weights go beside the model as they are read; what stays inside is held in memory until it is written.
INLINE_LIMIT = 64 * 1024**2
PRECISIONS: dict[str, np.dtype[Any]] = {"float32": np.dtype(np.float32), "float16": np.dtype(np.float16)}
# Derived from config.json and saved all the same by some versions of transformers.
DERIVED = ("rotary_emb.inv_freq",)


@dataclass(frozen=True, kw_only=True)
class DecoderReport(Report):
    """Of a decoder: `experts` is the form of a mixture of them; the cache is counted over all layers."""

    precision: str
    experts: str | None
    vocabulary: int
    cache_bytes_per_token: int
    outputs: list[str]


def convert_decoder(
    source: Path,
    destination: Path,
    *,
    precision: str = "float32",
    positions: int | None = None,
    experts: str | None = None,
    progress: Progress | None = None,
    inline_limit: int = INLINE_LIMIT,
) -> DecoderReport:
    """Converts a decoder's folder (config.json, safetensors in one file or in shards) to ONNX with a cache.

    `precision` is that of weights, activations and cache; norms, softmax and logits are float32 in either. `positions`
    shortens the table of rotary positions (default: `max_position_embeddings`). `experts`, for a mixture of them only,
    is one of `mixture.FORMS` (default: the first). Weights over `inline_limit` bytes go to `<destination>.data`. The
    same input gives the same bytes. Raises ConversionRefused.
    """
    started = time.monotonic()
    tell = progress or (lambda share, line: None)
    prepared = PreparedDecoder(
        source, precision=precision, positions=positions, experts=experts, inline_limit=inline_limit
    )
    config = prepared.config
    tell(0.01, f"read the headers of {len(prepared.weights.paths)} files: {config.layers} layers of {config.hidden}")
    report = prepared.told(write(prepared, destination, tell), time.monotonic() - started)
    tell(1.0, f"wrote {destination.name}: {report.bytes} bytes, {report.parameters} parameters")
    return report


class PreparedDecoder:
    """A decoder's folder, read and checked: see `writing.Prepared`."""

    def __init__(
        self,
        source: Path,
        *,
        precision: str = "float32",
        positions: int | None = None,
        experts: str | None = None,
        inline_limit: int = INLINE_LIMIT,
    ) -> None:
        """Checks each weight's place, type and shape, and reads none but a doubled head. Raises ConversionRefused."""
        if not source.is_dir():
            raise ConversionRefused(
                "file-missing",
                f"There is no model folder {source}.",
                "Give the folder with config.json and safetensors.",
            )
        self.config = read_config(source / "config.json")
        self.positions = _positions(self.config, positions)
        self.experts = _form(self.config, experts)
        self.precision = precision
        self.weights = Shards(source)
        self.sources = [source / "config.json", *self.weights.paths]
        self.inline_limit = inline_limit
        self.bytes = _tally(self.weights, self.config, precision, self.positions, self.experts)

    def build(self, store: WeightStore, tell: Progress) -> onnx.ModelProto:
        """The model, its weights given to `store`."""
        graph, config = Graph(store), self.config
        parts = Parts(graph, self.weights, PRECISIONS[self.precision])
        add_decoder(
            parts,
            config,
            self.positions,
            self.experts,
            lambda index: tell(0.02 + 0.88 * (index + 1) / config.layers, f"layer {index + 1} of {config.layers}"),
        )
        return graph.model(
            "decoder",
            model_inputs(config, parts.type),
            model_outputs(config, parts.type),
            opset=OPSET,
            ir_version=IR_VERSION,
            metadata={
                "architecture": config.architecture,
                "max_positions": str(self.positions),
                "precision": self.precision,
            },
        )

    def told(self, written: Written, seconds: float) -> DecoderReport:
        """What was made, from what."""
        config, kind = self.config, helper.np_dtype_to_tensor_dtype(PRECISIONS[self.precision])
        return DecoderReport(
            **provenance(written, self.sources, seconds),
            architecture=config.architecture,
            parameters=self.weights.parameters,
            layers=config.layers,
            hidden=config.hidden,
            max_positions=self.positions,
            inputs=[port.name for port in model_inputs(config, kind)],
            precision=self.precision,
            experts=self.experts if config.experts else None,
            vocabulary=config.vocabulary,
            cache_bytes_per_token=config.cache_values * PRECISIONS[self.precision].itemsize,
            outputs=[port.name for port in model_outputs(config, kind)],
        )


def _positions(config: DecoderConfig, asked: int | None) -> int:
    if asked is not None and not 0 < asked <= config.longest:
        raise ConversionRefused(
            "max-length", f"The model reads 1 to {config.longest} positions, not {asked}.", "Change --positions."
        )
    return asked or config.longest


def _form(config: DecoderConfig, asked: str | None) -> str:
    if asked is not None and config.experts is None:
        raise ConversionRefused(
            "option-unfit",
            f"--experts is for a mixture of experts, and {config.architecture} has none.",
            "Leave it out.",
        )
    return asked or FORMS[0]


def _tally(weights: Shards, config: DecoderConfig, precision: str, positions: int, experts: str) -> int:
    """How many bytes will be written. Checks each weight's place, type and shape, and reads none but a doubled head."""
    tally = Tally()
    add_decoder(Parts(Graph(tally), weights, PRECISIONS[precision]), config, positions, experts, lambda index: None)
    shape = (config.vocabulary, config.hidden)
    if config.tied and HEAD in weights and not weights.same(HEAD, EMBEDDING, shape):
        raise ConversionRefused(
            "config-invalid",
            f"config.json says that the embedding is the head as well (tie_word_embeddings), and {HEAD} is another.",
            "Take the config.json that belongs to the weights.",
        )
    weights.refuse_unused(lambda name: name.endswith(DERIVED))
    return tally.bytes

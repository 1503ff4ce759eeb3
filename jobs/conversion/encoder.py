"""safetensors folder -> ONNX file, without torch: `convert_encoder`."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from jobs.conversion.bert import INPUTS, IR_VERSION, OPSET, BertBuilder, BertConfig, Head, model_inputs
from jobs.conversion.decoders.shards import Shards
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.graph import INLINE_LIMIT, Graph, Tally, WeightStore
from jobs.conversion.writing import Progress, Report, Written, provenance, write


@dataclass(frozen=True, kw_only=True)
class EncoderReport(Report):
    """Of an encoder: the name of its output, and its head's labels where it has one."""

    output: str
    labels: list[str]


def convert_encoder(
    source: Path,
    destination: Path,
    *,
    head: Path | None = None,
    progress: Progress | None = None,
    inline_limit: int = INLINE_LIMIT,
) -> EncoderReport:
    """Converts a BERT-class encoder folder (config.json, safetensors in one file or in shards) to one ONNX file.

    `head` is an npz with `weight` [labels, hidden], `bias` [labels] and `labels`; with it the output is `logits`
    [batch, labels] and the labels are kept in the model's metadata, without it `embedding` [batch, hidden]. The same
    input gives the same bytes. Weights over `inline_limit` bytes go to `<destination>.data`. `progress` gets a share
    from 0 to 1 and a line. Raises ConversionRefused.
    """
    started = time.monotonic()
    tell = progress or (lambda share, line: None)
    prepared = PreparedEncoder(source, head=head, inline_limit=inline_limit)
    tell(0.05, f"read the headers of {source.name}: {prepared.config.layers} layers of {prepared.config.hidden}")
    report = prepared.told(write(prepared, destination, tell), time.monotonic() - started)
    tell(1.0, f"wrote {destination.name}: {report.bytes} bytes, {report.parameters} parameters")
    return report


class PreparedEncoder:
    """An encoder's folder, read and checked: see `writing.Prepared`."""

    def __init__(self, source: Path, *, head: Path | None = None, inline_limit: int = INLINE_LIMIT) -> None:
        """Checks each weight's place, type and shape, and reads none. Raises ConversionRefused."""
        if not source.is_dir():
            raise ConversionRefused(
                "file-missing",
                f"There is no model folder {source}.",
                "Give the folder that holds config.json and model.safetensors.",
            )
        self.config = BertConfig.read(source / "config.json")
        self.weights = Shards(source)
        self.head = Head.read(head, self.config.hidden) if head else None
        self.sources = [path for path in (source / "config.json", *self.weights.paths, head) if path]
        self.inline_limit = inline_limit
        tally = Tally()
        self.build(tally, lambda share, line: None)
        self.bytes, self.parameters = tally.bytes, tally.elements

    def build(self, store: WeightStore, tell: Progress) -> onnx.ModelProto:
        """The model, its weights given to `store`."""
        graph, config, head = Graph(store), self.config, self.head
        builder = BertBuilder(graph, self.weights, config)
        vector = builder.sentence_vector(
            lambda index: tell(0.05 + 0.75 * (index + 1) / config.layers, f"layer {index + 1} of {config.layers}")
        )
        output, width = (builder.classify(vector, head), len(head.labels)) if head else (vector, config.hidden)
        metadata = {"pooling": "mean", "max_positions": str(config.positions)}
        if head:
            metadata["labels"] = json.dumps(head.labels, ensure_ascii=False)
        return graph.model(
            "encoder",
            model_inputs(),
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", width])],
            opset=OPSET,
            ir_version=IR_VERSION,
            metadata=metadata,
        )

    def told(self, written: Written, seconds: float) -> EncoderReport:
        """What was made, from what."""
        config, head = self.config, self.head
        return EncoderReport(
            **provenance(written, self.sources, seconds),
            architecture="bert",
            parameters=self.parameters,
            layers=config.layers,
            hidden=config.hidden,
            max_positions=config.positions,
            inputs=list(INPUTS),
            output="logits" if head else "embedding",
            labels=list(head.labels) if head else [],
        )

"""safetensors folder -> ONNX file, without torch: `convert_encoder`."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import onnx

from jobs.conversion.bert import IR_VERSION, OPSET, BertBuilder, BertConfig, model_inputs
from jobs.conversion.decoders.fields import Fields
from jobs.conversion.decoders.shards import Shards
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.graph import INLINE_LIMIT, Graph, Tally, WeightStore
from jobs.conversion.heads import Head, Task, add_task
from jobs.conversion.writing import Progress, Report, Written, provenance, write


@dataclass(frozen=True, kw_only=True)
class EncoderReport(Report):
    """Of an encoder: its outputs, how a text's vector is made (None where it makes none), its head's labels."""

    outputs: list[str]
    pooling: str | None
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

    The outputs are those of the class that config.json names: `logits` [batch, labels] of a text or [batch, sequence,
    labels] of its tokens, `start_logits` and `end_logits` [batch, sequence] of an answer in it, else `embedding`
    [batch, hidden]. `head` is an npz with `weight` [labels, hidden], `bias` [labels] and `labels`, trained on the
    embedding; with it the output is `logits` [batch, labels]. Labels are kept in the model's metadata. The same input
    gives the same bytes. Weights over `inline_limit` bytes go to `<destination>.data`. `progress` gets a share
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
        fields = Fields.of(source / "config.json")
        self.config = BertConfig.of(fields)
        self.weights = Shards(source)
        self.head = Head.read(head, self.config.hidden) if head else None
        self.task = Task.read(source, fields, self.weights, self.head)
        self.sources = [path for path in (source / "config.json", *self.weights.paths, head) if path]
        self.inline_limit = inline_limit
        tally = Tally()
        model = self.build(tally, lambda share, line: None)
        self.outputs = [output.name for output in model.graph.output]
        self.weights.refuse_unused(self.task.unused)
        self.bytes, self.parameters = tally.bytes, tally.elements

    def build(self, store: WeightStore, tell: Progress) -> onnx.ModelProto:
        """The model, its weights given to `store`."""
        graph, config, task = Graph(store), self.config, self.task
        builder = BertBuilder(graph, self.weights, config)
        hidden = builder.encode(
            lambda index: tell(0.05 + 0.75 * (index + 1) / config.layers, f"layer {index + 1} of {config.layers}")
        )
        outputs = add_task(builder, task, self.head, hidden)
        metadata = {"max_positions": str(config.longest)}
        if task.pooling:
            metadata["pooling"] = task.pooling
        if task.labels:
            metadata["labels"] = json.dumps(task.labels, ensure_ascii=False)
        return graph.model(
            "encoder", model_inputs(config), outputs, opset=OPSET, ir_version=IR_VERSION, metadata=metadata
        )

    def told(self, written: Written, seconds: float) -> EncoderReport:
        """What was made, from what."""
        config, task = self.config, self.task
        return EncoderReport(
            **provenance(written, self.sources, seconds),
            architecture=config.family,
            parameters=self.parameters,
            layers=config.layers,
            hidden=config.hidden,
            max_positions=config.longest,
            inputs=list(config.inputs),
            outputs=self.outputs,
            pooling=task.pooling,
            labels=list(task.labels),
        )

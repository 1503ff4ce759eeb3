"""safetensors folder -> ONNX file, without torch: `convert_encoder`."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from jobs.conversion.bert import INPUTS, IR_VERSION, OPSET, BertBuilder, BertConfig, Head, model_inputs
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.files import replacing, sha256_of
from jobs.conversion.graph import INLINE_LIMIT, Graph, WeightStore
from jobs.conversion.weights import SafetensorsFile

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class ConversionReport:
    """What was made, from what. `bytes` counts the model and, if there is one, the file of weights beside it."""

    destination: str
    bytes: int
    sha256: str
    external_data: str | None
    external_sha256: str | None
    opset: int
    ir_version: int
    architecture: str
    parameters: int
    layers: int
    hidden: int
    max_positions: int
    inputs: list[str]
    output: str
    labels: list[str]
    source_sha256: dict[str, str]
    seconds: float
    versions: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self)


def convert_encoder(
    source: Path,
    destination: Path,
    *,
    head: Path | None = None,
    progress: Progress | None = None,
    inline_limit: int = INLINE_LIMIT,
) -> ConversionReport:
    """Converts a BERT-class encoder folder (config.json, model.safetensors) to one ONNX file.

    `head` is an npz with `weight` [labels, hidden], `bias` [labels] and `labels`; with it the output is `logits`
    [batch, labels] and the labels are kept in the model's metadata, without it `embedding` [batch, hidden]. The same
    input gives the same bytes. Weights over `inline_limit` bytes go to `<destination>.data`. `progress` gets a share
    from 0 to 1 and a line. Raises ConversionRefused.
    """
    started = time.monotonic()
    tell = progress or (lambda share, line: None)
    if not source.is_dir():
        raise ConversionRefused(
            "file-missing",
            f"There is no model folder {source}.",
            "Give the folder that holds config.json and model.safetensors.",
        )
    config = BertConfig.read(source / "config.json")
    weights_path = _weights_file(source)
    if destination.resolve() in {path.resolve() for path in (weights_path, source / "config.json", head) if path}:
        raise ConversionRefused("output-is-input", f"{destination} would overwrite its input.", "Name another output.")
    weights = SafetensorsFile(weights_path)
    classifier = Head.read(head, config.hidden) if head else None
    tell(0.05, f"read {weights_path.name}: {config.layers} layers of {config.hidden}")

    external = destination.with_name(destination.name + ".data")
    with replacing(destination) as part:
        # A folder that is missing or closed is said before the minutes of work.
        part.write_bytes(b"")
        data_part = external.with_name(external.name + ".part")
        inline = weights.size <= inline_limit
        store = WeightStore(data_part, inline=inline, location=external.name)
        try:
            model = _build(store, weights, config, classifier, tell)
            onnx.save_model(model, str(part))
            store.close()
            if not inline:
                # The checker looks for the weights under the name that the model gives.
                data_part.replace(external)
            tell(0.9, "checking")
            _check(part)
        finally:
            store.close()
            data_part.unlink(missing_ok=True)
    report = ConversionReport(
        destination=str(destination),
        bytes=destination.stat().st_size + (0 if inline else external.stat().st_size),
        sha256=sha256_of(destination),
        external_data=None if inline else external.name,
        external_sha256=None if inline else sha256_of(external),
        opset=OPSET,
        ir_version=IR_VERSION,
        architecture="bert",
        parameters=store.elements,
        layers=config.layers,
        hidden=config.hidden,
        max_positions=config.positions,
        inputs=list(INPUTS),
        output="logits" if classifier else "embedding",
        labels=list(classifier.labels) if classifier else [],
        source_sha256={path.name: sha256_of(path) for path in (source / "config.json", weights_path, head) if path},
        seconds=round(time.monotonic() - started, 3),
        versions={"onnx": onnx.__version__, "numpy": np.__version__, "python": platform.python_version()},
    )
    tell(1.0, f"wrote {destination.name}: {report.bytes} bytes, {report.parameters} parameters")
    return report


def _weights_file(source: Path) -> Path:
    path = source / "model.safetensors"
    if path.is_file():
        return path
    if (source / "model.safetensors.index.json").is_file():
        raise ConversionRefused(
            "architecture-unsupported",
            f"{source.name} keeps its weights in several safetensors files, which this converter does not join yet.",
            "Save the model in one model.safetensors.",
        )
    pickled = next((name for name in ("pytorch_model.bin", "model.pt") if (source / name).is_file()), None)
    if pickled:
        raise ConversionRefused(
            "not-safetensors",
            f"{source.name} holds only {pickled}, a pickle, which is never loaded here: it can run code.",
            "Save the model as model.safetensors where it was trained.",
        )
    raise ConversionRefused(
        "file-missing", f"There is no model.safetensors in {source.name}.", "Give the whole model folder."
    )


def _build(
    store: WeightStore, weights: SafetensorsFile, config: BertConfig, head: Head | None, tell: Progress
) -> onnx.ModelProto:
    graph = Graph(store)
    builder = BertBuilder(graph, weights, config)
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


def _check(path: Path) -> None:
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConversionRefused(
            "onnx-invalid", f"The graph that was built is not valid ONNX: {reason}.", "Report this: it is a defect."
        ) from error

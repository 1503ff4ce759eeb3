"""Two models on the same inputs in ONNX Runtime: what a mended model must not change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from jobs.conversion.agreement import Disagreement, difference
from jobs.conversion.checks.inspection import Inspection
from jobs.conversion.checks.shapes import Shape
from jobs.conversion.errors import ConversionRefused

SEED = 7
RUNS = 2
TYPES: dict[str, Any] = {
    "float": np.float32, "float16": np.float16, "double": np.float64, "int64": np.int64, "int32": np.int32,
    "int8": np.int8, "uint8": np.uint8, "bool": np.bool_,
}  # fmt: skip
# A size that nothing names: small, and not the 1 that hides a wrong broadcast.
OPEN, SIDE = 4, 64


@dataclass(frozen=True)
class Trial:
    """``difference`` is the largest, relative to its output's largest value. ``told``: why it could not be tried."""

    runs: int
    difference: float
    told: str = ""


def compare(source: Path, result: Path, inspection: Inspection, shapes: dict[str, Shape]) -> Trial:
    """Runs both on made-up inputs. Raises ConversionRefused (`mend-changed`) where the outputs differ."""
    feeds = [_feed(inspection, shapes, np.random.default_rng(SEED + run)) for run in range(RUNS)]
    try:
        before = _run(source, feeds)
    except Exception as error:  # a model that ONNX Runtime does not run is no fault of what is done here
        return Trial(0, 0.0, f"ONNX Runtime does not run {source.name}: {' '.join(str(error).split())[:200]}")
    try:
        after = _run(result, feeds)
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise _changed(f"ONNX Runtime runs {source.name} and not the mended model: {said}") from error
    worst = 0.0
    for old, new in zip(before, after, strict=True):
        for name in old:
            try:
                worst = max(worst, difference(old[name], new[name]))
            except Disagreement as found:
                raise _changed(f"output {name} {found}") from found
    return Trial(RUNS, worst)


def _feed(inspection: Inspection, shapes: dict[str, Shape], chance: np.random.Generator) -> dict[str, NDArray[Any]]:
    sizes: dict[str, int] = {}
    feed = {}
    for port in inspection.inputs:
        asked = shapes.get(port.name, ())
        shape = []
        for place, size in enumerate(port.shape):
            given = asked[place] if place < len(asked) else size
            if not isinstance(given, int) or given < 1:
                usual = SIDE if len(port.shape) == 4 and place > 1 else OPEN
                given = sizes.get(size, usual) if isinstance(size, str) else usual
            if isinstance(size, str):
                sizes.setdefault(size, given)
            shape.append(given)
        kind = TYPES.get(port.type, np.float32)
        # 0 and 1 are an index, a mask and a length anywhere.
        whole = not np.issubdtype(kind, np.floating)
        values = chance.integers(0, 2, shape) if whole else chance.standard_normal(shape)
        feed[port.name] = values.astype(kind)
    return feed


def _run(path: Path, feeds: list[dict[str, NDArray[Any]]]) -> list[dict[str, NDArray[Any]]]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, map(np.asarray, session.run(names, feed)), strict=True)) for feed in feeds]


def _changed(what: str) -> ConversionRefused:
    return ConversionRefused(
        "mend-changed", f"The mended model would not compute the same: {what}.", "Leave out a step and try again."
    )

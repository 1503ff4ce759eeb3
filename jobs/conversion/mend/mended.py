"""The steps of mending in their order, and the file that comes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import onnx

from jobs.conversion.checks.inspection import Inspection, inspected, opset_of
from jobs.conversion.checks.shapes import Shape
from jobs.conversion.checks.structure import check_structure
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.files import BLOCK, sha256_of
from jobs.conversion.graph import ALIGNMENT, INLINE_LIMIT
from jobs.conversion.mend.fixed import fix_shapes
from jobs.conversion.mend.fold import fold
from jobs.conversion.mend.narrow import narrow
from jobs.conversion.mend.shapes import TensorShape, shape_report
from jobs.conversion.mend.trial import Trial, compare
from jobs.conversion.mend.version import converted
from jobs.conversion.skeleton import extent_of, nodes_of, point_at, read_skeleton, tensors_of
from jobs.conversion.writing import workplace

# Open shapes in a brief report; a large model has thousands of tensors.
SHOWN = 50


@dataclass(frozen=True)
class Wish:
    """What is to be done; nothing by itself. ``fix_shape`` as `parse_input_shape` gives it."""

    opset: int | None = None
    fold: bool = False
    int32: bool = False
    fix_shape: dict[str, Shape] = field(default_factory=dict)


@dataclass(frozen=True)
class MendReport:
    """What was done. ``shapes`` has every tensor of the result; ``open`` counts those with a size that is not fixed."""

    source: Inspection
    result: Inspection
    sha256: str
    fixed: int
    folded: int
    narrowed: int
    trial: Trial
    open: int
    shapes: list[TensorShape]

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self)

    def brief(self) -> dict[str, Any]:
        """The same with the shapes that are still open alone, the first ``SHOWN`` of them."""
        return {**self.to_json(), "shapes": [asdict(one) for one in self.shapes if one.open][:SHOWN]}


def mend(
    source: Path, destination: Path, wish: Wish, progress: Callable[[float, str], None] = lambda share, line: None
) -> MendReport:
    """Mends ``source`` into ``destination``, with weights beside it (``.data``) where one file does not hold them.

    Nothing is written unless the result computes what the source does. Raises ConversionRefused.
    """
    model = read_skeleton(source)
    before = inspected(model, source)
    check_structure(model, source.name)
    data = destination.with_name(f"{destination.name}.data")
    read = {source.resolve(), *((source.parent / name).resolve() for name in before.external_data)}
    if read & {destination.resolve(), data.resolve()}:
        raise ConversionRefused("output-is-input", "The output would overwrite what is read.", "Name another output.")
    fixed = fix_shapes(model, before, wish.fix_shape) if wish.fix_shape else 0
    if wish.opset is not None:
        model = converted(model, wish.opset, source.name)
        progress(0.2, f"opset {before.opset} -> {opset_of(model)}")
    _drop_unused_domains(model)
    folded = fold(model, source) if wish.fold else 0
    narrowed = narrow(model, source) if wish.int32 else 0
    progress(0.4, f"{fixed} sizes fixed, {folded} nodes folded, {narrowed} constants in int32")
    shapes = shape_report(model)
    size = sum(extent.length for tensor in tensors_of(model) if (extent := extent_of(tensor, source)) is not None)
    with workplace(destination, size + model.ByteSize()) as folder:
        written = folder / destination.name
        _write(model, source, written, inline=size + model.ByteSize() <= INLINE_LIMIT)
        progress(0.7, "written; trying both models")
        trial = compare(source, written, before, wish.fix_shape)
        beside = written.with_name(data.name)
        if beside.exists():
            beside.replace(data)
        written.replace(destination)
    progress(1.0, trial.told or f"the same in {trial.runs} runs (largest difference {trial.difference:.1e})")
    after = inspected(read_skeleton(destination), destination)
    still = sum(1 for one in shapes if one.open)
    return MendReport(before, after, sha256_of(destination), fixed, folded, narrowed, trial, still, shapes)


def _drop_unused_domains(model: onnx.ModelProto) -> None:
    """Takes out opset imports that nothing uses: `atc` takes a single one (E16005)."""
    used = {node.domain for node in nodes_of(model)} | {one.domain for one in model.functions}
    kept = [one for one in model.opset_import if one.domain in used | {"", "ai.onnx"}]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _write(model: onnx.ModelProto, source: Path, destination: Path, *, inline: bool) -> None:
    """The model with its weights, in it or beside it; block by block in the second case."""
    location = f"{destination.name}.data"
    stream = None if inline else destination.with_name(location).open("wb")
    try:
        for tensor in tensors_of(model):
            extent = extent_of(tensor, source)
            if extent is None:
                continue
            with extent.path.open("rb") as weights:
                weights.seek(extent.offset)
                if stream is None:
                    tensor.ClearField("external_data")
                    tensor.ClearField("data_location")
                    tensor.raw_data = weights.read(extent.length)
                    continue
                offset = -(-stream.tell() // ALIGNMENT) * ALIGNMENT
                stream.seek(offset)
                left = extent.length
                while left:
                    block = weights.read(min(BLOCK, left))
                    stream.write(block)
                    left -= len(block)
                point_at(tensor, location, offset, extent.length)
    finally:
        if stream is not None:
            stream.close()
    destination.write_bytes(model.SerializeToString())

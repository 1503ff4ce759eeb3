"""Checks of an ONNX model before a machine is bothered with it: ``python -m jobs.conversion.checks MODEL.onnx``.

What `atc` would refuse after minutes is refused here at once, with the mend. Each function is pure but for `inspect`,
which reads the model's file.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from jobs.conversion.cann import UNREADABLE, check_soc, opset_range, soc_version_of
from jobs.conversion.commandline import Parser, carry_out
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.skeleton import read_skeleton, tensors_of

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Port:
    """An input or output; a dimension is a number, a name where it is free, or None where nothing is known."""

    name: str
    type: str
    shape: list[int | str | None]

    @property
    def free(self) -> bool:
        """Whether a dimension is left open."""
        return any(not isinstance(size, int) for size in self.shape)


@dataclass(frozen=True)
class Inspection:
    """What an ONNX model is. `operators` counts nodes by domain and type; `domains` are those with an opset."""

    name: str
    bytes: int
    opset: int
    ir_version: int
    producer: str
    inputs: list[Port]
    outputs: list[Port]
    operators: dict[str, int]
    domains: list[str]
    external_data: list[str]


@dataclass(frozen=True)
class CheckReport:
    """An inspection, what was checked against, and what is no reason to stop but worth a look."""

    model: Inspection
    cann: dict[str, Any] | None
    input_shape: str | None
    soc_version: str | None
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self)


def inspect(path: Path) -> Inspection:
    """Reads the model's graph, not its weights. Raises what `read_skeleton` does."""
    model = read_skeleton(path)
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    beside = {
        entry.value
        for tensor in tensors_of(model)
        for entry in tensor.external_data
        if entry.key == "location" and entry.value != path.name
    }
    return Inspection(
        name=path.name,
        bytes=path.stat().st_size + sum((path.parent / name).stat().st_size for name in beside),
        opset=opset_of(model),
        ir_version=model.ir_version,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        inputs=[_port(value) for value in graph.input if value.name not in stored],
        outputs=[_port(value) for value in graph.output],
        operators=dict(sorted(Counter(f"{node.domain or 'ai.onnx'}::{node.op_type}" for node in graph.node).items())),
        domains=sorted({entry.domain or "ai.onnx" for entry in model.opset_import}),
        external_data=sorted(beside),
    )


def opset_of(model: onnx.ModelProto) -> int:
    """The opset of ONNX's own domain; 1 where the model names none, as the standard has it."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    sizes: list[int | str | None] = [
        size.dim_value if size.HasField("dim_value") else size.dim_param or None for size in tensor.shape.dim
    ]
    return Port(value.name, TensorProto.DataType.Name(tensor.elem_type).lower(), sizes)


def check_opset(model: Inspection, cann: str) -> list[str]:
    """Warnings about the opset against a CANN version. Raises `opset-unsupported`, `cann-version`."""
    known = opset_range(cann)
    if known.lowest <= model.opset <= known.highest:
        return []
    said = f"{model.name} is opset {model.opset}; CANN {known.documented_for} reads {known.lowest} to {known.highest}"
    if not known.exact:
        return [f"{said}. What CANN {cann} reads was not found: expect atc to refuse it."]
    nearest = min(max(model.opset, known.lowest), known.highest)
    raise ConversionRefused("opset-unsupported", f"{said}.", f"Export the model with opset {nearest}.")


def check_operators(model: Inspection) -> None:
    """Refuses what atc is known to have no parser for. Raises `operator-unsupported`, `domains-unsupported`."""
    unread = [name for name in model.operators if name.removeprefix("ai.onnx::") in UNREADABLE]
    if unread:
        raise ConversionRefused(
            "operator-unsupported",
            f"atc has no parser for {', '.join(unread)}, which {model.name} uses.",
            "Convert the model as it was before, or quantize it with int8-weight in its plain form, which atc reads.",
        )
    if len(model.domains) > 1:
        raise ConversionRefused(
            "domains-unsupported",
            f"{model.name} has opsets of several domains ({', '.join(model.domains)}); atc takes one (E16005).",
            "Export the model with ONNX's own operators, and drop the opset imports that nothing uses.",
        )


def parse_input_shape(text: str) -> dict[str, Shape]:
    """``input_ids:1,64;attention_mask:1,64`` as sizes by input, as atc reads it. Raises `input-shape`."""
    shapes: dict[str, Shape] = {}
    for part in filter(None, (part.strip() for part in text.strip().strip('"').split(";"))):
        # A name may hold a colon itself: TensorFlow's do.
        name, colon, sizes = part.rpartition(":")
        try:
            shape = tuple(int(size) for size in sizes.split(",")) if sizes.strip() else ()
        except ValueError:
            shape = (0,)
        if not colon or not name.strip() or any(size == 0 or size < -1 for size in shape) or name.strip() in shapes:
            raise ConversionRefused(
                "input-shape",
                f"--input_shape cannot be read at {part!r}.",
                'Write it as "name:1,64;other:1,64", each input once, -1 for a size that varies.',
            )
        shapes[name.strip()] = shape
    if not shapes:
        raise ConversionRefused("input-shape", "--input_shape is empty.", 'Write it as "name:1,64;other:1,64".')
    return shapes


def check_inputs(model: Inspection, shapes: dict[str, Shape], *, dynamic: bool = False) -> None:
    """Holds asked shapes against the model's inputs; `dynamic` when atc gets one of its --dynamic flags as well.

    Raises `input-unknown`, `input-missing`, `input-rank`, `input-size`, `input-dynamic`.
    """
    known = {port.name: port for port in model.inputs}
    names = ", ".join(known) or "none"
    for name, shape in shapes.items():
        port = known.get(name)
        if port is None:
            raise ConversionRefused(
                "input-unknown",
                f"{model.name} has no input {name!r}; its inputs are {names}.",
                "Use the model's own input names in --input_shape.",
            )
        if port.shape and len(shape) != len(port.shape):
            raise ConversionRefused(
                "input-rank",
                f"Input {name} of {model.name} has {len(port.shape)} dimensions {port.shape} and --input_shape gives "
                f"it {len(shape)}.",
                f"Give {len(port.shape)} sizes for {name}.",
            )
        if -1 in shape and not dynamic:
            raise ConversionRefused(
                "input-dynamic",
                f"--input_shape leaves a size of {name} open (-1) and nothing says which sizes it may take.",
                "Give a fixed size, or --dynamic_batch_size or --dynamic_dims as well.",
            )
        for asked, own in zip(shape, port.shape, strict=False):
            if isinstance(own, int) and asked not in (own, -1) and own > 0:
                raise ConversionRefused(
                    "input-size",
                    f"Input {name} of {model.name} is {port.shape} and --input_shape asks for {list(shape)}.",
                    "Keep the sizes that the model fixes, or export it with free ones.",
                )
    missing = [name for name, port in known.items() if port.free and name not in shapes]
    if missing:
        raise ConversionRefused(
            "input-missing",
            f"--input_shape says nothing of {', '.join(missing)}; the inputs of {model.name} are {names}.",
            "Name every input whose size the model leaves open.",
        )


def check_model(
    path: Path,
    *,
    input_shape: str | None = None,
    cann: str | None = None,
    soc_version: str | None = None,
    npu_name: str | None = None,
    dynamic: bool = False,
) -> CheckReport:
    """Every check for which there is something to check against. Raises ConversionRefused."""
    model = inspect(path)
    warnings = check_opset(model, cann) if cann else []
    if cann:
        check_operators(model)
    if input_shape is not None:
        check_inputs(model, parse_input_shape(input_shape), dynamic=dynamic)
    if npu_name:
        soc_version = check_soc(soc_version, npu_name) if soc_version else soc_version_of(npu_name)
    elif soc_version:
        soc_version = soc_version_of(soc_version)
    foreign = [name for name in model.operators if not name.startswith("ai.onnx::")]
    if foreign:
        warnings.append(f"Operators outside ONNX: {', '.join(foreign)}. atc needs a parser for each (E19010).")
    return CheckReport(model, asdict(opset_range(cann)) if cann else None, input_shape, soc_version, warnings)


def main() -> int:
    parser = Parser(prog="python -m jobs.conversion.checks", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--input_shape", "--input-shape", help='"input_ids:1,64;attention_mask:1,64"')
    parser.add_argument("--cann", help="version of CANN on the machine, 8.0.0 for example")
    parser.add_argument("--soc_version", "--soc-version", help="what atc is to be told, Ascend910A for example")
    parser.add_argument("--npu-name", help="the chip's name as npu-smi shows it")
    parser.add_argument("--dynamic", action="store_true", help="atc gets one of its --dynamic flags")
    parser.add_argument("--json", action="store_true", help="the last line is the report as JSON")
    given = parser.parse_args()

    def work() -> dict[str, Any]:
        return check_model(
            given.model,
            input_shape=given.input_shape,
            cann=given.cann,
            soc_version=given.soc_version,
            npu_name=given.npu_name,
            dynamic=given.dynamic,
        ).to_json()

    return carry_out(work, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())

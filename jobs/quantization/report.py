"""What a quantization did, in figures."""

from __future__ import annotations

import hashlib
import platform
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

from jobs.conversion.files import sha256_of
from jobs.quantization.budget import Budget
from jobs.quantization.calibration.pictures import Preprocessing
from jobs.quantization.calibration.told import Calibrated
from jobs.quantization.choice import Chosen, Left
from jobs.quantization.kernel import Result
from jobs.quantization.measure import Agreement, Latency
from jobs.quantization.methods.fitted import Fitted
from jobs.quantization.options import Options

EXAMPLES = 3
# A log's last line should stay readable: with more layers than this, only those that lost most are in it.
WORST = 60


@dataclass(frozen=True)
class Layer:
    """One quantized weight. `kind` is the operator that reads it; `axis` the one that has a scale for each index.

    `bits` of a value; `block`: how many share a scale, of int8 all of an index of `axis` (null). `method` made the 4
    bits; it is another than was asked for where `warnings` say why. `snr_db` is of the values: GPTQ spends it on the
    outputs.
    `sensitivity`: what it alone takes from the outputs' cosine, where a budget made that a question.
    """

    name: str
    kind: str
    shape: list[int]
    axis: int
    type: str
    bytes_before: int
    bytes_after: int
    snr_db: float
    bits: int = 8
    block: int | None = None
    method: str | None = None
    sensitivity: float | None = None


@dataclass(frozen=True)
class Group:
    """The quantized weights of one class together; `bits` are those that its values have now."""

    kind: str
    bits: list[int]
    tensors: int
    bytes_before: int
    bytes_after: int
    ratio: float


@dataclass(frozen=True)
class Remainder:
    """Tensors that were left as they are for one reason; the largest few by name."""

    reason: str
    tensors: int
    bytes: int
    largest: list[str]


@dataclass(frozen=True)
class Report:
    """All of it. `ratio` is the whole model's, `weights_ratio` that of what was quantized alone.

    `bytes_resumed` of the source's tensors were finished by a run that was killed. `gb_per_s` is the source's other
    bytes over `quantize_seconds`, which is reading, quantizing and writing without hashes
    and measurements. `peak_rss_mb` is the process's highest memory until the measurements began. `parameters` are the
    settings that were asked for; `samples_sha256` are those of the calibration file and the profile, by name.
    """

    scheme: str
    form: str
    source: str
    destination: str
    bytes_before: int
    bytes_after: int
    ratio: float
    weights_bytes_before: int
    weights_bytes_after: int
    weights_ratio: float
    opset: int
    tensors_quantized: int
    tensors_left: int
    groups: list[Group]
    left: list[Remainder]
    layers: list[Layer]
    integer_products: int
    calibration: Calibrated | None
    agreement: Agreement
    budget: Budget | None
    fitted: Fitted | None
    latency: Latency | None
    source_sha256: dict[str, str]
    sha256: str
    external_data: str | None
    external_sha256: str | None
    parameters: dict[str, Any]
    samples_sha256: dict[str, str]
    seconds: float
    quantize_seconds: float
    gb_per_s: float
    bytes_resumed: int
    threads: int
    peak_rss_mb: int
    warnings: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def to_json(self, worst: int | None = None) -> dict[str, Any]:
        """The report as plain JSON values, with the `worst` layers only when that is given and there are more."""
        values = asdict(self)
        if worst is not None and len(self.layers) > worst:
            values["layers"] = sorted(values["layers"], key=_worth)[:worst]
        if worst is not None and self.budget:
            values["budget"]["kept"] = values["budget"]["kept"][:worst]
        if worst is not None and self.calibration:
            values["calibration"]["activations"] = values["calibration"]["activations"][:worst]
        return values


def _worth(layer: dict[str, Any]) -> tuple[float, float]:
    return -(layer["sensitivity"] or 0.0), layer["snr_db"]


def layers_of(
    done: list[tuple[Chosen, Result]],
    size: Callable[[Chosen], int],
    sensitivity: Mapping[str, float],
    method: str,
    unfit: Mapping[str, str],
) -> list[Layer]:
    """A line for each weight that was made; `size` is what it takes now, `method` made 4 bits of all but `unfit`."""
    return [
        Layer(
            name=w.name,
            kind=w.kind,
            shape=list(w.shape),
            axis=w.axis,
            type=str(TensorProto.DataType.Name(w.tensor.data_type)).lower(),
            bytes_before=w.bytes,
            bytes_after=size(w),
            snr_db=result.snr_db,
            bits=4 if w.blocks else 8,
            block=w.blocks.size if w.blocks else None,
            method=("hqq" if w.name in unfit else method) if w.blocks else None,
            sensitivity=sensitivity.get(w.name),
        )
        for w, result in done
    ]


def groups_of(layers: list[Layer]) -> list[Group]:
    """Layers summed by class."""
    by_kind: dict[str, list[Layer]] = defaultdict(list)
    for layer in layers:
        by_kind[layer.kind].append(layer)
    return [
        Group(
            kind,
            sorted({layer.bits for layer in some}),
            len(some),
            before := sum(layer.bytes_before for layer in some),
            after := sum(layer.bytes_after for layer in some),
            ratio(before, after),
        )
        for kind, some in sorted(by_kind.items())
    ]


def remainders_of(left: list[Left]) -> list[Remainder]:
    """What was left, by reason, the largest share first."""
    by_reason: dict[str, list[Left]] = defaultdict(list)
    for one in left:
        by_reason[one.reason].append(one)
    rows = [
        Remainder(
            reason,
            len(some),
            sum(one.bytes for one in some),
            [one.name for one in sorted(some, key=lambda one: -one.bytes)[:EXAMPLES]],
        )
        for reason, some in by_reason.items()
    ]
    return sorted(rows, key=lambda row: -row.bytes)


def parameters_of(options: Options) -> dict[str, Any]:
    """The settings as plain JSON values; of a file its name, of what pictures become its words."""
    values = {one.name: getattr(options, one.name) for one in fields(options)}
    return {
        name: value.name if isinstance(value, Path) else str(value) if isinstance(value, Preprocessing) else value
        for name, value in values.items()
    }


def hashes_of(*paths: Path | None) -> dict[str, str]:
    """SHA-256 by name; a folder's is over the lines that sha256sum prints of its files, sorted by name."""
    return {path.name: _hash_of(path) for path in paths if path is not None}


def _hash_of(path: Path) -> str:
    if not path.is_dir():
        return sha256_of(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = (f"{sha256_of(file)}  {file.relative_to(path).as_posix()}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def ratio(before: int, after: int) -> float:
    """How many times smaller."""
    return round(before / after, 3) if after else 0.0


def versions() -> dict[str, str]:
    """The versions of what takes part in the result."""
    return {
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }

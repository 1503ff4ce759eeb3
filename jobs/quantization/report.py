"""What a quantization did, in figures."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

from jobs.quantization.choice import Chosen, Left
from jobs.quantization.kernel import Result
from jobs.quantization.measure import Agreement, Latency

EXAMPLES = 3


@dataclass(frozen=True)
class Layer:
    """One quantized weight. `kind` is the operator that reads it; `axis` the one that has a scale for each index."""

    name: str
    kind: str
    shape: list[int]
    axis: int
    type: str
    bytes_before: int
    bytes_after: int
    snr_db: float


@dataclass(frozen=True)
class Group:
    """The quantized weights of one class together."""

    kind: str
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

    `gb_per_s` is the source's bytes over `quantize_seconds`, which is reading, quantizing and writing without hashes
    and measurements. `peak_rss_mb` is the process's highest memory until the measurements began.
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
    agreement: Agreement
    latency: Latency | None
    source_sha256: dict[str, str]
    sha256: str
    external_data: str | None
    external_sha256: str | None
    seconds: float
    quantize_seconds: float
    gb_per_s: float
    threads: int
    peak_rss_mb: int
    warnings: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def to_json(self, worst: int | None = None) -> dict[str, Any]:
        """The report as plain JSON values, with the `worst` layers only when that is given and there are more."""
        values = asdict(self)
        if worst is not None and len(self.layers) > worst:
            values["layers"] = sorted(values["layers"], key=lambda layer: layer["snr_db"])[:worst]
        return values


def layers_of(done: list[tuple[Chosen, Result, int, str]]) -> list[Layer]:
    """A line for each weight, from (weight, result, bytes after, type)."""
    return [
        Layer(w.name, w.kind, list(w.shape), w.axis, kind, w.bytes, after, result.snr_db)
        for w, result, after, kind in done
    ]


def groups_of(layers: list[Layer]) -> list[Group]:
    """Layers summed by class."""
    by_kind: dict[str, list[Layer]] = defaultdict(list)
    for layer in layers:
        by_kind[layer.kind].append(layer)
    return [
        Group(
            kind,
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


def ratio(before: int, after: int) -> float:
    """How many times smaller."""
    return round(before / after, 3) if after else 0.0

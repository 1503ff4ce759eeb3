"""A calibration as the report has it."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.quantization.calibration.ranges import Calibration
from jobs.quantization.samples import Samples


@dataclass(frozen=True)
class Activation:
    """A tensor that is rounded to uint8: from `low` to `high` in 255 steps of `scale`; `seen_*` on the samples.

    `clipped`: the share of what was seen that lies outside, of the longer side; 0 for minmax.
    """

    name: str
    low: float
    high: float
    scale: float
    zero_point: int
    seen_low: float
    seen_high: float
    clipped: float


@dataclass(frozen=True)
class Calibrated:
    """What was calibrated, how and on what. `activations` are sorted by what is clipped, most first.

    `pictures`: how pictures became numbers. `left_out`: tensors without a range, whose products stay float.
    """

    method: str
    percentile: float | None
    on: str
    samples: int
    pictures: str | None
    tensors: int
    left_out: list[str]
    activations: list[Activation]


def told(calibration: Calibration | None, samples: Samples) -> Calibrated | None:
    """The report of it; None where nothing was calibrated."""
    if calibration is None:
        return None
    activations = [
        Activation(
            name=name,
            low=one.low,
            high=one.high,
            scale=float(one.scale),
            zero_point=int(one.zero_point),
            seen_low=one.seen_low,
            seen_high=one.seen_high,
            clipped=round(1 - max(-one.low, one.high) / max(-one.seen_low, one.seen_high, one.high, 1e-30), 4),
        )
        for name, one in calibration.ranges.items()
    ]
    return Calibrated(
        method=calibration.method,
        percentile=calibration.percentile,
        on=calibration.on,
        samples=calibration.samples,
        pictures=samples.pictures,
        tensors=len(activations),
        left_out=calibration.left_out,
        activations=sorted(activations, key=lambda one: -one.clipped),
    )

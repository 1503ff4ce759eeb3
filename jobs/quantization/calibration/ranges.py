"""The range of each activation, and the uint8 steps that it is cut into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jobs.quantization.calibration.capture import capture, groups_of
from jobs.quantization.calibration.limits import METHODS, limits
from jobs.quantization.calibration.observer import Observer
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.samples import Samples

if TYPE_CHECKING:
    from jobs.quantization.journal import Journal
    from jobs.quantization.options import Options

# The largest uint8. Not int8: on x86 ONNX Runtime makes those uint8, but not where several products read the same.
STEPS = 255
Tell = Callable[[float, str], None]


@dataclass(frozen=True)
class Range:
    """Of one tensor: what its uint8 steps reach from and to, 0 among them, what was seen, and how many axes it has."""

    low: float
    high: float
    seen_low: float
    seen_high: float
    rank: int

    @property
    def scale(self) -> np.float32:
        """The width of a step; 1 for a tensor that is always 0."""
        width = np.float32((self.high - self.low) / STEPS)
        return width if np.isfinite(width) and width > np.finfo(np.float32).tiny else np.float32(1)

    @property
    def zero_point(self) -> np.uint8:
        """The step that stands for 0. Above 0 values below 0 have steps of their own."""
        return np.uint8(np.clip(np.rint(-self.low / float(self.scale)), 0, STEPS))


@dataclass(frozen=True)
class Calibration:
    """What int8-static took from its samples. `percentile` only where that is the method.

    `left_out` are tensors that hold NaN or infinity, or nothing, on some sample: what reads them is not quantized.
    """

    method: str
    percentile: float | None
    on: str
    samples: int
    ranges: dict[str, Range]
    left_out: list[str]

    def doubts(self) -> list[str]:
        """What a reader should know."""
        if not self.left_out:
            return []
        names = ", ".join(self.left_out[:3])
        return [f"{len(self.left_out)} activations hold NaN, infinity or nothing and stay float: {names}."]


def refuse_method(method: str, percentile: float) -> None:
    """Raises QuantizationRefused (`calibration-method`) for a method or a share that there is not."""
    if method not in METHODS:
        raise QuantizationRefused(
            "calibration-method", f"There is no way to calibrate {method!r}.", f"Choose {' or '.join(METHODS)}."
        )
    if not 50 < percentile <= 100:
        raise QuantizationRefused(
            "calibration-method",
            f"A percentile of {percentile:g} keeps too little, or more than all.",
            "Give the per cent of the values that the range holds, over 50 and up to 100: 99.99.",
        )


def calibrated(
    journal: Journal, path: Path, names: Sequence[str], samples: Samples, options: Options, tell: Tell
) -> Calibration:
    """As `calibrate`, once: a run that goes on after a kill takes what the journal has.

    Raises QuantizationRefused: `calibration-failed` when there are activations and none has a range.
    """
    if journal.calibration is None:
        found = calibrate(path, names, samples, options.calibrate, options.percentile, tell)
        journal.calibrated(asdict(found))
    else:
        known = journal.calibration
        found = Calibration(**{**known, "ranges": {name: Range(**one) for name, one in known["ranges"].items()}})
    if found.left_out and not found.ranges:
        raise QuantizationRefused(
            "calibration-failed",
            f"No activation of {path.name} is finite on {samples.origin}.",
            "Look at the samples' preprocessing; the model itself gives NaN or infinity on them.",
        )
    return found


def calibrate(
    path: Path, names: Sequence[str], samples: Samples, method: str, percentile: float, tell: Tell
) -> Calibration:
    """Runs the original `path` on all samples and gives the range of each named tensor of its main graph.

    Only as many tensors are in memory at once as `groups_of` allows; there is a pass over the samples for each such
    group. `tell` gets a share and a line. Raises QuantizationRefused: `model-unrunnable`.
    """
    observers = {name: Observer(counting=method != "minmax") for name in names}
    groups = groups_of(path, names, samples.feeds[0]) if names else []
    rows = len(samples.feeds)
    for number, group in enumerate(groups):
        for row, values in enumerate(capture(path, group, samples), start=1):
            for name, value in values.items():
                observers[name].add(value)
            share = (number + row / rows) / len(groups)
            if row == rows or row % 16 == 0:
                tell(share, f"calibrating: {row} of {rows} samples, part {number + 1} of {len(groups)}")
    good = {name: one for name, one in observers.items() if one.finite and one.count}
    return Calibration(
        method=method,
        percentile=percentile if method == "percentile" else None,
        on=samples.origin,
        samples=rows,
        ranges={name: _range(one, method, percentile) for name, one in good.items()},
        left_out=[name for name in names if name not in good],
    )


def _range(observer: Observer, method: str, percentile: float) -> Range:
    low, high = limits(observer, method, percentile)
    return Range(min(low, 0.0), max(high, 0.0), observer.low, observer.high, observer.rank)

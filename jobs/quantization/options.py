"""What one quantization is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jobs.conversion.graph import INLINE_LIMIT
from jobs.quantization.calibration.pictures import UNIT, Preprocessing


@dataclass(frozen=True, kw_only=True)
class Options:
    """The settings of a run beside its files and its scheme. Each has a default that suits most models.

    `calibration` is a .jsonl of texts (then `profile` says how they are tokenized), an .npz of inputs, a .png, or a
    folder or zip archive of such (`pictures` is for PNGs); both models are compared on it, or on made-up inputs
    without it. int8-static takes its activations' ranges from it, by `calibrate` (minmax, percentile, which keeps
    `percentile` per cent, or entropy); with `reduce_range` its weights have 7 bits, which saturates on no processor.
    `threads` is 0 for one a core. Weights over `inline_limit` bytes go beside the model. `form` is how a weight becomes
    float again; empty is the scheme's first. Of int8:
    `plain` for atc and every runtime, `dequantize` for those that look for DequantizeLinear. Of int4: `nbits` for ONNX
    Runtime, `dequantize` for standard ONNX of opset 21. `block` values (32, 64, 128) of int4 share a scale, and with
    `zero_points` a zero point; `method` is how they are rounded: `rtn` to the nearest step, `hqq` on steps that suit
    the values better, `gptq` as the inputs in `calibration` ask, in `memory_mib` for what it knows of them.
    Without `measure` neither model is run. `budget` is the share of accuracy (of agreement
    where no answers are known) that may be lost, from 0 to below 1: weights stay above the scheme until it holds.
    """

    calibration: Path | None = None
    profile: Path | None = None
    threads: int = 0
    inline_limit: int = INLINE_LIMIT
    measure: bool = True
    form: str = ""
    block: int = 128
    zero_points: bool = False
    method: str = "rtn"
    memory_mib: int = 2048
    budget: float | None = None
    calibrate: str = "minmax"
    percentile: float = 99.99
    reduce_range: bool = False
    pictures: Preprocessing = UNIT

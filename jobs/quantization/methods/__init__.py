"""How a weight's values find their 4 bits: to the nearest step, on better steps (HQQ), or as inputs ask (GPTQ)."""

from __future__ import annotations

from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.options import Options

METHODS = ("rtn", "hqq", "gptq")


def refuse_method(options: Options, scheme: str) -> None:
    """Raises QuantizationRefused: `scheme-unknown` for a scheme without methods, `calibration-needed`."""
    method = options.method
    if method != "rtn" and scheme != "int4":
        raise QuantizationRefused(
            "scheme-unknown",
            f"{scheme} has no method {method}: only int4 has methods.",
            "Leave --method out, or take --scheme int4.",
        )
    if method == "gptq" and not options.calibration:
        raise QuantizationRefused(
            "calibration-needed",
            "GPTQ corrects rounding by what the layers' inputs are on real samples, and no calibration is given.",
            "Give --calibration FILE, or take --method hqq, which needs none.",
        )

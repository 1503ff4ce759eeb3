"""Which opset a scheme needs of a model."""

from __future__ import annotations

from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.fourbit import BLOCKED_OPSET

# Before it Mul does not fit one shape to another by itself.
OLDEST = 7
# DynamicQuantizeLinear came with it.
DYNAMIC_OPSET = 11


def refuse_old(name: str, opset: int, scheme: str, form: str) -> None:
    """Raises QuantizationRefused (`opset-too-old`) where the model lacks what the scheme or its form writes."""
    if opset < OLDEST:
        raise QuantizationRefused(
            "opset-too-old",
            f"{name} is opset {opset}; opset {OLDEST} is the oldest that is quantized.",
            "Go there: python -m jobs.conversion.mend --opset 13.",
        )
    if scheme == "int8-dynamic" and opset < DYNAMIC_OPSET:
        raise QuantizationRefused(
            "opset-too-old",
            f"{name} is opset {opset}; int8-dynamic needs operators of opset {DYNAMIC_OPSET}.",
            "Take int8-weight, which has no such need, or go there: python -m jobs.conversion.mend --opset 13.",
        )
    if scheme == "int4" and form == "dequantize" and opset < BLOCKED_OPSET:
        raise QuantizationRefused(
            "opset-too-old",
            f"{name} is opset {opset}; DequantizeLinear has blocks from opset {BLOCKED_OPSET} on.",
            "Take the form nbits, which has no such need, or go there: python -m jobs.conversion.mend --opset 21.",
        )

"""Smaller models with proven answers. Pure: numpy, onnx, and ONNX Runtime to measure with; no Django, no torch.

`quantize` takes an ONNX file to another one and says in its `Report` what that cost in bytes and in agreement.
"""

from jobs.quantization.options import Options
from jobs.quantization.quantizer import quantize
from jobs.quantization.report import Report
from jobs.quantization.rewrite import SCHEMES

__all__ = ["SCHEMES", "Options", "Report", "quantize"]

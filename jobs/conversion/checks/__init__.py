"""Checks of an ONNX model before a machine is bothered with it: ``python -m jobs.conversion.checks MODEL.onnx``.

What `atc` would refuse after minutes is refused here at once, with the mend. Each function is pure but for `inspect`
and `check_model`, which read the model's file.
"""

from jobs.conversion.cann import soc_version_of
from jobs.conversion.checks.inspection import Inspection, Port, inspect, opset_of
from jobs.conversion.checks.model import CheckReport, check_model
from jobs.conversion.checks.operators import check_operators, check_opset
from jobs.conversion.checks.profiles import Profiles, check_axes, check_profiles, read_profiles
from jobs.conversion.checks.shapes import check_inputs, parse_input_shape

__all__ = [
    "CheckReport",
    "Inspection",
    "Port",
    "Profiles",
    "check_axes",
    "check_inputs",
    "check_model",
    "check_operators",
    "check_opset",
    "check_profiles",
    "inspect",
    "opset_of",
    "parse_input_shape",
    "read_profiles",
    "soc_version_of",
]

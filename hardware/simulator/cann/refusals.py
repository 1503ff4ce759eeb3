"""ATC's refusals: a code, a message, a solution."""

from __future__ import annotations

import os
from datetime import datetime

RUN_FAILED = "ATC run failed, Please check the detail log, Try 'atc --help' for more information"
_AGAIN = "Try again with a valid argument."
_USAGE = 'Run the "atc -h" command to view the usage. For details, see ATC Instructions.'
_SHAPE = (
    "1. In static shape scenarios, set the shape values in [--input_shape] to positive integers. 2. In dynamic shape "
    "scenarios, add the related dynamic-input option in your command line, such as [--dynamic_batch_size], "
    "[--dynamic_image_size], or [--dynamic_dims]."
)


class AtcRefused(Exception):
    """What ends a conversion. `traceback` are the lines under ATC's own heading of that name."""

    def __init__(self, code: str, message: str, solution: str = "", traceback: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.solution = solution
        self.traceback = traceback

    def text(self) -> str:
        """As CANN 8 prints it: code, process, time, message."""
        now = datetime.now()
        stamp = (
            f"[PID: {os.getpid()}] {now:%Y-%m-%d-%H:%M:%S}.{now.microsecond // 1000:03d}.{now.microsecond % 1000:03d}"
        )
        lines = [f"{self.code}: {stamp} {self.message}"]
        if self.code == "E19999":
            lines.insert(0, "E19999: Inner Error!")
        if self.solution:
            lines.append(f"        Solution: {self.solution}")
        if self.traceback:
            lines.append("        TraceBack (most recent call last):")
            lines += [f"        {line}" for line in self.traceback]
        return "\n".join(lines)


def empty(parameter: str) -> AtcRefused:
    return AtcRefused(
        "E10054",
        f"The requied parameter [--{parameter}] for ATC is empty. Another possible reason is that the value of some "
        'parameter is not enclosed by quotation marks ("").',
    )


def invalid(parameter: str, value: str, reason: str) -> AtcRefused:
    return AtcRefused("E10001", f"Value [{value}] for parameter [{parameter}] is invalid. Reason: {reason}", _AGAIN)


def no_such_value(parameter: str, value: str) -> AtcRefused:
    return AtcRefused("E10014", f"Value [{value}] for parameter [--{parameter}] is invalid.", _USAGE)


def framework() -> AtcRefused:
    return AtcRefused(
        "E10007",
        "[--framework] is required. The value must be [0(Caffe) or 1(MindSpore) or 3(TensorFlow) or 5(Onnx)].",
    )


def shape_format(value: str, reason: str) -> AtcRefused:
    return AtcRefused(
        "E10002",
        f"Value [{value}] for parameter [--input_shape] is invalid. Reason: {reason}. The value must be formatted as "
        '["input_name1:n1,c1,h1,w1"].',
        "The valid format is input_name1:n1,c1,h1,w1;input_name2:n2,c2,h2,w2. Replace input_name with node names. "
        "Ensure that the shape values are integers.",
    )


def shape_value(shape: str, size: int) -> AtcRefused:
    return AtcRefused(
        "E10011",
        f"Value [{shape}] for parameter [--input_shape] is invalid. Shape values must be positive integers. The error "
        f"value in the shape is [{size}].",
        _SHAPE,
    )


def unknown_input(name: str) -> AtcRefused:
    return AtcRefused(
        "E10016",
        f"Opname [{name}] specified in [--input_shape] is not found in the model. Confirm whether this node name "
        "exists, or the node is not split with the specified delimiter ';'.",
        "Specify the name of an existing node in the graph.",
    )


def exclusive() -> AtcRefused:
    return AtcRefused(
        "E10009",
        "[--dynamic_batch_size], [--dynamic_image_size], [--input_shape_range], and [--dynamic_dims] are mutually "
        "exclusive.",
        "1. In dynamic shape scenarios, include only one of these options in your command line. 2. In static shape "
        "scenarios, remove these options from your command line.",
    )


def both(first: str, second: str) -> AtcRefused:
    return AtcRefused("E10056", f"Cannot configure both parameters [--{first}] and [--{second}] simultaneously.")


def no_parser(nodes: list[tuple[str, str]]) -> AtcRefused:
    """`nodes` are names and operator types, such as `ai.onnx::13::DequantizeLinear`."""
    lines = [f"No parser is registered for Op [{name}, optype [{kind}]]." for name, kind in nodes]
    return AtcRefused(
        "E19010",
        lines[0],
        "Check the version of the installation package and reinstall the package. For details, see the operator "
        "specifications.",
        tuple(lines[1:20]),
    )


def inner(message: str, *traceback: str) -> AtcRefused:
    return AtcRefused("E19999", message, traceback=traceback)

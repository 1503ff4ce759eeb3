"""The command line's options about samples and ranges."""

from __future__ import annotations

import argparse

from jobs.quantization.calibration.limits import METHODS
from jobs.quantization.calibration.pictures import Preprocessing


def add_flags(parser: argparse.ArgumentParser) -> None:
    """How activations are calibrated, and how a PNG becomes a model's input."""
    add = parser.add_argument
    add("--calibrate", default="minmax", help=f"int8-static: {' or '.join(METHODS)}")
    add("--percentile", type=float, default=99.99, help="int8-static: per cent of the values that a range holds")
    add("--reduce-range", action="store_true", help="int8-static: 7 bits for weights, for x86 without VNNI")
    add("--scale", type=float, default=1 / 255, help="pictures: (pixel * scale - mean) / std; 1/255")
    add("--mean", type=_numbers, default=(0.0,), help="pictures: one number, or one a channel: 0.485,0.456,0.406")
    add("--std", type=_numbers, default=(1.0,), help="pictures: one number, or one a channel: 0.229,0.224,0.225")
    add("--bgr", action="store_true", help="pictures: blue first, as OpenCV reads them")
    add("--size", type=_size, help="pictures: HEIGHT,WIDTH of a model that leaves them open")


def pictures_of(given: argparse.Namespace) -> Preprocessing:
    """What was said about pictures."""
    return Preprocessing(scale=given.scale, mean=given.mean, std=given.std, bgr=given.bgr, size=given.size)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _size(text: str) -> tuple[int, int]:
    height, width = (int(part) for part in text.split(","))
    if height < 1 or width < 1:
        raise ValueError(text)
    return height, width


# argparse names a type in its refusal.
_numbers.__name__, _size.__name__ = "list of numbers", "size"

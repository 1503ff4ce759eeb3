"""Where a model that is quantized comes from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import onnx

from jobs.conversion.skeleton import extent_of, tensors_of
from jobs.quantization.measure import Agreement, Latency, compare, runnable
from jobs.quantization.samples import Samples
from jobs.quantization.written import Written


class Origin:
    """An ONNX file whose weights lie where it says. `told` is what the report calls it.

    `mark` stands for whatever decides about the weights beside the files' bytes.
    """

    mark = ""

    def __init__(self, model: Path) -> None:
        self.model = model
        self.told = str(model)

    def files(self, skeleton: onnx.ModelProto) -> list[Path]:
        """The files that are read, which no output may overwrite."""
        extents = (extent_of(tensor, self.model) for tensor in tensors_of(skeleton))
        return sorted({self.model} | {extent.path for extent in extents if extent})

    def bytes(self, skeleton: onnx.ModelProto) -> int:
        """What the model takes before it is quantized."""
        return sum(path.stat().st_size for path in self.files(skeleton))

    def holding(self, tensor: str) -> AbstractContextManager[None]:
        """While it is entered, the bytes of this tensor lie where the model says. One at a time."""
        return nullcontext()

    def tried(self, model: onnx.ModelProto, samples: Samples) -> Samples:
        """Made-up samples of sizes that the original runs on; `model` is its graph."""
        return runnable(self.model, model, samples)

    def compare(
        self, written: Written, samples: Samples, tell: Callable[[str], None], *, folds: bool
    ) -> tuple[Agreement, Latency | None]:
        """How far the result answers as this does, and how fast. Raises Unloadable."""
        return compare(self.model, written.output.path, samples, tell, folds=folds)

    def doubts(self) -> list[str]:
        """What a reader should know of how that was measured."""
        return []

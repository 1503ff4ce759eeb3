"""Where a model that is quantized comes from."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import onnx

from jobs.conversion.skeleton import extent_of, tensors_of


class Origin:
    """An ONNX file whose weights lie where it says. `told` is what the report calls it.

    `mark` stands for whatever decides about the weights beside the files' bytes. `unmeasured` is why nothing is
    compared when nothing is.
    """

    mark = ""
    unmeasured = "not asked for"

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

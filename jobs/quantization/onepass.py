"""A checkpoint straight to a quantized model: each weight is read, converted and quantized, then the next.

What the converter would write in full is built without its weights. When the turn of one comes, it alone is converted
into a scratch file, in the form in which the quantizer would have found it in the converted model: so the result has
the bytes that converting first and quantizing then gives, and the disk needs room for the largest weight, not for the
model.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

import jobs.conversion
from jobs.conversion.graph import Tally
from jobs.conversion.skeleton import KEEP, point_at
from jobs.conversion.writing import Prepared, Progress, Written, refuse_overwriting, workplace, write
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.measure import Agreement, Latency, compare
from jobs.quantization.options import Options
from jobs.quantization.origin import Origin
from jobs.quantization.quantizer import quantize
from jobs.quantization.report import Report
from jobs.quantization.samples import Samples
from jobs.quantization.streamed import Streamed
from jobs.quantization.written import Written as QuantizedWritten

# Those that need no answer of the original before the result is written.
SCHEMES = ("int8-weight", "int8-dynamic", "int4")
SCRATCH = "scratch.data"
# A converted model of so many bytes is put on the disk to be run as it is: ONNX Runtime takes about three times that.
WHOLE = 100_000_000
PIECEMEAL = (
    "The converted model was never whole: both were compared weight by weight, and how fast they are was not measured."
)


def quantize_checkpoint(
    prepared: Prepared, told: str, destination: Path, scheme: str, options: Options, tell: Progress
) -> tuple[Written, Report]:
    """Converts and quantizes to `destination`; `told` is what the report calls the checkpoint.

    Both models are compared as after two passes where the converted one takes at most `WHOLE` bytes, which are then
    on the disk for a while; weight by weight where it is larger. A run that was killed goes on at the last finished
    weight, when it is asked for the same and the checkpoint's files are the same. Raises what converting
    and quantizing raise; `scheme-unknown` also for a scheme or a method that needs the original's answers.
    """
    if scheme not in SCHEMES:
        raise QuantizationRefused(
            "scheme-unknown",
            f"A checkpoint is not quantized to {scheme!r} while it is converted.",
            f"Choose {' or '.join(SCHEMES)}, or convert first and quantize what was converted.",
        )
    if options.budget is not None or options.method == "gptq":
        raise QuantizationRefused(
            "budget-not-measurable",
            "A budget and GPTQ run the original again and again, and it is never whole while it is converted.",
            "Convert first and quantize what was converted.",
        )
    refuse_overwriting(prepared.sources, destination)
    longest = _Pending(prepared, Path(SCRATCH)).longest
    with workplace(destination, longest) as place:
        origin = CheckpointOrigin(prepared, told, place / destination.name)
        report = quantize(origin, destination, scheme, options, tell)
    written = Written(destination, report.bytes_after, report.sha256, report.external_data, report.external_sha256)
    return written, report


class CheckpointOrigin(Origin):
    """A checkpoint as the ONNX file that it would become, whose weights come one at a time."""

    def __init__(self, prepared: Prepared, told: str, model: Path) -> None:
        """Writes the model without its weights to `model`, and beside it the file that holds one weight."""
        super().__init__(model)
        self.told = told
        self._prepared = prepared
        self._scratch = model.with_name(SCRATCH)
        self._pending = _Pending(prepared, self._scratch)
        graph = self._pending.model.SerializeToString()
        model.write_bytes(graph)
        # As long as the longest, so that every weight is where the model says.
        with self._scratch.open("wb") as stream:
            stream.truncate(self._pending.longest)
        self._bytes = len(graph) + self._pending.bytes
        self.mark = hashlib.sha256(graph + _code()).hexdigest()

    def files(self, skeleton: onnx.ModelProto) -> list[Path]:
        """The checkpoint's own files."""
        return self._prepared.sources

    def bytes(self, skeleton: onnx.ModelProto) -> int:
        """What the converted model would take, whole."""
        return self._bytes

    def tried(self, model: onnx.ModelProto, samples: Samples) -> Samples:
        """What the converter makes runs on any length."""
        return samples

    def compare(
        self, written: QuantizedWritten, samples: Samples, tell: Callable[[str], None], *, folds: bool
    ) -> tuple[Agreement, Latency | None]:
        """Run as they are, or weight by weight where the converted model is large."""
        if self._bytes > WHOLE:
            integers = bool(written.integer_products)
            return Streamed(self, written, integers).compare(samples, tell), None
        with TemporaryDirectory(dir=self.model.parent) as folder:
            original = write(self._prepared, Path(folder) / self.model.name, lambda share, line: None).destination
            return compare(original, written.output.path, samples, tell, folds=folds)

    def doubts(self) -> list[str]:
        """That nothing ran as a whole, where it did not."""
        return [PIECEMEAL] if self._bytes > WHOLE else []

    @contextmanager
    def holding(self, tensor: str) -> Iterator[None]:
        """Converts one weight into the scratch file."""
        if tensor not in self._pending.waiting:
            # Asked for a second time: of a weight with NaN in it, first its steps and then its copy are wanted.
            self._pending = _Pending(self._prepared, self._scratch)
        with self._scratch.open("r+b") as stream:
            for block in self._pending.waiting.pop(tensor):
                stream.write(np.ascontiguousarray(block).data)
        yield


class _Pending(Tally):
    """Weights that have a name and a place at once, and values when their turn comes; `longest` is in bytes."""

    def __init__(self, prepared: Prepared, scratch: Path) -> None:
        super().__init__()
        self.longest = 0
        self.waiting: dict[str, Iterable[NDArray[Any]]] = {}
        self._location = scratch.name
        # What the converted model would have in its graph has to be there here as well.
        self._kept = KEEP if prepared.bytes <= prepared.inline_limit else KEEP - 1
        self.model = prepared.build(self, lambda share, line: None)

    def streamed(
        self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], blocks: Iterable[NDArray[Any]]
    ) -> TensorProto:
        """A tensor that points at the scratch file; a small one with its values."""
        tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(dtype), dims=shape)
        size = math.prod(shape) * dtype.itemsize
        if size <= self._kept:
            tensor.raw_data = b"".join(np.ascontiguousarray(block).tobytes() for block in blocks)
            return tensor
        self.bytes += size
        self.longest = max(self.longest, size)
        self.waiting[name] = blocks
        point_at(tensor, self._location, 0, size)
        return tensor


def _code() -> bytes:
    """What converts, as bytes: another version may give other values."""
    assert jobs.conversion.__file__ is not None
    return b"".join(path.read_bytes() for path in sorted(Path(jobs.conversion.__file__).parent.rglob("*.py")))

"""A checkpoint that was read and checked becomes one ONNX file, and one of weights beside it where they are many."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx

from jobs.conversion.bert import IR_VERSION, OPSET
from jobs.conversion.checkpoint import HEADROOM
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.files import refuse_no_file, sha256_of
from jobs.conversion.graph import WeightStore

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Written:
    """A model that stands where it was asked for. `bytes` counts the file of weights beside it as well."""

    destination: Path
    bytes: int
    sha256: str
    external_data: str | None
    external_sha256: str | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was made, from what. `bytes` counts the model and, if there is one, the file of weights beside it."""

    destination: str
    bytes: int
    sha256: str
    external_data: str | None
    external_sha256: str | None
    source_sha256: dict[str, str]
    seconds: float
    opset: int
    ir_version: int
    versions: dict[str, str]
    architecture: str
    parameters: int
    layers: int
    hidden: int
    max_positions: int
    inputs: list[str]

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self)


class Prepared(Protocol):
    """A checkpoint whose config and headers are read and checked, so that it can be built as often as is asked.

    `sources` are the files that decide about the result; `bytes` is what the weights take in it. Weights of more than
    `inline_limit` bytes together go beside the model.
    """

    sources: list[Path]
    bytes: int
    inline_limit: int

    def build(self, store: WeightStore, tell: Progress) -> onnx.ModelProto:
        """The model, its weights given to `store` one after the other. The same input gives the same model."""

    def told(self, written: Written, seconds: float) -> Report:
        """What was made, from what."""


def provenance(written: Written, sources: list[Path], seconds: float) -> dict[str, Any]:
    """What a `Report` says of the files, of the time that it took, and of what took part."""
    return {
        "destination": str(written.destination),
        "bytes": written.bytes,
        "sha256": written.sha256,
        "external_data": written.external_data,
        "external_sha256": written.external_sha256,
        "source_sha256": {path.name: sha256_of(path) for path in sources},
        "seconds": round(seconds, 3),
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "versions": {"onnx": onnx.__version__, "numpy": np.__version__, "python": platform.python_version()},
    }


def write(prepared: Prepared, destination: Path, tell: Progress) -> Written:
    """Builds it to `destination`, which is there whole or not at all.

    Raises ConversionRefused: `output-is-input`, `not-writable`, `onnx-invalid`, and what reading a weight raises.
    """
    external = refuse_overwriting(prepared.sources, destination)
    with workplace(destination, prepared.bytes) as place:
        inline = prepared.bytes <= prepared.inline_limit
        part, data_part = place / destination.name, place / external.name
        store = WeightStore(data_part, inline=inline, location=external.name)
        try:
            model = prepared.build(store, tell)
        finally:
            store.close()
        onnx.save_model(model, str(part))
        tell(0.92, "checking")
        check_model(part)
        if not inline:
            data_part.replace(external)
        part.replace(destination)
    return Written(
        destination,
        destination.stat().st_size + (0 if inline else external.stat().st_size),
        sha256_of(destination),
        None if inline else external.name,
        None if inline else sha256_of(external),
    )


def refuse_overwriting(sources: list[Path], destination: Path) -> Path:
    """The file of weights beside `destination`. Raises `output-is-input` when either is one of `sources`."""
    external = destination.with_name(destination.name + ".data")
    if {destination.resolve(), external.resolve()} & {path.resolve() for path in sources}:
        raise ConversionRefused("output-is-input", f"{destination} would overwrite its input.", "Name another output.")
    return external


@contextmanager
def workplace(destination: Path, size: int) -> Iterator[Path]:
    """A folder beside the destination that is gone afterwards.

    Refuses `not-writable` when the destination is no file or there is no room for `size` bytes.
    """
    refuse_no_file(destination)
    folder = destination.resolve().parent
    try:
        free = shutil.disk_usage(folder).free
        if size + HEADROOM > free:
            raise ConversionRefused(
                "not-writable",
                f"The model needs {size} bytes and the disk of {folder} has {free} free.",
                "Free some space or name an output on another disk.",
            )
        with tempfile.TemporaryDirectory(prefix=".conversion-", dir=folder) as place:
            yield Path(place)
    except OSError as error:
        raise ConversionRefused(
            "not-writable",
            f"{destination} cannot be written: {error.strerror or error}.",
            "Check the folder, its rights and the free space.",
        ) from error


def check_model(path: Path) -> None:
    """onnx.checker on a file and its weights beside it. Raises `onnx-invalid`."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConversionRefused(
            "onnx-invalid", f"The graph that was built is not valid ONNX: {reason}.", "Report this: it is a defect."
        ) from error

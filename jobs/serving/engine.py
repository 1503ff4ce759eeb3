"""What runs a model, behind one interface: ONNX Runtime for `.onnx`, ais_bench on an NPU for `.om`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .errors import ModelRefused

Feeds = Mapping[str, "np.ndarray[Any, Any]"]

# A file on every simulated machine, and in every container there.
SIMULATED_MARK = Path("/etc/simulated-machine")
# Measured on small encoders: more threads than this only wait for each other.
MOST_THREADS = 4
_ONNX_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


class Engine(Protocol):
    """A loaded model. `batch` and `length` are what its shape is fixed to, None where it takes any."""

    name: str
    simulated: bool
    batch: int | None
    length: int | None

    def infer(self, feeds: Feeds) -> np.ndarray[Any, Any]:
        """Logits [rows, labels] for feeds of [rows, tokens]; where a shape is fixed, the feeds have it."""


def load_engine(folder: Path, inputs: tuple[str, ...], device: int) -> tuple[Engine, Path]:
    """The engine for the model in `folder`, and the model's file. Raises ModelRefused."""
    onnx, om = folder / "model.onnx", folder / "model.om"
    if onnx.is_file():
        return OnnxEngine(onnx, inputs, device), onnx
    if om.is_file():
        return OmEngine(om, inputs, device), om
    raise ModelRefused(
        "model-missing",
        f"There is neither model.onnx nor model.om in {folder}.",
        "Put the model beside its profile.",
    )


def threads() -> int:
    """Half of the cores that this process may use, 1 to 4: the rest is for HTTP, and for others on the machine."""
    return max(1, min(MOST_THREADS, len(os.sched_getaffinity(0)) // 2))


class OnnxEngine:
    """ONNX Runtime, on the NPU by its CANN execution provider where that is built in, else on the CPU."""

    def __init__(self, path: Path, inputs: tuple[str, ...], device: int) -> None:
        if not path.stat().st_size:
            raise _damaged(path, "it is empty")
        try:
            import onnxruntime
        except ImportError as error:
            raise _missing("onnxruntime", path) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning gains microseconds for this process and takes whole cores from its neighbours.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers: list[Any] = ["CPUExecutionProvider"]
        if "CANNExecutionProvider" in onnxruntime.get_available_providers():
            providers.insert(0, ("CANNExecutionProvider", {"device_id": str(device)}))
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # ONNX Runtime's own classes share no base below Exception
            raise _damaged(path, "ONNX Runtime cannot load it") from error
        on_npu = self._session.get_providers()[0] == "CANNExecutionProvider"
        self.name = "onnxruntime CANN" if on_npu else "onnxruntime CPU"
        self.simulated = SIMULATED_MARK.exists()
        wanted = self._session.get_inputs()
        _fit(path, [item.name for item in wanted], inputs)
        self._types = {item.name: _ONNX_TYPES.get(item.type, np.int64) for item in wanted}
        self.batch, self.length = _fixed(wanted[0].shape)
        self._output = self._session.get_outputs()[0].name

    def infer(self, feeds: Feeds) -> np.ndarray[Any, Any]:
        typed = {name: feeds[name].astype(kind, copy=False) for name, kind in self._types.items()}
        return np.asarray(self._session.run([self._output], typed)[0])


class OmEngine:
    """An offline model on an NPU: `ais_bench.infer.interface.InferSession`, static shapes only."""

    def __init__(self, path: Path, inputs: tuple[str, ...], device: int) -> None:
        try:
            from ais_bench.infer import interface
        except ImportError as error:
            raise _missing("ais_bench", path) from error
        try:
            self._session = interface.InferSession(device, str(path))
        except Exception as error:  # aclruntime raises RuntimeError, with the reason on stderr
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise ModelRefused(
                "device-refused",
                f"NPU {device} refuses {path.name}: {reason}",
                "Look at the lines above; convert the model for this machine's chip and CANN.",
            ) from error
        self.simulated = bool(getattr(interface, "SIMULATED", False)) or SIMULATED_MARK.exists()
        self.name = "ascend OM"
        described = self._session.get_inputs()
        # ATC keeps the inputs' names as they were in the ONNX; some versions drop them, and then the order stands.
        names = [str(item.name) for item in described]
        if set(names) != set(inputs) and len(names) == len(inputs):
            names = list(inputs)
        _fit(path, names, inputs)
        self._names = names
        self._types = [np.int32 if "32" in str(getattr(item, "datatype", "")) else np.int64 for item in described]
        self.batch, self.length = _fixed(list(described[0].shape))
        if self.batch is None or self.length is None:
            raise ModelRefused(
                "model-mismatch",
                f"{path.name} has dynamic shapes, which are not served.",
                "Convert it with a fixed batch and length in --input_shape.",
            )

    def infer(self, feeds: Feeds) -> np.ndarray[Any, Any]:
        ordered = [
            np.ascontiguousarray(feeds[name], dtype=kind) for name, kind in zip(self._names, self._types, strict=True)
        ]
        return np.asarray(self._session.infer(ordered, mode="static")[0])


def _fixed(shape: list[Any]) -> tuple[int | None, int | None]:
    sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
    return (sizes[0], sizes[1]) if len(sizes) == 2 else (None, None)


def _fit(path: Path, names: list[str], inputs: tuple[str, ...]) -> None:
    if set(names) != set(inputs):
        raise ModelRefused(
            "model-mismatch",
            f"{path.name} takes {', '.join(names)}; profile.json names {', '.join(inputs)}.",
            "Use the profile that was made with this model.",
        )


def _damaged(path: Path, why: str) -> ModelRefused:
    return ModelRefused(
        "model-invalid", f"{path.name} is no ONNX model, or damaged: {why}.", "Build the image again from the depot."
    )


def _missing(package: str, path: Path) -> ModelRefused:
    return ModelRefused(
        "engine-missing",
        f"{path.name} needs the Python package {package}, which is not installed here.",
        "Build the image on a base that holds it.",
    )

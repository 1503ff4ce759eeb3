"""In the containers of a simulated machine, Python reads this when it starts: there the machine's faults reach the
libraries that a server works with. What is served knows nothing of it.

``npu-idle-while-requests-wait`` lets every text that is tokenised wait, as for data on a slow disk; ``out-of-memory``
leaves the model memory for so many rows and no more; under ``latency-varies-when-hot`` every other call takes longer
while the fans do not turn fast enough. All are looked for at each call, so that they come and go while a server runs.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

FAULTS = Path("/usr/local/simulated/faults.d")
# What one row of a model asks for, in the words of ONNX Runtime.
_ROW_BYTES = 64 << 20
# The usual level of the fans in percent (``hardware.simulator.bmc.cooling``); degrees above idle from which on a chip
# lowers its clock, and by how many seconds a call is longer then.
_USUAL_LEVEL, _THROTTLED_DEGREES, _THROTTLED_SECONDS = 35, 35, 0.08


def fault(kind: str) -> int | None:
    """The first word of a fault's value, where the fault is set."""
    with suppress(OSError, ValueError, IndexError):
        return int((FAULTS / kind).read_text().split()[0])
    return None


def throttled() -> bool:
    """Whether the heat is more than the fans take away."""
    heat = fault("latency-varies-when-hot")
    if heat is None:
        return False
    level = _USUAL_LEVEL
    with suppress(OSError, ValueError, KeyError):
        fans = json.loads((FAULTS.parent / "fans").read_text())
        if fans["mode"] == "Manual" and not 0 < fans["until"] <= time.time():
            level = fans["level"]
    return heat * _USUAL_LEVEL / max(level, 1) > _THROTTLED_DEGREES


def _slow_tokenizers(module: ModuleType) -> None:
    real = module.Tokenizer.encode_batch

    def encode_batch(self: Any, texts: Sequence[str], *args: Any, **kwargs: Any) -> Any:
        milliseconds = fault("npu-idle-while-requests-wait")
        if milliseconds is not None:
            time.sleep(milliseconds * len(texts) / 1000)
        return real(self, texts, *args, **kwargs)

    module.Tokenizer.encode_batch = encode_batch


def _worse_onnxruntime(module: ModuleType) -> None:
    real = module.InferenceSession.run
    calls = itertools.count()

    def run(self: Any, outputs: Any, feeds: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        room = fault("out-of-memory")
        rows = max((value.shape[0] for value in feeds.values() if value.shape), default=0)
        if room is not None and rows > room:
            from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

            raise RuntimeException(
                "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running MatMul node. "
                "Status Message: onnxruntime/core/framework/bfc_arena.cc:376 void* onnxruntime::BFCArena::"
                "AllocateRawInternal(size_t, bool, onnxruntime::Stream*, bool, onnxruntime::WaitNotificationFn) "
                f"Failed to allocate memory for requested buffer of size {rows * _ROW_BYTES}"
            )
        if next(calls) % 2 and throttled():
            time.sleep(_THROTTLED_SECONDS)
        return real(self, outputs, feeds, *args, **kwargs)

    module.InferenceSession.run = run


PATCHES: dict[str, Callable[[ModuleType], None]] = {
    "tokenizers": _slow_tokenizers,
    "onnxruntime": _worse_onnxruntime,
}


class _Patched(Loader):
    """Loads as the real loader does, then patches."""

    def __init__(self, real: Loader, patch: Callable[[ModuleType], None]) -> None:
        self.real, self.patch = real, patch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.real.exec_module(module)
        self.patch(module)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        patch = PATCHES.get(fullname)
        spec = PathFinder.find_spec(fullname, path, target) if patch else None
        if spec is not None and spec.loader is not None and patch is not None:
            spec.loader = _Patched(spec.loader, patch)
        return spec


if FAULTS.parent.exists():
    sys.meta_path.insert(0, _Finder())

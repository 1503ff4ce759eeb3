"""`InferSession` with the surface of the real one, over an OM that a simulated atc wrote.

The file is the line `SIMULATED OM 1`, a line of JSON (soc_version, inputs, the ONNX's SHA-256) and the ONNX itself,
which ONNX Runtime runs on the processor. Nothing measured here says anything about an NPU.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

SIMULATED = True
MARK = b"SIMULATED OM 1\n"
_TYPES = {"INT64": "dtype.int64", "INT32": "dtype.int32", "FLOAT": "dtype.float32", "FLOAT16": "dtype.float16"}
_RUNTIME_TYPES = {
    "tensor(int64)": "INT64", "tensor(int32)": "INT32", "tensor(float)": "FLOAT", "tensor(float16)": "FLOAT16",
}  # fmt: skip


@dataclass(frozen=True)
class TensorDesc:
    """What aclruntime says of an input or output. `realsize` in bytes."""

    name: str
    datatype: str
    shape: list[int]
    format: str = "ND"
    size: int = 0
    realsize: int = 0


class InferSession:
    """A model on a device. Raises RuntimeError as aclruntime does, with the reason on stdout before it."""

    def __init__(
        self, device_id: int, model_path: str, acl_json_path: str | None = None, debug: bool = False, loop: int = 1
    ) -> None:
        self.device_id = device_id
        self.model_path = model_path
        if not Path(f"/dev/davinci{device_id}").exists():
            raise RuntimeError(f"[-1][ACL: set device failed] there is no device {device_id}")
        self._say("acl init success")
        self._say(f"open device {device_id} success")
        with Path(model_path).open("rb") as stream:
            meta = self._header(stream)
            body = stream.read()
        if hashlib.sha256(body).hexdigest() != meta["onnx_sha256"]:
            self._refuse("the model data is not what its header says")
        chip = _chip()
        if chip is not None and chip != meta["soc_version"]:
            self._wrong_chip(meta["soc_version"], chip)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # Several simulated machines share one computer.
        options.intra_op_num_threads = max(1, min(4, len(os.sched_getaffinity(0)) // 2))
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(body, options, providers=["CPUExecutionProvider"])
        self._inputs = [TensorDesc(item["name"], _TYPES[item["type"]], list(item["shape"])) for item in meta["inputs"]]
        self._say(f"load model {model_path} success")
        self._say("create model description success")

    def get_inputs(self) -> list[TensorDesc]:
        return self._inputs

    def get_outputs(self) -> list[TensorDesc]:
        batch = self._inputs[0].shape[0]
        return [
            TensorDesc(
                item.name,
                _TYPES.get(_RUNTIME_TYPES.get(item.type, ""), item.type),
                [batch, *(size if isinstance(size, int) else -1 for size in item.shape[1:])],
            )
            for item in self._session.get_outputs()
        ]

    def infer(self, feeds: Sequence[Any], mode: str = "static") -> list[np.ndarray[Any, Any]]:
        """Outputs for inputs in the model's order, each of the very shape that atc was given."""
        if mode != "static":
            raise RuntimeError(f"infer mode {mode} is not simulated")
        if len(feeds) != len(self._inputs):
            raise RuntimeError(f"[-1][input num not match] need {len(self._inputs)}, given {len(feeds)}")
        named = {}
        for described, given in zip(self._inputs, feeds, strict=True):
            array = np.asarray(given)
            if list(array.shape) != described.shape:
                # The real runtime compares bytes.
                raise RuntimeError(
                    f"[-1][input size not match] {described.name}: need {described.shape}, given {list(array.shape)}"
                )
            named[described.name] = array
        return [np.asarray(output) for output in self._session.run(None, named)]

    def free_resource(self) -> None:
        del self._session

    @staticmethod
    def finalize() -> None:
        """As in the real package: nothing is left to end here."""

    def _header(self, stream: BinaryIO) -> dict[str, Any]:
        if stream.readline(len(MARK)) != MARK:
            self._refuse("the file is no OM that a simulated machine made")
        try:
            meta = json.loads(stream.readline())
            return {key: meta[key] for key in ("soc_version", "inputs", "onnx_sha256")}
        except (ValueError, KeyError, TypeError):
            self._refuse("the header of the model is damaged")
            raise AssertionError from None

    def _refuse(self, why: str) -> None:
        self._say(f"load model from file failed, model file is {self.model_path}", "ERROR")
        raise RuntimeError(f"[-1][Load Model] {why}")

    def _wrong_chip(self, made_for: str, chip: str) -> None:
        """The text that a real 910 shows for an OM of another chip, then which chips they are."""
        sys.stdout.write(
            "E19999: Inner Error! \n"
            "E19999 index:0 > stream_list.size(): 0, check invalid[FUNC:SetStream][FILE:task_info.cc][LINE:26] \n"
            "TraceBack (most recent call last): \n"
            "Task index:0 init failed, ret:-1.[FUNC:InitTaskInfo][FILE:davinci_model.cc][LINE:3593] \n"
            "[Model][FromData]load model from data failed, ge result[4294967295]"
            "[FUNC:ReportCallError][FILE:log_inner.cpp][LINE:161] \n"
        )
        self._refuse(f"E19999: the model was made for {made_for}, the device is {chip}")

    @staticmethod
    def _say(line: str, level: str = "INFO") -> None:
        print(f"[{level}] {line}", flush=True)


def _chip() -> str | None:
    """The soc_version of the simulated machine; None where it does not say."""
    try:
        lines = Path("/etc/simulated-machine").read_text().splitlines()
    except OSError:
        return None
    return next((line.partition("=")[2].strip() for line in lines if line.startswith("soc_version=")), None)

"""Builds an ONNX graph node by node, with its weights inside the file or streamed into one file beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

# A protobuf message ends at 2 GiB; above this the weights go beside the model.
INLINE_LIMIT = 1_500_000_000
# ONNX asks that external tensors start on a page, so that a runtime can map them.
ALIGNMENT = 4096


class WeightStore:
    """Takes weights one at a time; `inline` keeps them in the model, otherwise they go to `path` as they come."""

    def __init__(self, path: Path, *, inline: bool, location: str) -> None:
        """`path` is what is written now, `location` the name the model will know it by."""
        self.inline = inline
        self.bytes = 0
        self.elements = 0
        self._location = location
        self._stream = None if inline else path.open("wb")

    def tensor(self, name: str, values: NDArray[Any]) -> TensorProto:
        """The initializer for these values, its bytes kept or written."""
        return self.streamed(name, values.dtype, values.shape, [values])

    def streamed(
        self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], blocks: Iterable[NDArray[Any]]
    ) -> TensorProto:
        """The initializer whose values come in blocks, in order; one that is written needs the memory of one block."""
        tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(dtype), dims=shape)
        elements = math.prod(shape)
        size = elements * dtype.itemsize
        self.bytes += size
        self.elements += elements
        if self._stream is None or size < 1024:
            tensor.raw_data = b"".join(np.ascontiguousarray(block).tobytes() for block in blocks)
            return tensor
        offset = -(-self._stream.tell() // ALIGNMENT) * ALIGNMENT
        self._stream.seek(offset)
        for block in blocks:
            self._stream.write(np.ascontiguousarray(block).data)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", self._location), ("offset", str(offset)), ("length", str(size))):
            tensor.external_data.add(key=key, value=value)
        return tensor

    def close(self) -> None:
        """Ends the external file, if there is one."""
        if self._stream is not None:
            self._stream.close()


class Tally(WeightStore):
    """Counts what would be stored and reads none of it, so that what is missing is said before hours of writing."""

    def __init__(self) -> None:
        self.bytes = 0
        self.elements = 0

    def streamed(
        self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], blocks: Iterable[NDArray[Any]]
    ) -> TensorProto:
        """A name and a shape without values."""
        self.elements += math.prod(shape)
        self.bytes += math.prod(shape) * dtype.itemsize
        return TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(dtype), dims=shape)


class Graph:
    """Nodes and initializers in the order in which they were asked for, so that the bytes are the same each time."""

    def __init__(self, store: WeightStore) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._store = store
        self._constants: dict[tuple[str, bytes, tuple[int, ...]], str] = {}

    def weight(self, name: str, values: NDArray[Any]) -> str:
        """A named weight."""
        self.initializers.append(self._store.tensor(name, values))
        return name

    def streamed_weight(
        self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], blocks: Iterable[NDArray[Any]]
    ) -> str:
        """A named weight that is read as it is written."""
        self.initializers.append(self._store.streamed(name, dtype, shape, blocks))
        return name

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """A small value; the same value is stored once."""
        array = np.asarray(values, dtype=dtype)
        key = (array.dtype.str, array.tobytes(), array.shape)
        if key not in self._constants:
            self._constants[key] = self.weight(f"const_{len(self._constants)}", array)
        return self._constants[key]

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """One node; its output's name is also the node's."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def add_many(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        """One node with several outputs; the first one's name is also the node's."""
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes))

    def model(
        self,
        name: str,
        inputs: list[onnx.ValueInfoProto],
        outputs: list[onnx.ValueInfoProto],
        *,
        opset: int,
        ir_version: int,
        metadata: dict[str, str],
    ) -> onnx.ModelProto:
        """The whole model. Metadata is stored sorted by key."""
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.initializers)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", opset)],
            ir_version=ir_version,
            producer_name="kunpeng-ascend-console",
        )
        helper.set_model_props(model, dict(sorted(metadata.items())))
        return model

"""An ONNX file without the bytes of its weights.

`onnx.load` copies every weight into memory, twice. What a check or a quantizer wants first is the graph, and of the
weights only where they lie. So the protobuf is walked field by field, large tensor data is stepped over, and what is
left is parsed: a model whose large tensors point at their place in the file, in the form that ONNX has for weights
beside the model. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import onnx
from google.protobuf.message import DecodeError
from onnx import StringStringEntryProto, TensorProto

from jobs.conversion.errors import ConversionRefused
from jobs.conversion.files import name_of_start, read_start

# Data up to this size stays in the model: shapes, axes, scalars, biases of small layers.
KEEP = 1024
# protobuf's own limit to messages within messages.
DEPTH = 100
# Which fields of which message hold messages that may hold weights.
INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
}
RAW_DATA, FLOAT_DATA, DATA_TYPE = 9, 4, 2
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Extent:
    """Where a tensor's bytes lie."""

    path: Path
    offset: int
    length: int


class _Overrun(Exception):
    """A field promises bytes beyond the end."""

    def __init__(self, end: int) -> None:
        super().__init__(end)
        self.end = end


class _Nonsense(Exception):
    """Not the wire format of protobuf."""


def read_skeleton(path: Path) -> onnx.ModelProto:
    """The model with every tensor over `KEEP` bytes left where it is: `extent_of` says where that is.

    Raises ConversionRefused: `file-missing`, `file-empty`, `lfs-pointer`, `not-onnx`, `onnx-truncated`, and
    `external-missing`, `external-truncated`, `external-unsafe` for weights that lie beside the model.
    """
    start = read_start(path)
    seen = name_of_start(start)
    looks_right = start[:1] == b"\x08" and len(start) > 1 and 1 <= start[1] <= 64
    if seen or _is_safetensors(start):
        raise _not_onnx(path, seen or "a safetensors file")
    model = onnx.ModelProto()
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            model.ParseFromString(_Walk(data, path.name).strip(0, len(data), "model"))
    except _Overrun as error:
        if not looks_right:
            raise _not_onnx(path, None) from error
        raise _truncated(path, error.end) from error
    except (_Nonsense, DecodeError) as error:
        if not looks_right:
            raise _not_onnx(path, None) from error
        raise ConversionRefused(
            "onnx-truncated",
            f"{path.name} is damaged: its bytes are not those of an ONNX model.",
            "Copy the file again and compare its SHA-256 with the original's.",
        ) from error
    if not model.graph.node:
        if looks_right and model.ir_version:
            raise ConversionRefused(
                "onnx-truncated", f"{path.name} is ONNX without a single node.", "Copy or export the file again."
            )
        raise _not_onnx(path, None)
    if any(isinstance(text, bytes) for text in _texts(model.graph)):
        raise ConversionRefused(
            "onnx-truncated",
            f"{path.name} is damaged: a name in it is no text.",
            "Copy the file again and compare its SHA-256 with the original's.",
        )
    for tensor in tensors_of(model):
        extent_of(tensor, path)
    return model


def tensors_of(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every tensor of a model: initializers, attributes, and those of the graphs and functions inside it."""
    yield from _tensors(model.graph)
    for function in model.functions:
        yield from _tensors(function)


def _tensors(holder: onnx.GraphProto | onnx.FunctionProto) -> Iterator[TensorProto]:
    if isinstance(holder, onnx.GraphProto):
        yield from holder.initializer
    for node in holder.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(inner)


def nodes_of(holder: onnx.ModelProto | onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    """Every node, those of the graphs and functions inside it among them."""
    if isinstance(holder, onnx.ModelProto):
        yield from nodes_of(holder.graph)
        for function in holder.functions:
            yield from nodes_of(function)
        return
    for node in holder.node:
        yield node
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from nodes_of(inner)


def _texts(graph: onnx.GraphProto) -> Iterator[str | bytes]:
    """The names in a graph; protobuf gives one that is no UTF-8 as bytes."""
    for node in graph.node:
        yield from (node.op_type, node.domain, node.name, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _texts(inner)
    yield from (tensor.name for tensor in graph.initializer)
    for value in (*graph.input, *graph.output):
        yield value.name
        yield from (size.dim_param for size in value.type.tensor_type.shape.dim)


def extent_of(tensor: TensorProto, model: Path) -> Extent | None:
    """Where the tensor's bytes lie, or None when it carries them itself. `model` is the file that it came from."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return None
    told = {entry.key: entry.value for entry in tensor.external_data}
    location = PurePosixPath(told.get("location", ""))
    if not location.name or location.is_absolute() or ".." in location.parts:
        raise ConversionRefused(
            "external-unsafe",
            f"{model.name} keeps {tensor.name or 'a tensor'} outside its own folder: {str(location)!r}.",
            "Save the model with its weights in a file beside it.",
        )
    path = model.parent / location
    if not path.is_file():
        raise ConversionRefused(
            "external-missing",
            f"{model.name} keeps its weights in {location}, and that file is not beside it.",
            f"Give {location} together with the model.",
        )
    size = path.stat().st_size
    try:
        offset = int(told.get("offset") or 0)
        length = int(told.get("length") or size - offset)
    except ValueError:
        offset = length = -1
    if offset < 0 or length < 0:
        raise ConversionRefused(
            "onnx-truncated",
            f"{model.name} does not tell where in {location} {tensor.name or 'a tensor'} lies.",
            "Export the model again.",
        )
    if offset + length > size:
        if size:
            # An LFS pointer says more than that it is short.
            read_start(path)
        raise ConversionRefused(
            "external-truncated",
            f"{location} is cut off: {tensor.name or 'a tensor'} lies at bytes {offset} to {offset + length} and the "
            f"file has {size}.",
            "Copy the file again and compare its SHA-256 with the original's.",
        )
    return Extent(path, offset, length)


def point_at(tensor: TensorProto, location: str, offset: int, length: int) -> None:
    """Lets a tensor's data lie in a file beside the model."""
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.append(StringStringEntryProto(key=key, value=value))


class _Walk:
    """One pass over the bytes. Every position is absolute."""

    def __init__(self, data: mmap.mmap, location: str) -> None:
        self.data = data
        self.location = location

    def strip(self, position: int, end: int, kind: str, depth: int = 0) -> bytes:
        """The message's bytes with the large tensor data taken out."""
        if depth > DEPTH:
            raise _Nonsense
        if kind == "tensor":
            return self._strip_tensor(position, end)
        parts: list[bytes] = []
        copied = position
        for field, wire, begin, stop, next_position in self._fields(position, end):
            inner = INSIDE[kind].get(field)
            if inner and wire == BYTES and stop - begin > KEEP:
                body = self.strip(begin, stop, inner, depth + 1)
                if len(body) != stop - begin:
                    parts += [self.data[copied:position], encode_key(field, BYTES), encode_varint(len(body)), body]
                    copied = next_position
            position = next_position
        parts.append(self.data[copied:end])
        return b"".join(parts)

    def _strip_tensor(self, position: int, end: int) -> bytes:
        parts: list[bytes] = []
        found: tuple[int, int] | None = None
        data_type = 0
        for field, wire, begin, stop, next_position in self._fields(position, end):
            if field == DATA_TYPE and wire == VARINT:
                data_type = self._varint_at(begin, stop)[0]
            # Packed float_data is little-endian float32, one after the other: the same bytes as raw_data.
            large = wire == BYTES and stop - begin > KEEP
            if large and (field == RAW_DATA or (field == FLOAT_DATA and data_type in (0, TensorProto.FLOAT))):
                found = (begin, stop)
            else:
                parts.append(self.data[position:next_position])
            position = next_position
        if found is not None:
            pointer = TensorProto()
            point_at(pointer, self.location, found[0], found[1] - found[0])
            parts.append(pointer.SerializeToString())
        return b"".join(parts)

    def _fields(self, position: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
        """(field, wire type, begin and end of the value, begin of the next field) for each field."""
        while position < end:
            key, begin = self._varint_at(position, end)
            field, wire = key >> 3, key & 7
            if not field:
                raise _Nonsense
            if wire == BYTES:
                length, begin = self._varint_at(begin, end)
                stop = begin + length
            elif wire == VARINT:
                stop = self._varint_at(begin, end)[1]
            elif wire in (FIXED64, FIXED32):
                stop = begin + (8 if wire == FIXED64 else 4)
            else:
                raise _Nonsense
            if stop > end:
                raise _Overrun(stop)
            yield field, wire, begin, stop, stop
            position = stop

    def _varint_at(self, position: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            if position >= end:
                raise _Overrun(position + 1)
            byte = self.data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
            shift += 7
            if shift > 63:
                raise _Nonsense


def encode_varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_key(field: int, wire: int) -> bytes:
    """What stands before a field's value."""
    return encode_varint(field << 3 | wire)


def _is_safetensors(start: bytes) -> bool:
    return len(start) > 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 32


def _not_onnx(path: Path, seen: str | None) -> ConversionRefused:
    return ConversionRefused(
        "not-onnx",
        f"{path.name} is no ONNX model" + (f": it is {seen}." if seen else "."),
        "Give the .onnx file that the model was exported to.",
    )


def _truncated(path: Path, end: int) -> ConversionRefused:
    return ConversionRefused(
        "onnx-truncated",
        f"{path.name} is cut off: it has {path.stat().st_size} bytes and promises at least {end}.",
        "Copy the file again and compare its SHA-256 with the original's.",
    )

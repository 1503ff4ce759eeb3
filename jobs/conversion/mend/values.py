"""Values of a graph: which are constant, and which shapes can be known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import TensorProto, helper, shape_inference

from jobs.conversion.errors import ConversionRefused
from jobs.conversion.skeleton import extent_of

# A size that is not known at all is None; a name stands for a size that is free.
Dims = list[int | str | None]
# Constants up to this size are worked with; a larger one is a weight, and stays where it is.
WORKED_WITH = 1024 * 1024


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the shapes that onnx's inference finds, values of shape arithmetic followed.

    Raises ConversionRefused (`shapes-contradict`).
    """
    try:
        return shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
    except Exception as error:  # its C++ side raises several types, none of which is told apart
        said = " ".join(str(error).split())[:300]
        raise ConversionRefused(
            "shapes-contradict",
            f"The shapes inside the model contradict each other: {said}.",
            "Check the fixed shape, or export the model again.",
        ) from error


def value_infos(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto]:
    """Every value whose type is noted: inputs, inner values, outputs."""
    yield from graph.input
    yield from graph.value_info
    yield from graph.output


def dims_of(value: onnx.ValueInfoProto) -> Dims | None:
    """The shape of a value, or None where not even the rank is known."""
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        return None
    return [size.dim_value if size.HasField("dim_value") else (size.dim_param or None) for size in tensor.shape.dim]


def loaded(tensor: TensorProto, path: Path) -> TensorProto | None:
    """The tensor with its bytes in it, or None for one that is larger than is worked with."""
    extent = extent_of(tensor, path)
    if extent is None:
        return tensor
    if extent.length > WORKED_WITH:
        return None
    with extent.path.open("rb") as stream:
        stream.seek(extent.offset)
        raw = stream.read(extent.length)
    return TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, raw_data=raw)


def used_in(nodes: Iterator[onnx.NodeProto] | list[onnx.NodeProto]) -> set[str]:
    """Names that the nodes read, those that their inner graphs take from outside among them."""
    names: set[str] = set()
    for node in nodes:
        names.update(name for name in node.input if name)
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                names |= used_in(list(inner.node)) | {value.name for value in inner.output}
    return names


def drop_unused(graph: onnx.GraphProto) -> None:
    """Takes out initializers that nothing reads."""
    used = used_in(list(graph.node)) | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def constants_as_initializers(graph: onnx.GraphProto) -> None:
    """Constant nodes with a tensor become initializers, so that a constant has one form; a graph output stays."""
    outputs = {value.name for value in graph.output}
    kept = []
    for node in graph.node:
        value = helper.get_node_attr_value(node, "value") if _plain_constant(node) else None
        if value is None or node.output[0] in outputs:
            kept.append(node)
            continue
        tensor = TensorProto()
        tensor.CopyFrom(value)
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
    del graph.node[:]
    graph.node.extend(kept)


def _plain_constant(node: onnx.NodeProto) -> bool:
    return node.op_type == "Constant" and not node.domain and [one.name for one in node.attribute] == ["value"]

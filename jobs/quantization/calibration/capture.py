"""Runs the original and hands out what flows through it, one sample at a time.

Nothing of the model is written anew: ONNX Runtime gets the graph without its weights, with the wanted tensors as
further outputs, and maps the weights from the files in which they lie. That holds for models over 2 GiB as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from jobs.conversion.skeleton import extent_of, point_at, read_skeleton, tensors_of
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.measure import threads
from jobs.quantization.samples import Feed, Samples

WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
# Keeps weights as they are mapped: a packed copy of each would take the model's size again.
NO_COPIES = "session.disable_prepacking"
# Bytes of one sample's tensors that are in memory at once, when the caller lets `groups_of` decide.
AT_ONCE = 256 * 1024 * 1024


def capture(path: Path, tensor_names: Sequence[str], samples: Samples) -> Iterator[dict[str, NDArray[Any]]]:
    """For each sample the values of the named tensors of the main graph, in the model's own types.

    Inputs of the model may be named too. The arrays are good until the next one is asked for; all of a sample's are in
    memory together, see `groups_of`. Raises QuantizationRefused: `model-unrunnable`, and what `read_skeleton` does;
    ValueError for a name that no node of the main graph makes.
    """
    model = read_skeleton(path)
    inputs, made = _known(model)
    inner = [name for name in dict.fromkeys(tensor_names) if name not in inputs]
    if strange := [name for name in inner if name not in made]:
        raise ValueError(f"not in the main graph of {path.name}: {', '.join(strange[:3])}")
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    session = _session(model, path) if inner else None
    for feed in samples.feeds:
        values = {name: feed[name] for name in tensor_names if name in inputs}
        if session is not None:
            values |= zip(inner, _run(session, inner, feed, path), strict=True)
        yield values


def groups_of(path: Path, tensor_names: Sequence[str], feed: Feed, most: int = AT_ONCE) -> list[list[str]]:
    """The names in groups whose tensors take at most `most` bytes together, as float32, on this feed.

    The model is run once for it, and gives only the shapes. A tensor that is larger alone is a group of its own.
    """
    sizes = sizes_of(path, tensor_names, feed)
    inputs, _ = _known(read_skeleton(path))
    groups: list[list[str]] = [[name for name in tensor_names if name in inputs]]
    room = most
    for name in dict.fromkeys(name for name in tensor_names if name not in inputs):
        if sizes[name] > room and groups[-1]:
            groups.append([])
            room = most
        groups[-1].append(name)
        room -= sizes[name]
    return [group for group in groups if group]


def sizes_of(path: Path, tensor_names: Sequence[str], feed: Feed) -> dict[str, int]:
    """Bytes of each tensor as float32 on this feed; the model is run once for it, and gives only the shapes."""
    model = read_skeleton(path)
    inputs, _ = _known(model)
    inner = [name for name in dict.fromkeys(tensor_names) if name not in inputs]
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    shapes: dict[str, str] = {}
    for name in inner:
        shape = f"{name}_shape"
        while shape in taken:
            shape += "_"
        taken.add(shape)
        shapes[name] = shape
        model.graph.node.append(helper.make_node("Shape", [name], [shape]))
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=shape) for shape in shapes.values())
    found = _run(_session(model, path), list(shapes.values()), feed, path) if inner else []
    sizes = {name: 4 * int(feed[name].size) for name in tensor_names if name in inputs}
    return sizes | {name: 4 * int(shape.prod()) for name, shape in zip(inner, found, strict=True)}


def _known(model: onnx.ModelProto) -> tuple[set[str], set[str]]:
    """The names of the model's inputs, and of what its nodes make."""
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name for value in model.graph.input} - stored
    return inputs, {name for node in model.graph.node for name in node.output if name}


def _session(model: onnx.ModelProto, path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads()
    # Fusions would be undone by the further outputs anyway.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(NO_COPIES, "1")
    options.add_session_config_entry(WEIGHTS_FOLDER, str(_placed(model, path)))
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own classes share no base below Exception
        raise _unrunnable(path, error) from error


def _placed(model: onnx.ModelProto, path: Path) -> Path:
    """Lets the weights' places start from a folder that holds all files as they are, and gives it.

    ONNX Runtime reads no weights through a link that leads out of the folder, and a job's files are such links.
    """
    lie = [(tensor, extent) for tensor in tensors_of(model) if (extent := extent_of(tensor, path))]
    files = {extent.path: extent.path.resolve() for _, extent in lie}
    folder = Path(os.path.commonpath([path.resolve().parent, *(file.parent for file in files.values())]))
    for tensor, extent in lie:
        point_at(tensor, str(files[extent.path].relative_to(folder)), extent.offset, extent.length)
    return folder


def _run(session: onnxruntime.InferenceSession, names: list[str], feed: Feed, path: Path) -> list[NDArray[Any]]:
    try:
        outputs: list[NDArray[Any]] = session.run(names, feed)
    except Exception as error:
        raise _unrunnable(path, error) from error
    return outputs


def _unrunnable(path: Path, error: Exception) -> QuantizationRefused:
    said = " ".join(str(error).split())[:200] or type(error).__name__
    return QuantizationRefused(
        "model-unrunnable",
        f"ONNX Runtime does not run {path.name} on the calibration samples: {said}",
        "Give samples that fit the model's inputs, or take a scheme that needs none, int8-weight.",
    )

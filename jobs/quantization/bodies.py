"""Weights of the bodies of If, Loop and Scan, moved out to the main graph, where a body can read them all the same.

There they are quantized as any other, are made float again once and not in each turn, and have a name of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import onnx
from onnx import TensorProto

# The names of a body's tensors that are wanted outside.
Wanted = Callable[[onnx.GraphProto], set[str]]


def bodies_in(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs that stand inside a node, one level down."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def bodies_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Every graph that stands inside a graph's nodes, at any depth, outer ones first."""
    for node in graph.node:
        for body in bodies_in(node):
            yield body
            yield from bodies_of(body)


def lift(graph: onnx.GraphProto, wanted: Wanted) -> None:
    """Moves what is wanted to the initializers of the main `graph`, renamed where its name has another meaning too."""
    defined = Counter(name for one in (graph, *bodies_of(graph)) for name in set(_defined(one)))
    for body in bodies_of(graph):
        # What a body gives back or takes must stand in it.
        go = wanted(body) - {value.name for value in (*body.output, *body.input)}
        if not go:
            continue
        stay = [tensor for tensor in body.initializer if tensor.name not in go]
        moved = [(tensor, tensor.name) for tensor in body.initializer if tensor.name in go]
        nodes = []
        for node in body.node:
            held = constant_of(node)
            if held is not None and node.output[0] in go:
                moved.append((held, node.output[0]))
            else:
                nodes.append(node)
        names = {}
        for tensor, name in moved:
            names[name] = name if defined[name] == 1 else _unused(name, defined)
            graph.initializer.add().CopyFrom(tensor)
            graph.initializer[-1].name = names[name]
        replace(body.initializer, stay)
        replace(body.node, nodes)
        _rename(body, {old: new for old, new in names.items() if old != new})


def unthread(graph: onnx.GraphProto, names: set[str]) -> None:
    """Lets the bodies of Loops read what of `names` is only handed from turn to turn, unchanged, where it stands.

    Exporters hand a recurrent layer's matrices through a Loop as if they were its state.
    """
    read = Counter(name for one in (graph, *bodies_of(graph)) for node in one.node for name in node.input)
    read.update(value.name for one in (graph, *bodies_of(graph)) for value in one.output)
    for node in (node for one in (graph, *bodies_of(graph)) for node in one.node):
        if node.op_type != "Loop" or node.domain not in ("", "ai.onnx"):
            continue
        body = next(bodies_in(node))
        own = set(_defined(body))
        copied = {inner.output[0]: inner.input[0] for inner in body.node if inner.op_type == "Identity"}
        # Inputs of the node and of its body: turns, condition, state. Outputs of the body: condition, state; of the
        # node: state.
        for index in reversed(range(2, len(node.input))):
            given, taken, kept = node.input[index], body.input[index].name, body.output[index - 1].name
            result = node.output[index - 2] if index - 2 < len(node.output) else ""
            same = copied.get(kept, kept) == taken
            if given not in names or given in own or not same or (result and read[result]):
                continue
            del node.input[index], body.input[index], body.output[index - 1]
            if index - 2 < len(node.output):
                del node.output[index - 2]
            _rename(body, {taken: given, kept: given})
            if kept not in {value.name for value in body.output}:
                # Else the copy for the next turn would be a reader that wants the weight as it was.
                for place in reversed(range(len(body.node))):
                    if list(body.node[place].output) == [kept]:
                        del body.node[place]


def replace(holder: Any, values: list[Any]) -> None:
    """Fills a message's repeated field with values that may stand in it now."""
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del holder[:]
    holder.extend(copies)


def constant_of(node: onnx.NodeProto) -> TensorProto | None:
    """The tensor that a Constant node holds."""
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx") or not node.output:
        return None
    return next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)


def _defined(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (value.name for value in graph.input)
    yield from (tensor.name for tensor in graph.initializer)
    for node in graph.node:
        yield from node.output


def _unused(name: str, taken: Counter[str]) -> str:
    count = 2
    while f"{name}_{count}" in taken:
        count += 1
    taken[f"{name}_{count}"] += 1
    return f"{name}_{count}"


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    if not names:
        return
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
        for body in bodies_in(node):
            # A body that defines the name itself means its own.
            own = set(_defined(body))
            _rename(body, {old: new for old, new in names.items() if old not in own})

"""Whether a graph hangs together: what a node reads is made somewhere, once, and not by what comes of the node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

import onnx

from jobs.conversion.errors import ConversionRefused
from jobs.conversion.skeleton import nodes_of

NATIVE = ("", "ai.onnx")


def check_structure(model: onnx.ModelProto, name: str) -> None:
    """Raises `graph-broken`. The order of the nodes is of no account: runtimes put them in theirs."""
    _check(model.graph, set(), name)


def unknown_operators(model: onnx.ModelProto, opset: int) -> list[str]:
    """Operators that say that they are ONNX's own, and that it does not have in this opset."""
    own = {node.op_type for node in nodes_of(model) if node.domain in NATIVE}
    own -= {function.name for function in model.functions if function.domain in NATIVE}
    return sorted(kind for kind in own if not _known(kind, opset))


def _known(kind: str, opset: int) -> bool:
    try:
        onnx.defs.get_schema(kind, opset, "")
    except onnx.defs.SchemaError:
        return False
    return True


def _check(graph: onnx.GraphProto, outer: set[str], name: str) -> None:
    made = Counter(output for node in graph.node for output in node.output if output)
    twice = [output for output, count in made.items() if count > 1]
    if twice:
        raise _broken(name, f"{twice[0]} is made twice")
    stored = {tensor.name for tensor in graph.initializer} | {one.values.name for one in graph.sparse_initializer}
    known = outer | {port.name for port in graph.input} | stored | set(made)
    makers = {output: index for index, node in enumerate(graph.node) for output in node.output}
    needs: dict[int, set[int]] = {}
    for index, node in enumerate(graph.node):
        lacking = next((value for value in node.input if value and value not in known), None)
        if lacking is not None:
            raise _broken(name, f"{node.op_type} reads {lacking}, which nothing makes")
        bodies = list(_bodies(node))
        for body in bodies:
            _check(body, known, name)
        read = {*node.input, *(value for body in bodies for inner in nodes_of(body) for value in inner.input)}
        needs[index] = {makers[value] for value in read if value in makers}
    lacking = next((port.name for port in graph.output if port.name not in known), None)
    if lacking is not None:
        raise _broken(name, f"its output {lacking} is made by nothing")
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        # `args[1]` are the nodes in a row, the first of them at its end again.
        kinds = " and ".join(graph.node[index].op_type for index in error.args[1][1:])
        raise _broken(name, f"{kinds} wait for themselves") from error


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _broken(name: str, how: str) -> ConversionRefused:
    return ConversionRefused("graph-broken", f"The graph of {name} is broken: {how}.", "Export the model again.")

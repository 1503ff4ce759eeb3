"""Tensors of one name, of which a runtime reads one.

ONNX wants each name once. ONNX Runtime runs a model that stores two tensors under one all the same.
"""

from __future__ import annotations

import onnx

from jobs.quantization.bodies import bodies_of, constant_of, replace


def drop_hidden(graph: onnx.GraphProto) -> list[str]:
    """Takes out what another tensor of its name and its graph hides, in bodies as well, and gives the names.

    What is read is the first initializer, and an initializer before a Constant: so does ONNX Runtime 1.32, and a test
    holds it.
    """
    return [name for one in (graph, *bodies_of(graph)) for name in _drop(one)]


def _drop(graph: onnx.GraphProto) -> list[str]:
    seen: set[str] = set()
    hidden: list[str] = []

    def first(name: str) -> bool:
        if name in seen:
            hidden.append(name)
        seen.add(name)
        return name not in hidden

    initializers = [tensor for tensor in graph.initializer if first(tensor.name)]
    nodes = [node for node in graph.node if constant_of(node) is None or first(node.output[0])]
    if hidden:
        replace(graph.initializer, initializers)
        replace(graph.node, nodes)
    return hidden

"""The shape report: what shape each tensor has, which are still open, and why."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from jobs.conversion.checks.inspection import type_name
from jobs.conversion.mend.values import dims_of, inferred, value_infos


@dataclass(frozen=True)
class TensorShape:
    """``shape`` is None where not even the rank is known; ``open`` says why a size is not fixed, empty if all are."""

    name: str
    type: str
    shape: list[int | str | None] | None
    open: str = ""


def shape_report(model: onnx.ModelProto) -> list[TensorShape]:
    """Every value of the main graph, in the order in which it is computed. Raises `shapes-contradict`."""
    graph = inferred(model).graph
    noted = {value.name: value for value in value_infos(graph)}
    constant = {tensor.name for tensor in graph.initializer}
    why: dict[str, str] = {}
    found: list[TensorShape] = []
    free = {
        size: value.name for value in reversed(graph.input) for size in dims_of(value) or [] if isinstance(size, str)
    }

    def note(name: str, reason: str) -> None:
        value = noted.get(name)
        shape = dims_of(value) if value is not None else None
        kind = type_name(value.type.tensor_type.elem_type) if value is not None else ""
        whole = shape is not None and all(isinstance(size, int) for size in shape)
        why[name] = "" if whole else reason
        found.append(TensorShape(name, kind, shape, why[name]))

    for value in graph.input:
        if value.name not in constant:
            sizes = [str(size) for size in dims_of(value) or [] if not isinstance(size, int)]
            note(value.name, f"the input leaves {', '.join(sizes) or 'its rank'} free")
    for node in graph.node:
        inherited = next((why[name] for name in node.input if why.get(name)), "")
        for name in filter(None, node.output):
            value = noted.get(name)
            names = [size for size in (dims_of(value) or [] if value is not None else []) if isinstance(size, str)]
            source = next((free[size] for size in names if size in free), None)
            reason = f"follows from input {source}" if source else inherited
            note(name, reason or f"{node.op_type} {node.name or name} makes a size that depends on values")
    return found

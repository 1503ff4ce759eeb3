"""Another opset, up or down, by onnx's own version converter: it knows how each operator changed."""

from __future__ import annotations

import re

import onnx
from onnx import version_converter

from jobs.conversion.checks.inspection import opset_of
from jobs.conversion.checks.structure import unknown_operators
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.mend.older import filled_in, reworded
from jobs.conversion.mend.softmax import said_by_last_axis
from jobs.conversion.skeleton import nodes_of

# The IR version that came with an opset; a reader of that opset may not know a newer one (onnx, Versioning.md).
IR_OF_OPSET = ((21, 10), (19, 9), (15, 8), (13, 7), (11, 6), (10, 5), (9, 4), (7, 3))

_NO_RULE = re.compile(r"No Adapter (?:From Version \$?(\d+)|To Version \$?(\d+)) for (\w+)")
# Where an operator stands while the converter must not see it.
_ASIDE = "console.unchanged"


def converted(model: onnx.ModelProto, opset: int, name: str) -> onnx.ModelProto:
    """The model in that opset. Raises ConversionRefused (`opset-unknown`, `opset-no-way`)."""
    newest = onnx.defs.onnx_opset_version()
    if not 7 <= opset <= newest:
        raise ConversionRefused(
            "opset-unknown", f"There is no way to opset {opset} here.", f"Choose one from 7 to {newest}."
        )
    now = opset_of(model)
    if now == opset:
        return model
    if unknown := unknown_operators(model, now):
        raise ConversionRefused(
            "opset-no-way",
            f"{name} cannot be brought from opset {now} to {opset}: opset {now} of ONNX has no operator "
            f"{', '.join(unknown)}.",
            "Choose a nearer opset that the target reads, or export the model again with that opset.",
        )
    reworded(model, now, opset)
    said_by_last_axis(model, now, opset, name)
    hidden: set[str] = set()
    while True:
        try:
            result = version_converter.convert_version(_without(model, hidden), opset)
            break
        except Exception as error:  # its C++ side raises several types
            lacking = _NO_RULE.search(str(error))
            if lacking is None or lacking[3] in hidden or not _unchanged(model, lacking[3], now, opset):
                raise _no_way(str(error), now, opset, name) from error
            hidden.add(lacking[3])
    for node in nodes_of(result.graph):
        if node.domain == _ASIDE:
            node.domain = ""
    filled_in(result, opset)
    kept = [one for one in result.opset_import if one.domain != _ASIDE]
    del result.opset_import[:]
    result.opset_import.extend(kept)
    result.ir_version = min(model.ir_version, _ir_of(opset)) if opset < now else max(model.ir_version, _ir_of(opset))
    return result


def _ir_of(opset: int) -> int:
    return next(ir for lowest, ir in IR_OF_OPSET if opset >= lowest)


def _without(model: onnx.ModelProto, operators: set[str]) -> onnx.ModelProto:
    """The model with those operators set aside: the converter leaves what is not ONNX's own alone."""
    if not operators:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in nodes_of(copy.graph):
        if node.op_type in operators and node.domain in ("", "ai.onnx"):
            node.domain = _ASIDE
    copy.opset_import.add(domain=_ASIDE, version=1)
    return copy


def _unchanged(model: onnx.ModelProto, operator: str, now: int, opset: int) -> bool:
    """Whether every such node means the same in both; an attribute that says what is so anyway is taken out for it.

    Many versions of an operator only add types (opset 13 added bfloat16 to most), or an attribute whose default is what
    was (Reshape's allowzero), and the converter has no rule down from them. The same are those whose inputs and outputs
    have room, and no attribute that differs; whether the result computes the same is tried afterwards in any case.
    """
    if not onnx.defs.has(operator, max_inclusive_version=opset):
        return False
    old, new = (onnx.defs.get_schema(operator, version) for version in (now, opset))

    def default(schema: onnx.defs.OpSchema, name: str) -> bytes:
        value = schema.attributes[name].default_value
        return value.SerializeToString() if value.name else b""

    for node in nodes_of(model.graph):
        if node.op_type != operator or node.domain not in ("", "ai.onnx"):
            continue
        kept = [
            one
            for one in node.attribute
            if one.name in new.attributes or one.SerializeToString() != default(old, one.name)
        ]
        given = {one.name for one in kept}
        silent = set(old.attributes) & set(new.attributes) - given
        if given - set(new.attributes) or any(default(old, name) != default(new, name) for name in silent):
            return False
        if any(one.required and name not in given for name, one in new.attributes.items()):
            return False
        if len(node.input) > new.max_input or len(node.output) > new.max_output:
            return False
        del node.attribute[:]
        node.attribute.extend(kept)
    return True


def _no_way(said: str, now: int, opset: int, name: str) -> ConversionRefused:
    match = _NO_RULE.search(said)
    if match:
        why = f"{match[3]} has no rule from its version {match[1] or match[2]}"
    else:
        why = " ".join(said.split()).rpartition("failed: ")[2][:200]
    return ConversionRefused(
        "opset-no-way",
        f"{name} cannot be brought from opset {now} to {opset}: {why}.",
        "Choose a nearer opset that the target reads, or export the model again with that opset.",
    )

"""Opset and operators of a model against what a CANN reads."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jobs.conversion.cann import opset_range
from jobs.conversion.checks.inspection import Inspection
from jobs.conversion.errors import ConversionRefused


def check_opset(model: Inspection, cann: str) -> list[str]:
    """Warnings about the opset against a CANN version. Raises `opset-unsupported`, `cann-version`."""
    known = opset_range(cann)
    if known.lowest <= model.opset <= known.highest:
        return []
    said = f"{model.name} is opset {model.opset}; CANN {known.documented_for} reads {known.lowest} to {known.highest}"
    if not known.exact:
        return [f"{said}. What CANN {cann} reads was not found: expect atc to refuse it."]
    nearest = min(max(model.opset, known.lowest), known.highest)
    raise ConversionRefused(
        "opset-unsupported", f"{said}.", f"Export the model with opset {nearest}, or mend it: --opset {nearest}."
    )


@dataclass(frozen=True)
class Unread:
    """An entry of operators.toml. ``refuse``: atc is known to have no parser; otherwise a warning."""

    operators: frozenset[str]
    refuse: bool
    why: str
    mend: str
    source: str


@cache
def unread() -> tuple[Unread, ...]:
    """What operators.toml has."""
    data = tomllib.loads(Path(__file__).with_name("operators.toml").read_text(encoding="utf-8"))
    return tuple(
        Unread(frozenset(one["operators"]), one["refuse"], one["why"], one["mend"], one["source"])
        for one in data["entry"]
    )


def check_operators(model: Inspection) -> list[str]:
    """Warnings about operators that atc reads with limits. Raises `operator-unsupported`, `domains-unsupported`."""
    warnings = []
    for entry in unread():
        found = [name for name in model.operators if name.removeprefix("ai.onnx::") in entry.operators]
        if found and entry.refuse:
            raise ConversionRefused(
                "operator-unsupported",
                f"atc has no parser for {', '.join(found)}, which {model.name} uses: {entry.why}.",
                entry.mend,
            )
        if found:
            warnings.append(f"{', '.join(found)}: {entry.why}. {entry.mend}")
    if len(model.domains) > 1:
        foreign = sorted({name.partition("::")[0] for name in model.operators} - {"ai.onnx"})
        raise ConversionRefused(
            "domains-unsupported",
            f"{model.name} has opsets of several domains ({', '.join(model.domains)}); atc takes one (E16005)"
            + (f". It uses operators of {', '.join(foreign)}." if foreign else ", and it uses ONNX's own alone."),
            "Export the model with ONNX's own operators."
            if foreign
            else "Mend it: opset imports that nothing uses go.",
        )
    return warnings

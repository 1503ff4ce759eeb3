"""A quantized model that stands in its working folder."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.quantization.choice import Chosen, Left
from jobs.quantization.kernel import Result
from jobs.quantization.output import Output
from jobs.quantization.rewrite import Planned


@dataclass(frozen=True)
class Written:
    """What was made of each weight, what was left, and where it lies. `seconds` are reading, rounding and writing, less
    `resumed` bytes of the source that a run which was killed had finished."""

    weights: list[tuple[Chosen, Result]]
    left: list[Left]
    planned: list[Planned]
    output: Output
    integer_products: int
    seconds: float
    resumed: int

    def bytes_of(self, weight: Chosen) -> int:
        """What a weight takes now, scales and zero points included."""
        return sum(plan.bytes for plan in self.planned if plan.weight is weight and plan.role != "bias")

    def doubts(self, scheme: str) -> list[str]:
        """Whether the scheme reached nothing of what it is for: then the result is that of int8-weight."""
        if scheme == "int4" and not any(weight.blocks for weight, _ in self.weights):
            return ["Nothing of this model could be kept in 4 bits: it is what int8-weight makes."]
        if scheme in ("int8-dynamic", "int8-static") and not self.integer_products:
            return ["Nothing of this model could be multiplied in integers: it is what int8-weight makes."]
        return []

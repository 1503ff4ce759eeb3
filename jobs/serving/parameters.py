"""How a release is served apart from what is served: by environment variables, so that an image of any age starts.

An image whose code knows a variable heeds it; one that does not says so by leaving it out of `/healthz`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from .errors import ModelRefused

VARIABLES = {
    "preprocessing_workers": "SERVING_PREPROCESSING_WORKERS",
    "max_batch": "SERVING_MAX_BATCH",
    "memory_budget_mb": "SERVING_MEMORY_BUDGET_MB",
}
# Name -> the least and the most.
BOUNDS = {"preprocessing_workers": (1, 64), "max_batch": (1, 1024), "memory_budget_mb": (0, 1 << 22)}


@dataclass(frozen=True)
class Parameters:
    """`preprocessing_workers` threads tokenise; the model is asked `max_batch` texts at once, at most. Above
    `memory_budget_mb` of resident memory nothing is asked of it; 0 is no budget.
    """

    preprocessing_workers: int = 1
    max_batch: int = 16
    memory_budget_mb: int = 0

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Parameters:
        """Raises ModelRefused that names the variable."""
        given = {}
        for name, variable in VARIABLES.items():
            text = environment.get(variable, "").strip()
            low, high = BOUNDS[name]
            if not text:
                continue
            if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
                raise ModelRefused(
                    "parameter-invalid",
                    f"{variable} is {text!r}; it is a whole number from {low} to {high}.",
                    "Correct the release's serving parameters.",
                )
            given[name] = int(text)
        return cls(**given)

    def to_json(self) -> dict[str, int]:
        return asdict(self)

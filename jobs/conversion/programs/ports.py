"""What a script's inputs are: TorchScript keeps their names and neither shapes nor types."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.conversion.checks.shapes import Shape, parse_input_shape
from jobs.conversion.errors import ConversionRefused

TYPES = ("float32", "float16", "float64", "int64", "int32", "int8", "uint8", "bool")
# What a size that is left open is in the example: one for the first size, which is a batch, and one for the others.
BATCH, SIDE = 2, 32
SEED = 7


@dataclass(frozen=True)
class Port:
    """An input by its name in `forward`; -1 in `shape` is a size that the ONNX leaves open."""

    name: str
    shape: Shape
    type: str = "float32"

    @property
    def open(self) -> dict[int, str]:
        """The open sizes, and what they are called in the ONNX."""
        return {axis: f"{self.name}_{axis}" for axis, size in enumerate(self.shape) if size == -1}

    def example(self, run: int) -> NDArray[np.generic]:
        """Values that are the same each time; the open sizes are others in each run. Whole numbers are 0 and 1, which
        are an index, a mask and a length anywhere."""
        usual = [(BATCH if axis == 0 else SIDE) * (run + 1) for axis in range(len(self.shape))]
        shape = [usual[axis] if size == -1 else size for axis, size in enumerate(self.shape)]
        chance = np.random.default_rng(SEED + run)
        values = chance.standard_normal(shape) if self.type.startswith("float") else chance.integers(0, 2, shape)
        return np.asarray(values).astype(self.type)


def read_ports(shapes: str, types: str = "") -> list[Port]:
    """``x:1,3,224,224;ids:1,-1`` and ``ids:int64``; an input without a type is float32.

    Raises ConversionRefused: `input-shape`, `input-type`.
    """
    sizes = parse_input_shape(shapes)
    kinds: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in types.split(";"))):
        name, _, kind = (word.strip() for word in part.rpartition(":"))
        if name not in sizes or kind not in TYPES:
            raise ConversionRefused(
                "input-type",
                f"--input-type cannot be read at {part!r}; --input-shape names {', '.join(sizes)}.",
                f'Write it as "{next(iter(sizes))}:int64", with one of {", ".join(TYPES)}.',
            )
        kinds[name] = kind
    return [Port(name, shape, kinds.get(name, "float32")) for name, shape in sizes.items()]

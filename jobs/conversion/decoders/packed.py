"""Experts that transformers 5 keeps packed: one tensor of all experts' gates and ups, and one of all their downs.

`X.gate_up_proj` is [experts, 2 * intermediate, hidden], each expert's gate above its up, and `X.down_proj` [experts,
hidden, intermediate]. An expert's matrix is a run of such a tensor's bytes, so that it is read where it lies, under the
name that it has when each is saved by itself.
"""

from __future__ import annotations

from jobs.conversion.weights import TensorEntry

# What a packed tensor's name ends with, and what the matrices are that one expert has in it.
ENDINGS = {".experts.gate_up_proj": ("gate_proj", "up_proj"), ".experts.down_proj": ("down_proj",)}


def experts_in(entry: TensorEntry) -> list[TensorEntry]:
    """Each expert's matrices, where they lie; none for a tensor that is not packed so."""
    names = next((names for ending, names in ENDINGS.items() if entry.name.endswith(ending)), ())
    if not names or len(entry.shape) != 3 or 0 in entry.shape or entry.shape[1] % len(names):
        return []
    experts, rows, columns = entry.shape
    layer, shape = entry.name.rpartition(".")[0], (rows // len(names), columns)
    size = (entry.end - entry.start) // (experts * len(names))
    wanted = [f"{layer}.{index}.{name}.weight" for index in range(experts) for name in names]
    return [
        TensorEntry(name, entry.type, shape, entry.start + at * size, entry.start + (at + 1) * size)
        for at, name in enumerate(wanted)
    ]

"""The second moments of the inputs that weights are multiplied with, read off the original's own run on samples.

Weights with the same inputs (query, key and value) share them. As many are summed in one pass over the samples as the
memory allows; they are the original's inputs, not those that already quantized layers would make, so that a run which
was killed finds the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jobs.quantization.calibration.capture import capture, sizes_of
from jobs.quantization.choice import Chosen
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.kernel import Floats
from jobs.quantization.methods.gptq import Feedback, Unfit
from jobs.quantization.samples import Samples

# More change little: they are spread over all that were given.
MOST_ROWS = 128
MIB = 1 << 20
# Bytes for each of [inputs, inputs] in float32: the sum and the rows that wait for it, and the copies that its factor
# is made with.
SUM, WORK = 5, 8
# Rows that are gathered for one product, as a share of the inputs: each product goes through the whole sum.
WAITING = 4

# The tensors that a weight is multiplied with.
Key = tuple[str, ...]


def some_of(samples: Samples) -> Samples:
    """At most `MOST_ROWS` of the samples, spread over them."""
    step = -(-len(samples.feeds) // MOST_ROWS)
    return Samples(samples.origin, samples.feeds[::step])


@dataclass
class Moments:
    """Of one writing of the model. `inputs` are the tensors that each weight of `weights` is multiplied with.

    `memory` is in bytes. `unfit` is told a weight's name and why GPTQ does nothing with it.
    """

    path: Path
    samples: Samples
    weights: Sequence[Chosen]
    inputs: Mapping[str, Sequence[str | None]]
    memory: int
    unfit: Callable[[str, str], None]
    tell: Callable[[str], None]
    _sums: dict[Key, Floats] = field(default_factory=dict)
    _feedback: tuple[Key, Feedback | Unfit] | None = None

    def __post_init__(self) -> None:
        self._keys: dict[str, Key] = {}
        self._reasons: dict[str, str] = {}
        for weight in self.weights:
            read = self.inputs.get(weight.name, ())
            tensors = tuple(sorted({name for name in read if name is not None}))
            if not read or len(read) != len(weight.uses):
                self._reasons[weight.name] = "is looked up, or read by more than products from the right"
            elif None in read:
                self._reasons[weight.name] = "is multiplied inside the body of an If, Loop or Scan, or with a constant"
            else:
                self._keys[weight.name] = tensors
        self._widths = {
            self._keys[weight.name]: weight.shape[1 - weight.axis]
            for weight in self.weights
            if weight.name in self._keys
        }
        self._refuse_too_wide({})
        self._passes = self._packed() if self._widths else []

    def ordered(self, weights: Sequence[Chosen]) -> list[Chosen]:
        """The weights so that those of one pass follow one another."""
        place = {key: number for number, key in enumerate(key for one in self._passes for key in one)}
        return sorted(weights, key=lambda weight: place.get(self._keys.get(weight.name, ()), -1))

    def feedback_of(self, name: str) -> Feedback | None:
        """What GPTQ corrects a weight with; None when it can't, which `unfit` has been told."""
        key = self._keys.get(name)
        if key is None:
            self.unfit(name, self._reasons.get(name, "is no weight of a product"))
            return None
        if self._feedback is None or self._feedback[0] != key:
            self._feedback = None
            if key not in self._sums:
                self._sum(next(number for number, some in enumerate(self._passes) if key in some))
            try:
                self._feedback = key, Feedback.of(self._sums.pop(key))
            except Unfit as unfit:
                self._feedback = key, unfit
        found = self._feedback[1]
        if isinstance(found, Unfit):
            self.unfit(name, str(found))
            return None
        return found

    def _packed(self) -> list[list[Key]]:
        """Which are summed in one pass, in the order of the graph. Raises QuantizationRefused."""
        tensors = sorted({name for key in self._widths for name in key})
        longest = max(self.samples.feeds, key=lambda feed: sum(value.nbytes for value in feed.values()))
        sizes = sizes_of(self.path, tensors, longest)
        self._refuse_too_wide(sizes)
        work = WORK * max(self._widths.values()) ** 2
        passes: list[list[Key]] = []
        room = 0
        for key, width in self._widths.items():
            need = SUM * width**2 + sum(sizes[name] for name in key)
            if not passes or need > room:
                passes.append([])
                room = self.memory - work
            passes[-1].append(key)
            room -= need
        return passes

    def _refuse_too_wide(self, sizes: Mapping[str, int]) -> None:
        for weight in self.weights:
            key = self._keys.get(weight.name, ())
            width = weight.shape[1 - weight.axis]
            need = (SUM + WORK) * width**2 + sum(sizes.get(name, 0) for name in key)
            if key and need > self.memory:
                raise QuantizationRefused(
                    "memory-too-small",
                    f"GPTQ needs {-(-need // MIB)} MiB for the {width} inputs of {weight.name}, and "
                    f"{self.memory // MIB} MiB are allowed.",
                    f"Allow more (--memory {-(-need // MIB)}), or take --method hqq, which needs none of it.",
                )

    def _sum(self, number: int) -> None:
        keys = self._passes[number]
        rows_read = f"reading the inputs of layers on {len(self.samples.feeds)} samples"
        self.tell(f"{rows_read}, pass {number + 1} of {len(self._passes)}")
        self._sums = {}
        self._sums = {key: np.zeros((self._widths[key],) * 2, np.float32) for key in keys}
        waiting: dict[Key, list[Floats]] = {key: [] for key in keys}
        rows = dict.fromkeys(keys, 0)

        def add(key: Key) -> None:
            seen = np.concatenate(waiting[key])
            self._sums[key] += seen.T @ seen
            rows[key] += len(seen)
            waiting[key].clear()

        for values in capture(self.path, sorted({name for key in keys for name in key}), self.samples):
            for key in keys:
                width = self._widths[key]
                waiting[key] += [np.array(values[name], np.float32).reshape(-1, width) for name in key]
                if sum(map(len, waiting[key])) >= width // WAITING:
                    add(key)
        for key, total in self._sums.items():
            if waiting[key]:
                add(key)
            total /= np.float32(max(rows[key], 1))

"""Rotary positions: the angles by which queries and keys are turned.

Sources: RoFormer (arXiv 2104.09864); linear interpolation (arXiv 2306.15595); YaRN (arXiv 2309.00071); Llama 3's rule
from the model's own `rope_scaling` fields; dynamic NTK as transformers has it. How they get into a graph: `angles`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.conversion.decoders.fields import Fields

# Positions a block: 2 MiB for heads of 128 units.
ROWS = 8192
KINDS = ("default", "linear", "dynamic", "llama3", "yarn")


@dataclass(frozen=True)
class Rope:
    """`size` units of each head are turned; `positions` is the context that was trained before any scaling.

    The frequencies of `dynamic` are those within that context.
    """

    kind: str
    theta: float
    size: int
    factor: float = 1.0
    positions: int = 0
    low: float = 1.0
    high: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    # What cosine and sine are multiplied by, and the further factor that DeepSeek-V2 has on its scores.
    amplitude: float = 1.0
    score_factor: float = 1.0

    @classmethod
    def read(cls, config: Fields, size: int) -> Rope:
        """From `rope_theta` and `rope_scaling`, or the newer `rope_parameters` that holds both.

        Raises `config-invalid` and, for a kind that is not in KINDS, `rope-unsupported`.
        """
        given = config.inner("rope_parameters") or config.inner("rope_scaling")
        theta = (given or config).number("rope_theta", config.number("rope_theta", 10000.0))
        if theta <= 1:
            raise config.invalid("rope_theta", f"{theta} is not above 1")
        if given is None:
            return cls("default", theta, size)
        kind = given.text("rope_type", given.text("type", "default"))
        if kind not in KINDS:
            raise given.unsupported(
                "rope-unsupported", f"rotary positions of type {kind!r}; {', '.join(KINDS)} are known"
            )
        given.fixed("partial_rotary_factor", 1.0)
        if kind == "default":
            return cls(kind, theta, size)
        factor = given.number("factor")
        everywhere = given.number("mscale_all_dim", 0.0, least=0.0)
        scores = _mscale(factor, everywhere) ** 2
        if kind == "linear":
            return cls(kind, theta, size, factor, score_factor=scores)
        longest = config.count("max_position_embeddings")
        if kind == "dynamic":
            if size == 2:
                raise given.unsupported("rope-unsupported", "dynamic rotary positions of heads of 2 units")
            return cls(kind, theta, size, factor, longest, score_factor=scores)
        # As transformers looks for it: beside the rotary fields, in them, or it is what the model reads now.
        within = given.count("original_max_position_embeddings", longest)
        trained = config.count("original_max_position_embeddings", within)
        if kind == "llama3":
            low, high = given.number("low_freq_factor"), given.number("high_freq_factor")
            if low >= high:
                raise given.invalid("high_freq_factor", f"{high} is not above low_freq_factor {low}")
            return cls(kind, theta, size, factor, trained, low, high, score_factor=scores)
        mscale = given.number("mscale", 0.0, least=0.0)
        inferred = (
            _mscale(factor, mscale) / _mscale(factor, everywhere) if mscale and everywhere else _mscale(factor, 1)
        )
        return cls(
            kind, theta, size, factor, trained,
            beta_fast=given.number("beta_fast", 32.0),
            beta_slow=given.number("beta_slow", 1.0),
            truncate=given.flag("truncate", True),
            amplitude=given.number("attention_factor", inferred),
            score_factor=scores,
        )  # fmt: skip

    @property
    def reach(self) -> int:
        """How many positions it is made for, where that goes beyond what the model was trained with; else 0."""
        return int(self.positions * self.factor) if self.kind == "dynamic" else 0

    def frequencies(self) -> NDArray[np.float32]:
        """[size / 2] radians a position."""
        plain = self.theta ** -(np.arange(0, self.size, 2) / self.size)
        if self.kind == "linear":
            plain = plain / self.factor
        elif self.kind == "llama3":
            plain = self._llama3(plain)
        elif self.kind == "yarn":
            plain = self._yarn(plain)
        return plain.astype(np.float32)

    def table(self, function: np.ufunc, positions: int) -> Iterator[NDArray[np.float32]]:
        """`np.cos` or `np.sin` of the angles, [positions, size / 2], in blocks of rows.

        The angle is rounded to float32, as the models were trained.
        """
        frequencies = self.frequencies()
        for start in range(0, positions, ROWS):
            angles = np.arange(start, min(start + ROWS, positions), dtype=np.float32)[:, None] * frequencies
            yield function(angles) * np.float32(self.amplitude)

    def _llama3(self, plain: NDArray[np.float64]) -> NDArray[np.float64]:
        # Turns within the trained context: many are kept, few are stretched, between them it goes over smoothly.
        turns = self.positions * plain / (2 * math.pi)
        kept = np.clip((turns - self.low) / (self.high - self.low), 0, 1)
        return (1 - kept) * plain / self.factor + kept * plain

    def _yarn(self, plain: NDArray[np.float64]) -> NDArray[np.float64]:
        low, high = self._unit_with(self.beta_fast), self._unit_with(self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, self.size - 1)
        stretched = np.clip((np.arange(self.size // 2) - low) / max(high - low, 0.001), 0, 1)
        return plain * (1 - stretched) + plain / self.factor * stretched

    def _unit_with(self, turns: float) -> float:
        """The (fractional) index of the frequency that turns so often within the trained context."""
        return self.size * math.log(self.positions / (turns * 2 * math.pi)) / (2 * math.log(self.theta))


def _mscale(factor: float, weight: float) -> float:
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

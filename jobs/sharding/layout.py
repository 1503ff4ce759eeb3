"""Which part of which tensor each rank has, by the names that Hugging Face gives them.

Llama, Qwen2, Mixtral, DeepSeek and BERT: matrices whose outputs are heads or hidden values of an MLP are cut by rows of
the stored matrix ("column parallel"), those that gather them again by its columns ("row parallel"); vocabulary by rows;
all else is whole on every rank (Shoeybi et al., arXiv:1909.08053, section 3). Layers go to pipeline stages in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from jobs.sharding.errors import ShardingRefused
from jobs.sharding.memory import stage_bounds
from jobs.sharding.shape import Shape

_QUERY = r"q_proj|q_b_proj|kv_b_proj|attention\.self\.query"
_KEYS = r"k_proj|v_proj|attention\.self\.(?:key|value)"
_WIDE = r"gate_proj|up_proj|intermediate\.dense|experts\.\d+\.w[13]"
_GATHER = r"o_proj|attention\.output\.dense"
_NARROW = r"down_proj|layer\.\d+\.output\.dense|experts\.\d+\.w2"
_VOCABULARY = r"embed_tokens|lm_head|word_embeddings"
_MODULE = re.compile(
    rf"(?:^|\.)(?:(?P<query>{_QUERY})|(?P<keys>{_KEYS})|(?P<wide>{_WIDE})|(?P<gather>{_GATHER})|(?P<narrow>{_NARROW})"
    rf"|(?P<vocabulary>{_VOCABULARY}))\.(?P<part>[^.]+)$"
)
_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")
_TIED = re.compile(r"(?:^|\.)embed_tokens\.weight$")


@dataclass(frozen=True)
class Cut:
    """``axis`` is None for a tensor that is whole everywhere; else ``ranges`` are (first, one after last) along it, one
    for each tensor rank.
    """

    axis: int | None
    ranges: tuple[tuple[int, int], ...] = ()


def cut_of(name: str, sizes: tuple[int, ...], tensor: int, shape: Shape) -> Cut:
    """How a tensor is cut for ``tensor`` ranks.

    Raises ShardingRefused (`not-divisible`) for a cut through a head, and for scales of weights that are quantized.
    """
    found = _MODULE.search(name)
    if found is None or tensor == 1:
        return Cut(None)
    kind = found.lastgroup if found.lastgroup != "part" else None
    kind = kind or next(key for key, value in found.groupdict().items() if value is not None and key != "part")
    if found["part"] not in ("weight", "bias"):
        raise ShardingRefused(
            "not-divisible",
            f"{name} belongs to a weight that is quantized: how it is cut is the engine's own affair.",
            "Split the model before it is quantized, or by size.",
        )
    if kind in ("gather", "narrow") and (found["part"] == "bias" or len(sizes) < 2):
        # Added once, after the ranks' sums are one.
        return Cut(None)
    axis = 1 if kind in ("gather", "narrow") else 0
    if kind == "vocabulary":
        # Engines pad the vocabulary; here the last rank has less.
        each = -(-sizes[0] // tensor)
        return Cut(0, tuple((min(n * each, sizes[0]), min((n + 1) * each, sizes[0])) for n in range(tensor)))
    units = {"query": shape.heads, "gather": shape.heads, "keys": shape.kv_heads}.get(kind, sizes[axis])
    if sizes[axis] % units or (units % tensor and not (kind == "keys" and tensor % units == 0)):
        raise ShardingRefused(
            "not-divisible",
            f"{name} has {sizes[axis]} values in {units} units, which do not go to {tensor} ranks.",
            f"Choose a tensor degree that divides {units}.",
        )
    unit = sizes[axis] // units
    if units < tensor:
        share = tensor // units
        return Cut(0, tuple((n // share * unit, (n // share + 1) * unit) for n in range(tensor)))
    each = units // tensor * unit
    return Cut(axis, tuple((n * each, (n + 1) * each) for n in range(tensor)))


def stages_of(names: Iterable[str], stages: int, layers: int) -> dict[str, tuple[int, ...]]:
    """The pipeline stages that have each tensor: a layer's one; embeddings the first; what follows the layers the last.

    Where the head is the embedding again, the last stage has that, too. Raises ShardingRefused (`layers-unknown`).
    """
    every = list(names)
    if stages == 1:
        return dict.fromkeys(every, (0,))
    if not any(_LAYER.search(name) for name in every):
        raise ShardingRefused(
            "layers-unknown", "No tensor's name has the number of a layer: there is nothing to make stages of.",
            "Split by tensor only (--pipeline 1).",
        )  # fmt: skip
    if stages > layers:
        raise ShardingRefused(
            "request-invalid", f"{layers} layers do not make {stages} stages.", f"Give {layers} at most."
        )
    tied = not any("lm_head." in name for name in every)
    stage_of_layer = {
        layer: stage for stage in range(stages) for layer in range(*stage_bounds(layers, stages, stage))
    }  # fmt: skip
    made: dict[str, tuple[int, ...]] = {}
    for name in every:
        found = _LAYER.search(name)
        if found:
            # DeepSeek-V3 keeps its layer of multi-token prediction behind the last one.
            made[name] = (stage_of_layer.get(int(found[1]), stages - 1),)
        elif "embed" in name:
            made[name] = (0, stages - 1) if tied and _TIED.search(name) else (0,)
        else:
            made[name] = (stages - 1,)
    return made

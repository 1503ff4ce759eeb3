"""Which tensor x pipeline x data split a model has on a site, what each costs, and which is best.

Degrees must divide: heads by tensor; key-value heads by tensor, or tensor by them (each rank then keeps a whole one);
the MLP's or the experts' width by tensor. A tensor group lies inside a node where that is possible: it exchanges twice
a layer, a pipeline once a stage (Shoeybi et al., "Megatron-LM", arXiv:1909.08053; Narayanan et al., arXiv:2104.04473).
Best is the smallest group of chips that fits, inside one node before over several: what is left becomes replicas, and
replicas that serve exchange nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jobs.sharding.collective import Exchange, hop, ring
from jobs.sharding.errors import ShardingRefused
from jobs.sharding.memory import HALF, WEIGHTS, Memory, Request, Split, memory_of
from jobs.sharding.shape import Shape
from jobs.sharding.site import Site

GIB = 1024**3


@dataclass(frozen=True)
class Option:
    """``nodes`` is how many one replica lies on. Exchanged bytes are those that the busiest chip sends for one token of
    each sequence (``decode``) and for one pass over a prompt (``prefill``); seconds: ``None`` without a measured link.
    """

    split: Split
    nodes: int
    memory: Memory
    decode: Exchange
    prefill: Exchange

    @property
    def fits(self) -> bool:
        return not self.memory.short


def options(shape: Shape, site: Site, request: Request) -> list[Option]:
    """Every split that divides the model and the site, best first; those that do not fit are last."""
    made = []
    each, nodes = site.chips_per_node, len(site.nodes)
    for tensor in range(1, each * nodes + 1):
        if not divides(shape, tensor):
            continue
        for pipeline in range(1, min(shape.layers, each * nodes // tensor) + 1):
            spread = _nodes_of(tensor, pipeline, each)
            if spread is None or spread > nodes:
                continue
            replicas = nodes // spread * (max(1, each // (tensor * pipeline)))
            split = Split(tensor, pipeline, replicas)
            memory = memory_of(shape, split, request, site.hbm_bytes)
            batch = -(-request.batch // replicas)
            tokens = min(request.prefill, batch * request.length)
            made.append(
                Option(
                    split, spread, memory,
                    _exchange(shape, split, spread, batch, site), _exchange(shape, split, spread, tokens, site),
                )
            )  # fmt: skip

    def best_first(option: Option) -> tuple[int, ...]:
        split = option.split
        return (not option.fits, split.tensor > each, option.nodes, split.chips, split.pipeline)

    return sorted(made, key=best_first)


def divides(shape: Shape, tensor: int) -> bool:
    """Whether the model's heads and widths can be cut in ``tensor`` equal parts."""
    heads = shape.kv_rank > 0 or shape.kv_heads % tensor == 0 or tensor % shape.kv_heads == 0
    widths = [shape.intermediate] if shape.dense_layers or not shape.experts else []
    if shape.experts:
        widths.append(shape.expert_intermediate)
    return shape.heads % tensor == 0 and heads and all(width % tensor == 0 for width in widths)


def _nodes_of(tensor: int, pipeline: int, each: int) -> int | None:
    """Nodes of one replica; ``None`` where it would leave chips of a node over or cut a tensor group unevenly."""
    chips = tensor * pipeline
    if chips <= each:
        return 1 if each % chips == 0 or chips == each else None
    if chips % each or not (each % tensor == 0 or tensor % each == 0):
        return None
    return chips // each


def _exchange(shape: Shape, split: Split, nodes: int, tokens: int, site: Site) -> Exchange:
    """Of one pass of ``tokens`` tokens: two all-reduces a layer and one of the embedding, one message a stage."""
    size = tokens * shape.hidden * HALF
    link = site.inside if split.tensor <= site.chips_per_node else site.across
    one = ring(size, split.tensor, link)
    count = 2 * -(-shape.layers // split.pipeline) + 1
    passes = 2 * shape.layers + 1
    sent = one.sent * count + (size if split.pipeline > 1 else 0)
    seconds: float | None = None if one.seconds is None else one.seconds * passes
    crossings = nodes - 1 if split.tensor <= site.chips_per_node else split.pipeline - 1
    for crossing in range(split.pipeline - 1):
        step = hop(size, site.across if crossing < crossings else site.inside)
        seconds = None if seconds is None or step is None else seconds + step
    return Exchange(sent, sent, seconds)


def best_of(made: list[Option], shape: Shape, site: Site, request: Request) -> Option:
    """The first that fits. Raises ShardingRefused (`no-room`): what is short by how much, and what would fit."""
    if made[0].fits:
        return made[0]
    closest = min(made, key=lambda option: option.memory.short)
    memory = closest.memory
    raise ShardingRefused(
        "no-room",
        f"{shape.name} in {request.weights} does not fit {_site(site)}: the closest split, tensor "
        f"{closest.split.tensor} x pipeline {closest.split.pipeline}, needs {memory.needed / GIB:.1f} GiB a chip where "
        f"{memory.usable / GIB:.1f} are usable, {memory.short / GIB:.1f} GiB short.",
        mend_of(shape, site, request),
    )


def mend_of(shape: Shape, site: Site, request: Request) -> str:
    """What would make it fit, each of them tried: smaller weights, fewer sequences, more nodes."""

    def fits(site: Site, request: Request) -> bool:
        return any(option.fits for option in options(shape, site, request))

    found = []
    smaller = [name for name in ("int8", "int4") if WEIGHTS[name] < WEIGHTS[request.weights]]
    dtype = next((name for name in smaller if fits(site, replace(request, weights=name))), None)
    if dtype:
        found.append(f"store the weights as {dtype}")
    low, high = 0, request.batch
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(site, replace(request, batch=middle)) else (low, middle)
    if low:
        found.append(f"serve {low} sequences at once instead of {request.batch}")
    have = len(site.nodes)
    for count in sorted({*range(have + 1, have + 9), 2 * have, 4 * have, 8 * have}):
        more = tuple(replace(site.nodes[0], name=f"{site.nodes[0].name} {n}") for n in range(count))
        if fits(replace(site, nodes=more), request):
            found.append(f"take {count} such nodes")
            break
    if not found:
        return "Take chips with more memory, or a smaller model."
    text = ", or ".join(found)
    return f"{text[0].upper()}{text[1:]}."


def why(best: Option, made: list[Option], site: Site) -> str:
    """Why this one, in a sentence or two, with the figures that decide."""
    split, memory = best.split, best.memory
    smaller = [o for o in made if not o.fits and o.split.chips < split.chips and o.nodes <= best.nodes]
    text = (
        f"Tensor {split.tensor} x pipeline {split.pipeline} is the smallest group that fits: "
        f"{memory.needed / GIB:.1f} of {memory.usable / GIB:.1f} usable GiB a chip"
    )
    if smaller:
        nearest = max(smaller, key=lambda o: o.split.chips)
        chips = f"{nearest.split.chips} chip{'s' * (nearest.split.chips > 1)}"
        text += f" (on {chips}, {nearest.memory.short / GIB:.1f} GiB a chip would be missing)"
    if best.nodes > 1:
        text += f"; one replica lies on {best.nodes} nodes, because no single node holds it"
    elif len(site.nodes) > 1:
        text += "; it stays inside a node, so that nothing of a pass crosses the slower network"
    text += f". {split.data} replicas share the requests." if split.data > 1 else "."
    return f"{text} {site.idle} chips of larger nodes stay idle." if site.idle else text


def _site(site: Site) -> str:
    nodes, chips = len(site.nodes), site.chips_per_node
    return (
        f"{nodes} node{'s' * (nodes > 1)} with {chips} chip{'s' * (chips > 1)} of "
        f"{site.hbm_bytes / GIB:.0f} GiB{' each' * (nodes > 1)}"
    )

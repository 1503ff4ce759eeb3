"""What one chip has to hold: weights, key-value cache, activations, exchange buffers, and what is gone before.

- Weights: parameters of the chip's share by bytes a value. Quantized are the matrices of the layers; embeddings, head,
  norms and routers stay 16-bit, as W8A8 and W4A16 exports have them. Scales: 16 bit per output row (int8), per 128
  values (int4).
- Key-value cache: 2 x layers x kv heads x head size x bytes a token (Kwon et al., "PagedAttention", SOSP 2023,
  section 3.1); with latent attention layers x (kv rank + rope size) x bytes, whole on each rank (arXiv:2405.04434).
- Activations of a prefill in one pass without stored scores: the residual stream twice and the widest part of a layer,
  or the scores of the vocabulary in float32 [derived from the layer's shapes].
- HCCL takes 2 x HCCL_BUFFSIZE (200 MB by default) for each communicator: one for all, one for each group in use.
- An idle 910B has 3.4 GB of its HBM in use; an engine gets a share of the whole (vLLM: --gpu-memory-utilization 0.9).
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs.sharding.errors import ShardingRefused
from jobs.sharding.shape import Shape

# Bytes a value. int8 and int4 have their scales beside them.
WEIGHTS = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "int8": 1.0, "int4": 0.5}
CACHE = {"fp16": 2, "bf16": 2, "int8": 1}
HALF = 2
INT4_BLOCK = 128
IDLE_BYTES = 3400 * 1000**2
HCCL_BUFFER = 200 * 1024**2
UTILIZATION = 0.9


@dataclass(frozen=True)
class Request:
    """What is to be served: ``batch`` sequences at once over all replicas, each of ``length`` tokens at most.

    ``prefill`` is how many tokens one pass computes at most. ``utilization`` is the share of a chip's memory that the
    engine may fill; ``idle_bytes`` are in use before it starts.
    """

    weights: str = "bf16"
    cache: str = "bf16"
    batch: int = 16
    length: int = 4096
    prefill: int = 4096
    utilization: float = UTILIZATION
    idle_bytes: int = IDLE_BYTES

    def checked(self) -> Request:
        """Raises ShardingRefused (`request-invalid`)."""
        if self.weights not in WEIGHTS or self.cache not in CACHE:
            raise ShardingRefused(
                "request-invalid",
                f"Weights in {self.weights} with a cache in {self.cache} are not reckoned here.",
                f"Weights: {', '.join(WEIGHTS)}; cache: {', '.join(CACHE)}.",
            )
        for name, value, most in (
            ("batch", self.batch, 65536), ("length", self.length, 10**7), ("prefill", self.prefill, 10**7),
        ):  # fmt: skip
            if not 1 <= value <= most:
                raise ShardingRefused("request-invalid", f"{name} cannot be {value}.", f"Give 1 to {most}.")
        if not 0.1 <= self.utilization <= 1 or self.idle_bytes < 0:
            raise ShardingRefused("request-invalid", f"utilization is {self.utilization}.", "Give 0.1 to 1.")
        return self


@dataclass(frozen=True)
class Split:
    """``tensor`` x ``pipeline`` chips hold one replica; there are ``data`` replicas."""

    tensor: int
    pipeline: int
    data: int

    @property
    def chips(self) -> int:
        return self.tensor * self.pipeline


@dataclass(frozen=True)
class Memory:
    """Bytes on the fullest chip; ``usable`` is what it has for all of them together."""

    parameters: int
    weights: int
    cache: int
    activations: int
    buffers: int
    idle: int
    usable: int

    @property
    def needed(self) -> int:
        return self.weights + self.cache + self.activations + self.buffers + self.idle

    @property
    def short(self) -> int:
        """Bytes that are missing; 0 when it fits."""
        return max(0, self.needed - self.usable)


def memory_of(shape: Shape, split: Split, request: Request, hbm_bytes: int) -> Memory:
    """Of the fullest chip of the split."""
    matrices, others = fullest_share(shape, split)
    layers = -(-shape.layers // split.pipeline)
    tokens = -(-request.batch // split.data) * request.length
    if shape.kv_rank:
        values = shape.kv_rank + shape.rope_dim
    else:
        values = 2 * max(1, shape.kv_heads // split.tensor) * shape.head_dim
    groups = 1 + (split.tensor > 1) + (split.pipeline > 1)
    return Memory(
        parameters=matrices + others,
        weights=weight_bytes(matrices, others, shape, request.weights),
        cache=tokens * layers * values * CACHE[request.cache],
        activations=_activations(shape, split, request),
        buffers=2 * HCCL_BUFFER * groups if split.chips > 1 else 0,
        idle=request.idle_bytes,
        usable=round(hbm_bytes * request.utilization),
    )


def fullest_share(shape: Shape, split: Split) -> tuple[int, int]:
    """Parameters of the fullest stage's chip: in the layers' matrices, and in all that stays in 16 bits.

    Where only a number of parameters was given, the assumed shape says how they are spread.
    """
    shares = []
    for stage in range(split.pipeline):
        first, last = stage_bounds(shape.layers, split.pipeline, stage)
        heads = max(1.0, shape.kv_heads / split.tensor)
        # Fewer key-value heads than ranks: each rank keeps a whole one.
        spare = 0 if shape.kv_rank else int((heads - shape.kv_heads / split.tensor) * 2 * shape.hidden * shape.head_dim)
        matrices = others = 0
        for layer in range(first, last):
            matrices += -(-(shape.attention + shape.mlp(layer)) // split.tensor) + spare + shape.latent
            others += shape.router(layer) + 2 * shape.hidden
        ends = (stage == 0) + (stage == split.pipeline - 1 and not (shape.tied and split.pipeline == 1))
        others += ends * -(-shape.embedding // split.tensor) + (shape.hidden if stage == split.pipeline - 1 else 0)
        shares.append((matrices, others))
    matrices, others = max(shares, key=sum)
    if shape.stated:
        scale = shape.stated / shape.counted
        return round(matrices * scale), round(others * scale)
    return matrices, others


def stage_bounds(layers: int, stages: int, stage: int) -> tuple[int, int]:
    """First layer of a stage and the one after its last; the first stages have one more where it does not come out."""
    each, more = divmod(layers, stages)
    first = stage * each + min(stage, more)
    return first, first + each + (stage < more)


def weight_bytes(matrices: int, others: int, shape: Shape, dtype: str) -> int:
    if dtype == "int8":
        return round(matrices * (1 + HALF / shape.hidden)) + others * HALF
    if dtype == "int4":
        return round(matrices * (0.5 + HALF / INT4_BLOCK)) + others * HALF
    return round((matrices + others) * WEIGHTS[dtype])


def _activations(shape: Shape, split: Split, request: Request) -> int:
    tokens = min(request.prefill, -(-request.batch // split.data) * request.length)
    heads = shape.heads * (shape.nope_dim + shape.rope_dim + shape.v_dim or shape.head_dim)
    attention = (heads + 2 * shape.kv_heads * shape.head_dim) // split.tensor
    wide = 2 * max(shape.intermediate, shape.expert_intermediate * (shape.shared_experts or 1)) // split.tensor
    layer = tokens * HALF * (2 * shape.hidden + max(attention, wide))
    scores = 4 * -(-request.batch // split.data) * shape.vocabulary
    return max(layer, scores)

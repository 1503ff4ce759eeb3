"""A decoder's shape out of its config.json, and how many parameters it has where.

Keys are those of Hugging Face's configurations of Llama, Qwen2, Mixtral, Qwen2-MoE and DeepSeek-V2/V3. DeepSeek's
latent attention is that of arXiv:2405.04434, section 2.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from jobs.sharding.errors import ShardingRefused

EXPERTS = ("n_routed_experts", "num_local_experts", "num_experts")


@dataclass(frozen=True)
class Shape:
    """Sizes are numbers of values. ``parameters`` is what was said, or the sum of the tensors.

    ``kv_rank``, ``q_rank``, ``rope_dim``, ``nope_dim`` and ``v_dim`` are those of latent attention (MLA), else 0.
    ``assumed`` names the published model whose shape stands in where only a number of parameters is known.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool = False
    qkv_bias: bool = False
    experts: int = 0
    expert_intermediate: int = 0
    shared_experts: int = 0
    dense_layers: int = 0
    kv_rank: int = 0
    q_rank: int = 0
    rope_dim: int = 0
    nope_dim: int = 0
    v_dim: int = 0
    stated: int = 0
    assumed: str = ""

    @property
    def attention(self) -> int:
        """Parameters of one layer's attention that tensor parallelism divides."""
        if not self.kv_rank:
            bias = (self.heads + 2 * self.kv_heads) * self.head_dim if self.qkv_bias else 0
            return self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads) + bias
        query = self.heads * (self.nope_dim + self.rope_dim) * (self.q_rank or self.hidden)
        return query + self.heads * (self.nope_dim + self.v_dim) * self.kv_rank + self.heads * self.v_dim * self.hidden

    @property
    def latent(self) -> int:
        """Parameters of one layer's attention that every rank holds: the way down into the latent space (MLA)."""
        if not self.kv_rank:
            return 0
        down = self.hidden * (self.kv_rank + self.rope_dim) + self.kv_rank
        return down + (self.hidden * self.q_rank + self.q_rank if self.q_rank else 0)

    def mlp(self, layer: int) -> int:
        """Parameters of one layer's MLP, all of its experts together, without the router."""
        if not self.experts or layer < self.dense_layers:
            return 3 * self.hidden * self.intermediate
        return 3 * self.hidden * self.expert_intermediate * (self.experts + self.shared_experts)

    def router(self, layer: int) -> int:
        return self.hidden * self.experts if self.experts and layer >= self.dense_layers else 0

    @property
    def embedding(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def counted(self) -> int:
        """The sum of all tensors."""
        layers = sum(
            self.attention + self.latent + self.mlp(n) + self.router(n) + 2 * self.hidden for n in range(self.layers)
        )
        return layers + self.embedding * (1 if self.tied else 2) + self.hidden

    @property
    def parameters(self) -> int:
        return self.stated or self.counted


def read_shape(config: dict[str, Any], name: str = "") -> Shape:
    """The shape that a config.json describes. Raises ShardingRefused (`config-invalid`) with the key."""

    def whole(*keys: str, default: int | None = None) -> int:
        value = next((config[key] for key in keys if config.get(key) is not None), default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0 or (default is None and value == 0):
            said = "is missing" if value is None else f"is {value!r}"
            raise ShardingRefused(
                "config-invalid", f"config.json: {keys[0]} {said}.", "Take the config.json of the model itself."
            )
        return value

    hidden, heads = whole("hidden_size"), whole("num_attention_heads")
    experts = whole(*EXPERTS, default=0)
    latent = whole("kv_lora_rank", default=0)
    kind = str(config.get("model_type", ""))
    per_expert = whole("moe_intermediate_size", "intermediate_size") if experts else 0
    # Qwen2-MoE gives the width of its shared expert instead of how many there are.
    shared = whole("shared_expert_intermediate_size", default=0)
    if experts and per_expert and shared % per_expert:
        raise ShardingRefused(
            "config-invalid", f"config.json: shared_expert_intermediate_size {shared} is no multiple of {per_expert}.",
            "Take the config.json of the model itself.",
        )  # fmt: skip
    return Shape(
        name=name or kind or "model",
        layers=whole("num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=whole("num_key_value_heads", default=heads),
        head_dim=whole("head_dim", default=0) or hidden // heads,
        intermediate=whole("intermediate_size"),
        vocabulary=whole("vocab_size"),
        tied=bool(config.get("tie_word_embeddings", False)),
        qkv_bias=bool(config.get("attention_bias", False)) or kind in ("qwen2", "qwen2_moe"),
        experts=experts,
        expert_intermediate=per_expert,
        shared_experts=shared // per_expert if shared else whole("n_shared_experts", default=0),
        dense_layers=whole("first_k_dense_replace", default=0) if experts else 0,
        kv_rank=latent,
        q_rank=whole("q_lora_rank", default=0),
        rope_dim=whole("qk_rope_head_dim") if latent else 0,
        nope_dim=whole("qk_nope_head_dim") if latent else 0,
        v_dim=whole("v_head_dim") if latent else 0,
    )


# Published shapes (their config.json) that stand in for a model of which only the size is known.
_PUBLISHED = (
    Shape("DeepSeek-Coder-1.3B", 24, 2048, 16, 16, 128, 5504, 32256),
    Shape("Llama-2-7B", 32, 4096, 32, 32, 128, 11008, 32000),
    Shape("Llama-2-13B", 40, 5120, 40, 40, 128, 13824, 32000),
    Shape("DeepSeek-Coder-33B", 62, 7168, 56, 8, 128, 19200, 32256),
    Shape("DeepSeek-LLM-67B", 95, 8192, 64, 8, 128, 22016, 102400),
)


def shape_of_size(size: str) -> Shape:
    """A shape for a bare size, such as 13B: that of the published dense model next to it.

    Raises ShardingRefused (`size-invalid`).
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([BbMm]?)", size.strip())
    count = round(float(found[1]) * {"B": 1e9, "M": 1e6, "": 1}[found[2].upper()]) if found else 0
    if not 1_000_000 <= count <= 10**13:
        raise ShardingRefused("size-invalid", f"{size!r} is no number of parameters.", "Write it as 13B or 1.3B.")
    near = min(_PUBLISHED, key=lambda shape: abs(shape.counted - count) / shape.counted)
    return replace(near, name=size.strip(), stated=count, assumed=near.name)

"""What config.json decides of DeepSeek-V2 beyond what every decoder has (arXiv 2405.04434): attention and experts."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.conversion.decoders.fields import Fields

GREEDY, GROUPED = "greedy", "group_limited_greedy"


@dataclass(frozen=True)
class LatentAttention:
    """`heads` whose keys and values are all made of one latent vector a token.

    A head's query has `plain` units that know no position and `turned` ones that do; its value has `value` units.
    `query_rank` is None where queries come from one matrix rather than from two of that rank (DeepSeek-V2-Lite).
    """

    heads: int
    plain: int
    turned: int
    value: int
    rank: int
    query_rank: int | None
    bias: bool

    @property
    def cache(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(heads, units) of what a layer keeps of each token: the latent vector as `key`, the turned key as `value`."""
        return (1, self.rank), (1, self.turned)


@dataclass(frozen=True)
class Experts:
    """From layer `first` on: `count` experts of `intermediate` units, `chosen` of them a token, and `shared` for all.

    With `groups` above 1, a token's experts come from the `chosen_groups` groups that hold its best ones.
    """

    first: int
    count: int
    chosen: int
    intermediate: int
    shared: int
    groups: int
    chosen_groups: int
    normal: bool
    factor: float


def read_attention(config: Fields) -> LatentAttention:
    """Raises `config-invalid`, `architecture-unsupported`."""
    heads, turned = config.count("num_attention_heads"), config.count("qk_rope_head_dim")
    config.fixed("num_key_value_heads", heads)
    config.fixed("rope_interleave", True)
    if turned % 2:
        raise config.invalid("qk_rope_head_dim", f"{turned} units cannot be turned in pairs")
    return LatentAttention(
        heads=heads,
        plain=config.count("qk_nope_head_dim"),
        turned=turned,
        value=config.count("v_head_dim"),
        rank=config.count("kv_lora_rank"),
        query_rank=config.count("q_lora_rank") if config.has("q_lora_rank") else None,
        bias=config.flag("attention_bias", False),
    )


def read_experts(config: Fields) -> Experts:
    """Raises `config-invalid`, `architecture-unsupported`."""
    config.fixed("topk_method", GREEDY, GROUPED)
    config.fixed("scoring_func", "softmax")
    config.fixed("moe_layer_freq", 1)
    count, chosen = config.count("n_routed_experts"), config.count("num_experts_per_tok")
    groups, chosen_groups = 1, 1
    if config.text("topk_method", GREEDY) == GROUPED:
        groups, chosen_groups = config.count("n_group"), config.count("topk_group")
    if count % groups:
        raise config.invalid("n_group", f"{count} experts do not make {groups} groups of one size")
    if chosen_groups > groups:
        raise config.invalid("topk_group", f"of {groups} groups, {chosen_groups} cannot be chosen")
    if chosen > chosen_groups * (count // groups):
        among = chosen_groups * (count // groups)
        raise config.invalid("num_experts_per_tok", f"of {among} experts, {chosen} cannot be chosen")
    # One expert alone is not made 1 of 1, in the models' own code.
    normal, factor = config.flag("norm_topk_prob", False) and chosen > 1, config.number("routed_scaling_factor", 1.0)
    if normal and factor != 1:
        # Then the models' own code leaves the factor out, DeepSeek-V3's applies it, transformers sees no first field.
        raise config.unsupported(
            "architecture-unsupported", f"norm_topk_prob together with routed_scaling_factor = {factor:g}"
        )
    return Experts(
        first=config.count("first_k_dense_replace", 0, least=0),
        count=count,
        chosen=chosen,
        intermediate=config.count("moe_intermediate_size"),
        shared=config.count("n_shared_experts"),
        groups=groups,
        chosen_groups=chosen_groups,
        normal=normal,
        factor=factor,
    )

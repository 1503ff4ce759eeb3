"""What config.json decides of a decoder: `read_config`.

Every field that changes what is computed is read and checked; one that asks for something which is not built is
refused by name, because a graph built without it would answer, wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jobs.conversion.bert import DECODERS
from jobs.conversion.decoders.deepseek import Experts, LatentAttention, read_attention, read_experts
from jobs.conversion.decoders.fields import Fields
from jobs.conversion.decoders.rope import Rope
from jobs.conversion.errors import ConversionRefused

# model_type -> the class name that config.json gives the whole model under.
ARCHITECTURES = dict(zip(DECODERS, ("LlamaForCausalLM", "Qwen2ForCausalLM", "DeepseekV2ForCausalLM"), strict=True))


@dataclass(frozen=True)
class GroupedAttention:
    """`heads` queries of `size` units share `key_heads` keys and values."""

    heads: int
    key_heads: int
    size: int
    bias: bool
    output_bias: bool

    @property
    def turned(self) -> int:
        """How many units of a head know its token's position."""
        return self.size

    @property
    def cache(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(heads, units) of what a layer keeps of each token as `key` and as `value`."""
        return (self.key_heads, self.size), (self.key_heads, self.size)


@dataclass(frozen=True)
class DecoderConfig:
    """The figures that decide the graph."""

    architecture: str
    vocabulary: int
    hidden: int
    layers: int
    intermediate: int
    positions: int
    epsilon: float
    tied: bool
    mlp_bias: bool
    attention: GroupedAttention | LatentAttention
    rope: Rope
    experts: Experts | None = None

    @property
    def longest(self) -> int:
        """How many positions the model reads at most."""
        return max(self.positions, self.rope.reach)

    @property
    def cache_values(self) -> int:
        """How many values the cache keeps of one token, over all layers."""
        return self.layers * sum(heads * units for heads, units in self.attention.cache)


def is_decoder(folder: Path) -> bool:
    """Whether config.json names a model that is built here; whatever else is wrong with it is said later."""
    path = folder / "config.json"
    if not path.is_file():
        return False
    config = Fields.of(path)
    return config.has("model_type") and config.text("model_type") in ARCHITECTURES


def read_config(path: Path) -> DecoderConfig:
    """Raises `config-missing`, `config-invalid`, `architecture-unsupported`, `rope-unsupported`."""
    config = Fields.of(path)
    architecture = config.text("model_type", "nothing at all")
    if architecture not in ARCHITECTURES:
        raise ConversionRefused(
            "architecture-unsupported",
            f"This converter builds {', '.join(ARCHITECTURES)} decoders; {path.parent.name} is {architecture!r}.",
            "Export the model to ONNX where it was trained, or serve the safetensors with vLLM-Ascend or MindIE.",
        )
    for name in config.texts("architectures"):
        if name != ARCHITECTURES[architecture]:
            raise config.unsupported("architecture-unsupported", f"a model of class {name}")
    config.absent("quantization_config")
    config.fixed("hidden_act", "silu", "swish")
    config.fixed("partial_rotary_factor", 1.0)
    attention: GroupedAttention | LatentAttention
    if architecture == "deepseek_v2":
        attention, experts = read_attention(config), read_experts(config)
    else:
        attention, experts = _grouped(config, architecture), None
    return DecoderConfig(
        architecture=architecture,
        vocabulary=config.count("vocab_size"),
        hidden=config.count("hidden_size"),
        layers=config.count("num_hidden_layers"),
        intermediate=config.count("intermediate_size"),
        positions=config.count("max_position_embeddings"),
        epsilon=config.number("rms_norm_eps", 1e-6),
        tied=config.flag("tie_word_embeddings", False),
        mlp_bias=architecture != "qwen2" and config.flag("mlp_bias", False),
        attention=attention,
        rope=Rope.read(config, attention.turned),
        experts=experts,
    )


def _grouped(config: Fields, architecture: str) -> GroupedAttention:
    hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
    if not config.has("head_dim") and hidden % heads:
        raise config.invalid("num_attention_heads", f"{heads} heads do not share {hidden} hidden units evenly")
    size, key_heads = config.count("head_dim", hidden // heads), config.count("num_key_value_heads", heads)
    if heads % key_heads:
        raise config.invalid("num_key_value_heads", f"{heads} heads do not share {key_heads} keys evenly")
    if size % 2:
        raise config.invalid("head_dim", f"{size} units cannot be turned in pairs")
    if architecture == "qwen2":
        config.fixed("use_sliding_window", False)
        for kind in config.texts("layer_types"):
            if kind != "full_attention":
                raise config.unsupported("architecture-unsupported", f"layers with {kind}")
        return GroupedAttention(heads, key_heads, size, bias=True, output_bias=False)
    bias = config.flag("attention_bias", False)
    return GroupedAttention(heads, key_heads, size, bias=bias, output_bias=bias)

"""DeepSeek-V2 without torch: its cache, its two forms of experts, what a quantizer finds in it, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from jobs.conversion.decoders.convert import PreparedDecoder, convert_decoder
from jobs.conversion.decoders.mixture import FORMS
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.mend import Wish, mend
from jobs.quantization import quantize
from jobs.quantization.onepass import quantize_checkpoint
from jobs.quantization.options import Options
from tests.jobs.conversion.decoders.tiny import DEEPSEEK, LITE, LLAMA, Model, save, weights_of

IDS = np.random.default_rng(5).integers(0, 128, (2, 12))


@pytest.fixture(scope="module")
def deepseek(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("deepseek") / "model", DEEPSEEK, weights_of(DEEPSEEK), shards=3)


@pytest.fixture(scope="module")
def converted(deepseek, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("converted") / "model.onnx"
    convert_decoder(deepseek, out)
    return out


def test_the_cache_holds_one_latent_vector_and_one_key_a_token_and_changes_no_answer(deepseek, tmp_path: Path):
    report = convert_decoder(deepseek, tmp_path / "out.onnx")
    assert (report.opset, report.architecture, report.experts) == (13, "deepseek_v2", "routed")
    assert report.cache_bytes_per_token == 3 * (32 + 8) * 4
    assert report.parameters == sum(values.size for values in weights_of(DEEPSEEK).values())
    whole, stepped = Model(tmp_path / "out.onnx"), Model(tmp_path / "out.onnx")
    parts = [stepped.step(IDS[:, :7]), stepped.step(IDS[:, 7:8]), stepped.step(IDS[:, 8:])]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole.step(IDS), atol=1e-4)
    assert stepped.cache["past_key_values.2.key"].shape == (2, 1, 12, 32)
    assert stepped.cache["past_key_values.2.value"].shape == (2, 1, 12, 8)


def packed(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The experts of a layer in two tensors, as transformers 5 keeps them in memory and may save them."""
    kept = {name: values for name, values in weights.items() if ".experts." not in name}
    for layer in sorted({name.partition(".experts.")[0] for name in weights.keys() - kept.keys()}):
        one = [
            {part: weights[f"{layer}.experts.{index}.{part}_proj.weight"] for part in ("gate", "up", "down")}
            for index in range(DEEPSEEK["n_routed_experts"])
        ]
        kept[f"{layer}.experts.gate_up_proj"] = np.stack([np.concatenate([at["gate"], at["up"]]) for at in one])
        kept[f"{layer}.experts.down_proj"] = np.stack([at["down"] for at in one])
    return kept


def test_packed_experts_become_the_same_model_as_single_ones(deepseek, converted, tmp_path: Path):
    folder = save(tmp_path / "model", DEEPSEEK, packed(weights_of(DEEPSEEK)), shards=3)
    report = convert_decoder(folder, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_bytes() == converted.read_bytes()
    assert report.parameters == sum(values.size for values in weights_of(DEEPSEEK).values())


@pytest.mark.parametrize(
    ("ups", "code"),
    [(np.s_[:-1], "tensor-missing"), (np.s_[:, :-2], "tensor-shape"), (np.s_[:, :-1], "tensor-missing")],
    ids=["an expert less", "smaller experts", "no two halves"],
)
def test_packed_experts_that_do_not_fit_config_json_are_refused(tmp_path: Path, ups, code):
    weights = packed(weights_of(DEEPSEEK))
    name = "model.layers.2.mlp.experts.gate_up_proj"
    weights[name] = np.ascontiguousarray(weights[name][ups])
    with pytest.raises(ConversionRefused) as refused:
        convert_decoder(save(tmp_path / "model", DEEPSEEK, weights), tmp_path / "out.onnx")
    assert refused.value.code == code


def test_packed_experts_beside_single_ones_are_refused(tmp_path: Path):
    folder = save(tmp_path / "model", DEEPSEEK, weights_of(DEEPSEEK) | packed(weights_of(DEEPSEEK)))
    with pytest.raises(ConversionRefused, match="holds 4 weights that its"):
        convert_decoder(folder, tmp_path / "out.onnx")


@pytest.mark.parametrize("config", [DEEPSEEK, LITE], ids=["groups", "greedy"])
def test_experts_that_see_all_tokens_answer_as_those_that_see_their_own(config, tmp_path: Path):
    folder = save(tmp_path / "model", config, weights_of(config))
    answers = {}
    for form in FORMS:
        assert convert_decoder(folder, tmp_path / f"{form}.onnx", experts=form).experts == form
        answers[form] = Model(tmp_path / f"{form}.onnx").step(IDS)
    np.testing.assert_allclose(answers["all"], answers["routed"], atol=1e-4)
    # What atc needs: with the inputs' sizes fixed, every size inside is known.
    sizes = {"input_ids": (1, 4), "attention_mask": (1, 12), "position_ids": (1, 4)}
    for layer in range(3):
        sizes |= {f"past_key_values.{layer}.key": (1, 1, 8, 32), f"past_key_values.{layer}.value": (1, 1, 8, 8)}
    report = mend(tmp_path / "all.onnx", tmp_path / "fixed.onnx", Wish(fold=True, fix_shape=sizes))
    assert report.to_json()["open"] == 0


def test_a_float16_model_chooses_its_experts_in_float32_and_answers_nearly_the_same(deepseek, converted, tmp_path):
    half = convert_decoder(deepseek, tmp_path / "half.onnx", precision="float16", positions=64)
    assert half.cache_bytes_per_token == 3 * (32 + 8) * 2
    gates = [one for one in onnx.load(tmp_path / "half.onnx").graph.initializer if one.name.endswith("mlp.gate.weight")]
    assert len(gates) == 2 and {one.data_type for one in gates} == {onnx.TensorProto.FLOAT}
    halved, full = Model(tmp_path / "half.onnx").step(IDS), Model(converted).step(IDS)
    # A token whose third and fourth expert are nearly even may go to the other one.
    assert np.quantile(np.abs(halved - full), 0.9) < 0.05


@pytest.mark.parametrize(
    ("scheme", "form", "bits"),
    [("int4", "nbits", 4), ("int8-dynamic", None, 8), ("int8-weight", "plain", 8), ("int8-weight", "dequantize", 8)],
)
def test_a_quantizer_finds_every_expert_leaves_the_router_and_experts_without_tokens_do_no_harm(
    converted, tmp_path: Path, scheme, form, bits
):
    out = tmp_path / "small.onnx"
    report = quantize(converted, out, scheme, Options(form=form, block=32) if form else Options())
    found = {layer.name: layer.bits for layer in report.layers}
    experts = [name for name in weights_of(DEEPSEEK) if ".experts." in name]
    assert len(experts) == 2 * 8 * 3 and [found.get(name) for name in experts] == [bits] * len(experts)
    assert not [name for name in found if name.endswith("mlp.gate.weight")]
    small, full = Model(out), Model(converted)
    # Prefill, then one token for which five of the eight experts have nothing to do.
    for ids in (IDS, IDS[:1, :1]):
        small.reset(), full.reset()
        one, other = small.step(ids).ravel(), full.step(ids).ravel()
        assert np.isfinite(one).all()
        assert one @ other / np.sqrt((one @ one) * (other @ other)) > (0.8 if bits == 4 else 0.9)


def test_quantized_while_it_is_converted_it_has_the_same_bytes(deepseek, converted, tmp_path: Path):
    options = Options(block=32, measure=False)
    two = quantize(converted, tmp_path / "two.onnx", "int4", options)
    one, _ = quantize_checkpoint(
        PreparedDecoder(deepseek), "model", tmp_path / "one.onnx", "int4", options, lambda share, line: None
    )
    assert one.sha256 == two.sha256


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"architectures": ["DeepseekV2ForSequenceClassification"]}, "architecture-unsupported", "Classification"),
        ({"topk_method": "noaux_tc"}, "architecture-unsupported", "topk_method = 'noaux_tc'"),
        ({"scoring_func": "sigmoid"}, "architecture-unsupported", "scoring_func = 'sigmoid'"),
        ({"moe_layer_freq": 2}, "architecture-unsupported", "moe_layer_freq = 2"),
        ({"num_key_value_heads": 2}, "architecture-unsupported", "num_key_value_heads = 2"),
        ({"norm_topk_prob": True}, "architecture-unsupported", "norm_topk_prob together with routed_scaling_factor"),
        ({"n_group": 3}, "config-invalid", "n_group"),
        ({"n_group": None}, "config-invalid", "n_group"),
        ({"topk_group": 5}, "config-invalid", "topk_group"),
        ({"num_experts_per_tok": 5}, "config-invalid", "num_experts_per_tok"),
        ({"n_shared_experts": None}, "config-invalid", "n_shared_experts"),
        ({"qk_rope_head_dim": 7}, "config-invalid", "qk_rope_head_dim"),
        ({"first_k_dense_replace": -1}, "config-invalid", "first_k_dense_replace"),
        ({"first_k_dense_replace": 0}, "tensor-missing", "model.layers.0.mlp.gate.weight"),
        ({"n_routed_experts": 12}, "tensor-shape", "mlp.gate.weight"),
        ({"q_lora_rank": None}, "tensor-missing", "q_proj.weight"),
        ({"kv_lora_rank": 16}, "tensor-shape", "kv_a_proj_with_mqa"),
    ],
)  # fmt: skip
def test_what_is_not_built_or_does_not_fit_is_refused_by_name(deepseek, tmp_path: Path, change, code, says):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in deepseek.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(DEEPSEEK | change))
    with pytest.raises(ConversionRefused) as refused:
        convert_decoder(folder, tmp_path / "out.onnx")
    assert refused.value.code == code and says in refused.value.message and refused.value.mend
    assert "\n" not in str(refused.value) and [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_form_of_experts_is_not_for_a_model_without_them(tmp_path: Path):
    folder = save(tmp_path / "model", LLAMA, weights_of(LLAMA))
    with pytest.raises(ConversionRefused, match="--experts"):
        convert_decoder(folder, tmp_path / "out.onnx", experts="all")

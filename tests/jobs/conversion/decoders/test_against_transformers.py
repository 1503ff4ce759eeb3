"""Decoders held against transformers, whose implementation is the one that the models are published with.

Runs where torch and transformers are: `pip install --no-deps -r .ci/reference-requirements.txt` into the environment.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from jobs.conversion.decoders.convert import convert_decoder
from jobs.conversion.weights import SafetensorsFile
from tests.jobs.conversion.decoders.tiny import DEEPSEEK, LITE, LLAMA, QWEN2, Model, save, weights_of

LACKING = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)} (.ci/reference-requirements.txt)"),
    # Their import alone takes a minute on a busy box.
    pytest.mark.timeout(400),
]

LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip
CONFIGS = {
    "DeepSeek-LLM": LLAMA,
    "DeepSeek-Coder": LLAMA
    | {"rope_theta": 100000.0, "rope_scaling": {"type": "linear", "factor": 4.0}, "num_key_value_heads": 4},
    "R1-Distill-Llama": LLAMA | {"rope_theta": 500000.0, "rope_scaling": LLAMA3},
    "Llama with every bias and its own head size": LLAMA | {"attention_bias": True, "mlp_bias": True, "head_dim": 32},
    "R1-Distill-Qwen": QWEN2 | {"tie_word_embeddings": False},
    "Qwen2, one matrix at both ends": QWEN2,
    "Qwen2 with YaRN": QWEN2
    | {"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}},
    "Qwen2 with YaRN that leaves its trained context to max_position_embeddings": QWEN2
    | {"max_position_embeddings": 64, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
    "Llama with its trained context beside the rotary fields": LLAMA
    | {
        "original_max_position_embeddings": 48,
        "rope_scaling": {key: value for key, value in LLAMA3.items() if not key.startswith("original")},
    },
    "DeepSeek-V2": DEEPSEEK,
    "DeepSeek-V2-Lite": LITE,
    "DeepSeek-V2, plain positions, tied, with every bias": {
        key: value for key, value in DEEPSEEK.items() if key != "rope_scaling"
    } | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    "DeepSeek-V2-Lite, experts in every layer, stretched positions and scores": LITE
    | {"first_k_dense_replace": 0, "rope_scaling": {"type": "linear", "factor": 2.0, "mscale_all_dim": 0.7}},
    "newer config.json": {key: value for key, value in LLAMA.items() if key != "rope_theta"}
    | {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 50000.0}},
}  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_prefill_each_further_token_and_ten_written_ones_are_those_of_transformers(config, tmp_path: Path):
    import torch
    from transformers import AutoModelForCausalLM

    folder = save(tmp_path / "model", config, weights_of(config))
    convert_decoder(folder, tmp_path / "model.onnx")
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids = np.random.default_rng(3).integers(0, config["vocab_size"], (2, 24))
    # The second row is shorter and filled up on the left.
    mask = np.ones_like(ids)
    mask[1, :5] = 0
    with torch.no_grad():
        expected = reference(
            torch.tensor(ids),
            attention_mask=torch.tensor(mask),
            position_ids=torch.tensor(np.maximum(mask.cumsum(axis=1) - 1, 0)),
        ).logits.numpy()
    model = Model(tmp_path / "model.onnx")
    steps = [model.step(ids[:, :16], mask[:, :16]), *(model.step(ids[:, at : at + 1]) for at in range(16, 24))]
    seen = mask == 1
    np.testing.assert_allclose(np.concatenate(steps, axis=1)[seen], expected[seen], atol=1e-4, rtol=0)
    written = reference.generate(
        torch.tensor(ids[:1]), max_new_tokens=10, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert model.greedy(ids[:1], 10) == written[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("config", [LLAMA, QWEN2, DEEPSEEK], ids=["Llama", "Qwen2", "DeepSeek-V2"])
def test_dynamic_positions_stretch_token_by_token_as_in_transformers(config, tmp_path: Path):
    import torch
    from transformers import AutoModelForCausalLM, DynamicCache

    dynamic = {"max_position_embeddings": 16, "rope_scaling": {"type": "dynamic", "factor": 3.0}}
    folder = save(tmp_path / "model", config | dynamic, weights_of(config))
    assert convert_decoder(folder, tmp_path / "model.onnx").max_positions == 48
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids = np.random.default_rng(3).integers(0, config["vocab_size"], (2, 30))
    mask = np.ones_like(ids)
    mask[1, :5] = 0
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
    # Within the trained context, over its end, and token by token: what the cache holds stays as it was turned.
    pieces = [slice(0, 12), slice(12, 20), *(slice(at, at + 1) for at in range(20, 30))]
    cache, model = DynamicCache(config=reference.config), Model(tmp_path / "model.onnx")
    for piece in pieces:
        with torch.no_grad():
            expected = reference(
                torch.tensor(ids[:, piece]),
                attention_mask=torch.tensor(mask[:, : piece.stop]),
                position_ids=torch.tensor(positions[:, piece]),
                cache=cache,
                use_cache=True,
            ).logits.numpy()
        answer, seen = model.step(ids[:, piece], mask[:, piece]), mask[:, piece] == 1
        np.testing.assert_allclose(answer[seen], expected[seen], atol=1e-4, rtol=0)
    written = reference.generate(
        torch.tensor(ids[:1]), max_new_tokens=10, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert model.greedy(ids[:1], 10) == written[0, ids.shape[1] :].tolist()


def test_folders_that_transformers_saved_packed_and_not_and_shares_that_sum_to_1(tmp_path: Path, monkeypatch):
    """transformers reads norm_topk_prob and does nothing with it; here its router does what the models' own code does.

    Their code: https://huggingface.co/deepseek-ai/DeepSeek-V2/blob/main/modeling_deepseek.py, MoEGate.forward.
    """
    import torch
    from transformers import DeepseekV2Config, DeepseekV2ForCausalLM
    from transformers.models.deepseek_v2 import modeling_deepseek_v2

    settings = {key: value for key, value in DEEPSEEK.items() if key not in ("model_type", "architectures")}
    settings |= {"norm_topk_prob": True, "routed_scaling_factor": 1.0, "initializer_range": 0.2}
    torch.manual_seed(3)
    reference = DeepseekV2ForCausalLM(DeepseekV2Config(**settings, attn_implementation="eager")).eval()
    reference.save_pretrained(tmp_path / "model")
    # As it is in memory: all experts of a layer in two tensors.
    reference.save_pretrained(tmp_path / "packed", save_original_format=False)
    assert any(name.endswith("experts.gate_up_proj") for name in SafetensorsFile(tmp_path / "packed/model.safetensors"))
    made = [convert_decoder(tmp_path / name, tmp_path / f"{name}.onnx") for name in ("packed", "model")]
    assert made[0].sha256 == made[1].sha256
    ids = np.random.default_rng(3).integers(0, 128, (2, 16))
    answer = Model(tmp_path / "model.onnx").step(ids)
    route = modeling_deepseek_v2.DeepseekV2TopkRouter.forward

    def summed_to_1(self, hidden_states):
        logits, shares, picks = route(self, hidden_states)
        return logits, shares / (shares.sum(dim=-1, keepdim=True) + 1e-20), picks

    with torch.no_grad():
        plain = reference(torch.tensor(ids)).logits.numpy()
        monkeypatch.setattr(modeling_deepseek_v2.DeepseekV2TopkRouter, "forward", summed_to_1)
        expected = reference(torch.tensor(ids)).logits.numpy()
    np.testing.assert_allclose(answer, expected, atol=1e-4, rtol=0)
    assert np.abs(plain - expected).max() > 0.01

"""Encoders and their heads held against transformers. Runs where torch and transformers are, as that of decoders."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from jobs.conversion.encoder import convert_encoder
from tests.jobs.conversion.encoders.tiny import BERT, answers, texts

LACKING = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)} (.ci/reference-requirements.txt)"),
    # Their import alone takes a minute on a busy box.
    pytest.mark.timeout(400),
]
SIZES = {name: BERT[name] for name in (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings",
)}  # fmt: skip
OUTPUTS = {
    "ForSequenceClassification": ["logits"],
    "ForTokenClassification": ["logits"],
    "ForQuestionAnswering": ["start_logits", "end_logits"],
}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("task", OUTPUTS)
@pytest.mark.parametrize("family", ["Bert", "Roberta", "XLMRoberta"])
def test_a_head_answers_as_in_transformers(family: str, task: str, precision: str, tmp_path: Path):
    import torch
    import transformers

    torch.manual_seed(3)
    types = {} if family == "Bert" else {"type_vocab_size": 1}
    labels = {"num_labels": 5} if task != "ForQuestionAnswering" else {}
    config = getattr(transformers, f"{family}Config")(**SIZES, **types, **labels, initializer_range=0.3)
    reference = getattr(transformers, family + task)(config).eval().to(getattr(torch, precision))
    reference.save_pretrained(tmp_path / "model")
    report = convert_encoder(tmp_path / "model", tmp_path / "out.onnx")
    feed = texts(filler=config.pad_token_id)
    if family != "Bert":
        del feed["token_type_ids"]
    with torch.no_grad():
        expected = reference.float()(**{name: torch.tensor(values) for name, values in feed.items()})
    got = answers(tmp_path / "out.onnx", feed)
    assert list(got) == OUTPUTS[task] == report.outputs
    for name, values in got.items():
        seen = slice(None) if task == "ForSequenceClassification" else feed["attention_mask"] == 1
        np.testing.assert_allclose(values[seen], expected[name].numpy()[seen], atol=1e-4, rtol=0)

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from jobs.conversion.encoder import convert_encoder
from jobs.conversion.errors import ConversionRefused
from tests.jobs.conversion.encoders.tiny import BERT, ROBERTA, answers, save, texts, weights_of

LABELS = {"0": "转账", "1": "挂失", "2": "余额"}
EYE = np.eye(32, dtype=np.float32)
HEADS = {
    "classifier.weight": (3, 32), "classifier.bias": (3,), "qa_outputs.weight": (2, 32), "qa_outputs.bias": (2,),
    "bert.pooler.dense.weight": (32, 32), "bert.pooler.dense.bias": (32,),
}  # fmt: skip
WEIGHTS = weights_of(BERT, HEADS)
BARE = {name: values for name, values in WEIGHTS.items() if not name.startswith(("classifier", "qa_outputs"))}
OWN = {name: values for name, values in WEIGHTS.items() if not name.startswith("qa_outputs")}


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """[3, 20, 32] of the last layer: what a head of tokens gives that changes nothing."""
    place = tmp_path_factory.mktemp("hidden")
    config = BERT | {"architectures": ["BertForTokenClassification"]}
    same = BARE | {"classifier.weight": EYE, "classifier.bias": np.zeros(32, np.float32)}
    report = convert_encoder(save(place / "model", config, same), place / "out.onnx")
    assert report.labels[:2] == ["LABEL_0", "LABEL_1"] and len(report.labels) == 32 and report.pooling is None
    return answers(place / "out.onnx", texts())["logits"]


def refused(folder: Path) -> ConversionRefused:
    with pytest.raises(ConversionRefused) as caught:
        convert_encoder(folder, folder / "out.onnx")
    assert not list(folder.glob("out*"))
    return caught.value


def test_a_checkpoint_that_sorts_texts_answers_with_its_own_head_and_its_own_labels(hidden, tmp_path: Path):
    config = BERT | {"architectures": ["BertForSequenceClassification"], "id2label": LABELS}
    report = convert_encoder(save(tmp_path / "model", config, OWN), tmp_path / "out.onnx")
    pooled = np.tanh(hidden[:, 0] @ WEIGHTS["bert.pooler.dense.weight"].T + WEIGHTS["bert.pooler.dense.bias"])
    expected = pooled @ WEIGHTS["classifier.weight"].T + WEIGHTS["classifier.bias"]
    np.testing.assert_allclose(answers(tmp_path / "out.onnx", texts())["logits"], expected, atol=1e-4)
    assert report.outputs == ["logits"] and report.labels == list(LABELS.values())


def test_a_checkpoint_that_finds_answers_in_a_text_gives_where_they_start_and_end(hidden, tmp_path: Path):
    config = BERT | {"architectures": ["BertForQuestionAnswering"]}
    weights = BARE | {name: WEIGHTS[name] for name in ("qa_outputs.weight", "qa_outputs.bias")}
    convert_encoder(save(tmp_path / "model", config, weights), tmp_path / "out.onnx")
    got = answers(tmp_path / "out.onnx", texts())
    expected = hidden @ WEIGHTS["qa_outputs.weight"].T + WEIGHTS["qa_outputs.bias"]
    np.testing.assert_allclose(got["start_logits"], expected[..., 0], atol=1e-4)
    np.testing.assert_allclose(got["end_logits"], expected[..., 1], atol=1e-4)


@pytest.mark.parametrize("pooling", ["cls", "mean", None])
def test_a_vector_is_made_as_sentence_transformers_were_told_beside_the_model(hidden, tmp_path: Path, pooling):
    folder = save(tmp_path / "model", BERT, BARE)
    if pooling:
        kinds = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
        modules = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in kinds.items()]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir()
        modes = {"pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean"}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32} | modes))
    report = convert_encoder(folder, tmp_path / "out.onnx")
    mask = texts()["attention_mask"][..., None]
    vector = hidden[:, 0] if pooling == "cls" else (hidden * mask).sum(axis=1) / mask.sum(axis=1)
    expected = vector / np.linalg.norm(vector, axis=1, keepdims=True)
    np.testing.assert_allclose(answers(tmp_path / "out.onnx", texts())["embedding"], expected, atol=1e-5)
    assert report.outputs == ["embedding"] and report.pooling == (pooling or "mean")


def test_what_is_not_built_is_refused_before_anything_is_written(tmp_path: Path):
    folder = save(tmp_path / "model", BERT | {"architectures": ["BertForMultipleChoice"]}, BARE)
    assert "BertForMultipleChoice" in refused(folder).message
    save(folder, BERT | {"model_type": "mamba"}, BARE)
    said = refused(folder).message
    assert "'mamba'" in said and "xlm-roberta" in said and "deepseek_v2" in said
    # The head is there, and config.json knows of none.
    assert refused(save(folder, BERT, OWN)).code == "tensor-unexpected"
    config = BERT | {"architectures": ["BertForSequenceClassification"]}
    assert refused(save(folder, config, BARE)).code == "tensor-missing"
    assert "id2label" in refused(save(folder, config | {"id2label": LABELS | {"3": "x"}}, OWN)).message
    assert "2: it is missing" in refused(save(folder, config | {"id2label": {"0": "a", "1": "b"}}, OWN)).message
    save(folder, BERT, BARE)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    assert "pooling_mode_max_tokens" in refused(folder).message
    (folder / "modules.json").write_text('[{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]')
    assert "a module Dense" in refused(folder).message
    (folder / "modules.json").write_text("5")
    assert "no list of modules" in refused(folder).message


def test_robertas_positions_count_tokens_and_not_what_fills_a_row_up(tmp_path: Path):
    folder = save(tmp_path / "model", ROBERTA, weights_of(ROBERTA, {}, "roberta."))
    report = convert_encoder(folder, tmp_path / "out.onnx")
    assert report.inputs == ["input_ids", "attention_mask"] and report.max_positions == 38
    feed = texts(filler=1)
    shifted = {name: np.roll(values[1:2], 3, axis=1) for name, values in feed.items()}
    straight = answers(tmp_path / "out.onnx", feed)["embedding"][1:2]
    np.testing.assert_allclose(answers(tmp_path / "out.onnx", shifted)["embedding"], straight, atol=1e-5)

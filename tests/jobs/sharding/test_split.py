"""A checkpoint in parts is worth something only when the parts are the whole, byte for byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from jobs.conversion.errors import ConversionRefused
from jobs.sharding import split as splitting
from jobs.sharding.errors import ShardingRefused
from jobs.sharding.joining import join
from jobs.sharding.split import split_by_rank, split_by_size
from tests.jobs.sharding.test_plan import ROOT, run

HIDDEN, HEADS, KV, WIDE, LAYERS, WORDS = 32, 4, 2, 24, 3, 50
LLAMA = {
    "model_type": "qwen2", "hidden_size": HIDDEN, "num_attention_heads": HEADS, "num_key_value_heads": KV,
    "num_hidden_layers": LAYERS, "intermediate_size": WIDE, "vocab_size": WORDS,
}  # fmt: skip
BERT = {**LLAMA, "model_type": "bert", "num_key_value_heads": None}
Tensors = dict[str, NDArray]


def quiet(share: float, line: str) -> None:
    assert 0 <= share <= 1 and line


def random(*shape: int) -> NDArray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(ml_dtypes.bfloat16)


def llama(*, tied: bool = False) -> Tensors:
    size = HIDDEN // HEADS
    made = {"model.embed_tokens.weight": random(WORDS, HIDDEN), "model.norm.weight": random(HIDDEN)}
    for n in range(LAYERS):
        layer = f"model.layers.{n}"
        made |= {
            f"{layer}.self_attn.q_proj.weight": random(HIDDEN, HIDDEN),
            f"{layer}.self_attn.q_proj.bias": random(HIDDEN),
            f"{layer}.self_attn.k_proj.weight": random(KV * size, HIDDEN),
            f"{layer}.self_attn.v_proj.weight": random(KV * size, HIDDEN),
            f"{layer}.self_attn.o_proj.weight": random(HIDDEN, HIDDEN),
            f"{layer}.mlp.gate_proj.weight": random(WIDE, HIDDEN),
            f"{layer}.mlp.down_proj.weight": random(HIDDEN, WIDE),
            f"{layer}.input_layernorm.weight": random(HIDDEN),
        }
    return made if tied else {**made, "lm_head.weight": random(WORDS, HIDDEN)}


def bert() -> Tensors:
    layer = "bert.encoder.layer.0"
    return {
        "bert.embeddings.word_embeddings.weight": random(WORDS, HIDDEN),
        f"{layer}.attention.self.query.weight": random(HIDDEN, HIDDEN),
        f"{layer}.attention.output.dense.weight": random(HIDDEN, HIDDEN),
        f"{layer}.attention.output.dense.bias": random(HIDDEN),
        f"{layer}.intermediate.dense.weight": random(WIDE, HIDDEN),
        f"{layer}.output.dense.weight": random(HIDDEN, WIDE),
        f"{layer}.output.LayerNorm.weight": random(HIDDEN),
        "bert.embeddings.position_ids": np.arange(12).reshape(1, 12),
    }


def model(folder: Path, tensors: Tensors, config: dict | None = LLAMA) -> Path:
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def shards(folder: Path) -> list[Tensors]:
    return [load_file(file) for file in sorted(folder.glob("*.safetensors"))]


def same(one: NDArray, other: NDArray) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def test_each_rank_has_its_heads_and_what_gathers_them(tmp_path):
    tensors = llama()
    report = split_by_rank(model(tmp_path / "m", tensors), tmp_path / "out", 2, 1, quiet)
    # The format's own reader opens them.
    one, two = shards(tmp_path / "out")
    name = "model.layers.1.self_attn"
    assert same(one[f"{name}.q_proj.weight"], tensors[f"{name}.q_proj.weight"][: HIDDEN // 2])
    assert same(two[f"{name}.q_proj.bias"], tensors[f"{name}.q_proj.bias"][HIDDEN // 2 :])
    assert same(two[f"{name}.o_proj.weight"], tensors[f"{name}.o_proj.weight"][:, HIDDEN // 2 :])
    assert same(
        one["model.layers.0.mlp.down_proj.weight"], tensors["model.layers.0.mlp.down_proj.weight"][:, : WIDE // 2]
    )
    assert same(two["model.norm.weight"], tensors["model.norm.weight"])
    assert report["tensors"] == len(tensors) and not report["held_against_original"]
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == LLAMA


def test_with_more_ranks_than_key_heads_each_rank_has_a_whole_one(tmp_path):
    tensors = llama()
    split_by_rank(model(tmp_path / "m", tensors), tmp_path / "out", 4, 1, quiet)
    key = "model.layers.0.self_attn.k_proj.weight"
    heads = np.split(tensors[key], KV)
    assert [same(shard[key], heads[rank // 2]) for rank, shard in enumerate(shards(tmp_path / "out"))] == [True] * 4


def test_stages_have_layers_in_order_and_the_ends_what_belongs_there(tmp_path):
    split_by_rank(model(tmp_path / "m", llama(tied=True)), tmp_path / "out", 1, 2, quiet)
    first, last = ({name.removeprefix("model.") for name in shard} for shard in shards(tmp_path / "out"))
    assert {name.split(".")[1] for name in first if name.startswith("layers")} == {"0", "1"}
    assert {name.split(".")[1] for name in last if name.startswith("layers")} == {"2"}
    # The head is the embedding again: both ends need it.
    assert "embed_tokens.weight" in first & last and "norm.weight" in last - first


@pytest.mark.parametrize(("tensor", "pipeline"), [(2, 1), (4, 1), (1, 3), (2, 2), (4, 3)])
@pytest.mark.parametrize("block", [1, 100, 8 << 20])
def test_any_split_joins_to_the_same_bytes(tmp_path, monkeypatch, tensor, pipeline, block):
    monkeypatch.setattr(splitting, "BLOCK", block)
    whole = model(tmp_path / "m", llama(tied=pipeline > 1))
    split_by_rank(whole, tmp_path / "out", tensor, pipeline, quiet)
    report = join(tmp_path / "out", quiet, whole)
    assert report["held_against_original"] and report["joined"] >= report["tensors"]


def test_an_encoder_is_split_by_its_own_names(tmp_path):
    tensors = bert()
    split_by_rank(model(tmp_path / "m", tensors, BERT), tmp_path / "out", 2, 1, quiet)
    one, two = shards(tmp_path / "out")
    layer = "bert.encoder.layer.0"
    assert two[f"{layer}.attention.self.query.weight"].shape == (HIDDEN // 2, HIDDEN)
    assert one[f"{layer}.output.dense.weight"].shape == (HIDDEN, WIDE // 2)
    assert one[f"{layer}.attention.output.dense.weight"].shape == (HIDDEN, HIDDEN // 2)
    assert same(two[f"{layer}.attention.output.dense.bias"], tensors[f"{layer}.attention.output.dense.bias"])
    assert join(tmp_path / "out", quiet, tmp_path / "m")["tensors"] == len(tensors)


def test_by_size_the_index_leads_to_every_tensor(tmp_path):
    tensors = llama()
    report = split_by_size(model(tmp_path / "m", tensors), tmp_path / "out", 4000, quiet)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in tensors.values()) == report["source_bytes"]
    opened = {name: load_file(tmp_path / "out" / name) for name in set(index["weight_map"].values())}
    assert len(opened) == len(report["files"]) > 2
    assert all(same(opened[file][name], tensors[name]) for name, file in index["weight_map"].items())
    # What was cut by size is a model, and can be cut for ranks.
    split_by_rank(tmp_path / "out", tmp_path / "ranks", 2, 1, quiet)
    assert join(tmp_path / "ranks", quiet, tmp_path / "m")["held_against_original"]


def test_one_byte_that_is_another_is_found_with_its_tensor_and_file(tmp_path):
    whole = model(tmp_path / "m", llama())
    split_by_rank(whole, tmp_path / "out", 2, 1, quiet)
    file = tmp_path / "out" / "model-rank-01-of-02.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ShardingRefused, match=r"does not join to its original bytes out of .*rank-01-of-02"):
        join(tmp_path / "out", quiet)
    file.write_bytes(content[:-1])
    with pytest.raises(ConversionRefused, match="cut off"):
        join(tmp_path / "out", quiet)


def test_shards_of_another_model_are_told_from_it(tmp_path):
    split_by_rank(model(tmp_path / "m", llama()), tmp_path / "out", 2, 1, quiet)
    other = llama()
    other["model.norm.weight"] = other["model.norm.weight"] + np.array(1, other["model.norm.weight"].dtype)
    with pytest.raises(ShardingRefused, match=r"model\.norm\.weight is another"):
        join(tmp_path / "out", quiet, model(tmp_path / "n", other))


@pytest.mark.parametrize(
    ("change", "tensor", "pipeline", "code"),
    [
        ({}, 3, 1, "not-divisible"),
        ({}, 1, 4, "request-invalid"),
        ({}, 1, 1, "request-invalid"),
        (None, 2, 1, "config-missing"),
        ({"num_attention_heads": 0}, 2, 1, "config-invalid"),
    ],
)
def test_a_split_that_can_not_be_leaves_nothing_behind(tmp_path, change, tensor, pipeline, code):
    whole = model(tmp_path / "m", llama(), None if change is None else {**LLAMA, **change})
    with pytest.raises(ShardingRefused) as refused:
        split_by_rank(whole, tmp_path / "out", tensor, pipeline, quiet)
    assert refused.value.code == code and refused.value.mend
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_scales_of_quantized_weights_are_not_cut_by_guess(tmp_path):
    tensors = {**llama(), "model.layers.0.self_attn.q_proj.weight_scale": random(HIDDEN)}
    with pytest.raises(ShardingRefused, match="quantized"):
        split_by_rank(model(tmp_path / "m", tensors), tmp_path / "out", 2, 1, quiet)


def test_what_a_killed_split_left_goes_with_the_next_and_that_of_one_which_runs_stays(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, living, other = (
        tmp_path / f".{name}.part-{process}"
        for name, process in (("out", ended.pid), ("out", os.getppid()), ("else", ended.pid))
    )
    for folder in (dead, living, other):
        folder.mkdir()
    split_by_rank(model(tmp_path / "m", llama()), tmp_path / "out", 2, 1, quiet)
    assert (dead.exists(), living.exists(), other.exists()) == (False, True, True)


def test_nothing_is_overwritten_and_no_room_is_said_before_the_start(tmp_path, monkeypatch):
    whole = model(tmp_path / "m", llama())
    (tmp_path / "out").mkdir()
    with pytest.raises(ShardingRefused, match="is there already"):
        split_by_rank(whole, tmp_path / "out", 2, 1, quiet)
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(splitting.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ShardingRefused, match=r"need \d+ bytes and the disk of .* has 1000 free"):
        split_by_rank(whole, tmp_path / "new", 2, 1, quiet)
    assert not list(tmp_path.glob(".new*"))


def test_the_commands_take_a_tar_and_say_what_they_proved(tmp_path):
    whole = model(tmp_path / "m", llama())
    with tarfile.open(tmp_path / "m.tar", "w") as archive:
        archive.add(whole, "m")
    done = run("split", "m.tar", "shards", "--tensor", "2", "--pipeline", "2", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert [file["name"] for file in report["files"]] == [f"model-rank-0{n}-of-04.safetensors" for n in range(4)]
    assert "bytes to write" in done.stderr and sorted(p.name for p in tmp_path.iterdir()) == ["m", "m.tar", "shards"]
    done = run("verify", "shards", "--original", "m", "--json", cwd=tmp_path)
    assert json.loads(done.stdout.splitlines()[-1])["held_against_original"] is True
    done = run("split", "m", "shards", "--tensor", "2", cwd=tmp_path)
    assert done.returncode == 2 and "is there already" in done.stderr


def test_memory_does_not_grow_with_the_model(tmp_path):
    """A tensor of 200 MB is cut by its columns and joined again in less memory than that."""
    folder = model(tmp_path / "m", {})
    save_file({"layers.0.self_attn.o_proj.weight": np.zeros((3072, 16384), np.float32)}, folder / "model.safetensors")
    config = {**LLAMA, "hidden_size": 16384}
    (folder / "config.json").write_text(json.dumps(config))
    script = (
        "import sys; from jobs.sharding.__main__ import main; sys.argv[0] = 'x'; code = main();"
        # Not getrusage: its peak survives exec, so that a child begins with its parent's.
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "split", "m", "out", "--tensor", "2"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 150 * 1024

"""What a person relies on before buying or moving a machine: that what is said to fit does, and why."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.sharding.errors import ShardingRefused
from jobs.sharding.memory import Request, Split, memory_of, stage_bounds
from jobs.sharding.planner import options
from jobs.sharding.report import plan
from jobs.sharding.shape import read_shape, shape_of_size
from jobs.sharding.site import Chip, Node, Site, link_of

ROOT = Path(__file__).resolve().parents[3]
LLAMA = {"hidden_size": 5120, "num_attention_heads": 40, "num_hidden_layers": 40, "intermediate_size": 13824}
LLAMA_13B = {**LLAMA, "vocab_size": 32000}
QWEN2_7B = {
    "model_type": "qwen2", "hidden_size": 3584, "num_attention_heads": 28, "num_key_value_heads": 4,
    "num_hidden_layers": 28, "intermediate_size": 18944, "vocab_size": 152064,
}  # fmt: skip
LATENT = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}
DEEPSEEK_V2_LITE = {
    **LATENT, "model_type": "deepseek_v2", "hidden_size": 2048, "num_attention_heads": 16, "num_hidden_layers": 27,
    "intermediate_size": 10944, "vocab_size": 102400, "n_routed_experts": 64, "n_shared_experts": 2,
    "moe_intermediate_size": 1408, "first_k_dense_replace": 1, "q_lora_rank": None,
}  # fmt: skip
DEEPSEEK_V3 = {
    **LATENT, "model_type": "deepseek_v3", "hidden_size": 7168, "num_attention_heads": 128, "num_hidden_layers": 61,
    "intermediate_size": 18432, "vocab_size": 129280, "n_routed_experts": 256, "n_shared_experts": 1,
    "moe_intermediate_size": 2048, "first_k_dense_replace": 3, "q_lora_rank": 1536,
}  # fmt: skip


def site(nodes: int, chips: int, gib: int = 32, **more) -> Site:
    machines = tuple(
        Node(
            f"node-{n}", tuple(Chip(c, f"192.168.{c + 1}.{n + 1}") for c in range(chips)), gib * 1024, f"10.0.0.{n + 1}"
        )
        for n in range(nodes)
    )
    return Site(machines, **more)


@pytest.mark.parametrize(
    ("config", "published"),
    [
        (LLAMA_13B, 13_015_864_320),
        (QWEN2_7B, 7_615_616_512),
        (DEEPSEEK_V2_LITE, 15_706_484_224),
        # The published count has 256 correction values for each of 58 routers more.
        (DEEPSEEK_V3, 671_026_419_200 - 58 * 256),
    ],
)
def test_a_config_has_as_many_parameters_as_its_published_model(config, published):
    assert read_shape(config).parameters == published


def test_13b_over_4_nodes_is_3_25b_each():
    _, report = plan(shape_of_size("13B"), site(4, 1, 32), Request(batch=1))
    assert report["per_node"] == {"nodes": 4, "parameters": 3_250_000_000}
    over = [row for row in report["options"] if row["tensor"] * row["pipeline"] == 4]
    assert over and {row["parameters_per_shard"] for row in over} == {3_250_000_000}
    # The shares of all chips are the whole.
    assert report["model"]["assumed"] == "Llama-2-13B"


def test_the_smallest_group_that_fits_is_taken_and_stays_inside_a_node():
    best, report = plan(read_shape(LLAMA_13B), site(4, 4), Request())
    assert (best.split, best.nodes) == (Split(2, 1, 8), 1)
    alone = next(row for row in report["options"] if row["tensor"] * row["pipeline"] == 1)
    assert not alone["fits"] and alone["short"] > 0
    assert f"on 1 chip, {alone['short'] / 1024**3:.1f} GiB a chip would be missing" in report["why"]


def test_over_nodes_the_pipeline_crosses_and_the_tensor_group_stays_inside():
    best, _ = plan(read_shape(DEEPSEEK_V3, "DeepSeek-V3"), site(4, 8, 64), Request(batch=64))
    assert (best.split, best.nodes) == (Split(8, 4, 1), 4)


def test_a_chips_memory_is_the_sum_of_known_parts():
    shape = read_shape(LLAMA_13B)
    memory = memory_of(shape, Split(4, 1, 1), Request(batch=8, length=2048), 32 * 1024**3)
    norms = (2 * 40 + 1) * 5120
    assert memory.parameters == (13_015_864_320 - norms) // 4 + norms
    assert memory.weights == 2 * memory.parameters
    # 2 (key, value) x 40 layers x 10 of 40 heads x 128 x 2 bytes, for 8 x 2048 tokens.
    assert memory.cache == 2 * 40 * 10 * 128 * 2 * 8 * 2048
    assert memory.needed == memory.weights + memory.cache + memory.activations + memory.buffers + memory.idle


def test_latent_attention_keeps_one_small_cache_on_every_rank():
    shape = read_shape(DEEPSEEK_V2_LITE)
    caches = [memory_of(shape, Split(tp, 1, 1), Request(batch=1, length=1000), 2**36).cache for tp in (1, 4)]
    assert caches == [1000 * 27 * (512 + 64) * 2] * 2


@pytest.mark.parametrize(("weights", "low", "high"), [("int8", 0.5, 0.52), ("int4", 0.25, 0.29)])
def test_quantized_weights_take_their_share_with_scales_and_16_bit_embeddings(weights, low, high):
    shape, split = read_shape(LLAMA_13B), Split(1, 1, 1)
    sizes = [memory_of(shape, split, Request(weights=name), 2**36).weights for name in (weights, "bf16")]
    assert low < sizes[0] / sizes[1] < high


def test_only_degrees_that_divide_heads_and_widths_are_offered():
    tensors = {option.split.tensor for option in options(read_shape(QWEN2_7B), site(1, 16, 64), Request())}
    # 28 heads with 4 for keys and values: 8 and 16 divide the width, but not the heads.
    assert tensors == {1, 2, 4}
    tensors = {option.split.tensor for option in options(read_shape(LLAMA_13B), site(1, 6, 64), Request())}
    assert tensors == {1, 2}


def test_every_layer_is_on_one_stage():
    for layers, stages in ((40, 4), (61, 4), (27, 16), (5, 5)):
        bounds = [stage_bounds(layers, stages, stage) for stage in range(stages)]
        assert [layer for first, last in bounds for layer in range(first, last)] == list(range(layers))
        assert all(last > first for first, last in bounds)


def test_what_does_not_fit_says_what_is_short_and_mends_that_do_fit():
    shape, small = read_shape(LLAMA_13B, "Llama-2-13B"), site(1, 1)
    with pytest.raises(ShardingRefused) as refused:
        plan(shape, small, Request(batch=2))
    text = str(refused.value)
    assert refused.value.code == "no-room" and "Llama-2-13B in bf16 does not fit 1 node with 1 chip of 32 GiB" in text
    (row,) = options(shape, small, Request(batch=2))
    assert f"{row.memory.short / 1024**3:.1f} GiB short" in text
    assert "tore the weights as int8" in text and plan(shape, small, Request("int8", batch=2))
    assert "take 2 such nodes" in text and plan(shape, site(2, 1), Request(batch=2))


def test_a_number_of_sequences_that_is_named_as_a_mend_is_the_most_that_fits():
    shape = read_shape(LLAMA_13B)
    with pytest.raises(ShardingRefused) as refused:
        plan(shape, site(1, 2), Request(batch=100))
    named = int(refused.value.mend.split("erve ")[1].split()[0])
    assert plan(shape, site(1, 2), Request(batch=named))
    with pytest.raises(ShardingRefused):
        plan(shape, site(1, 2), Request(batch=named + 1))


def test_without_a_measured_link_bytes_are_given_and_times_are_not():
    shape, request = read_shape(LLAMA_13B), Request(batch=8)
    rows = {False: site(1, 2), True: site(1, 2, inside=link_of(50, 10))}
    for measured, where in rows.items():
        _, report = plan(shape, where, request)
        row = next(row for row in report["options"] if row["tensor"] == 2)
        assert row["decode"]["bytes"] == (2 * 40 + 1) * 8 * 5120 * 2
        assert (row["decode"]["seconds"] is not None) is measured
    assert row["decode"]["seconds"] == pytest.approx(81 * (2 * 10e-6 + 8 * 5120 * 2 / 50e9))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({**LLAMA_13B, "hidden_size": 0}, "hidden_size is 0"),
        ({**LLAMA_13B, "num_hidden_layers": "40"}, "num_hidden_layers is '40'"),
        (LLAMA, "vocab_size is missing"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused_with_its_key(config, said):
    with pytest.raises(ShardingRefused, match=said):
        read_shape(config)


def described(where: Site) -> str:
    machines = [
        {
            "name": node.name, "address": node.address, "nic": "eth0", "generation": "910B", "hbm_mb": node.hbm_mb,
            "chips": [{"id": chip.id, "address": chip.address} for chip in node.chips],
        }
        for node in where.nodes
    ]  # fmt: skip
    return json.dumps({"machines": machines})


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jobs.sharding", *arguments],
        cwd=cwd, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
    )  # fmt: skip


def test_the_command_writes_plan_rank_table_and_launch_parameters(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_13B))
    (tmp_path / "hccl.txt").write_text(
        "the minbytes is 8192\ndata_size(Bytes): | aveg_time(us): | alg_bandwidth(GB/s): | check_result:\n"
        + "".join(f"{2**k} | {2 * 3 * 20 + 1.5 * 2**k / 10_000:.2f} | 1.0 | success\n" for k in range(13, 28))
    )
    done = run(
        "plan", "--config", "config.json", "--site", described(site(4, 1)), "--hccl-across", "4:hccl.txt",
        "--batch", "4", "--ranktable", "ranktable.json", "--launch", "launch.json",
        "--plan", "plan.json", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report == json.loads((tmp_path / "plan.json").read_text())
    assert report["site"]["across"] == {
        "gbytes_per_s": pytest.approx(10, rel=0.01),
        "latency_us": pytest.approx(20, 0.01),
    }
    assert json.loads((tmp_path / "ranktable.json").read_text())["server_count"] == "4"
    assert "vllm-ascend" in json.loads((tmp_path / "launch.json").read_text())


def test_the_command_refuses_in_one_line_and_leaves_nothing(tmp_path):
    where = described(replace(site(1, 1), nodes=(replace(site(1, 1).nodes[0], hbm_mb=1024),)))
    done = run("plan", "--size", "13B", "--site", where, "--plan", "plan.json", "--json", cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "GiB short" in done.stderr
    assert list(tmp_path.iterdir()) == []
    done = run("plan", "--size", "big", "--site", where, cwd=tmp_path)
    assert done.returncode == 2 and "'big' is no number of parameters" in done.stderr
    done = run("plan", "--size", "13B", "--site", "{}", cwd=tmp_path)
    assert done.returncode == 2 and "machines" in done.stderr

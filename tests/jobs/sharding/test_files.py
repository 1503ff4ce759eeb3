"""Rank tables in the form of the vendor's examples, and launch parameters that name each chip once."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from jobs.sharding.errors import ShardingRefused
from jobs.sharding.launch import mindie, place, vllm
from jobs.sharding.memory import Request
from jobs.sharding.planner import Option
from jobs.sharding.ranktable import rank_table, version_for
from jobs.sharding.report import plan
from jobs.sharding.shape import Shape, read_shape
from jobs.sharding.site import Chip, Node, Site
from tests.jobs.sharding.test_plan import DEEPSEEK_V3, LLAMA_13B, site
from tests.shared import FOLDER, needs_shared

OPTIONAL = {"device_port", "backup_device_ip", "backup_device_port", "host_port"}


def placed(where: Site) -> list[tuple[Node, tuple[Chip, ...]]]:
    return [(node, node.chips) for node in where.nodes]


def strings(value: object) -> bool:
    if isinstance(value, dict):
        return all(strings(inner) for inner in value.values())
    return all(strings(inner) for inner in value) if isinstance(value, list) else isinstance(value, str)


def pods(where: Site) -> Site:
    nodes = [
        replace(
            node, generation="A3", super_pod_id=str(n // 2),
            chips=tuple(replace(chip, super_device_id=str(100 * n + chip.id)) for chip in node.chips),
        )
        for n, node in enumerate(where.nodes)
    ]  # fmt: skip
    return replace(where, nodes=tuple(nodes))


def test_version_1_0_numbers_the_chips_of_all_nodes_through():
    table = rank_table(placed(site(4, 8)), "1.0")
    assert strings(table) and (table["status"], table["version"], table["server_count"]) == ("completed", "1.0", "4")
    devices = [device for server in table["server_list"] for device in server["device"]]
    assert [device["rank_id"] for device in devices] == [str(rank) for rank in range(32)]
    assert devices[9] == {"device_id": "1", "device_ip": "192.168.2.2", "rank_id": "9"}
    assert [server["server_id"] for server in table["server_list"]] == [f"10.0.0.{n}" for n in range(1, 5)]
    assert "super_pod_list" not in table


def test_chips_that_only_the_larger_node_has_are_in_no_table_and_told_to_be_idle():
    even = site(2, 8)
    uneven = replace(even, nodes=(even.nodes[0], replace(even.nodes[1], chips=even.nodes[1].chips[:4])))
    table = rank_table(uneven.used, "1.0")
    assert [len(server["device"]) for server in table["server_list"]] == [4, 4]
    _, report = plan(read_shape(LLAMA_13B), uneven, Request())
    assert report["site"]["idle"] == 4 and report["why"].endswith("4 chips of larger nodes stay idle.")


@needs_shared
def test_version_1_2_has_the_form_of_the_vendors_example():
    example = json.loads((FOLDER / "ascend" / "other" / "ranktable-v1.2-server_count4.json").read_text())
    where = pods(site(4, 4))
    assert version_for(where.nodes) == "1.2" and version_for(site(1, 1).nodes) == "1.0"
    table = rank_table(placed(where), "1.2")
    assert strings(table) and set(table) == set(example)
    assert set(table["server_list"][0]) - {"container_ip"} == set(example["server_list"][0])
    ours, theirs = table["server_list"][0]["device"][0], example["server_list"][0]["device"][0]
    assert set(ours) == set(theirs) - OPTIONAL
    assert [pod["super_pod_id"] for pod in table["super_pod_list"]] == ["0", "1"]
    assert [set(pod["server_list"][0]) for pod in table["super_pod_list"]] == [{"server_id"}] * 2


@pytest.mark.parametrize(
    ("address", "version", "code", "said"),
    [
        ("", "1.0", "device-ip-missing", "node-0: NPU 1 has no address in /etc/hccn.conf"),
        ("192.168.1", "1.0", "device-ip-invalid", "'192.168.1', which is none"),
        ("192.168.1.1", "1.0", "device-ip-invalid", "and so has node-0: NPU 0"),
        ("192.168.9.1", "1.2", "super-pod-missing", "no super device id"),
    ],
)
def test_an_address_that_would_stop_every_rank_is_refused_before(address, version, code, said):
    where = site(1, 2)
    node = replace(where.nodes[0], chips=(where.nodes[0].chips[0], Chip(1, address)))
    with pytest.raises(ShardingRefused, match=said) as refused:
        rank_table([(node, node.chips)], version)
    assert refused.value.code == code and refused.value.mend


def made(shape: Shape, where: Site, request: Request) -> tuple[Option, dict, dict]:
    best, _ = plan(shape, where, request)
    return best, vllm(best, shape, where, request), mindie(best, shape, where, request)


def test_replicas_inside_nodes_share_no_chip_and_are_numbered_through():
    shape, where, request = read_shape(LLAMA_13B), site(2, 4), Request()
    best, engine, mind = made(shape, where, request)
    used = [(node.name, chip.id) for replica in place(best, where) for node, chips in replica for chip in chips]
    assert len(used) == len(set(used)) == 8
    head, other = (engine["machines"][name]["lines"] for name in ("node-0", "node-1"))
    assert len(head) == len(other) == 1
    assert "--tensor-parallel-size 2 --pipeline-parallel-size 1" in head[0]
    assert "--data-parallel-size 4 --data-parallel-size-local 2 --data-parallel-address 10.0.0.1" in head[0]
    assert "--headless --data-parallel-start-rank 2" in other[0] and "--headless" not in head[0]
    assert engine["machines"]["node-1"]["environment"]["HCCL_IF_IP"] == "10.0.0.2"
    assert len(mind["replicas"]) == 4 and all(replica["rank_table"] is None for replica in mind["replicas"])
    ports = [
        machine["config.json"]["ServerConfig"]["port"] for r in mind["replicas"] for machine in r["machines"].values()
    ]
    assert ports == [1025, 1028, 1025, 1028]


def test_a_replica_over_nodes_is_begun_by_ray_and_has_a_rank_table_for_mindie():
    shape, where = read_shape(DEEPSEEK_V3, "DeepSeek-V3"), site(4, 8, 64)
    _, engine, mind = made(shape, where, Request("int8", batch=64))
    lines = [line for machine in engine["machines"].values() for line in machine["lines"]]
    assert (
        sum(line.startswith("ray start --head") for line in lines) == 2 == sum("vllm serve" in line for line in lines)
    )
    assert all("--quantization ascend" in line for line in lines if "vllm serve" in line)
    assert len(mind["replicas"]) == 2
    first = mind["replicas"][0]
    assert first["rank_table"]["server_count"] == "2"
    machine = first["machines"]["node-1"]
    assert machine["environment"]["WORLD_SIZE"] == "16"
    backend = machine["config.json"]["BackendConfig"]
    assert backend["multiNodesInferEnabled"] and backend["npuDeviceIds"] == [list(range(8))]
    assert backend["ModelDeployConfig"]["ModelConfig"][0]["worldSize"] == 8


def test_an_engine_that_can_not_run_there_says_so_instead_of_parameters():
    first = replace(site(1, 2), nodes=(replace(site(1, 2).nodes[0], generation="910"),))
    _, engine, _ = made(read_shape(LLAMA_13B), first, Request(batch=2))
    assert "first Ascend 910" in engine["unsupported"] and not engine["machines"]

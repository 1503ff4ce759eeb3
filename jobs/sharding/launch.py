"""How vLLM-Ascend and MindIE are started for a plan: arguments, environment, configuration, a machine at a time.

vLLM-Ascend: flags of ``vllm serve`` and variables as in the project's own examples (multi-node: Ray for a replica over
nodes, ``--data-parallel-*`` and ``--headless`` for replicas inside nodes). MindIE: fields of
mindie-service/conf/config.json; over nodes it takes a rank table (RANKTABLEFILE), WORLD_SIZE of all chips and
``worldSize`` of one node's, and cuts by tensor.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from typing import Any

from jobs.sharding.memory import Request
from jobs.sharding.planner import Option, divides
from jobs.sharding.ranktable import Placed, rank_table, version_for
from jobs.sharding.shape import Shape
from jobs.sharding.site import Chip, Node, Site

# The version of vLLM-Ascend that was released for a CANN (its compatibility table, final releases).
VLLM_ASCEND = {
    "8.1.RC1": "0.7.3", "8.2.RC1": "0.9.1", "8.3.RC2": "0.11.0",
    "8.5.0": "0.13.0", "8.5.1": "0.18.0", "9.1.0": "0.23.0",
}  # fmt: skip
PORT, RAY_PORT, RPC_PORT, MINDIE_PORT = 8000, 6379, 13389, 1025
MODEL = "/models/model"
DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "int8": "auto", "int4": "auto"}


def place(option: Option, site: Site) -> list[Placed]:
    """The chips of each replica, node by node: tensor ranks next to each other."""
    each, chips = site.chips_per_node, option.split.chips
    if option.nodes > 1:
        groups = [site.nodes[n : n + option.nodes] for n in range(0, option.split.data * option.nodes, option.nodes)]
        return [[(node, node.chips[:each]) for node in group] for group in groups]
    return [[(node, node.chips[n : n + chips])] for node in site.nodes for n in range(0, each - chips + 1, chips)]


def vllm(option: Option, shape: Shape, site: Site, request: Request, model: str = MODEL) -> dict[str, Any]:
    """Per machine what to run, or why vLLM-Ascend can't. ``lines`` are for a shell, in their order."""
    if any(node.generation == "910" for node in site.nodes):
        return {
            "unsupported": "vLLM-Ascend runs on Atlas A2, A3 and 300I, not on the first Ascend 910.",
            "machines": {},
        }
    split, over = option.split, option.nodes > 1
    serve = [
        "vllm", "serve", model, "--tensor-parallel-size", str(split.tensor), "--pipeline-parallel-size",
        str(split.pipeline), "--max-model-len", str(request.length), "--max-num-seqs",
        str(-(-request.batch // split.data)), "--max-num-batched-tokens", str(max(request.prefill, request.length)),
        "--gpu-memory-utilization", f"{request.utilization:g}", "--dtype", DTYPES[request.weights],
    ]  # fmt: skip
    if request.weights in ("int8", "int4"):
        serve += ["--quantization", "ascend"]
    machines: dict[str, Any] = {}
    replicas = place(option, site)
    local = len(replicas) // len(site.nodes)
    for replica in replicas:
        head = replica[0][0]
        for node, chips in replica:
            if node.name in machines:
                continue
            used = node.chips[: split.chips * local] if not over else chips
            lines = _over_nodes(node, head, serve) if over else [_inside(node, site, serve, split.data, local)]
            machines[node.name] = {"environment": _environment(node, used, len(site.nodes) > 1), "lines": lines}
    versions = {node.name: VLLM_ASCEND.get(node.cann, "") for node in site.nodes if node.cann}
    return {"versions": versions, "machines": machines}


def _over_nodes(node: Node, head: Node, serve: list[str]) -> list[str]:
    address = head.address or head.name
    if node.name != head.name:
        return [f"ray start --address={address}:{RAY_PORT} --node-ip-address={node.address or node.name}"]
    started = f"ray start --head --port={RAY_PORT} --node-ip-address={address}"
    return [started, shlex.join([*serve, "--distributed-executor-backend", "ray", "--port", str(PORT)])]


def _inside(node: Node, site: Site, serve: list[str], replicas: int, local: int) -> str:
    if replicas == 1:
        return shlex.join([*serve, "--port", str(PORT)])
    first, place = site.nodes[0], site.nodes.index(node)
    arguments = [
        *serve, "--data-parallel-size", str(replicas), "--data-parallel-size-local", str(local),
        "--data-parallel-address", first.address or first.name, "--data-parallel-rpc-port", str(RPC_PORT),
    ]  # fmt: skip
    if place:
        return shlex.join([*arguments, "--headless", "--data-parallel-start-rank", str(place * local)])
    return shlex.join([*arguments, "--port", str(PORT)])


def _environment(node: Node, chips: Sequence[Chip], several: bool) -> dict[str, str]:
    made = {"ASCEND_RT_VISIBLE_DEVICES": ",".join(str(chip.id) for chip in chips)}
    if several and node.address:
        made["HCCL_IF_IP"] = node.address
    if several and node.nic:
        made |= dict.fromkeys(("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "HCCL_SOCKET_IFNAME"), node.nic)
    return made


def mindie(option: Option, shape: Shape, site: Site, request: Request, model: str = MODEL) -> dict[str, Any]:
    """Per replica its rank table (over nodes) and per machine configuration and environment, or why not.

    Raises ShardingRefused as `rank_table` does.
    """
    chips = option.split.chips
    if option.split.pipeline > 1 and not divides(shape, chips):
        return {
            "unsupported": f"MindIE cuts by tensor, and {shape.name} does not divide by {chips} chips.",
            "replicas": [],
        }
    made, servers = [], Counter[str]()
    for number, replica in enumerate(place(option, site)):
        over = len(replica) > 1
        table = rank_table(replica, version_for([node for node, _ in replica])) if over else None
        machines = {}
        for node, used in replica:
            environment = {"ASCEND_RT_VISIBLE_DEVICES": ",".join(str(chip.id) for chip in used)}
            if over:
                environment |= {
                    "RANKTABLEFILE": f"/models/ranktable-{number}.json",
                    "MIES_CONTAINER_IP": node.address or node.name,
                    "WORLD_SIZE": str(chips),
                    "ATB_LLM_HCCL_ENABLE": "1",
                    "ATB_LLM_COMM_BACKEND": "hccl",
                    "HCCL_CONNECT_TIMEOUT": "7200",
                }
            config = _mindie_config(len(used), over, option, request, shape, model)
            first = MINDIE_PORT + 3 * servers[node.name]
            servers[node.name] += 1
            config["ServerConfig"] = {"port": first, "managementPort": first + 1, "metricsPort": first + 2}
            machines[node.name] = {"environment": environment, "config.json": config}
        made.append({"rank_table": table, "machines": machines})
    return {"replicas": made}


def _mindie_config(
    chips: int, over: bool, option: Option, request: Request, shape: Shape, model: str
) -> dict[str, Any]:
    batch = -(-request.batch // option.split.data)
    entry = {
        "modelInstanceType": "Standard", "modelName": shape.name, "modelWeightPath": model, "worldSize": chips,
        "cpuMemSize": 5, "npuMemSize": -1, "backendType": "atb", "trustRemoteCode": False,
    }  # fmt: skip
    return {
        "BackendConfig": {
            # Numbers within what ASCEND_RT_VISIBLE_DEVICES leaves.
            "npuDeviceIds": [list(range(chips))],
            "multiNodesInferEnabled": over,
            "ModelDeployConfig": {
                "maxSeqLen": request.length,
                "maxInputTokenLen": min(request.prefill, request.length),
                "ModelConfig": [entry],
            },
            "ScheduleConfig": {
                "maxPrefillBatchSize": batch,
                "maxPrefillTokens": max(request.prefill, request.length),
                "maxBatchSize": batch,
                "maxIterTimes": request.length,
            },
        }
    }

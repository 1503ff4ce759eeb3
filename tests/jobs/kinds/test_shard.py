"""A parallel plan out of what the console knows about machines; nothing on them is touched."""

from __future__ import annotations

import asyncio
import json
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from hardware.inventory.facts import Facts, NpuPort
from jobs import registry
from jobs.actions.local import execute_locally, report_of, work_folder
from jobs.actions.products import keep
from jobs.depot.models import Artifact
from jobs.depot.services import ingest
from jobs.failures import PlanRefused
from jobs.pages.figures import of_result
from jobs.plan import LocalCommand, Step
from jobs.services import plan
from tests.jobs.examples import facts
from tests.jobs.kinds.test_install_kinds import with_facts

CONFIG = {
    "model_type": "qwen2", "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2,
    "num_hidden_layers": 1, "intermediate_size": 24, "vocab_size": 50,
}  # fmt: skip
ASKED = {"name": "deepseek-13b", "size": "13B", "batch": 4}


@pytest.fixture
def depot(settings, tmp_path: Path, transactional_db) -> None:
    settings.DEPOT_DIR = tmp_path / "depot"


def wired(subnet: int) -> Facts:
    """The example's machine, its four NPUs with addresses."""
    return replace(facts(), npu_ports=tuple(NpuPort(n, f"192.168.{n}.{subnet}", "255.255.255.0") for n in range(4)))


@pytest.fixture
def two(depot, machine, second) -> list:
    return [with_facts(machine, wired(1)), with_facts(second, wired(2))]


def checkpoint() -> Artifact:
    tensors = {"model.layers.0.self_attn.q_proj.weight": np.arange(1024, dtype=np.float32).reshape(32, 32)}
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in (("config.json", json.dumps(CONFIG).encode()), ("model.safetensors", save(tensors))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
    packed.seek(0)
    return ingest(packed, name="small.tar", type="checkpoint", actor="ada")


def carried_out(step: Step) -> dict:
    """What the step's command reports, and what of it the depot keeps."""

    async def run() -> dict:
        assert isinstance(step.action, LocalCommand)
        said: list[bytes] = []

        async def take(offset: int, data: bytes) -> None:
            said.append(data)

        async with work_folder(f"shard-{step.key}", 1, step.action.inputs) as folder:
            status, _ = await execute_locally(step.action.arguments, folder, take, asyncio.Event(), 100)
            log = b"".join(said).decode()
            assert status == 0, log
            kept = await asyncio.to_thread(keep, 1, folder, step.action.products)
            return {"report": report_of(log), "artifacts": kept}

    return asyncio.run(run())


def test_the_plan_is_seen_before_it_runs_and_touches_no_machine(two):
    made, _ = plan("shard", ASKED, two)
    assert [lane.machine for _, lane in made.lanes()] == [None] and made.queue == "compute"
    assert not registry.get("shard").mutates
    assert any("is the smallest group that fits" in note for note in made.notes)
    assert any("60%" in note for note in made.notes)


def test_an_npu_without_an_address_is_told_with_the_plan_and_not_by_the_job(depot, machine, second):
    bare = replace(facts(), npu_ports=())
    machines = [with_facts(machine, wired(1)), with_facts(second, bare)]
    with pytest.raises(PlanRefused) as refused:
        plan("shard", ASKED, machines)
    assert (refused.value.code, refused.value.field) == ("device-ip-missing", "targets")
    # One machine's chips find each other without.
    assert plan("shard", ASKED, machines[1:])


def test_rank_table_and_launch_parameters_are_made_of_the_machines_own_facts(two):
    made, _ = plan("shard", {**ASKED, "across": 12.5}, two)
    (step,) = made.stages[0].lanes[0].steps
    result = carried_out(step)
    kept = {
        item["type"]: json.loads(Artifact.objects.get(pk=item["id"]).path.read_text()) for item in result["artifacts"]
    }
    assert kept["rank-table"]["version"] == "1.0" and kept["rank-table"]["server_count"] == "2"
    servers = kept["rank-table"]["server_list"]
    assert [d["device_ip"] for d in servers[1]["device"]] == [f"192.168.{n}.2" for n in range(4)]
    assert servers[0]["server_id"] == "10.1.1.5"
    # These are first-generation chips.
    assert "first Ascend 910" in kept["launch-parameters"]["vllm-ascend"]["unsupported"]
    assert kept["launch-parameters"]["mindie"]["replicas"]
    shown = of_result(registry.get("shard").summarize([result]))
    manual = {figure.manual: figure for figure in shown.figures}
    assert manual["4 × 3.25 B"].measured == "6.50 B"
    assert [f.measured for f in shown.figures if f.manual == "60 %"][:2] == ["50.0%", "50.0%"]


def test_a_checkpoint_is_split_and_what_was_proved_is_in_the_result(two):
    params = {"name": "small", "config": CONFIG, "checkpoint": checkpoint().pk, "tensor": 2}
    made, _ = plan("shard", params, two[:1])
    steps = made.stages[0].lanes[0].steps
    assert [step.key for step in steps] == ["plan", "split"]
    results = [carried_out(step) for step in steps]
    assert [item["name"] for item in results[1]["artifacts"]] == [
        "small-model-rank-00-of-02.safetensors", "small-model-rank-01-of-02.safetensors", "small-shards.json",
    ]  # fmt: skip
    report = registry.get("shard").summarize(results)["report"]
    assert report["shards"]["joined"] == 1 and "best" in report


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"size": "13"}, "size", "no number of parameters"),
        ({"size": "700B"}, "targets", "GiB short"),
        ({"config": CONFIG}, "size", "either"),
        ({"checkpoint": 1}, "tensor", "2 to 64"),
        ({"super_pods": {"elsewhere": {"super_device_ids": ["1"]}}}, "super_pods", "none of the machines"),
        ({"super_pods": {"host-1": {"super_device_ids": ["1"]}}}, "super_pods", "4 NPUs and 1 super device ids"),
    ],
)
def test_what_can_not_be_planned_is_refused_with_its_field(two, change, field, said):
    with pytest.raises(PlanRefused, match=said) as refused:
        plan("shard", {**ASKED, **change}, two)
    assert refused.value.field == field


def test_a_machine_without_npus_is_named(depot, machine):
    with pytest.raises(PlanRefused, match="host-1: npu-smi lists no NPU"):
        plan("shard", ASKED, [with_facts(machine, replace(facts(), npus=()))])

from __future__ import annotations

import re
import tarfile

import pytest
from onnx import helper

from hardware.inventory.facts import read
from hardware.inventory.models import Machine
from jobs import registry
from jobs.depot.models import Artifact
from jobs.failures import JobFailed, PlanRefused
from jobs.plan import RunCommand, Step
from jobs.services import launch, plan
from jobs.states import JobState
from tests.fleet import Fleet
from tests.jobs.kinds.test_install_kinds import with_facts
from tests.probe_text import probe_text
from tests.shared import FOLDER, needs_shared
from tests.worker import read_facts, work

STEP = Step("cann", "Install CANN", RunCommand("x"))


def test_cann_brings_atc_to_a_machine_that_has_a_driver_and_is_refused_for_one_that_has_none(new_fleet, depot):
    fleet = new_fleet()
    machine = read_facts(fleet.enroll("kunpeng-01"))
    with pytest.raises(PlanRefused, match="npu-smi lists no NPU") as refused:
        launch("install-cann", {"cann": depot["cann"]}, [machine], actor="ada")
    assert "install-driver" in refused.value.mend

    driver = work(launch("install-driver", {key: depot[key] for key in ("driver", "firmware")}, [machine], actor="ada"))
    assert driver.state == JobState.SUCCEEDED, driver.failure
    machine.refresh_from_db()
    job = work(launch("install-cann", {"cann": depot["cann"]}, [machine], actor="ada"))
    assert job.state == JobState.SUCCEEDED, job.failure
    machine.refresh_from_db()
    assert machine.read.cann.version == "8.0.0"
    toolkit = fleet.disk("kunpeng-01") / "usr/local/Ascend/ascend-toolkit"
    assert (toolkit / "set_env.sh").exists() and (toolkit / "latest/bin/atc").is_symlink()
    _profiles(fleet, machine)


def _profiles(fleet: Fleet, machine: Machine) -> None:
    """What else needs a machine with CANN, which takes long to make: msprof, both ways."""
    node = helper.make_node("MatMul", ["a", "b"], ["c"])
    graph = helper.make_graph([node], "g", [], [])
    (fleet.disk("kunpeng-01") / "srv/m.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    around = work(launch("profile", {"what": "command", "command": "cat /srv/m.onnx"}, [machine], actor="ada"))
    assert around.state == JobState.SUCCEEDED, around.failure
    [artifact] = around.result["artifacts"]
    stored = Artifact.objects.get(sha256=artifact["sha256"])
    assert stored.type == "profiling" and stored.meta["simulated"] and stored.meta["machine"] == "kunpeng-01"
    with tarfile.open(stored.path) as archive:
        assert any("/mindstudio_profiler_output/op_statistic_" in name for name in archive.getnames())
    [profile] = around.result["report"]["profiles"]
    assert [(row["type"], row["count"]) for row in profile["operators"]] == [("MatMul", 1)]
    beside = work(launch("profile", {"seconds": 1, "devices": "0"}, [machine], actor="ada"))
    assert list(beside.result["report"]["profiles"][0]["cores"]) == ["AI Core, device 0"], beside.failure
    wrong = work(launch("profile", {"seconds": 1, "devices": "7"}, [machine], actor="ada"))
    assert wrong.failure["code"] == "msprof-failed" and "--sys-devices=7" in wrong.failure["cause"]
    assert not (fleet.disk("kunpeng-01") / "var/tmp/ascend-console/profile").exists() or not list(
        (fleet.disk("kunpeng-01") / "var/tmp/ascend-console/profile").iterdir()
    )


def test_a_toolkit_for_another_architecture_is_refused_before_a_byte_is_copied(machine, depot):
    facts = read(probe_text().replace("aarch64", "x86_64"))
    with pytest.raises(PlanRefused, match=re.escape("Ascend-cann-toolkit_8.0.0_linux-aarch64.run is not for")):
        plan("install-cann", {"cann": depot["cann"]}, [with_facts(machine, facts)])


@needs_shared
def test_the_toolkits_own_closing_line_says_whether_it_was_installed():
    kind = registry.get("install-cann")
    real = (FOLDER / "ascend/other/install-cann-toolkit-SUCCESS--8.0.0.log").read_text()
    assert kind.judge(STEP, 0, real) == {}
    with pytest.raises(JobFailed, match="nothing of success"):
        kind.judge(STEP, 0, real.replace("install success", "install"))

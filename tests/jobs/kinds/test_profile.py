"""msprof beside serving and around a command: exact command lines, its own closing line, and what its files say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hardware.inventory.facts import read
from jobs import registry
from jobs.engine.leases import claim
from jobs.failures import JobFailed, PlanRefused
from jobs.kinds.profile.summary import summary
from jobs.pages.figures import of_result
from jobs.plan import RunCommand, Step
from jobs.services import launch, plan
from tests.jobs.kinds.test_install_kinds import with_facts
from tests.probe_text import probe_text
from tests.shared import FOLDER, needs_shared

MSPROF = Step("msprof", "Profile npus with msprof", RunCommand("x"))


def command(machine, cann: str = "8.0.0", **params) -> str:
    facts = read(probe_text(driver="24.1.0", npus=True, cann="8.0.0"))
    made, _ = plan("profile", params, [with_facts(machine, replace(facts, cann=replace(facts.cann, version=cann)))])
    return made.stages[0].lanes[0].steps[0].action.command


def test_npus_are_sampled_beside_what_serves_and_a_command_is_run_as_its_cann_wants_it(machine):
    beside = command(machine, devices="0,2", seconds=30)
    assert (
        "--sys-devices=0,2 --sys-period=30 --aic-mode=sample-based --ai-core=on --aic-metrics=PipeUtilization" in beside
    )
    assert "application" not in beside
    around = command(machine, what="command", command="python x.py --n 3", metrics="Memory")
    assert around.endswith("--ai-core=on --aic-metrics=Memory python x.py --n 3")
    older = command(machine, cann="7.0.0", what="command", command="python x.py --n 3")
    assert older.endswith("--application='python x.py --n 3'")


def test_a_second_one_of_the_same_machine_waits_for_the_first(machine):
    there = with_facts(machine, read(probe_text(driver="24.1.0", npus=True, cann="8.0.0")))
    first, second = (launch("profile", {"seconds": 5}, [there], actor="ada") for _ in range(2))
    assert claim(first.pk, "one") is not None
    assert claim(second.pk, "two") is None


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"what": "command"}, "command"),
        ({"what": "command", "command": "a\nb"}, "command"),
        ({"devices": "0;reboot"}, "devices"),
        ({"seconds": 0}, "seconds"),
        ({"metrics": "x"}, "metrics"),
    ],
)
def test_what_can_not_be_profiled_is_refused_by_its_field(machine, params, field):
    with pytest.raises(PlanRefused) as refused:
        command(machine, **params)
    assert refused.value.field == field


@needs_shared
def test_msprofs_own_closing_line_says_whether_it_is_done():
    kind = registry.get("profile")
    for sample in ("msprof-SUCCESS-asys-2025-11.txt", "msprof-SUCCESS-tail-2026-03.txt"):
        assert kind.judge(MSPROF, 0, (FOLDER / "ascend/other" / sample).read_text()) == {}
    with pytest.raises(JobFailed, match="exit code 1: nothing"):
        kind.judge(MSPROF, 0, "nothing")
    with pytest.raises(JobFailed, match="sys-devices=9 is invalid"):
        kind.judge(MSPROF, 1, "[ERROR] Argument --sys-devices=9 is invalid: no such device.")


FILES = """\
@@profile file op_statistic_20260101.csv
Device_id,Model Name,OP Type,Core Type,Count,Total Time(us),Min Time(us),Avg Time(us),Max Time(us),Ratio(%)
0,m,MatMul,AI_CORE,10,300.5,1,30,50,75.1
1,m,MatMul,AI_CORE,10,299.5,1,30,50,75.1
0,m,"Soft,max",AI_VECTOR_CORE,5,200,1,40,50,25
@@profile file ai_core_utilization_20260101.csv
Device_id,Core ID,mac_ratio,mte2_ratio,memory_bound
0,0,0.2,0.6,3.0
0,1,0.4,0.8,2.0
0,2,N/A,0.7,N/A
@@profile file api_statistic_20260101.csv
@@profile end
"""


def test_what_the_files_say_is_told_in_short_over_all_devices():
    said = summary("some output\n" + FILES)
    assert said["operators"] == [
        {"type": "MatMul", "core": "AI_CORE", "count": 20, "time_us": 600.0, "share_percent": 75.0},
        {"type": "Soft,max", "core": "AI_VECTOR_CORE", "count": 5, "time_us": 200.0, "share_percent": 25.0},
    ]
    assert said["cores"] == {"AI Core, device 0": {"mac_ratio": 0.3, "mte2_ratio": 0.7, "memory_bound": 2.5}}
    # A file that is there and empty is not the same as none.
    assert said["apis"] == [] and summary("") == {}
    shown = of_result({"report": {"profiles": [said]}})
    assert [(one.measured, one.detail) for one in shown.figures] == [
        ("75.0 %", "20 calls, 0.6 ms in all"),
        ("25.0 %", "5 calls, 0.2 ms in all"),
        ("70.0 %", "waits for data more than it computes"),
    ]

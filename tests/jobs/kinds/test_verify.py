"""Verification reads, computes once and reports; each thing that is not as it should be is named with its mend."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hardware.inventory.facts import Facts, MindSpore, read
from jobs import registry
from jobs.actions.expectations import ANY, hold
from jobs.failures import JobFailed, PlanRefused
from jobs.services import plan
from tests.jobs.kinds.test_install_kinds import with_facts
from tests.probe_text import probe_text

NODES = tuple(f"/dev/davinci{n}" for n in range(4)) + ("/dev/davinci_manager",)


def whole() -> Facts:
    """The facts of a machine that was brought up."""
    found = read(probe_text(driver="24.1.0", firmware="7.5.0.2.220", npus=True, cann="8.0.0"))
    return replace(found, davinci_nodes=NODES, mindspore=MindSpore("2.4.10", "3.9"), pythons={"python3.9": "3.9.9"})


def test_it_changes_nothing_and_asks_for_what_the_machine_has(machine):
    made, _ = plan("verify", {}, [with_facts(machine, whole())])
    look, mindspore = made.stages[0].lanes[0].steps
    assert not registry.get("verify").mutates
    assert look.action.expect == {"npus": 4, "nodes": 4, "pair": True, "cann": ANY, "mindspore": ANY}
    assert "python3.9 -c" in mindspore.action.command
    bare, _ = plan("verify", {"cann": False, "mindspore": False}, [machine])
    assert [step.key for step in bare.stages[0].lanes[0].steps] == ["look"]
    with_facts(machine, replace(whole(), mindspore=None))
    with pytest.raises(PlanRefused, match="no MindSpore"):
        plan("verify", {}, [machine])


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"npus": ()}, "npus-missing", "0 healthy NPUs, not 4"),
        ({"npus": (replace(whole().npus[0], health="Alarm"), *whole().npus[1:])}, "npus-missing", "NPU 0 is Alarm"),
        ({"davinci_nodes": NODES[1:]}, "nodes-missing", "3 of 4 device nodes"),
        ({"davinci_nodes": NODES[:-1]}, "nodes-missing", "/dev/davinci_manager is not"),
        ({"firmware": None}, "driver-missing", "no firmware"),
        ({"firmware": replace(whole().firmware, version="6.0.0")}, "driver-firmware", "outside the range"),
        ({"cann": None}, "cann-missing", "CANN was to be there"),
        ({"mindspore": None}, "mindspore-missing", "MindSpore was to be there"),
    ],
)
def test_what_is_wrong_is_named_with_the_machine_and_the_mend(changes, code, says):
    expect = {"npus": 4, "nodes": 4, "pair": True, "cann": ANY, "mindspore": ANY}
    assert hold("n1", whole(), expect)["mindspore"] == "2.4.10"
    with pytest.raises(JobFailed) as failed:
        hold("n1", replace(whole(), **changes), expect)
    assert (failed.value.code, "n1" in failed.value.cause) == (code, True)
    assert says in failed.value.cause and failed.value.mend


def test_its_report_has_a_row_a_machine_with_the_answer_of_its_check():
    results = [hold("n1", whole(), {}), {"mindspore_check": "right", "warnings": []}, hold("n2", whole(), {})]
    rows = registry.get("verify").summarize(results)["report"]["machines"]
    assert [(row["machine"], row.get("mindspore_check")) for row in rows] == [("n1", "right"), ("n2", None)]

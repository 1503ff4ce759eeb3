"""What the kind "tune-serving" plans; that it does it on a machine is in ``test_remedies_on_machines.py``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hardware.inventory.models import Machine
from hardware.telemetry.rollups import packing
from hardware.telemetry.rollups.models import Minute
from hardware.telemetry.samples import Sample
from jobs.actions.measured import measured
from jobs.failures import PlanRefused
from jobs.kinds.tune_serving.kind import changed
from jobs.rollout.models import Deployment
from jobs.services import plan
from tests.jobs.examples import facts, serving
from tests.jobs.kinds.test_install_kinds import with_facts


@pytest.fixture
def deployed(machine: Machine, settings, tmp_path) -> Deployment:
    settings.DEPOT_DIR = tmp_path / "depot"
    serving([with_facts(machine, facts())])
    return Deployment.objects.get()


def commands(machine: Machine, **params) -> dict[str, str]:
    made, _ = plan("tune-serving", params, [machine])
    return {
        step.key: step.action.command
        for _, lane in made.lanes()
        for step in (*lane.steps, *lane.on_failure)
        if step.action.type == "run"
    }


def test_the_container_is_made_again_with_the_new_parameters_and_in_need_with_the_old_ones(deployed):
    made, _ = plan("tune-serving", {"preprocessing_workers": 8}, [deployed.machine])
    assert [stage.title for stage in made.stages] == ["Check", "Batch 1 of 1", "Watch"]
    free = made.stages[0].lanes[0].steps[1].action.expect["free"]
    assert (list(free["npus"]), free["replaces"]) == ([0], ["console-served-1"])
    lane = made.stages[1].lanes[0]
    steps = {step.key: step.action for step in (*lane.steps, *lane.on_failure)}
    assert steps["stop"].command == "docker stop -t 30 console-served-1"
    assert "-e SERVING_PREPROCESSING_WORKERS=8 -e SERVING_MAX_BATCH=16 " in steps["start"].command
    assert "-e SERVING_PREPROCESSING_WORKERS=1 -e SERVING_MAX_BATCH=16 " in steps["restore"].command
    assert steps["start"].command.replace("WORKERS=8", "WORKERS=1") == steps["restore"].command
    assert steps["health"].expect["preprocessing_workers"] == 8 and "max_batch" not in steps["health"].expect
    assert made.stages[2].lanes[0].steps[0].action.seconds == 600
    assert "preprocessing_workers 1 to 8" in made.notes[0]


@pytest.mark.parametrize(("now", "wanted"), [(128, 32), (33, 32), (32, 16), (16, 8), (3, 1)])
def test_the_remedy_is_a_batch_of_32_or_half_of_less(deployed, now: int, wanted: int):
    deployed.overrides = {"max_batch": now}
    deployed.save()
    assert changed(deployed, {"max_batch": "remedy"}) == {"max_batch": wanted}
    assert f"SERVING_MAX_BATCH={wanted} " in commands(deployed.machine, max_batch="remedy")["start"]


def test_what_was_tuned_before_stays_and_what_is_planned_on_is_checked(deployed):
    deployed.overrides = {"preprocessing_workers": 4}
    deployed.save()
    there = commands(deployed.machine, max_batch="8")
    assert "SERVING_PREPROCESSING_WORKERS=4 -e SERVING_MAX_BATCH=8 " in there["start"]
    assert "for one in SERVING_PREPROCESSING_WORKERS=4 SERVING_MAX_BATCH=16 SERVING_MEMORY" in there["check"]


@pytest.mark.parametrize(
    ("params", "field"),
    [({}, "preprocessing_workers"), ({"max_batch": "many"}, "max_batch"), ({"preprocessing_workers": 65}, None)],
)
def test_parameters_that_cannot_be_are_refused_with_their_field(deployed, params: dict, field: str | None):
    with pytest.raises(PlanRefused) as refused:
        plan("tune-serving", params, [deployed.machine])
    assert refused.value.field == (field or "preprocessing_workers")


def test_a_machine_that_serves_nothing_is_refused_by_its_name(deployed, second):
    with pytest.raises(PlanRefused, match="host-2: no release is served there"):
        plan("tune-serving", {"max_batch": "8"}, [deployed.machine, with_facts(second, facts())])


def test_a_machine_that_has_them_already_is_left_alone(deployed, second):
    Deployment.objects.create(machine=with_facts(second, facts()), release=deployed.release, state="serving")
    deployed.overrides = {"preprocessing_workers": 8}
    deployed.save()
    made, _ = plan("tune-serving", {"preprocessing_workers": 8}, [deployed.machine, second])
    assert {lane.machine for _, lane in made.lanes()} == {"host-2"} and "left alone" in made.notes[0]
    with pytest.raises(PlanRefused, match="host-1: served with preprocessing_workers 8 already") as refused:
        plan("tune-serving", {"preprocessing_workers": 8}, [deployed.machine])
    assert refused.value.code == "nothing-to-change"


def test_what_was_measured_is_cut_to_the_second_and_a_counter_is_told_by_its_growth(machine: Machine):
    begin = 1_800_000_000

    def sample(second: int, used: float, waiting: float, count: int) -> Sample:
        chip = {
            "npu_id": 0, "chip_id": 0, "aicore_percent": used, "temp_c": 50, "power_w": 70, "hbm_used_mb": 8,
            "hbm_total_mb": 32, "health": "OK",
        }  # fmt: skip
        vitals = {"requests_waiting": waiting, "out_of_memory": count}
        return Sample("host-1", begin + second, "ok", [chip, {**chip, "npu_id": 1, "aicore_percent": 0}], "", vitals)

    # The process starts anew at 40 s, and its count with it.
    samples = [sample(0, 90, 9, 5), sample(20, 10, 8, 6), sample(30, 20, 4, 8), sample(40, 30, 0, 1)]
    whole = packing.gathered([packing.reading(one) for one in samples], begin)
    Minute.objects.create(machine=machine, at=begin, state="ok", data=packing.pack(whole))
    since = datetime.fromtimestamp(begin, UTC) + timedelta(seconds=10)
    names = ["aicore_percent", "hbm_used_percent", "requests_waiting", "out_of_memory", "latency_ms"]
    found = measured(machine, names, [0], since, since + timedelta(seconds=35))
    assert found == {
        "samples": 3, "aicore_percent": 20, "hbm_used_percent": 25, "requests_waiting": 4, "out_of_memory": 3,
        "latency_ms": None,
    }  # fmt: skip
    assert measured(machine, names, [], since - timedelta(days=1), since - timedelta(hours=1))["samples"] == 0

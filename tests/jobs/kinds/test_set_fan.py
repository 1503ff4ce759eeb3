"""Fans are raised through a real HTTPS board, cool simulated chips, and go back to the board whatever happens."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from hardware.bmc.models import Bmc
from hardware.bmc.services import attach, confirm, detach, look
from hardware.inventory.models import Credential, Machine
from hardware.simulator.bmc import cooling
from hardware.simulator.faults import registry
from hardware.simulator.spec import Home
from jobs.actions import fans
from jobs.control import cancel
from jobs.failures import PlanRefused
from jobs.models import Job, JobStep
from jobs.services import launch, plan
from jobs.states import JobState
from tests.faults import watch
from tests.faults.processes import start_worker, take_over
from tests.fleet import Fleet
from tests.worker import log_of, work

KIND = "jobs.kinds.set_fan.kind:SetFan"
HOT = ["55", "1"]


@pytest.fixture
def home(fleet: Fleet) -> Iterator[Home]:
    home = Home(fleet.folder / "kunpeng-01")
    yield home
    registry.end(home)
    (home.simulated / "fans").unlink(missing_ok=True)


@pytest.fixture
def hot(fleet: Fleet, home: Home, transactional_db: None) -> Machine:
    """A hot machine whose board is confirmed and read."""
    registry.begin(home, "latency-varies-when-hot", HOT)
    # For a minute already: it takes its time to get hot.
    since = time.time() - 60
    os.utime(home.simulated / "faults.d/latency-varies-when-hot", (since, since))
    return with_bmc(fleet, "kunpeng-01")


def with_bmc(fleet: Fleet, name: str) -> Machine:
    return give_bmc(fleet, fleet.enroll(name))


def give_bmc(fleet: Fleet, machine: Machine) -> Machine:
    """The console knows its board, which is confirmed and read."""
    name = machine.name
    board: Any = next(one for one in fleet.machines if one["name"] == name)["bmc"]
    login, _ = Credential.objects.get_or_create(
        name="boards", defaults={"username": board["username"], "password": board["password"]}
    )
    bmc = attach(machine, board["host"], board["port"], login, actor="ada")
    assert confirm(bmc, board["fingerprint"].lower(), actor="ada")
    look(bmc, actor="ada")
    return machine


def launched(machine: Machine, **params: Any) -> Job:
    return launch("set-fan", {"watch_minutes": 0.5, **params}, [machine], actor="ada")


def held(home: Home) -> bool:
    return cooling.read(home.simulated).mode == "Manual"


def test_the_plan_shows_every_request_and_no_secret(fleet: Fleet, hot: Machine) -> None:
    made, _ = plan("set-fan", {}, [hot])
    [step] = made.stages[0].lanes[0].steps
    huawei = {"FanSpeedAdjustmentMode": "Manual", "FanSpeedLevelPercents": 57, "FanManualModeTimeoutSeconds": 120}
    assert step.action.hold == {"Oem": {"Huawei": huawei}}
    assert step.action.back == {"Oem": {"Huawei": {"FanSpeedAdjustmentMode": "Automatic"}}}
    assert step.action.path == "/redfish/v1/Chassis/1/Thermal" and step.action.seconds == 600
    assert Bmc.objects.get().credential.password not in str(made.to_json())


def test_it_raises_watches_until_cool_and_hands_back(hot: Machine, home: Home) -> None:
    job = work(launched(hot, cool_c=90))
    assert job.state == JobState.SUCCEEDED, job.failure
    [report] = job.result["report"]["machines"]
    assert report["before"]["hottest_c"] > 90 >= report["after"]["hottest_c"]
    assert (report["level"], report["after"]["rpm"], report["ended"]) == (57, 4560, "cool")
    assert report["handed_back"] and not held(home)
    log = log_of(job).decode()
    assert "held at 57 %: 4560 rpm" in log and "the fans are the BMC's again" in log
    assert Bmc.objects.get().credential.password not in log + str(job.plan) + str(job.result)


def test_a_machine_whose_board_allows_less_gets_no_more_than_that(fleet: Fleet, transactional_db: None) -> None:
    made, _ = plan("set-fan", {}, [with_bmc(fleet, "kunpeng-02")])
    assert made.stages[0].lanes[0].steps[0].action.level == 50


def test_one_that_stays_hot_fails_with_the_mend_and_is_handed_back(hot: Machine, home: Home) -> None:
    job = work(launched(hot, cool_c=30, watch_minutes=0.05))
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "still-hot")
    assert "handed back" in job.failure["cause"] and not held(home)


def test_a_cancelled_job_hands_back_first(hot: Machine, home: Home) -> None:
    job = launched(hot, cool_c=30)

    def stop() -> None:
        watch.until(lambda: held(home))
        cancel(job, actor="ada")
        connection.close()

    thread = threading.Thread(target=stop)
    thread.start()
    work(job)
    thread.join()
    assert job.state == JobState.CANCELLED and not held(home)


def test_a_worker_that_is_killed_leaves_the_fans_to_the_one_that_takes_over(hot: Machine, home: Home) -> None:
    job = launched(hot, cool_c=30)
    worker = start_worker(job, KIND)
    watch.until(lambda: held(home))
    worker.kill()
    # And to the board's own clock, should nobody come.
    assert held(home) and 0 < cooling.read(home.simulated).until - time.time() <= 30
    step = JobStep.objects.get(job=job)
    JobStep.objects.filter(job=job).update(action={**step.action, "cool_c": 90})
    watch.expire(job)
    take_over(job)
    assert job.state == JobState.SUCCEEDED, job.failure
    assert "another worker goes on with it" in log_of(job).decode() and not held(home)


def test_fans_that_can_not_be_handed_back_are_told_of_loudly(
    hot: Machine, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fans, "BACK_ATTEMPTS", 1)
    job = launched(hot, cool_c=30, watch_minutes=0.05)

    def cut() -> None:
        watch.until(lambda: held(home))
        registry.begin(home, "bmc-away")
        connection.close()

    thread = threading.Thread(target=cut)
    thread.start()
    work(job)
    thread.join()
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "fans-not-handed-back")
    assert "still held at 57 %" in job.failure["cause"] and "by itself by" in job.failure["cause"]
    assert "THE FANS WERE NOT HANDED BACK" in log_of(job).decode()


def test_fans_that_somebody_holds_are_left_to_him(hot: Machine, home: Home) -> None:
    job = launched(hot)
    cooling.write(home.simulated, cooling.Fans("Manual", 40))
    work(job)
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "fans-held-already")
    assert held(home)


def test_without_a_board_preflight_says_what_to_do(hot: Machine) -> None:
    detach(hot, actor="ada")
    assert plan("set-fan", {}, [hot])[0].stages
    with pytest.raises(PlanRefused, match="knows no BMC of this machine: give it one on the machine’s page"):
        launched(hot)

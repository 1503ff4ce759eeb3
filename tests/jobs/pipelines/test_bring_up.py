"""The bring-up pipeline on simulated machines, over REST: from bare to computing; the one that fails stays behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from jobs.models import Job
from tests.fleet import Fleet
from tests.jobs.pipelines.words import drain
from tests.worker import log_of, read_facts


@pytest.mark.timeout(240)
def test_bare_machines_are_brought_up_and_the_one_whose_driver_fails_stays_behind(
    new_fleet: Callable[..., Fleet], depot: dict[str, int], wheels: dict[str, int]
):
    fleet = new_fleet(machines=2, faults=["kunpeng-01=no-headers", "kunpeng-02=driver-fails"])
    one, two = (read_facts(fleet.enroll(name)) for name in ("kunpeng-01", "kunpeng-02"))
    client = APIClient()
    client.force_authenticate(User.objects.create_user("robot"))
    parts = {name: depot[name] for name in ("driver", "firmware", "cann")}
    body = {
        "pipeline": "bring-up",
        "params": {**parts, "mindspore": wheels["mindspore"]},
        "machines": [one.name, two.name],
    }

    dry = client.post("/api/v1/pipelines/?dry_run=1", body, format="json").data
    stages = {stage["name"]: stage for stage in dry["stages"]}
    assert list(stages) == ["os-packages", "driver", "cann", "mindspore", "verify"]
    # The Python that MindSpore is for is missing on both, the headers on one; the facts say so.
    assert stages["os-packages"]["params"]["packages"] == ["kernel-devel", "python39"]
    started = client.post("/api/v1/pipelines/", {**body, "plan_hash": dry["plan_hash"]}, format="json")
    assert started.status_code == 201, started.data
    drain()

    shown = client.get(f"/api/v1/pipelines/{started.data['id']}/").data
    states = {stage["name"]: stage["state"] for stage in shown["stages"]}
    assert states == {
        "os-packages": "succeeded",
        "driver": "failed",
        "cann": "succeeded",
        "mindspore": "succeeded",
        "verify": "succeeded",
    }, [stage["failure"] for stage in shown["stages"]]
    assert shown["state"] == "succeeded" and shown["left_behind"] == {"kunpeng-02": "driver"}
    one.refresh_from_db()
    facts = one.read
    assert len(facts.npus) == 4 and facts.cann.version == "8.0.0"
    assert (facts.mindspore.version, facts.mindspore.python) == ("2.4.10", "3.9")
    verified = Job.objects.get(pk=shown["stages"][-1]["job"])
    [row] = verified.result["report"]["machines"]
    assert row["machine"] == "kunpeng-01" and row["firmware"] == "7.5.0.2.220" and row["npus"] == 4
    assert row["mindspore_check"].endswith("on platform [Ascend] successfully!")
    assert "MindSpore version:  2.4.10" in log_of(verified).decode()

    # The same again on what is half done: only what is lacking. The driver's fault was mended meanwhile.
    fleet.control("fault", "kunpeng-02")
    again = client.post("/api/v1/pipelines/?dry_run=1", body, format="json").data
    assert [(stage["name"], stage["machines"]) for stage in again["stages"]] == [
        ("driver", ["kunpeng-02"]), ("cann", ["kunpeng-02"]), ("mindspore", ["kunpeng-02"]),
        ("verify", ["kunpeng-01", "kunpeng-02"]),
    ]  # fmt: skip

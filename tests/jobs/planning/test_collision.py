"""A job that would collide with whoever holds an NPU: refused when it is asked for, and on the machine itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from hardware.inventory.facts import Container
from hardware.inventory.models import Machine
from jobs.depot.services import ingest
from jobs.engine.leases import claim
from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.rollout.models import Deployment, Release
from jobs.rollout.services import make_release, roll_out
from jobs.services import launch
from tests.driven import NAME, Driven
from tests.ports import free_ports
from tests.worker import read_facts, work


@pytest.fixture
def machine(driven: Driven, settings, tmp_path: Path, transactional_db: None) -> Machine:
    """Probed while nobody held anything: its last facts say that all is free."""
    settings.DEPOT_DIR = tmp_path / "depot"
    return read_facts(driven.fleet.enroll(NAME))


def release(version: str = "1.0.0", devices: tuple[int, ...] = (0, 1)) -> Release:
    image = ingest(BytesIO(b"tar"), name="bot.tar", type="image", actor="ada", meta={"image": "bot:1"})
    return make_release(
        actor="ada", name="bot", version=version, image=image, devices=list(devices), smoke_text="a", smoke_label="b"
    )


def refused(made: Release, machine: Machine) -> PlanRefused:
    with pytest.raises(PlanRefused) as caught:
        roll_out(made, [machine], 1, actor="ada")
    assert caught.value.code == "npu-held" and caught.value.mend.startswith("Stop what holds it")
    assert not Job.objects.exists()
    return caught.value


def test_a_rollout_onto_an_npu_that_a_process_holds_is_refused_though_the_last_facts_say_free(machine, driven):
    with driven.process("davinci1") as pid:
        cause = str(refused(release(), machine))
    assert cause == f"{NAME}: NPU 1 is held by process sleep (pid {pid}): stop it, or choose other NPUs."


def test_a_foreign_container_stops_it_and_what_the_product_serves_there_itself_does_not(machine, driven):
    made = release("2.0.0")
    before = release("1.0.0")
    Deployment.objects.create(machine=machine, release=before, state=Deployment.State.SERVING)
    with driven.container("mindie", [1]):
        assert "NPU 1 is held by container mindie" in str(refused(made, machine))
    with driven.container(before.container, [0, 1]), driven.container("mindie", [2, 3]):
        assert roll_out(made, [machine], 1, actor="ada").pk


def test_whoever_was_faster_is_met_by_the_jobs_first_step_before_anything_is_changed(machine, driven):
    job = roll_out(release(), [machine], 1, actor="ada")
    with driven.process("davinci0") as pid:
        work(job)
    assert (job.state, job.failure["code"]) == ("failed", "npu-held")
    assert f"{NAME}: NPU 0 is held by process sleep (pid {pid})" in job.failure["cause"]
    assert "Nothing was changed there" in job.failure["mend"]
    states = dict(job.steps.values_list("key", "state"))
    assert states.pop("free") == "failed" and set(states.values()) == {"pending"}, "nothing is to be undone either"


def test_a_drivers_installation_is_refused_while_a_process_has_the_driver_open(machine, driven):
    files = [("driver", "Ascend-hdk-910-npu-driver_24.1.0_linux-aarch64.run"), ("firmware", "firmware_7.5.run")]
    params = {
        what: ingest(BytesIO(name.encode()), name=name, type=what, actor="ada", version="24.1.0").pk
        for what, name in files
    }
    with driven.process("davinci_manager") as pid, pytest.raises(PlanRefused) as caught:
        launch("install-driver", params, [machine], actor="ada")
    assert str(caught.value) == f"{NAME}: Process sleep (pid {pid}) has the NPU driver open: stop it."


def test_a_tuning_is_refused_while_a_stranger_holds_its_npus_and_waits_for_another_tuning(machine, driven):
    served = release()
    Deployment.objects.create(machine=machine, release=served, state=Deployment.State.SERVING)
    asked = {"max_batch": "8", "watch_minutes": 0}
    with driven.container(served.container, [0, 1]):
        with driven.process("davinci1") as pid, pytest.raises(PlanRefused) as caught:
            launch("tune-serving", asked, [machine], actor="ada")
        assert str(caught.value).startswith(f"{NAME}: NPU 1 is held by process sleep (pid {pid}): stop it")
        job = launch("tune-serving", asked, [machine], actor="ada")
        other = launch("tune-serving", {**asked, "max_batch": "4"}, [machine], actor="bob")
        # Of two at once the second waits for the first.
        assert claim(job.pk, "worker-1") is not None and claim(other.pk, "worker-2") is None
        other.refresh_from_db()
        assert (other.state, other.waits_for_id) == ("waiting", job.pk)


def test_of_a_machine_that_gives_no_answer_the_last_facts_count_with_their_age(machine):
    facts = machine.read
    assert facts is not None
    Machine.objects.update(port=free_ports(), facts_at=timezone.now() - timedelta(hours=3, minutes=5))
    machine.refresh_from_db()
    assert roll_out(release("1.0.0"), [machine], 1, actor="ada").pk, "they say that all is free"
    Job.objects.all().delete()
    held = replace(facts, containers=(Container("mindie", "6d696e", "mindie:1", (1,)),))
    Machine.objects.update(facts=held.to_json())
    machine.refresh_from_db()
    cause = str(refused(release("2.0.0"), machine))
    assert "NPU 1 is held by container mindie" in cause
    assert cause.endswith("(So it was 3 hours ago; the machine gave no answer just now.)")


def test_over_rest_the_machine_is_looked_at_before_the_transaction_of_the_key(machine, driven, client):
    client.force_login(User.objects.create_user("ada", is_superuser=True))
    body = {"kind": "rollout", "params": {"release": release().pk}, "machines": [NAME]}
    rollout = {"release": body["params"]["release"], "machines": [NAME]}
    with driven.process("davinci0") as pid:
        for path, asked in (("/api/v1/jobs/", body), ("/api/v1/rollouts/", rollout)):
            answer = client.post(path, asked, "application/json", headers={"Idempotency-Key": path})
            assert answer.status_code in (409, 422), answer.content
            assert answer.json()["code"] == "npu-held" and f"(pid {pid})" in answer.content.decode()
    answer = client.post("/api/v1/jobs/", body, "application/json", headers={"Idempotency-Key": "later"})
    assert answer.status_code == 201, answer.content

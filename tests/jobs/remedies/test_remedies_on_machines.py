"""Rules on simulated machines: a fault, the alert, its remedy as a job, and the recovery.

Those of serving, with a real server and a real board, share a machine; versions that differ are of three machines.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from hardware.inventory.models import Machine
from hardware.simulator.bmc import cooling
from hardware.simulator.faults import registry as faults
from hardware.simulator.spec import Home
from hardware.ssh.command import execute
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import SSHFailure
from hardware.ssh.pool import Pool
from hardware.ssh.tunnel import http_request
from hardware.telemetry.alerts import builtin, evaluate
from hardware.telemetry.alerts.models import Alert, Rule
from hardware.telemetry.collector import Collector
from hardware.telemetry.rollups.recorder import Rollups
from jobs.engine.runner import Runner
from jobs.models import Job
from jobs.remedies import shown
from jobs.rollout.models import Deployment
from jobs.rollout.services import make_release, roll_out
from jobs.rollout.vitals import ServingVitals
from jobs.services import launch
from jobs.states import JobState
from tests.fleet import Fleet
from tests.hardware.telemetry.alerts.test_rules_on_machines import DRIVER
from tests.jobs.kinds.test_rollout_on_machines import image
from tests.jobs.kinds.test_set_fan import give_bmc
from tests.worker import read_facts, with_pool, work

SHORT = {"watch_minutes": 0.08}
# Degrees that the room adds, and seconds that it takes: at the fans' usual level the chips are at 78 °C and more, at
# 57 % they are at 65 °C and what they do.
HEAT, COOL = ["40", "2"], 75


async def until(moment: Callable[[], Any], seconds: float = 60) -> Any:
    """What ``moment`` (which may use the database) gives as soon as that is true."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (found := await asyncio.to_thread(moment)):
        assert asyncio.get_running_loop().time() < deadline, "the moment did not come"
        await asyncio.sleep(0.1)
    return found


def serving(fleet: Fleet, depot: dict[str, int], tmp_path: Any) -> Machine:
    """A machine with a driver and a release whose batches are large."""
    machine = read_facts(fleet.enroll("kunpeng-01"))
    params = {"driver": depot["driver"], "firmware": depot["firmware"]}
    assert work(launch("install-driver", params, [machine], actor="ada")).state == JobState.SUCCEEDED
    machine.refresh_from_db()
    fields = {"port": 8000, "devices": [0], "smoke_text": "lost card", "smoke_label": "card", "max_batch": 64}
    release = make_release(actor="ada", name="tiny", version="1.0.0", image=image(tmp_path), **fields)
    rolled = work(roll_out(release, [machine], 1, actor="ada"))
    assert rolled.state == JobState.SUCCEEDED, rolled.failure
    builtin.ensure()
    for slug, remedy, sooner in (
        ("out-of-memory", {"kind": "tune-serving", "params": {"max_batch": "remedy"}}, SHORT),
        ("npu-idle-while-requests-wait", {"kind": "tune-serving", "params": {"preprocessing_workers": 8}}, SHORT),
        ("latency-varies-when-hot", {"kind": "set-fan", "params": {"rpm": 4500}}, {"cool_c": COOL, "watch_minutes": 2}),
    ):
        # The rules as they are built in, with short times.
        assert Rule.objects.get(slug=slug).remedy == remedy
        remedy["params"] |= sooner
        Rule.objects.filter(slug=slug).update(for_s=1, clear_for_s=1, remedy=remedy)
    return give_bmc(fleet, machine)


@asynccontextmanager
async def collecting() -> AsyncIterator[None]:
    collector = Collector(
        1, rollups=Rollups(seconds=1, interval=1), judge=evaluate, slow_seconds=0.5, sources=[ServingVitals()]
    )
    task = asyncio.create_task(collector.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def clients(pool: Pool, endpoint: Endpoint, texts: int) -> AsyncIterator[None]:
    """Six clients that ask one request after another."""
    body, headers = json.dumps({"texts": ["lost card"] * texts}).encode(), {"content-type": "application/json"}

    async def client() -> None:
        while True:
            with suppress(SSHFailure):
                asked = http_request(pool, endpoint, "POST", 8000, "/v1/classify", body=body, headers=headers)
                status, _ = await asked
                await asyncio.sleep(0.1 if status == 200 else 0.2)
                continue
            await asyncio.sleep(0.2)

    tasks = [asyncio.create_task(client()) for _ in range(6)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def mended(
    pool: Pool, slug: str, key: str, shows: str = "docker run", then: Callable[[], object] = lambda: None
) -> tuple[Alert, Job]:
    """The alert of the rule and the job that a client launched for it over REST, once both are over.

    ``shows`` stands in the plan; ``then`` is called when the job has ended.
    """
    alert = await until(lambda: Alert.objects.select_related("rule").filter(rule__slug=slug, state="open").first())

    def ask() -> Job:
        client = APIClient()
        client.force_authenticate(User.objects.get_or_create(username="ada", is_staff=True)[0])
        planned = client.get(f"/api/v1/alerts/{alert.pk}/remedy/").json()
        assert planned["kind"] == alert.rule.remedy["kind"] and shows in json.dumps(planned["plan"]), planned
        given = {"plan_hash": planned["plan_hash"]}
        answers = [
            client.post(f"/api/v1/alerts/{alert.pk}/remedy/", given, format="json", HTTP_IDEMPOTENCY_KEY=name)
            for name in (key, key, f"{key}-other")
        ]
        # The same request again is the same job; another one is refused while that is under way.
        assert [answer.status_code for answer in answers] == [201, 201, 422], answers[-1].json()
        assert answers[0].json() == answers[1].json() and answers[2].json()["code"] == "remedy-under-way"
        assert shown.of_alert(alert).jobs[0].under_way and not shown.of_alert(alert).address
        return Job.objects.get(pk=answers[0].json()["id"])

    job = await asyncio.to_thread(ask)
    await Runner(pool, "worker").run(job.pk)
    await asyncio.to_thread(then)
    await until(lambda: Alert.objects.filter(pk=alert.pk, state="ended").exists())
    await asyncio.to_thread(lambda: (job.refresh_from_db(), alert.refresh_from_db()))
    assert job.state == JobState.SUCCEEDED, job.failure
    return alert, job


def figures(job: Job) -> dict[str, tuple[Any, Any]]:
    (watched,) = job.result["report"]["watched"]
    assert watched["machine"] == "kunpeng-01" and min(watched["samples"].values()) > 0
    return {one["name"]: (one["before"], one["after"]) for one in watched["figures"]}


@pytest.mark.timeout(400)
async def test_out_of_memory_an_idle_npu_and_heat_are_found_mended_and_over(new_fleet, depot, redis_server, tmp_path):
    fleet = await asyncio.to_thread(new_fleet, machines=1)
    machine = await asyncio.to_thread(serving, fleet, depot, tmp_path)
    home, endpoint, pool = Home(fleet.folder / "kunpeng-01"), machine.endpoint(), Pool()
    async with collecting():
        faults.begin(home, "out-of-memory", ["32"])
        async with clients(pool, endpoint, texts=60):
            alert, job = await mended(pool, "out-of-memory", "a")
        # What the figures say of the time before is of its last seconds, in which a slow box may have answered nothing.
        assert alert.values["out_of_memory"] >= 1 and figures(job)["out_of_memory"][1] == 0
        (tried,) = (await asyncio.to_thread(shown.of_alert, alert)).jobs
        assert tried.did and tried.then == "The alert ended." and tried.figures
        there = await asyncio.to_thread(Deployment.objects.select_related("release").get)
        assert there.overrides == {"max_batch": 32} and there.release.max_batch == 64
        assert there.state == "serving" and there.job_id == job.pk

        faults.end(home)
        faults.begin(home, "npu-idle-while-requests-wait", ["150"])
        async with clients(pool, endpoint, texts=1):
            alert, job = await mended(pool, "npu-idle-while-requests-wait", "b")
        assert alert.npu == "0-0" and alert.values["requests_waiting"] > 1
        found = figures(job)
        # Means over the minutes before and after: by how much they differ rests on what else the box does.
        assert found["requests_waiting"][0] > found["requests_waiting"][1]
        # The time before begins before the fault, so how much faster it became is not told exactly.
        assert None not in (*found["latency_ms"], *found["aicore_percent"], *found["hbm_used_percent"])
        _, said = await http_request(pool, endpoint, "GET", 8000, "/healthz")
        told = json.loads(said)
        assert (told["preprocessing_workers"], told["max_batch"]) == (8, 32)

        faults.end(home)
        faults.begin(home, "latency-varies-when-hot", HEAT)
        async with clients(pool, endpoint, texts=1):
            # The fans alone cool the chips; then the room does, so that it stays so without them.
            alert, job = await mended(pool, "latency-varies-when-hot", "c", "Manual", lambda: faults.end(home))
        assert alert.values["latency_spread_percent"] > 20 and alert.values["temp_c"] > COOL
        (fans,) = job.result["report"]["machines"]
        assert fans["before"]["hottest_c"] > COOL >= fans["after"]["hottest_c"]
        assert (fans["level"], fans["after"]["rpm"], fans["ended"], fans["handed_back"]) == (57, 4560, "cool", True)
        assert cooling.read(home.simulated).mode == "Automatic"
        assert not await asyncio.to_thread(Alert.objects.filter(state="open", rule__remedy__kind="set-fan").exists)
    await pool.close()


@pytest.mark.timeout(200)
def test_versions_that_differ_are_mended_by_the_driver_that_the_others_have(new_fleet, depot):
    fleet = new_fleet(machines=3)
    builtin.ensure()
    machines = [fleet.enroll(f"kunpeng-0{number}") for number in (1, 2, 3)]
    for machine in machines:
        with_pool(lambda pool, name=machine.name: execute(pool, fleet.endpoint(name), DRIVER))
        read_facts(machine)
    assert not Alert.objects.exists()
    faults.begin(Home(fleet.folder / "kunpeng-02"), "versions-differ")
    read_facts(machines[1])
    alert = Alert.objects.get(state="open")
    assert (alert.rule.slug, alert.machine.name) == ("versions-differ", "kunpeng-02")
    client = APIClient()
    client.force_authenticate(User.objects.create_user("ada", is_staff=True))
    planned = client.get(f"/api/v1/alerts/{alert.pk}/remedy/").json()
    assert planned["kind"] == "install-driver"
    assert planned["params"] == {"driver": depot["driver"], "firmware": depot["firmware"]}
    assert "npu-driver_24.1.0" in json.dumps(planned["machines"])
    given = {"plan_hash": planned["plan_hash"]}
    launched = client.post(f"/api/v1/alerts/{alert.pk}/remedy/", given, format="json", HTTP_IDEMPOTENCY_KEY="a")
    job = work(Job.objects.get(pk=launched.json()["id"]))
    assert job.state == JobState.SUCCEEDED, job.failure
    machines[1].refresh_from_db()
    assert machines[1].read.npu_smi == machines[1].read.driver.version == "24.1.0"
    alert.refresh_from_db()
    assert (alert.state, alert.why_ended) == ("ended", "cleared") and not Alert.objects.filter(state="open").exists()
    (tried,) = shown.of_alert(alert).jobs
    assert tried.then == "The alert ended."

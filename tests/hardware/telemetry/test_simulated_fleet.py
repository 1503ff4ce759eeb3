from __future__ import annotations

import asyncio

from hardware.inventory.models import Machine
from hardware.inventory.services import probe
from hardware.ssh.pool import Pool
from hardware.telemetry.samples import history
from jobs.engine.runner import Runner
from jobs.models import Job
from jobs.services import launch
from jobs.states import JobState
from tests.hardware.telemetry.conftest import collecting, newest, state_of, until


async def test_a_bare_machine_is_watched_through_its_driver_its_restart_and_its_first_samples(
    new_fleet, depot, redis_server
):
    fleet = await asyncio.to_thread(new_fleet, machines=2)
    machine = await asyncio.to_thread(fleet.enroll, "kunpeng-01")
    await asyncio.to_thread(fleet.enroll, "kunpeng-02")
    pool = Pool()
    await probe(pool, machine)
    await asyncio.to_thread(machine.refresh_from_db)
    async with collecting():
        await until(lambda: newest("kunpeng-01")["state"] == "no-driver")
        params = {"driver": depot["driver"], "firmware": depot["firmware"]}
        job = await asyncio.to_thread(lambda: launch("install-driver", params, [machine], actor="ada"))
        await Runner(pool, "worker").run(job.pk)
        job = await asyncio.to_thread(Job.objects.get, pk=job.pk)
        assert job.state == JobState.SUCCEEDED, job.failure
        await until(lambda: newest("kunpeng-01")["state"] == "ok", 30)
        assert await asyncio.to_thread(state_of, machine) == Machine.State.READY
        assert newest("kunpeng-02")["state"] == "no-driver"
        await until(lambda: len(history("kunpeng-01", 60)) > 3)
    chips = newest("kunpeng-01")["chips"]
    assert [(chip["npu_id"], chip["health"], chip["hbm_total_mb"]) for chip in chips] == [
        (number, "OK", 32768) for number in range(4)
    ]
    await pool.close()

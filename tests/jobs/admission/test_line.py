"""Whose turn it is: priority, then age; nobody is passed by for ever, and no jobs wait for each other."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest
from django.utils import timezone

from hardware.database import on_db
from hardware.inventory.models import Machine
from hardware.ssh.pool import Pool
from jobs.control import cancel
from jobs.engine.leases import claim
from jobs.engine.reconciler import reconcile
from jobs.engine.runner import Runner
from jobs.models import Job, JobTransition, MachineLock
from jobs.options import Options
from jobs.services import launch
from jobs.states import ENDED, JobState
from tests.machines import make_machine
from tests.worker import took, work


def command(machines: list[Machine], priority: int = 50, **options) -> Job:
    how = Options(priority=priority, **options)
    return launch("command", {"command": "true"}, machines, actor="ada", options=how)


def test_a_job_on_many_machines_is_not_passed_by_for_ever(machine, second):
    holder, both, late = command([machine]), command([machine, second]), command([second])
    assert claim(holder.pk, "w") and claim(both.pk, "w") is None
    assert claim(late.pk, "w") is None
    late.refresh_from_db()
    assert (late.state, late.waits_for, late.waits_on["reason"]) == (JobState.WAITING, both, "ahead")
    Job.objects.filter(pk=holder.pk).update(lease_until="2000-01-01T00:00Z")
    assert [took(job) for job in (holder, both, late)] == [True, True, True]


def test_of_two_that_wait_the_more_urgent_one_goes_first_though_it_is_younger(machine):
    holder, early, urgent = command([machine]), command([machine]), command([machine], priority=90)
    assert claim(holder.pk, "w") and not claim(early.pk, "w") and not claim(urgent.pk, "w")
    Job.objects.filter(pk=holder.pk).update(lease_until="2000-01-01T00:00Z")
    work(holder)
    assert reconcile() == [urgent.pk, early.pk]
    assert not took(early) and early.waits_for == urgent
    assert took(urgent) and took(early)


def test_readers_are_free(machine):
    holder, reader = command([machine]), command([machine])
    Job.objects.filter(pk=reader.pk).update(mutates=False)
    assert claim(holder.pk, "w") and claim(reader.pk, "w")


def test_a_job_waits_for_its_time_and_is_looked_at_again_then(machine):
    job = command([machine], not_before=timezone.now() + timedelta(seconds=30))
    assert claim(job.pk, "w") is None
    job.refresh_from_db()
    assert (job.state, job.waits_on["reason"]) == (JobState.WAITING, "time") and reconcile() == []
    later = timezone.now() - timedelta(seconds=1)
    Job.objects.filter(pk=job.pk).update(wake_at=later, options={**job.options, "not_before": later.isoformat()})
    assert reconcile() == [job.pk] and work(job).state == JobState.SUCCEEDED


def test_looking_again_in_vain_adds_nothing_to_the_history(machine):
    holder, waiting = command([machine]), command([machine])
    assert claim(holder.pk, "w")
    for _ in range(3):
        assert claim(waiting.pk, "w") is None
    assert JobTransition.objects.filter(job=waiting).count() == 2


def test_a_waiting_job_is_woken_by_the_reconciler_when_what_it_waited_for_is_over(machine):
    holder, waiting = command([machine]), command([machine])
    assert claim(holder.pk, "w") and not claim(waiting.pk, "w") and reconcile() == []
    Job.objects.filter(pk=holder.pk).update(state=JobState.FAILED)
    MachineLock.objects.all().delete()
    assert reconcile() == [waiting.pk]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(3))
def test_random_sets_of_machines_and_priorities_never_lock_each_other_out(machine, sshd, seed):
    dice = random.Random(seed)
    machines = [machine, *(make_machine(f"host-{n}", sshd) for n in range(2, 7))]
    jobs = [command(dice.sample(machines, dice.randint(1, 6)), dice.choice([20, 50, 80])) for _ in range(24)]
    crowded: list[int] = []

    async def go() -> None:
        pool = Pool()
        runners = [Runner(pool, f"w{number}") for number in range(3)]
        under_way: set[asyncio.Task[bool]] = set()
        while await on_db(Job.objects.exclude(state__in=ENDED).exists):
            found = await on_db(reconcile)
            under_way |= {asyncio.create_task(dice.choice(runners).run(pk)) for pk in found}
            await asyncio.sleep(0.05)
            held = await on_db(lambda: list(MachineLock.objects.values_list("machine", flat=True)))
            crowded.append(len(held) - len(set(held)))
            if dice.random() < 0.1:
                victim = dice.choice(jobs)
                await on_db(lambda job=victim: cancel(job, actor="ada"))
        await asyncio.gather(*under_way)
        await pool.close()

    asyncio.run(asyncio.wait_for(go(), 100))
    ends = set(Job.objects.values_list("state", flat=True))
    assert ends <= {JobState.SUCCEEDED, JobState.CANCELLED} and JobState.SUCCEEDED in ends
    assert max(crowded) == 0 and not MachineLock.objects.exists()

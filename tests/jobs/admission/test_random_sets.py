"""Random jobs on random machines, with limits, a freeze, priorities: nothing stands still, and no limit is exceeded.

Workers are played by the test: it claims whoever is woken and ends whoever runs, in random order, through the engine's
own ``claim`` and ``end``. What a lost wake-up costs is the reconciler's to mend; it comes by when nothing else happens.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db.models import Count
from django.utils import timezone

from hardware.inventory.models import Machine
from jobs import registry
from jobs.admission.limits import at_once
from jobs.admission.models import Limit, Window
from jobs.admission.services import remove_window, save_limit, save_window
from jobs.engine.checkpoints import end
from jobs.engine.leases import Lease, claim
from jobs.models import Job, MachineLock
from jobs.options import Options
from jobs.services import launch
from jobs.states import JobState
from tests.command_kind import Command
from tests.machines import make_machine
from tests.sshd import Server

JOBS = 40


class Other(Command):
    slug = "other-command"


@pytest.fixture
def fleet(machine: Machine, sshd: Server) -> Iterator[list[Machine]]:
    """Ten machines in two halls."""
    registry.all_kinds()["other-command"] = Other()
    made = [machine, *(make_machine(f"host-{number}", sshd) for number in range(2, 11))]
    for number, one in enumerate(made):
        Machine.objects.filter(pk=one.pk).update(site=f"hall-{number % 2}")
    yield made
    del registry.all_kinds()["other-command"]


def exceeded(limits: list[Limit]) -> list[str]:
    """Every limit that more is under way than it allows, counted anew from the jobs themselves."""
    found = []
    running = list(Job.objects.filter(state="running").prefetch_related("machines"))
    for limit in limits:
        here = [
            (job, [m for m in job.machines.all() if limit.site in ("", m.site)])
            for job in running
            if limit.kind in ("", job.kind)
        ]
        jobs = sum(1 for _, machines in here if machines or not limit.site)
        wide = sum(at_once(len(machines), Options.from_json(job.options)) for job, machines in here)
        if (limit.jobs is not None and jobs > limit.jobs) or (limit.machines is not None and wide > limit.machines):
            found.append(f"{limit}: {jobs} jobs, {wide} machines")
    return found


def shared() -> list[int]:
    """Machines on which two jobs run at once."""
    running = Machine.objects.filter(jobs__state="running").annotate(n=Count("jobs"))
    return list(running.filter(n__gt=1).values_list("pk", flat=True))


@pytest.mark.parametrize("seed", range(int(os.environ.get("RANDOM_SETS", "2"))))
def test_whatever_is_asked_for_everything_ends_and_no_limit_is_exceeded(
    fleet: list[Machine], seed: int, monkeypatch: pytest.MonkeyPatch
):
    dice = random.Random(seed)
    woken: list[int] = []
    monkeypatch.setattr("jobs.engine.locks.wake", lambda job_id, queue: woken.append(job_id))
    monkeypatch.setattr("jobs.services.wake", lambda job_id, queue: woken.append(job_id))
    choices = [
        {"kind": "command", "jobs": dice.randint(1, 3)},
        {"site": "hall-0", "machines": dice.randint(2, 4)},
        {"jobs": dice.randint(2, 5), "machines": dice.randint(4, 8)},
        {"kind": "other-command", "site": "hall-1", "jobs": 1, "machines": dice.randint(2, 5)},
    ]
    limits = [save_limit(Limit(**fields), actor="ada") for fields in dice.sample(choices, dice.randint(2, 4))]
    now = timezone.now()
    freeze = Window(kind="freeze", name="frozen", site="hall-1", starts_at=now, stops_at=now + timedelta(days=1))
    save_window(freeze, actor="ada")
    begun: list[Lease] = []
    left = JOBS
    quiet = 0
    while Job.objects.exclude(state="succeeded").exists() or left:
        if left and dice.random() < 0.6:
            left -= 1
            # No wider than any limit: what could never fit waits until the limit is changed, and says so.
            options = Options(priority=dice.choice((0, 50, 50, 100)), parallel=dice.randint(1, 2))
            chosen = dice.sample(fleet, dice.randint(1, 6))
            launch(dice.choice(("command", "other-command")), {"command": "true"}, chosen, actor="ada", options=options)
        if woken and dice.random() < 0.7:
            pk = woken.pop(dice.randrange(len(woken)))
            claimed = claim(pk, "worker")
            begun += [claimed[0]] if claimed else []
            assert exceeded(limits) == [] and shared() == []
            quiet = quiet if claimed is None else 0
        elif begun and dice.random() < 0.6:
            end(begun.pop(dice.randrange(len(begun))), JobState.SUCCEEDED)
        elif not woken and not begun and not left:
            if freeze.pk is not None:
                remove_window(freeze, actor="ada")
                freeze.pk = None
            # What the reconciler does once a minute at the latest. Reasons may have to be told anew once.
            quiet += 1
            assert quiet <= 2, list(Job.objects.filter(state="waiting").values_list("pk", "waits_for", "waits_on"))
            waiting = Job.objects.filter(state__in=("waiting", "queued")).order_by("-priority", "pk")
            woken += waiting.values_list("pk", flat=True)
    assert Job.objects.filter(state="succeeded").count() == JOBS and not MachineLock.objects.exists()

"""Concurrency limits: how many at once, who comes first, and that nobody is passed for ever."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from hardware.inventory.models import Machine
from jobs.admission import limits
from jobs.admission.limits import to_wake
from jobs.admission.models import Limit
from jobs.admission.services import remove_limit, save_limit
from jobs.engine.leases import claim
from jobs.failures import PlanRefused
from jobs.models import Job, MachineLock
from jobs.options import Options
from jobs.services import launch
from tests.machines import make_machine
from tests.sshd import Server


@pytest.fixture
def rack(machine: Machine, sshd: Server) -> list[Machine]:
    """Twelve machines of hall-1."""
    made = [machine, *(make_machine(f"host-{number}", sshd) for number in range(2, 13))]
    Machine.objects.update(site="hall-1")
    return made


def limit(**fields: Any) -> Limit:
    return save_limit(Limit(**fields), actor="ada")


def job(machines: list[Machine], **options: Any) -> Job:
    return launch("command", {"command": "true"}, machines, actor="ada", options=Options(**options))


def begins(one: Job) -> bool:
    begun = claim(one.pk, "w") is not None
    one.refresh_from_db()
    return begun


def ends(one: Job) -> list[int]:
    """End a job as a worker does; returns whom that wakes for a limit."""
    woken = [pk for pk, _ in to_wake(one.pk)]
    MachineLock.objects.filter(job=one).delete()
    Job.objects.filter(pk=one.pk).update(state="succeeded", ended_at=timezone.now())
    return woken


def test_no_more_jobs_of_a_kind_run_than_the_limit_says_and_the_next_one_says_for_whom_it_waits(rack: list[Machine]):
    here = limit(kind="command", jobs=2)
    one, two, three = (job([rack[n]]) for n in range(3))
    assert begins(one) and begins(two) and not begins(three)
    assert three.waits_for == one and three.state == "waiting"
    said = three.waits_on
    assert (said["reason"], said["limit"], said["counts"], said["used"], said["most"]) == (
        "limit",
        here.pk,
        "jobs",
        2,
        2,
    )
    # The other one ends: it is woken all the same.
    assert ends(two) == [three.pk] and begins(three)


def test_another_kind_and_a_lifted_limit_hold_nobody(rack: list[Machine]):
    here = limit(kind="install-driver", jobs=1)
    assert begins(job([rack[0]])) and begins(job([rack[1]]))
    remove_limit(here, actor="ada")
    here = limit(kind="command", jobs=2)
    waiting = job([rack[2]])
    assert not begins(waiting)
    remove_limit(here, actor="ada")
    waiting.refresh_from_db()
    assert waiting.wake_at <= timezone.now() and begins(waiting)


def test_machines_of_a_site_that_are_changed_at_once_are_counted_as_the_job_works_on_them(rack: list[Machine]):
    limit(site="hall-1", machines=6)
    # Ten machines, four at a time; then two more, each at once.
    wide = job(rack[:10], batch_size=4)
    assert begins(wide)
    narrow = job(rack[10:])
    assert begins(narrow)
    third = job([rack[0]])
    assert not begins(third) and third.waits_on["reason"] == "limit" and third.waits_on["used"] == 6
    elsewhere = Machine.objects.get(name="host-3")
    Machine.objects.filter(pk=elsewhere.pk).update(site="hall-2")
    assert not begins(job([elsewhere])), "its machine is locked"
    assert Job.objects.latest("pk").waits_on["reason"] == "machine"


def test_a_job_that_could_never_fit_says_so_and_holds_nobody_up(rack: list[Machine]):
    limit(site="hall-1", machines=3)
    wide = job(rack[:5])
    assert not begins(wide) and wide.waits_on["wide"] and wide.waits_for is None
    assert begins(job([rack[5]]))
    again = job(rack[:5], parallel=2)
    assert begins(again)


def test_who_has_the_higher_priority_goes_first_then_who_came_first(rack: list[Machine]):
    limit(kind="command", jobs=1)
    running = job([rack[0]])
    assert begins(running)
    low, middle, first_high, second_high = (
        job([rack[n + 1]], priority=priority) for n, priority in enumerate((10, 50, 90, 90))
    )
    for one in (low, middle, second_high, first_high):
        assert not begins(one)
    order = []
    while waiting := ends(running):
        for pk in (low.pk, middle.pk, second_high.pk, first_high.pk):
            assert pk == waiting[0] or claim(pk, "pushy") is None
        running = Job.objects.get(pk=waiting[0])
        assert begins(running)
        order.append(running.pk)
    assert order == [first_high.pk, second_high.pk, middle.pk, low.pk]


def test_a_job_that_needs_much_is_not_passed_by_those_that_need_little(rack: list[Machine]):
    limit(site="hall-1", machines=4)
    one, two = job(rack[:2]), job(rack[2:4])
    assert begins(one) and begins(two)
    wide = job(rack[4:8])
    small = [job([rack[n]]) for n in range(8, 12)]
    assert not begins(wide)
    ends(one)
    # Two are free, and the wide one needs four: they are kept for it.
    assert not any(begins(each) for each in small) and not begins(wide)
    assert small[0].waits_for == wide and small[0].waits_on["behind"]
    assert ends(two)[0] == wide.pk and begins(wide)
    assert not begins(small[0]) and small[0].waits_for == wide
    ends(wide)
    assert all(begins(each) for each in small)


def test_priority_passes_nobody_for_ever(rack: list[Machine], monkeypatch):
    limit(kind="command", jobs=1)
    running, old = job([rack[0]]), job([rack[1]], priority=0)
    assert begins(running) and not begins(old)
    waited = {**old.waits_on, "since": old.waits_on["since"] - limits.PATIENCE_S - 1}
    Job.objects.filter(pk=old.pk).update(waits_on=waited)
    high = job([rack[2]], priority=100)
    assert not begins(high)
    assert ends(running)[0] == old.pk
    assert not begins(high) and high.waits_for == old
    assert begins(old) and not begins(high)


def test_a_paused_job_keeps_its_place(rack: list[Machine]):
    limit(kind="command", jobs=1)
    one, two = job([rack[0]]), job([rack[1]])
    assert begins(one)
    Job.objects.filter(pk=one.pk).update(state="paused")
    assert not begins(two) and two.waits_for == one


def test_many_workers_at_once_exceed_no_limit(rack: list[Machine]):
    limit(kind="command", jobs=3)
    made = [job([machine]) for machine in rack]
    got: list[int] = []

    def worker(one: Job) -> None:
        if claim(one.pk, f"w{one.pk}") is not None:
            got.append(one.pk)
        connection.close()

    threads = [threading.Thread(target=worker, args=[one]) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Kept for those in front: not more than three, and the first in line goes next.
    assert 1 <= len(got) <= 3 and Job.objects.filter(state="running").count() == len(got)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({}, "jobs"), ({"jobs": 0}, "jobs"), ({"machines": 0}, "machines"), ({"jobs": 1, "kind": "none"}, "kind")],
)
def test_a_limit_that_makes_no_sense_is_refused(transactional_db, wrong: dict[str, Any], field: str):
    with pytest.raises(PlanRefused) as refused:
        limit(**wrong)
    assert refused.value.field == field and not Limit.objects.exists()


def test_there_is_one_limit_for_a_kind_and_site(transactional_db):
    limit(site="hall-1", jobs=1)
    with pytest.raises(PlanRefused, match="already"):
        limit(site="hall-1", machines=1)

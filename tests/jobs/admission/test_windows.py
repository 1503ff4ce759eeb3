"""Maintenance windows and freezes: when a job that changes machines may begin."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from console.audit.models import AuditEvent
from hardware.inventory.models import Machine
from jobs.admission.models import Window
from jobs.admission.services import mark_urgent, remove_window, save_window
from jobs.admission.spans import Weekly, both, union, without
from jobs.admission.windows import HORIZON, Opening, opening
from jobs.engine.leases import claim
from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.options import Options
from jobs.services import launch
from tests.command_kind import Command
from tests.worker import work

EVERY_DAY = list(range(7))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def nights(**more: Any) -> Window:
    """From 22:00 to 04:00, every night, in Shanghai."""
    given = {"weekdays": EVERY_DAY, "begins": time(22), "ends": time(4), "zone": "Asia/Shanghai", "name": "nights"}
    return Window(kind="open", **{**given, **more})


def freeze(begin: str, end: str, **more: Any) -> Window:
    return Window(kind="freeze", starts_at=utc(begin), stops_at=utc(end), **{"name": "freeze", **more})


N1, N2, N3 = ("n1", "hall-1", ["canary"]), ("n2", "hall-1", []), ("n3", "hall-2", [])


def opens(
    windows: list[Window], now: str, *machines: tuple[str, str, list[str]], takes: timedelta | None = None
) -> Opening:
    return opening(windows, machines or (N1,), utc(now), takes)


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins():
    saturday = nights(weekdays=[5])
    # 22:00 to 04:00 in Shanghai is 14:00 to 20:00 UTC; 28 November 2026 is a Saturday.
    assert opens([saturday], "2026-11-25T12:00").at == utc("2026-11-28T14:00")
    assert opens([saturday], "2026-11-28T14:00").at == utc("2026-11-28T14:00")
    assert opens([saturday], "2026-11-28T19:59").at == utc("2026-11-28T19:59")
    assert opens([saturday], "2026-11-28T20:00").at == utc("2026-12-05T14:00")
    whole_day = nights(weekdays=[6], begins=time(0), ends=time(0))
    assert opens([whole_day], "2026-11-29T15:59").at == utc("2026-11-29T15:59")
    assert opens([whole_day], "2026-11-29T16:00").at == utc("2026-12-05T16:00")


def test_a_window_is_on_the_wall_clock_when_clocks_are_changed():
    weekly = Weekly(frozenset(EVERY_DAY), time(1, 30), time(4), ZoneInfo("Europe/Berlin"))
    spring = weekly.spans(utc("2026-03-29T00:00"), utc("2026-03-29T12:00"))
    assert spring == [(utc("2026-03-29T00:30"), utc("2026-03-29T02:00"))], "an hour and a half: the clock jumped"
    autumn = weekly.spans(utc("2026-10-24T23:00"), utc("2026-10-25T12:00"))
    assert autumn == [(utc("2026-10-24T23:30"), utc("2026-10-25T03:00"))], "three hours and a half"
    gone = Weekly(frozenset(EVERY_DAY), time(2, 10), time(2, 50), ZoneInfo("Europe/Berlin"))
    assert gone.spans(utc("2026-03-29T00:00"), utc("2026-03-29T12:00")) == []


def test_a_job_begins_when_the_windows_of_all_its_machines_are_open():
    early = nights(name="early", site="hall-1", begins=time(20), ends=time(0))
    late = nights(name="late", site="hall-2", begins=time(22), ends=time(2))
    now = "2026-11-25T03:00"
    assert opens([early, late], now, N1, N2).at == utc("2026-11-25T12:00")
    assert opens([early, late], now, N3).at == utc("2026-11-25T14:00")
    together = opens([early, late], now, N1, N3)
    assert (together.at, together.closed, together.windows) == (
        utc("2026-11-25T14:00"),
        ("n1", "n3"),
        ("early", "late"),
    )
    # A machine that no window is about is always open.
    assert opens([late], now, N1).at == utc(now)


def test_one_of_several_windows_of_a_machine_is_enough():
    canaries = nights(name="canaries", label="canary", begins=time(12), ends=time(13))
    assert opens([nights(), canaries], "2026-11-25T04:30", N1).at == utc("2026-11-25T04:30")
    assert opens([nights(), canaries], "2026-11-25T04:30", N2).at == utc("2026-11-25T14:00")


def test_a_freeze_forbids_whatever_windows_are_open():
    festival = freeze("2026-11-25T10:00", "2026-11-27T15:00", site="hall-1")
    frozen = opens([nights(), festival], "2026-11-25T16:00")
    assert (frozen.at, frozen.windows) == (utc("2026-11-27T15:00"), ("freeze",))
    assert opens([nights(), festival], "2026-11-25T16:00", N3).at == utc("2026-11-25T16:00")
    long = freeze("2026-11-01T00:00", "2027-02-01T00:00")
    assert opens([long], "2026-11-25T16:00").at is None


def test_windows_that_are_never_open_together_are_told_of():
    odd = nights(name="odd", site="hall-1", begins=time(1), ends=time(2))
    even = nights(name="even", site="hall-2", begins=time(3), ends=time(4))
    found = opens([odd, even], "2026-11-25T00:00", N1, N3)
    assert found.at is None and found.windows == ("odd", "even")


def test_where_a_job_must_end_inside_it_begins_no_later_than_it_fits():
    strict = nights(must_end_inside=True)
    two = timedelta(hours=2)
    assert opens([strict], "2026-11-25T17:59", takes=two).at == utc("2026-11-25T17:59")
    assert opens([strict], "2026-11-25T18:30", takes=two).at == utc("2026-11-26T14:00")
    assert opens([strict], "2026-11-25T15:00", takes=timedelta(hours=7)).at is None
    unknown = opens([strict], "2026-11-25T15:00", takes=None)
    assert unknown.at is None and unknown.unknown


def test_spans_are_joined_cut_and_met():
    a, b, c, d = (utc(f"2026-01-01T0{hour}:00") for hour in range(1, 5))
    assert union([(c, d), (a, b), (b, c)]) == [(a, d)]
    assert without([(a, d)], [(b, c)]) == [(a, b), (c, d)] and without([(a, b)], [(a, d)]) == []
    assert both([(a, c)], [(b, d)]) == [(b, c)] and both([(a, b)], [(c, d)]) == []


# With jobs.


def shut_now(**more: Any) -> Window:
    """A window that opens in an hour."""
    begins = timezone.now() + timedelta(hours=1)
    given = {"weekdays": EVERY_DAY, "begins": begins.time(), "ends": (begins + timedelta(hours=1)).time()}
    return save_window(Window(kind="open", **{"name": "later", **given, **more}), actor="ada")


def begins(job: Job) -> bool:
    begun = claim(job.pk, "w") is not None
    job.refresh_from_db()
    return begun


def test_a_job_waits_for_its_window_and_says_until_when(machine: Machine):
    window = shut_now()
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    assert not begins(job)
    assert (job.state, job.waits_for, job.attempt) == ("waiting", None, 0)
    said = job.waits_on
    assert (said["reason"], said["windows"], said["machines"]) == ("window", ["later"], ["host-1"])
    until = datetime.fromisoformat(said["until"])
    assert timedelta(minutes=59) < until - timezone.now() <= timedelta(hours=1)
    # Taken away: it is looked at again at once.
    remove_window(window, actor="ada")
    job.refresh_from_db()
    assert job.wake_at <= timezone.now() and work(job).state == "succeeded"


def test_one_that_only_reads_is_not_held_up(machine: Machine, monkeypatch):
    shut_now()
    monkeypatch.setattr(Command, "mutates", False)
    assert begins(launch("command", {"command": "true"}, [machine], actor="ada"))


def test_what_has_begun_goes_on_into_a_freeze(machine: Machine):
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    assert begins(job)
    now = timezone.now()
    window = Window(kind="freeze", name="now", starts_at=now - timedelta(hours=1), stops_at=now + timedelta(days=30))
    save_window(window, actor="ada")
    Job.objects.filter(pk=job.pk).update(lease_until="2000-01-01T00:00Z")
    assert begins(job) and job.attempt == 2
    other = launch("command", {"command": "true"}, [machine], actor="ada")
    assert not begins(other)
    assert other.waits_on["until"] is None and other.waits_on["days"] == HORIZON.days


def test_a_person_may_say_that_one_job_can_not_wait(machine: Machine):
    shut_now()
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    assert not begins(job)
    with pytest.raises(PlanRefused) as refused:
        mark_urgent(job, "  ", actor="bob")
    assert refused.value.field == "reason"
    mark_urgent(job, "the driver leaks memory", actor="bob")
    event = AuditEvent.objects.get(action="window.override")
    assert (event.actor, event.target, event.detail["reason"]) == ("bob", f"job:{job.pk}", "the driver leaks memory")
    assert begins(job)
    with pytest.raises(PlanRefused):
        mark_urgent(job, "again", actor="bob")
    assert not begins(launch("command", {"command": "true"}, [machine], actor="ada"))


def test_how_long_it_takes_is_its_own_limit_or_what_is_known_of_its_kind(machine: Machine):
    begun = timezone.now() - timedelta(minutes=30)
    window = Window(
        kind="open", name="open", weekdays=EVERY_DAY, begins=begun.time(), must_end_inside=True,
        ends=(begun + timedelta(hours=1)).time(),
    )  # fmt: skip
    save_window(window, actor="ada")

    def one(**options: Any) -> Job:
        return launch("command", {"command": "true"}, [machine], actor="ada", options=Options(**options))

    unknown = one()
    assert not begins(unknown) and unknown.waits_on["unknown"]
    assert not begins(one(timeout_s=3000))
    fits = one(timeout_s=600)
    assert begins(fits)
    now = timezone.now()
    Job.objects.filter(pk=fits.pk).update(state="succeeded", started_at=now - timedelta(minutes=20), ended_at=now)
    fits.steps.update(state="succeeded", started_at=now - timedelta(minutes=10), ended_at=now)
    fits.locks.all().delete()
    # Two steps of ten minutes, as the one before: that fits into the half hour that is left.
    assert begins(unknown)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"weekdays": []}, "weekdays"),
        ({"weekdays": [7]}, "weekdays"),
        ({"begins": None}, "begins"),
        ({"zone": "Mars"}, "zone"),
        ({"name": ""}, "name"),
        ({"kind": "freeze"}, "stops_at"),
        ({"kind": "freeze", "starts_at": utc("2026-02-01T00:00"), "stops_at": utc("2026-01-01T00:00")}, "stops_at"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(transactional_db, wrong: dict[str, Any], field: str):
    given = {"kind": "open", "name": "w", "weekdays": [0], "begins": time(1), "ends": time(2), **wrong}
    with pytest.raises(PlanRefused) as refused:
        save_window(Window(**given), actor="ada")
    assert refused.value.field == field and not Window.objects.exists()

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from hardware.inventory.models import Machine
from jobs.models import Job
from jobs.schedules import firing
from jobs.schedules.models import Schedule
from tests.console.pages import Page, sign_in
from tests.worker import work

FORM = {
    "kind": "command", "name": "nightly", "mode": "cron", "cron": "30 2 * * *", "zone": "Asia/Shanghai", "owner": "ada",
    "overlap": "skip", "catch_up": "60", "aim": "machines", "machine": "host-1", "params.command": "echo 'as typed'",
    "at": "2030-01-01T04:00", "number": "1", "unit": "days",
}  # fmt: skip


@pytest.fixture
def site(live_server, machine: Machine, ada: User) -> Iterator[httpx.Client]:
    made = sign_in(live_server.url, ada)
    yield made
    made.close()


def make(visitor: httpx.Client, **more: Any) -> Schedule:
    answer = visitor.post("/schedules/new/", data={**FORM, **more})
    assert answer.status_code == 302, Page(answer).text
    return Schedule.objects.latest("pk")


def test_the_address_of_a_new_job_becomes_the_form_of_a_schedule(site: httpx.Client):
    assert "No schedule yet" in Page(site.get("/schedules/")).text
    chosen = Page(site.get("/schedules/new/"))
    assert 'href="/schedules/new/?kind=install-driver"' in chosen.source
    query = "kind=command&machine=host-1&params.command=echo+carried&options.priority=80&options.pause_before=then"
    form = Page(site.get(f"/schedules/new/?{query}"))
    assert re.search(r'name="params.command" value="echo carried"', form.source)
    assert re.search(r'name="machine" value="host-1" checked', form.source)
    assert re.search(r'name="options.priority" type="number" value="80"', form.source)
    assert '<input type="hidden" name="options.pause_before" value="then">' in form.source
    by_label = Page(site.get("/schedules/new/?kind=command&label=canary&label=hall&site=hall-1"))
    assert re.search(r'name="aim" value="filter" checked', by_label.source)
    assert site.get("/schedules/new/?kind=nothing").status_code == 404


def test_what_is_typed_is_what_is_launched_at_the_time_that_is_shown(site: httpx.Client):
    schedule = make(site, **{"options.priority": "70"})
    assert schedule.asked().params["command"] == "echo 'as typed'" and schedule.asked().options.priority == 70
    page = Page(site.get(f"/schedules/{schedule.pk}/"))
    local = schedule.next_at.astimezone(ZoneInfo("Asia/Shanghai"))
    assert f"{local:%Y-%m-%d} 02:30 {schedule.next_at:%Y-%m-%d} 18:30" in page.text
    assert "Every day at 02:30" in page.text and "See the plan as it is now: 2 steps" in page.text
    plan = re.search(r'href="(/jobs/new/[^"]+)"', page.source)
    assert plan and Page(site.get(plan[1].replace("&amp;", "&"))).commands()[0] == "echo 'as typed'"
    Schedule.objects.update(next_at=timezone.now())
    job = firing.fire(schedule.pk).job
    assert job.priority == 70 and work(job).state == "succeeded"
    provenance = Page(site.get(f"/jobs/{job.pk}/"))
    assert "Person the schedule nightly" in provenance.text and f'href="/schedules/{schedule.pk}/"' in provenance.source
    listed = Page(site.get("/schedules/"))
    assert f"job {job.pk}" in listed.text and "Succeeded" in listed.text and "Command · host-1" in listed.text


def test_it_may_fire_once_or_every_so_often_and_by_label_or_group(site: httpx.Client, second: Machine):
    once = make(site, name="once", mode="once")
    assert once.at == datetime(2030, 1, 1, 4, tzinfo=ZoneInfo("Asia/Shanghai"))
    assert "Once, 2030-01-01 04:00" in Page(site.get(f"/schedules/{once.pk}/")).text
    aimed = {"aim": "filter", "labels": "canary, big", "site": "hall-1"}
    every = make(site, name="every", mode="every", number="6", unit="hours", **aimed)
    assert (every.seconds, every.request["targets"]) == (21600, {"labels": ["canary", "big"], "site": "hall-1"})
    page = Page(site.get(f"/schedules/{every.pk}/"))
    assert "Every 6 h" in page.text and "site: hall-1, label: canary, label: big" in page.text
    assert "As things are now, nothing could be launched. No machine matches the targets now." in page.text
    edit = Page(site.get(f"/schedules/{every.pk}/edit/"))
    assert (
        re.search(r'name="label" value="canary" checked', edit.source)
        and 'name="number" value="6"' in edit.source
        and re.search(r'value="hours" selected', edit.source)
    )


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        ({"cron": "61 2 * * *"}, "s-cron", "'61' is no minute. Give the minute as 0 to 59."),
        ({"mode": "once", "at": "2020-01-01T00:00"}, "s-at", "This time is over."),
        ({"mode": "every", "number": "x"}, "s-seconds", "'x' is no whole number."),
        ({"machine": ""}, "targets", "Command takes machines."),
        ({"params.command": ""}, "p-command", "This field is required."),
        ({"options.priority": "900"}, "o-priority", "less than or equal to 100"),
        ({"zone": "Mars"}, "s-zone", "There is no time zone called Mars."),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_stored(
    site: httpx.Client, wrong: dict[str, str], field: str, said: str
):
    page = Page(site.post("/schedules/new/", data={**FORM, **wrong}))
    assert page.status == 422 and said in page.error(field) and not Schedule.objects.exists()
    assert 'value="nightly"' in page.source


def test_the_next_times_are_shown_while_one_types(site: httpx.Client):
    shown = Page(site.get("/schedules/times/", params={**FORM, "cron": "15 * * * *"}))
    assert len(re.findall(r"\d\d:15", shown.text)) == 10 and "Asia/Shanghai UTC" in shown.text
    wrong = Page(site.get("/schedules/times/", params={**FORM, "cron": "0 2 1 * 1"}))
    assert "names days of the month and days of the week" in wrong.text


def test_it_is_changed_disabled_run_now_and_deleted(site: httpx.Client):
    schedule = make(site)
    address = f"/schedules/{schedule.pk}/"
    moved = site.post(f"{address}edit/", data={**FORM, "cron": "0 4 * * 6,7", "params.command": "echo changed"})
    assert moved.headers["location"] == address
    assert "Sat, Sun at 04:00" in Page(site.get(address)).text
    site.post(address, data={"do": "disable"})
    assert "Disabled" in Page(site.get("/schedules/")).text
    launched = site.post(address, data={"do": "run"})
    job = Job.objects.get()
    assert launched.headers["location"] == f"/jobs/{job.pk}/" and job.params["command"] == "echo changed"
    site.post("/schedules/", data={"schedule": schedule.pk, "do": "run"})
    assert f"nightly: Job {job.pk} of this schedule has not ended." in Page(site.get("/schedules/")).text
    site.post(address, data={"do": "enable"})
    schedule.refresh_from_db()
    assert schedule.enabled and schedule.next_at
    assert "now, by ada" in Page(site.get(address)).text
    site.post(address, data={"do": "delete"})
    assert "The schedule nightly was deleted." in Page(site.get("/schedules/")).text and not Schedule.objects.exists()


def test_times_at_which_nothing_was_launched_stand_out_with_what_to_do(site: httpx.Client, machine: Machine):
    schedule = make(site)
    Machine.objects.update(state="retired")
    for _ in range(2):
        Schedule.objects.update(next_at=timezone.now() - timedelta(seconds=1))
        firing.sweep()
    page = Page(site.get(f"/schedules/{schedule.pk}/"))
    assert "The last 2 times nothing was launched. host-1 is retired; nothing logs in there." in page.text
    assert "2 times in a row nothing was launched" in Page(site.get("/schedules/")).text
    chinese = Page(site.get(f"/schedules/{schedule.pk}/", headers={"Cookie": _with_language(site)}))
    assert "最近 2 次未能启动。" in chinese.text and "host-1 已退役" in chinese.text


def _with_language(site: httpx.Client) -> str:
    return "; ".join([*(f"{name}={value}" for name, value in site.cookies.items()), "django_language=zh-hans"])


def test_a_page_wants_a_session(live_server, hourly: Callable[..., Schedule]):
    hourly()
    for path in ("/schedules/", "/schedules/1/", "/windows/", "/limits/"):
        assert httpx.get(f"{live_server.url}{path}").headers["location"].startswith("/login/")

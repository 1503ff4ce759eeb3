"""What a new job is aimed at, how it is to run, and the three ways in which its form ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from django.contrib.auth.models import User
from django.urls import NoReverseMatch, reverse

from hardware.inventory.groups.models import Group
from hardware.inventory.models import Machine
from jobs.approvals.models import ApprovalRule
from jobs.models import Job
from tests.console.pages import Page, sign_in


@pytest.fixture
def site(live_server, machine, second) -> Iterator[httpx.Client]:
    """Two machines that can be worked on and a third whose key waits for confirmation, all with a label."""
    third = Machine(name="host-3", host="192.0.2.1", credential=machine.credential, state="new")
    third.save()
    Machine.objects.update(labels=["rack"], site="lab")
    Machine.objects.filter(name="host-2").update(labels=["rack", "canary"])
    made = sign_in(live_server.url, User.objects.create_user("ada"))
    yield made
    made.close()


FORM = {"kind": "command", "params.command": "true", "do": "plan"}


def run(site: httpx.Client, form: dict[str, Any], do: str = "run") -> httpx.Response:
    """Send the form on once its plan was shown."""
    shown = Page(site.post("/jobs/new/", data=form))
    assert shown.status == 200, shown.text
    return site.post("/jobs/new/", data={**form, **shown.hidden(), "do": do})


def on(job: Job) -> list[str]:
    return sorted(machine.name for machine in job.machines.all())


@pytest.mark.parametrize(
    ("aim", "names"),
    [
        ({"aim": "filter", "site": "lab"}, ["host-1", "host-2"]),
        ({"aim": "filter", "label": ["rack", "canary"]}, ["host-2"]),
        ({"aim": "group", "group": "racks"}, ["host-1", "host-2"]),
        ({"aim": "machines", "machine": ["host-2"], "site": "elsewhere", "group": "gone"}, ["host-2"]),
    ],
)
def test_a_job_runs_on_what_it_is_aimed_at_and_on_nothing_that_was_chosen_in_another_way(site, aim, names):
    Group.objects.create(name="racks", query={"labels": ["rack"]})
    assert run(site, {**FORM, **aim}).status_code == 302
    assert on(Job.objects.get()) == names


def test_the_plan_says_which_machines_of_a_rule_are_left_out_and_why(site):
    page = Page(site.post("/jobs/new/", data={**FORM, "aim": "filter", "label": "rack"}))
    assert "1 is left out, because nothing logs in there: host-3 (To confirm)" in page.text


@pytest.mark.parametrize(
    ("aim", "said"),
    [
        ({"aim": "filter"}, "Choose a site or a label."),
        ({"aim": "filter", "label": "none-has-it"}, "No machine that something may log in to belongs to it now."),
        ({"aim": "group"}, "Choose a group."),
        ({"aim": "group", "group": "gone"}, "There is no group called gone."),
        ({"aim": "machines", "machine": "n9"}, "There is no machine called n9."),
    ],
)
def test_targets_that_mean_nothing_say_so_where_they_are_chosen(site, aim, said):
    page = Page(site.post("/jobs/new/", data={**FORM, **aim}))
    assert page.status == 422 and page.error("targets") == said and not Job.objects.exists()


def test_the_form_says_what_a_rule_means_now_while_it_is_filled_in(site):
    asked = Page(site.get("/jobs/new/targets/?kind=command&aim=filter&label=rack"))
    assert "2 machines now: host-1, host-2" in asked.text and "1 is left out" in asked.text
    assert Page(site.get("/jobs/new/targets/?kind=command&aim=group&group=")).text == ""


def test_a_rule_or_group_in_the_address_is_offered_only_to_kinds_for_many_machines(site):
    Group.objects.create(name="racks", query={"labels": ["rack"]})
    page = Page(site.get("/jobs/new/?group=racks"))
    assert 'href="/jobs/new/?kind=install-driver&amp;group=racks"' in page.source and "kind=convert" not in page.source
    form = Page(site.get("/jobs/new/?kind=command&group=racks"))
    assert re.search(r'name="aim" value="group" checked', form.source)
    assert re.search(r'<option value="racks" selected>racks \(3\)', form.source)


def test_more_machines_than_an_address_holds_are_carried_by_the_form(site, machine):
    names = [f"m{number:03}" for number in range(60)]
    Machine.objects.bulk_create(
        [Machine(name=name, host="192.0.2.1", credential=machine.credential, state="ready") for name in names]
    )
    kinds = Page(site.post("/jobs/new/", data={"machine": names}))
    assert kinds.status == 200 and kinds.source.count('type="hidden" name="machine"') == 60
    form = Page(site.post("/jobs/new/", data={"machine": names, "kind": "command"}))
    assert (
        form.status == 200
        and "60 machines chosen" in form.text
        and len(re.findall(r'value="m\d+" checked', form.source)) == 60
    )
    planned = Page(site.post("/jobs/new/", data={**FORM, "machine": names, "options.batch_size": "20"}))
    # 60 machines with the same steps are told once a batch, with all their names.
    assert planned.source.count('class="plan-m"') == 3 and "m000 and 19 more, the very same" in planned.text
    assert "Run on 60 machines" in planned.text and "120 commands" in planned.text


def test_how_a_job_runs_is_part_of_its_plan_and_kept_with_it(site):
    how = {
        "options.priority": "80", "options.batch_size": "1", "options.tolerate": "50%", "options.timeout_s": "3600",
        "options.pause_before": ["then"], "options.not_before": "2020-01-01T08:00",
    }  # fmt: skip
    form = {**FORM, "aim": "filter", "label": "rack", **how}
    page = Page(site.post("/jobs/new/", data=form))
    assert "Batches: of 1 machine" in page.text and "Machines that may fail: 50%" in page.text
    assert "Run (1 of 2)" in page.text and re.search(r'name="options.pause_before" value="then" checked', page.source)
    assert run(site, form).status_code == 302
    job = Job.objects.get()
    assert (job.priority, job.options["batch_size"], job.options["tolerate"]) == (80, 1, "50%")
    assert job.options["pause_before"] == ["then"] and job.options["not_before"].startswith("2020-01-01T08:00")
    assert set(job.steps.filter(held=True).values_list("key", flat=True)) == {"then"}
    again = Page(site.get("/jobs/new/?kind=command&aim=machines&machine=host-1&options.priority=80"))
    assert re.search(r'name="options.priority" type="number" value="80"', again.source)


def test_an_option_that_makes_no_sense_is_said_at_its_field(site):
    for name, value in (("priority", "900"), ("tolerate", "some"), ("not_before", "soon")):
        page = Page(site.post("/jobs/new/", data={**FORM, "machine": "host-1", f"options.{name}": value}))
        assert page.status == 422 and page.error(f"o-{name}"), name
        assert re.search(r'<details class="panel" id="how" open>', page.source)
    # All of them at once, in the words of the form.
    wrong = {"options.priority": "900", "options.parallel": "-5"}
    page = Page(site.post("/jobs/new/", data={**FORM, "machine": "host-1", **wrong}))
    assert page.error("o-priority") == "Ensure this value is less than or equal to 100."
    assert page.error("o-parallel") == "Ensure this value is greater than or equal to 1."
    assert not Job.objects.exists()


def test_asking_for_approval_stores_a_proposal_that_nobody_works_on(site):
    answer = run(site, {**FORM, "machine": "host-1"}, do="propose")
    job = Job.objects.get()
    assert answer.headers["location"] == f"/jobs/{job.pk}/" and job.state == "proposed"


def test_where_a_rule_asks_for_a_second_person_the_form_offers_nothing_else(site):
    ApprovalRule.objects.create(label="canary")
    free = Page(site.post("/jobs/new/", data={**FORM, "machine": "host-1"}))
    bound = Page(site.post("/jobs/new/", data={**FORM, "machine": ["host-1", "host-2"]}))
    assert 'value="run"' in free.source and "Another person has to approve" not in free.text
    assert 'value="run"' not in bound.source and 'value="propose"' in bound.source
    assert "Another person has to approve it first: label canary." in bound.text


def test_a_job_is_scheduled_with_the_very_request_of_its_form(site):
    try:
        reverse("schedule-new")
    except NoReverseMatch:
        pytest.skip("there is no page for schedules")
    form = {**FORM, "aim": "filter", "label": ["rack"], "options.priority": "70"}
    answer = site.post("/jobs/new/", data={**form, "do": "schedule"})
    address = urlsplit(answer.headers["location"])
    assert address.path == reverse("schedule-new") and not Job.objects.exists()
    carried = parse_qs(address.query)
    assert carried["kind"] == ["command"] and carried["aim"] == ["filter"] and carried["label"] == ["rack"]
    assert carried["params.command"] == ["true"] and carried["options.priority"] == ["70"]


def test_a_job_that_is_run_again_runs_as_it_did(site):
    run(
        site,
        {**FORM, "machine": ["host-1", "host-2"], "options.parallel": "1", "options.not_before": "2020-01-01T08:00"},
    )
    job = Job.objects.get()
    Job.objects.update(state="failed")
    page = Page(site.get(f"/jobs/new/?retry_of={job.pk}&machines=all"))
    assert re.search(r'name="options.parallel" type="number" value="1"', page.source)
    assert re.search(r'name="options.not_before" type="datetime-local" value=""', page.source)

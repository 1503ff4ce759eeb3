"""A group names machines, or says by a rule which ones; over REST and by its pages, with each change in the trail."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from console.audit.models import AuditEvent
from hardware.inventory.groups.models import Group
from hardware.inventory.models import Credential, Machine

pytestmark = pytest.mark.django_db


@pytest.fixture
def fleet() -> list[Machine]:
    """Six machines on two sites, every second one a canary; one of each site is not in use."""
    credential = Credential.objects.create(name="lab", password="p")
    return [
        Machine.objects.create(
            name=f"n{number}",
            host="192.0.2.1",
            credential=credential,
            site="north" if number < 4 else "south",
            labels=["canary"] if number % 2 else ["steady"],
            state={3: "new", 6: "retired"}.get(number, "ready"),
        )
        for number in range(1, 7)
    ]


@pytest.fixture
def rest() -> APIClient:
    client = APIClient()
    client.force_authenticate(User.objects.create_user("ada"))
    return client


def names(machines) -> list[str]:
    return [machine.name for machine in machines]


def test_a_rule_takes_in_machines_that_come_later_and_leaves_out_those_that_nothing_logs_in_to(fleet, rest):
    made = rest.post("/api/v1/groups/", {"name": "canaries", "query": {"labels": ["canary"]}}, format="json")
    assert made.status_code == 201 and made.json()["machines"] == []
    group = Group.objects.get()
    assert names(group.members()) == ["n1", "n3", "n5"] and names(group.resolve()) == ["n1", "n5"]
    Machine.objects.filter(name="n2").update(labels=["steady", "canary"])
    assert names(group.resolve()) == ["n1", "n2", "n5"]
    said = rest.get("/api/v1/groups/canaries/members/").json()
    assert [(one["name"], one["usable"]) for one in said] == [("n1", True), ("n2", True), ("n3", False), ("n5", True)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"site": "north"}, ["n1", "n2", "n3"]),
        ({"site": "north", "labels": ["canary"]}, ["n1", "n3"]),
        ({"labels": ["canary", "steady"]}, []),
        ({"state": "new"}, ["n3"]),
        ({"state": "retired"}, ["n6"]),
        ({"text": "STEADY"}, ["n2", "n4"]),
        ({"chip": "910B"}, []),
    ],
)
def test_every_filter_must_be_passed(fleet, query, found):
    assert names(Group(name="g", query=query).members()) == found


def test_a_list_keeps_its_machines_whatever_they_are_called_later(fleet, rest):
    body = {"name": "two", "machines": ["n1", "n4"], "note": "for the first try"}
    assert rest.post("/api/v1/groups/", body, format="json").status_code == 201
    Machine.objects.update(labels=[])
    assert names(Group.objects.get().resolve()) == ["n1", "n4"]
    read = rest.get("/api/v1/groups/two/")
    patch = {"machines": ["n2"]}
    assert rest.patch("/api/v1/groups/two/", patch, format="json").status_code == 428
    changed = rest.patch("/api/v1/groups/two/", patch, format="json", headers={"If-Match": read["ETag"]})
    assert changed.json()["machines"] == ["n2"] and changed.json()["note"] == "for the first try"
    rule = rest.patch(
        "/api/v1/groups/two/", {"query": {"site": "south"}}, format="json", headers={"If-Match": changed["ETag"]}
    )
    assert rule.json()["machines"] == [] and names(Group.objects.get().resolve()) == ["n4", "n5"]
    assert rest.delete("/api/v1/groups/two/").status_code == 204 and Machine.objects.count() == 6
    actions = [event.action for event in AuditEvent.objects.order_by("id")]
    assert actions == ["group.create", "group.update", "group.update", "group.delete"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "g"}, "machines"),
        ({"name": "g", "query": {}}, "machines"),
        ({"name": "g", "query": {"site": "north"}, "machines": ["n1"]}, "query"),
        ({"name": "g", "machines": ["n9"]}, "machines"),
        ({"name": "g", "query": {"state": "happy"}}, "query"),
        ({"name": "-g", "machines": ["n1"]}, "name"),
    ],
)
def test_what_is_no_group_is_refused_at_its_field(fleet, rest, body, field):
    answer = rest.post("/api/v1/groups/", body, format="json")
    assert answer.status_code == 400 and field in answer.json()["errors"] and not Group.objects.exists()


def test_a_group_keeps_its_name_and_shares_it_with_no_other(fleet, rest):
    body = {"name": "g", "machines": ["n1"]}
    first = rest.post("/api/v1/groups/", body, format="json", headers={"Idempotency-Key": "one"})
    assert rest.post("/api/v1/groups/", body, format="json", headers={"Idempotency-Key": "one"}).json() == first.json()
    assert rest.post("/api/v1/groups/", body, format="json").status_code == 400
    tag = rest.get("/api/v1/groups/g/")["ETag"]
    renamed = rest.patch("/api/v1/groups/g/", {"name": "h"}, format="json", headers={"If-Match": tag})
    assert renamed.status_code == 400 and "Schedules know the group by its name" in str(renamed.json())


# ---- by the pages


@pytest.fixture
def page(client):
    client.force_login(User.objects.create_user("bob"))
    return client


def text(answer) -> str:
    return answer.content.decode()


def test_the_filters_of_the_machines_page_are_saved_as_a_rule(fleet, page):
    form = {"do": "group", "name": "north-canaries", "keep": "query", "note": "first"}
    made = page.post("/machines/?site=north&label=canary", form)
    assert made.url == "/groups/north-canaries/"
    assert Group.objects.get().query == {"site": "north", "labels": ["canary"]}
    shown = text(page.get(made.url))
    assert "site: north, label: canary" in shown and ">n1</a>" in shown and ">n2</a>" not in shown
    assert "1 machine is left out of jobs for now." in shown and "n3" in shown
    assert "north-canaries" in text(page.get("/groups/"))


def test_ticked_machines_are_saved_as_a_list_and_changed_by_ticking(fleet, page):
    made = page.post("/machines/", {"do": "group", "name": "pair", "machine": ["n1", "n2"]})
    page.post(made.url, {"do": "change", "machine": ["n2"], "add": "n5", "note": "now"})
    group = Group.objects.get()
    assert names(group.members()) == ["n2", "n5"] and group.note == "now"
    kept = page.post(made.url, {"do": "change", "note": ""}, follow=True)
    assert "one machine at least" in text(kept) and names(group.members()) == ["n2", "n5"]
    gone = page.post(made.url, {"do": "delete"}, follow=True)
    assert "its machines are as they were" in text(gone) and not Group.objects.exists()


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"name": "", "machine": "n1"}, "give it a name"),
        ({"name": "-x", "machine": "n1"}, "begins with a letter or digit"),
        ({"name": "there", "machine": "n1"}, "There is a group called there already"),
        ({"name": "ok"}, "tick its machines first"),
    ],
)
def test_a_group_that_is_not_saved_says_why(fleet, page, form, said):
    Group.objects.create(name="there", query={"site": "north"})
    answer = page.post("/machines/", {"do": "group", **form}, follow=True)
    assert said in text(answer) and Group.objects.count() == 1


def test_labels_and_site_of_the_ticked_machines_are_changed_at_once(fleet, page):
    form = {"do": "change", "machine": ["n1", "n2"], "add": "rack-7, new", "remove": "steady", "site": "east"}
    answer = page.post("/machines/?q=n", form, follow=True)
    assert "2 machines were changed." in text(answer)
    assert [(m.labels, m.site) for m in Machine.objects.filter(name__in=["n1", "n2"]).order_by("name")] == [
        (["canary", "rack-7", "new"], "east"),
        (["rack-7", "new"], "east"),
    ]
    assert AuditEvent.objects.filter(action="machine.update").count() == 2
    page.post("/machines/?site=south", {"do": "change", "everything": "2", "add": "all"})
    assert [m.name for m in Machine.objects.all() if "all" in m.labels] == ["n4", "n5"]


def test_a_job_on_many_machines_is_begun_without_an_address_of_their_names(fleet, page):
    few = page.post("/machines/", {"do": "job", "machine": ["n1", "n2"]})
    assert (few.status_code, few.url) == (302, "/jobs/new/?machine=n1&machine=n2")
    credential = Credential.objects.get()
    many = [Machine(name=f"m{n:03}", host="192.0.2.1", credential=credential, state="ready") for n in range(60)]
    Machine.objects.bulk_create(many)
    sent = page.post("/machines/", {"do": "job", "machine": [machine.name for machine in many]})
    assert (sent.status_code, sent.url) == (307, "/jobs/new/")

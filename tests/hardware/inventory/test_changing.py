"""On the pages: another site, labels, way or login for a machine; out of use and back, with its history."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from console.audit.models import AuditEvent
from hardware.inventory.models import Credential, Machine


@pytest.fixture
def site(client, db):
    lab = Credential.objects.create(name="lab", password="x")
    shared = {"host": "h", "credential": lab, "state": "ready", "host_key": "ssh-ed25519 AAAA"}
    Machine.objects.create(name="gate", **shared)
    Machine.objects.create(name="n1", site="a", labels=["old", "gpu"], **shared)
    client.force_login(User.objects.create_user("ada"))
    return client


def n1() -> Machine:
    return Machine.objects.select_related("credential", "jump").get(name="n1")


def test_a_machine_is_given_another_site_labels_way_and_login(site):
    page = site.get("/machines/n1/edit/").content.decode()
    assert 'value="old gpu"' in page and '<option value="old:lab" selected' in page
    form = {"site": "b", "labels": "gpu， canary", "jump": "gate", "credential": "new", "credential_name": "ops"}
    refused = site.post("/machines/n1/edit/", form | {"username": "ops"})
    assert refused.status_code == 422 and "Give a password or a private key." in refused.content.decode()
    assert not Credential.objects.filter(name="ops").exists()
    form |= {"username": "ops", "password": "p", "sudo": "login"}
    assert site.post("/machines/n1/edit/", form).status_code == 302
    now = n1()
    assert (now.site, now.labels, now.jump and now.jump.name) == ("b", ["gpu", "canary"], "gate")
    assert (now.credential.name, now.credential.sudo, now.name, now.host) == ("ops", "login", "n1", "h")
    loop = site.post("/machines/gate/edit/", {"credential": "old:lab", "jump": "n1"})
    assert loop.status_code == 422 and Machine.objects.get(name="gate").jump is None


def test_only_what_is_other_than_before_stands_in_the_trail(site):
    site.post("/machines/n1/edit/", {"site": "b", "labels": "old gpu", "credential": "old:lab"})
    site.post("/machines/n1/edit/", {"site": "b", "labels": "old gpu", "credential": "old:lab"})
    (event,) = AuditEvent.objects.filter(action="machine.update")
    assert event.detail == {"site": "b"} and event.actor == "ada"


def test_a_machine_is_retired_by_its_name_and_comes_back(site):
    site.post("/machines/n1/retire/", {"name": "n2"})
    assert n1().state == "ready"
    site.post("/machines/n1/retire/", {"name": "n1"})
    assert n1().state == "retired"
    page = site.get("/machines/n1/").content.decode()
    assert "Take it into use again" in page and "/machines/n1/probe/" not in page
    assert "n1" not in [row.machine.name for row in site.get("/machines/").context["rows"]]
    site.post("/machines/n1/restore/")
    assert n1().state == "ready" and "Take it into use again" not in site.get("/machines/n1/").content.decode()


def test_a_jump_host_is_not_retired_before_what_lies_behind_it(site):
    Machine.objects.filter(name="n1").update(jump=Machine.objects.get(name="gate"))
    answer = site.post("/machines/gate/retire/", {"name": "gate"}, follow=True)
    assert "is the jump host of n1" in answer.content.decode()
    assert Machine.objects.get(name="gate").state == "ready"

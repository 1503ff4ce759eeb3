"""The Machines pages over a real SSH server."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import asyncssh
import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from console.audit.models import AuditEvent
from hardware.inventory.facts import read
from hardware.inventory.facts.records import Npu
from hardware.inventory.models import Credential, Machine
from hardware.inventory.standing import Standing
from jobs.models import Job
from tests.machines import make_machine
from tests.probe_text import probe_text
from tests.sshd import PASSWORD

FORM = {"name": "n1", "host": "127.0.0.1", "site": "lab", "labels": "canary, rack-7", "credential": "new"}
LOGIN = {"credential_name": "rack", "username": "root", "password": PASSWORD}


@pytest.fixture
def page(client, transactional_db):
    client.force_login(User.objects.create_user("ada"))
    return client


def text(answer) -> str:
    return answer.content.decode()


def test_an_empty_fleet_says_what_to_do_first(page):
    assert "Add a machine" in text(page.get("/machines/")) and "No machines yet" in text(page.get("/"))


def test_a_machine_is_added_confirmed_and_probed_by_hand(page, sshd):
    made = page.post("/machines/add/", {**FORM, **LOGIN, "port": sshd.endpoint.port})
    assert made.url == "/machines/n1/"
    shown = page.get("/machines/n1/")
    machine = Machine.objects.get(name="n1")
    assert (
        machine.offered_fingerprint in text(shown)
        and "fleet.json" in text(shown)
        and "Probe</button>" not in text(shown)
    )
    assert machine.labels == ["canary", "rack-7"] and machine.credential.password == PASSWORD
    done = page.post("/machines/n1/confirm/", {"fingerprint": machine.offered_fingerprint}, follow=True)
    assert "n1 was probed in" in text(done) and "Preflight" in text(done)
    assert PASSWORD not in text(done) + text(page.get("/machines/add/"))
    actions = [event.action for event in AuditEvent.objects.exclude(action="session.login").order_by("id")]
    assert actions == ["credential.create", "machine.enroll", "machine.confirm-key", "machine.probe"]


def test_a_machine_that_does_not_answer_leaves_nothing_behind_and_the_form_filled_in(page):
    answer = page.post("/machines/add/", {**FORM, **LOGIN, "port": 1})
    assert answer.status_code == 422
    assert "n1 was not added" in text(answer) and 'value="canary, rack-7"' in text(answer)
    assert PASSWORD not in text(answer)
    assert not Machine.objects.exists() and not Credential.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "-n1"}, "begins with a letter or digit"),
        ({"name": "add"}, "address of a page"),
        ({"port": "0"}, "greater than or equal to 1"),
        ({"password": ""}, "a password or a private key"),
        ({"credential_name": ""}, "Give the new credential a name"),
        ({"private_key": "nonsense"}, "no private key"),
    ],
)
def test_each_field_that_is_not_right_says_why(page, wrong, said):
    answer = page.post("/machines/add/", {**FORM, **LOGIN, "port": 22, **wrong})
    assert answer.status_code == 422 and said in text(answer) and not Machine.objects.exists()


@pytest.mark.parametrize("form", ["pkcs8-pem", "openssh"])
def test_a_protected_key_wants_its_passphrase(page, form):
    key = asyncssh.generate_private_key("ssh-rsa").export_private_key(form, passphrase="open sesame").decode()
    fields = {**FORM, **LOGIN, "port": 22, "private_key": key}
    assert "is protected" in text(page.post("/machines/add/", fields))
    assert "does not open" in text(page.post("/machines/add/", {**fields, "passphrase": "other"}))


def test_a_wrong_password_is_shown_with_its_mend(page, sshd):
    machine = make_machine("n2", sshd)
    Credential.objects.update(password="wrong")
    Machine.objects.filter(pk=machine.pk).update(credential=Credential.objects.create(name="bad", password="wrong"))
    shown = text(page.post("/machines/n2/probe/", follow=True))
    assert "n2: Login refused" in shown and "Correct the user name, password or key" in shown
    assert "ssh-auth-refused" in shown and "Out of reach" in shown


def test_a_changed_host_key_is_an_alarm_and_wants_the_name_of_the_machine(page, sshd):
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    machine = make_machine("n3", sshd)
    Machine.objects.filter(pk=machine.pk).update(host_key=other, host_key_fingerprint="SHA256:pinned")
    shown = text(page.post("/machines/n3/probe/", follow=True))
    offered = Machine.objects.get(name="n3").offered_fingerprint
    assert "n3 offers another host key" in shown and "SHA256:pinned" in shown and offered in shown
    assert "n3 offers another host key" in text(page.get("/"))
    refused = text(page.post("/machines/n3/confirm/", {"fingerprint": offered, "name": "n4"}, follow=True))
    assert "type n3 to confirm" in refused and Machine.objects.get(name="n3").state == "blocked"
    page.post("/machines/n3/confirm/", {"fingerprint": offered, "name": "n3"})
    assert Machine.objects.get(name="n3").state == "ready"


def probed(name: str, sshd, **changes) -> Machine:
    machine = make_machine(name, sshd)
    machine.facts = replace(read(probe_text(headers="headers" not in changes)), **changes.get("facts", {})).to_json()
    machine.site, machine.labels = changes.get("site", ""), changes.get("labels", [])
    machine.simulated = True
    machine.save()
    return machine


def test_the_table_filters_by_what_machines_are(page, sshd):
    chips = tuple(Npu(i, 0, "910A", "OK", None, 32768) for i in range(4))
    probed("n1", sshd, site="north", labels=["canary"], facts={"npus": chips})
    probed("n2", sshd, site="south")
    for query, names in {"site=north": ["n1"], "label=canary": ["n1"], "chip=910A": ["n1"], "q=SOUTH": ["n2"],
                         "state=attention": ["n2"], "state=ready": ["n1"]}.items():  # fmt: skip
        rows = page.get(f"/machines/?{query}").context["rows"]
        assert [row.machine.name for row in rows] == names, query
    hidden = text(page.get("/machines/?site=north&label=none"))
    assert "No machine matches these filters" in hidden and "2 machines are hidden" in hidden


def test_a_bare_machine_without_kernel_headers_needs_attention_and_names_the_mend(page, sshd):
    machine = probed("n1", sshd, headers=False)
    standing = Standing(machine)
    assert standing.state == "attention"
    mends = {row.code: (row.button, row.mend.kind) for row in standing.blocks if row.mend}
    assert mends["kernel-headers"] == ("Install kernel headers", "install-os-packages")
    assert mends["npus-healthy"] == ("Install driver and firmware", "install-driver")
    shown = text(page.get("/machines/n1/"))
    assert "Simulated machine." in shown and "4 NPUs on the bus, and no driver that lists them" in shown


def test_the_overview_groups_machines_by_their_cause_and_mends_first_things_first(page, sshd):
    probed("n1", sshd, headers=False)
    probed("n2", sshd, headers=False)
    probed("n3", sshd)
    wrong = {trouble.title: trouble.machines for trouble in page.get("/").context["wrong"]}
    # No driver for those whose headers are missing: its job would be refused.
    assert wrong == {"Kernel headers are missing": ["n1", "n2"], "No NPU driver yet": ["n3"]}


def test_what_a_job_is_mending_already_is_not_offered_again(page, sshd):
    machine = probed("n1", sshd)
    job = Job.objects.create(kind="install-driver", plan={"stages": []}, plan_hash="0" * 64, queue="machines")
    job.machines.set([machine])
    (trouble,) = page.get("/").context["wrong"]
    assert (trouble.why, trouble.url) == (f"Job {job.pk} is mending it now.", f"/jobs/{job.pk}/")


def test_a_job_that_failed_is_wrong_until_a_later_one_went_well(page, sshd):
    machine = probed("n1", sshd, facts={"npus": tuple(Npu(i, 0, "910A", "OK", None, 32768) for i in range(4))})
    assert page.get("/").context["wrong"] == []
    for state, wrong in (("failed", 1), ("cancelled", 1), ("succeeded", 0), ("errored", 1)):
        job = Job.objects.create(kind="install-driver", plan={}, plan_hash="0" * 64, queue="machines", state=state)
        job.machines.set([machine])
        assert len(page.get("/").context["wrong"]) == wrong, state


def test_an_npu_that_reads_ill_now_is_wrong_now_and_an_old_reading_is_not_shown(page, sshd, monkeypatch):
    chips = tuple(Npu(i, 0, "910A", "OK", None, 32768) for i in range(4))
    probed("n1", sshd, facts={"npus": chips})
    read_now = [
        {"npu_id": i, "chip_id": 0, "aicore_percent": 40.0, "temp_c": 95.0 if i == 2 else 50.0,
         "health": "Warning" if i == 2 else "OK"} for i in range(4)
    ]  # fmt: skip
    sample = {"at": timezone.now().isoformat(), "interval_s": 2, "chips": read_now}
    monkeypatch.setattr("console.pages.latest", lambda names: {"n1": sample})
    shown = page.get("/")
    (trouble,) = shown.context["wrong"]
    assert trouble.title == "1 NPU is not healthy" and "NPU 2: load 40 %, 95 °C, health Warning" in trouble.why
    assert text(shown).count('data-l="3"') == 4 + 1 and 'class="cell bad is-warning"' in text(shown)
    sample["at"] = (timezone.now() - timedelta(seconds=30)).isoformat()
    shown = page.get("/")
    assert shown.context["wrong"] == [] and shown.context["npus_read"] == 0
    assert text(shown).count("no reading") >= 4


def test_a_selection_is_probed_at_once_and_each_failure_is_told(page, sshd):
    for name in ("n1", "n2", "n3"):
        make_machine(name, sshd)
    Machine.objects.filter(name="n2").update(port=1)
    Machine.objects.create(name="n4", host="127.0.0.1", port=1, credential=Credential.objects.get())
    chosen = {"do": "probe", "machine": ["n1", "n2", "n3", "n4"]}
    shown = text(page.post("/machines/?site=", chosen, follow=True))
    assert "2 machines were probed in" in shown and "n4 was not probed" in shown
    assert "n2: " in shown and "management network" in shown
    assert {m.name for m in Machine.objects.exclude(facts={})} == {"n1", "n3"}


def test_a_job_is_planned_on_a_selection(page, sshd):
    for name in ("n1", "n2"):
        make_machine(name, sshd)
    answer = page.post("/machines/", {"do": "job", "machine": ["n1", "n2"]})
    assert answer.url == "/jobs/new/?machine=n1&machine=n2" and page.get(answer.url).status_code == 200

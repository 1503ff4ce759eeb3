"""Which machines can take what: the judgement of a whole fleet, its page, its REST and its file."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from hardware.inventory.facts import Facts, Package, read
from hardware.inventory.groups.services import make
from hardware.inventory.models import Credential, Machine
from hardware.inventory.selection import Selection
from jobs import readiness, registry
from jobs.depot.models import Artifact
from jobs.depot.services import Depot, ingest
from jobs.failures import PlanRefused
from jobs.kind import Target
from jobs.readiness.fleet import assess, members, of_package, of_release
from jobs.rollout.models import Release
from jobs.services import launch
from tests.probe_text import probe_text

FITS = replace(
    read(probe_text(driver="24.1.0", firmware="7.5.0.2.220", npus=True, cann="8.0.0", docker=True)),
    hwhiaiuser=True, schema_version=Facts().schema_version,
)  # fmt: skip


@pytest.fixture
def fleet(settings, tmp_path: Path, transactional_db) -> Release:
    """Machines of every outcome, packages, and a release whose image says its CANN."""
    settings.DEPOT_DIR = tmp_path / "depot"
    credential = Credential.objects.create(name="lab", password="x")
    bare = read(probe_text(headers=False, docker=True))
    of = {
        "a-fits": FITS,
        "b-bare": bare,
        "c-bare": bare,
        "d-wrong": replace(FITS, firmware=Package("7.7.0.1.231")),
        "e-odd": replace(FITS, driver=Package("27.0.0"), firmware=None),
        "f-new": None,
    }
    for name, facts in of.items():
        Machine.objects.create(
            name=name, host="127.0.0.1", credential=credential, state="ready", site="lab" if name < "d" else "hall",
            labels=["canary"] if name == "a-fits" else [], facts=facts.to_json() if facts else {},
        )  # fmt: skip
    Machine.objects.create(name="g-key", host="127.0.0.1", credential=credential, state="new")
    for name in ("Ascend-hdk-910-npu-driver_24.1.0_linux-aarch64.run", "Ascend-hdk-910-npu-firmware_7.5.0.2.220.run"):
        ingest(BytesIO(name.encode()), name=name, type="driver" if "driver" in name else "firmware", actor="ada")
    meta = {"image": "bank/support:1", "cann": "8.0.0", "soc_version": "Ascend910A"}
    image = ingest(BytesIO(b"image"), name="support.tar", type="image", actor="ada", meta=meta)
    asked = {"smoke_text": "x", "smoke_label": "y"}
    return Release.objects.create(name="support", version="1", image=image, devices=[0], **asked)


@pytest.fixture
def rest(fleet) -> APIClient:
    client = APIClient()
    client.force_authenticate(User.objects.create_user("ada"))
    return client


OUTCOMES = {
    "a-fits": "pass", "b-bare": "block", "c-bare": "block", "d-wrong": "block", "e-odd": "unknown",
    "f-new": "unprobed", "g-key": "unused",
}  # fmt: skip


def test_each_machine_has_the_outcome_that_the_rollouts_own_preflight_gives_it(fleet):
    aim = of_release(fleet)
    found = {verdict.machine.name: verdict.outcome for verdict in assess(aim, members(Selection())).verdicts}
    assert found == OUTCOMES
    kind = registry.get("rollout")
    for machine in Machine.objects.filter(name__lt="f"):
        checks = readiness.checks(kind, aim.params, Target(machine.name, machine.read), Depot())
        assert checks[0].severity == found[machine.name]
    with pytest.raises(PlanRefused, match="outside what Driver"):
        launch("rollout", aim.params, [Machine.objects.get(name="d-wrong")], actor="ada")


def test_machines_that_share_a_reason_are_one_group_with_one_job_that_mends_it(fleet):
    causes = assess(of_release(fleet), members(Selection())).causes
    bare = next(cause for cause in causes if cause.check.code == "npus-healthy")
    assert bare.machines == ["b-bare", "c-bare"] and bare.same
    assert bare.mend is not None and bare.mend.kind == "install-driver"
    assert bare.mend.params == {
        "driver": Artifact.objects.get(type="driver").pk, "firmware": Artifact.objects.get(type="firmware").pk,
    }  # fmt: skip


def test_a_thousand_machines_cost_no_query_each(fleet, django_assert_max_num_queries):
    one = Machine.objects.get(name="a-fits")
    Machine.objects.bulk_create(
        Machine(name=f"n{n}", host="127.0.0.1", credential=one.credential, state="ready", facts=one.facts)
        for n in range(60)
    )
    with django_assert_max_num_queries(12):
        assert assess(of_release(fleet), members(Selection())).counts["pass"] == 61


def test_a_driver_is_asked_about_with_the_firmware_that_goes_with_it(fleet):
    aim = of_package(Artifact.objects.get(type="driver"), Depot())
    assert aim.kind == "install-driver" and set(aim.params) == {"driver", "firmware"}
    found = {verdict.machine.name: verdict.outcome for verdict in assess(aim, members(Selection())).verdicts}
    assert (found["a-fits"], found["b-bare"], found["d-wrong"]) == ("warn", "block", "warn")
    with pytest.raises(PlanRefused, match="not installed by itself"):
        of_package(Artifact.objects.get(type="image"), Depot())
    # Neither is for a newer chip: one machine all the same.
    newer = replace(FITS, pci_npus=(), npus=tuple(replace(npu, name="910B4", generation="910B") for npu in FITS.npus))
    Machine.objects.filter(name="a-fits").update(facts=newer.to_json())
    causes = {cause.check.code: cause.machines for cause in assess(aim, members(Selection())).causes}
    assert causes["package-chip"] == ["a-fits"]


def test_over_rest_it_is_read_in_pages_filtered_and_as_a_file(fleet, rest):
    address = f"/api/v1/releases/{fleet.pk}/readiness/"
    first = rest.get(address, {"page_size": 4}).json()
    assert first["counts"]["block"] == 3 and first["count"] == 7 and len(first["results"]) == 4
    rest_of = rest.get(address, {"page_size": 4, "after": first["next"]}).json()
    names = [row["machine"] for row in first["results"] + rest_of["results"]]
    assert names == list(OUTCOMES) and rest_of["next"] is None
    assert {cause["code"] for cause in first["causes"]} >= {"npus-healthy", "driver-firmware", "image-driver"}
    assert [row["machine"] for row in rest.get(address, {"outcome": "pass,unknown"}).json()["results"]] == [
        "a-fits", "e-odd",
    ]  # fmt: skip
    assert [row["machine"] for row in rest.get(address, {"label": "canary"}).json()["results"]] == ["a-fits"]
    make("racks", actor="ada", machines=list(Machine.objects.filter(name__in=["a-fits", "d-wrong"])))
    assert rest.get(address, {"group": "racks", "site": "hall"}).json()["count"] == 1
    assert rest.get(address, {"outcome": "maybe"}).status_code == 400
    answer = rest.get(address, {"format": "csv", "site": "lab"})
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert rows[0]["machine"] == "a-fits" and rows[0]["code"] == "" and rows[1]["mend_kind"] == "install-driver"
    driver = Artifact.objects.get(type="driver")
    assert rest.get(f"/api/v1/artifacts/{driver.pk}/readiness/").json()["kind"] == "install-driver"
    image = Artifact.objects.get(type="image")
    assert rest.get(f"/api/v1/artifacts/{image.pk}/readiness/").json()["code"] == "not-a-package"


def test_the_page_groups_by_reason_and_leads_to_the_plan_on_those_that_can(fleet, client):
    client.force_login(User.objects.create_user("ada"))
    shown = client.get(f"/readiness/?for=release-{fleet.pk}").content.decode()
    assert "Which machines can take support:1" in shown and "Plan it on the 1 machine that can" in shown
    assert f"kind=rollout&amp;machine=a-fits&amp;params.release={fleet.pk}" in shown
    assert "No NPU driver yet" in shown and "b-bare, c-bare" in shown
    blocked = client.get(f"/readiness/?for=release-{fleet.pk}&outcome=block&site=hall").content.decode()
    assert 'href="/machines/d-wrong/"' in blocked and 'href="/machines/b-bare/"' not in blocked
    file = client.get(f"/readiness/?for=release-{fleet.pk}&format=csv")
    assert file["Content-Type"].startswith("text/csv") and b"d-wrong" in file.content
    assert client.get("/readiness/?for=release-999").status_code == 404
    image = Artifact.objects.get(type="image")
    assert client.get(f"/readiness/?for=artifact-{image.pk}").status_code == 422
    assert f"/readiness/?for=release-{fleet.pk}" in client.get(f"/depot/{image.pk}/release/").content.decode()


def test_with_nothing_to_ask_about_the_page_says_what_to_do_first(client, transactional_db):
    client.force_login(User.objects.create_user("ada"))
    assert "Nothing to ask about yet" in client.get("/readiness/").content.decode()

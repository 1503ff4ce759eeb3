"""What a machine as such needs: the same by REST and on its page, with the depot's packages in the mends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.contrib.auth.models import User

from hardware.inventory.facts import Facts, Package, read
from hardware.inventory.models import Credential, Machine
from jobs.depot.models import Artifact
from tests.probe_text import probe_text

PAIR = {"driver": "24.1.0", "firmware": "7.5.0.2.220"}


@pytest.fixture
def site(client, db):
    client.force_login(User.objects.create_user("ada"))
    return client


def machine(name: str, facts: Facts) -> Machine:
    login, _ = Credential.objects.get_or_create(name="lab")
    return Machine.objects.create(name=name, host="h", credential=login, state="ready", facts=facts.to_json())


def packages() -> dict[str, int]:
    meta = {"chip": "910", "architecture": "aarch64"}
    return {
        what: Artifact.objects.create(
            type=what, name=f"{what}.run", version=PAIR[what], sha256=what, size=1, meta=meta
        ).pk
        for what in PAIR
    }


def test_a_mend_names_the_depots_packages_as_soon_as_they_are_there(site):
    machine("bare", read(probe_text()))
    machine("wrong", replace(read(probe_text(**PAIR, npus=True)), firmware=Package("7.7.0")))

    def mend(name: str, code: str) -> dict:
        checks = site.get(f"/api/v1/machines/{name}/preflight/").json()["checks"]
        return next(one["mend"] for one in checks if one["code"] == code)

    assert mend("bare", "npus-healthy")["params"] == {} and mend("wrong", "driver-firmware") is None
    made = packages()
    assert mend("bare", "npus-healthy")["params"] == mend("wrong", "driver-firmware")["params"] == made
    wanted = f"kind=install-driver&amp;machine=wrong&amp;driver={made['driver']}&amp;firmware={made['firmware']}"
    assert wanted in site.get("/machines/wrong/").content.decode()
    overview = {row.machines[0]: row for row in site.get("/").context["wrong"]}
    assert wanted.replace("&amp;", "&") in overview["wrong"].url
    assert (overview["wrong"].state, overview["bare"].state) == ("failed", "warning")


def test_a_driver_that_lists_no_npu_is_not_called_missing(site):
    machine("bare", read(probe_text()))
    machine("broken", replace(read(probe_text(**PAIR)), npu_error="-8005: dcmi module initialize failed"))
    overview = {row.machines[0]: row for row in site.get("/").context["wrong"]}
    assert (overview["bare"].title, overview["bare"].state) == ("No NPU driver yet", "warning")
    assert (overview["broken"].title, overview["broken"].state) == ("The driver lists no NPU", "failed")
    assert "-8005" in overview["broken"].why


def test_rest_says_of_an_npu_that_is_ill_what_the_page_says(site):
    facts = read(probe_text(**PAIR, npus=True))
    machine("ill", replace(facts, npus=(replace(facts.npus[0], health="Alarm"), *facts.npus[1:])))
    checks = site.get("/api/v1/machines/ill/preflight/").json()["checks"]
    said = {(one["code"], one["severity"]) for one in checks}
    assert ("npus-healthy", "warn") in said
    assert said == {(row.code, row.severity) for row in site.get("/machines/ill/").context["standing"].rows}

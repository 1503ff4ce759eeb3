"""What the pages of a machine and of a release say of serving parameters."""

from __future__ import annotations

from contextlib import closing

import httpx
import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from hardware.inventory.models import Machine
from jobs.rollout.models import Deployment, Release
from tests.console.pages import Page, sign_in
from tests.jobs.examples import artifact, facts, serving
from tests.jobs.kinds.test_install_kinds import with_facts


@pytest.fixture
def tuned(machine: Machine, settings, tmp_path) -> Deployment:
    settings.DEPOT_DIR = tmp_path / "depot"
    serving([with_facts(machine, facts())])
    Deployment.objects.update(overrides={"preprocessing_workers": 8})
    return Deployment.objects.select_related("release").get()


@pytest.fixture
def site(live_server, tuned):
    with closing(sign_in(live_server.url, User.objects.create_user("ada"))) as made:
        yield made


def test_a_machine_and_its_release_say_what_was_tuned_there(site: httpx.Client, tuned: Deployment):
    page = Page(site.get("/machines/host-1/"))
    assert "Preprocessing workers 8 tuned here, the release has 1" in page.text and "Largest batch 16" in page.text
    assert "kind=tune-serving&amp;machine=host-1" in page.source
    page = Page(site.get(f"/releases/{tuned.release_id}/"))
    assert "Preprocessing workers 8" in page.text and "host-1" in page.text


def test_a_release_is_made_with_its_parameters(site: httpx.Client):
    image = artifact("bot.tar", "image", image="console/bot:1")
    form = {"name": "bot", "version": "2", "port": "8000", "devices": "0", "smoke_text": "hi", "smoke_label": "x"}
    address = f"/depot/{image.pk}/release/"
    wrong = Page(site.post(address, data={**form, "preprocessing_workers": "65", "max_batch": "16"}))
    assert wrong.status == 422 and "64" in wrong.text
    site.post(address, data={**form, "preprocessing_workers": "4", "max_batch": "64", "memory_budget_mb": "0"})
    made = Release.objects.get(name="bot")
    assert made.parameters.to_json() == {"preprocessing_workers": 4, "max_batch": 64, "memory_budget_mb": 0}


def test_rest_tells_what_a_machine_serves_and_with_what(tuned: Deployment):
    client = APIClient()
    client.force_authenticate(User.objects.create_user("bob", is_staff=True))
    (row,) = client.get("/api/v1/deployments/?machine__name=host-1").json()["results"]
    assert row["parameters"]["preprocessing_workers"] == 8 and row["overrides"] == {"preprocessing_workers": 8}
    assert row["release_name"] == "served:1" and row["parameters"]["max_batch"] == 16

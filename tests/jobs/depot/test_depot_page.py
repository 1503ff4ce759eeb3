from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.contrib.auth.models import User

from jobs.depot.models import Artifact
from jobs.rollout.models import Release
from jobs.services import launch
from tests.console.pages import Page, sign_in

NAME = "Ascend-hdk-910-npu-driver_24.1.0_linux-aarch64.run"


@pytest.fixture
def site(live_server, machine, settings, tmp_path: Path) -> Iterator[httpx.Client]:
    settings.DEPOT_DIR = tmp_path / "depot"
    made = sign_in(live_server.url, User.objects.create_user("ada"))
    yield made
    made.close()


def upload(site: httpx.Client, content: bytes, name: str = NAME, **fields: str) -> httpx.Response:
    return site.post("/depot/", data=fields, files={"file": (name, content)}, follow_redirects=True)


def test_an_empty_depot_says_what_to_begin_with(site):
    assert "The depot is empty Begin with the driver" in Page(site.get("/depot/")).text


def test_a_file_is_stored_under_its_hash_with_what_its_name_says(site):
    page = Page(upload(site, b"the bytes"))
    digest = hashlib.sha256(b"the bytes").hexdigest()
    assert page.status == 200 and f"{NAME} is in the depot." in page.text
    assert f"{digest[:12]}…{digest[-8:]}" in page.text and f'data-copy="{digest}"' in page.source
    artifact = Artifact.objects.get()
    assert (artifact.type, artifact.version, artifact.created_by) == ("driver", "24.1.0", "ada")
    assert "Driver Ascend-hdk" in page.text and "24.1.0" in page.text and "Architecture aarch64" in page.text


def test_a_damaged_an_empty_and_an_unknown_file_are_refused_and_nothing_stays(site, settings):
    damaged = Page(upload(site, b"other bytes", expected_sha256="0" * 64))
    assert damaged.status == 422 and "is not the file that was meant" in damaged.text
    assert "Copy the file again from its source" in damaged.text
    empty = Page(upload(site, b""))
    assert empty.status == 422 and "empty" in empty.text
    unknown = Page(upload(site, b"x", name="notes.bin"))
    assert unknown.status == 422 and "Choose the type." in unknown.text
    nonsense = Page(upload(site, b"x", expected_sha256="12 34"))
    assert nonsense.status == 422 and "That is no SHA-256." in nonsense.text
    assert not Artifact.objects.exists() and not list(settings.DEPOT_DIR.glob("incoming/*"))


def test_verifying_tells_a_blob_that_has_changed_from_one_that_has_not(site):
    upload(site, b"the bytes")
    artifact = Artifact.objects.get()
    assert "Unchanged" in site.post(f"/depot/{artifact.pk}/verify/").text
    artifact.path.chmod(0o644)
    artifact.path.write_bytes(b"the bites")
    said = Page(site.post(f"/depot/{artifact.pk}/verify/"))
    assert "Damaged" in said.text and "has changed" in said.text and "ingest the file again" in said.text


def test_filters_find_by_type_name_and_the_beginning_of_a_hash(site):
    upload(site, b"one")
    upload(site, b"two", name="m.onnx", type="model")
    digest = hashlib.sha256(b"two").hexdigest()
    for query in ("type=model", "q=m.on", f"q={digest[:10]}"):
        page = Page(site.get(f"/depot/?{query}"))
        assert "m.onnx" in page.text and NAME not in page.text
    assert "2 artifacts are hidden by the filters." in Page(site.get("/depot/?q=nothing")).text


def test_where_an_artifact_is_used_is_told(site, machine):
    upload(site, b"one")
    artifact = Artifact.objects.get()
    assert "Nowhere yet." in site.get(f"/depot/{artifact.pk}/uses/").text
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    job.steps.filter(key="first").update(action={"type": "send", "sha256": artifact.sha256})
    Artifact.objects.create(type="model", name="made.onnx", sha256="b" * 64, size=1, meta={"from": artifact.sha256})
    page = Page(site.get(f"/depot/{artifact.pk}/uses/"))
    assert f'href="/jobs/{job.pk}/"' in page.source and "made.onnx" in page.text


def test_an_image_becomes_a_release_and_leads_on_to_its_rollout(site):
    meta = {"image": "console/support-bot:1.0.0"}
    image = Artifact.objects.create(type="image", name="i.tar", version="1.0.0", sha256="c" * 64, size=1, meta=meta)
    form = Page(site.get(f"/depot/{image.pk}/release/"))
    assert 'value="support-bot"' in form.source and 'value="1.0.0"' in form.source
    fields = {"name": "support-bot", "version": "1.0.0", "port": "80", "devices": "0, 1", "smoke_text": "a"}
    wrong = Page(site.post(f"/depot/{image.pk}/release/", data=fields))
    assert wrong.status == 422 and "1024" in wrong.error("r-port")
    assert wrong.error("r-smoke_label") == "This field is required."
    fields |= {"port": "8000", "smoke_label": "b"}
    made = site.post(f"/depot/{image.pk}/release/", data=fields)
    release = Release.objects.get()
    assert (release.devices, release.created_by) == ([0, 1], "ada")
    rollout = Page(site.get(made.headers["location"]))
    assert f'<option value="{release.pk}" selected>support-bot:1.0.0' in rollout.source
    assert "takes at least one machine" not in rollout.text
    again = Page(site.post(f"/depot/{image.pk}/release/", data=fields))
    assert "There is a release support-bot:1.0.0 already" in again.error("r-version")

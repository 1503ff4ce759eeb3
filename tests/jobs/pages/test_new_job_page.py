from __future__ import annotations

import html
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.test import Client

from hardware.inventory.models import Machine
from jobs.depot.models import Artifact
from jobs.models import Job
from jobs.rollout.models import Deployment, Release
from jobs.services import launch
from tests.console.pages import Page, sign_in


@pytest.fixture
def site(live_server, machine, settings, tmp_path: Path) -> Iterator[httpx.Client]:
    settings.DEPOT_DIR = tmp_path / "depot"
    made = sign_in(live_server.url, User.objects.create_user("ada", is_staff=True))
    yield made
    made.close()


def draft(site: httpx.Client, **more: Any) -> tuple[Page, dict[str, Any]]:
    """The page with the plan of a harmless command, and the form as the browser would send it."""
    data = {"kind": "command", "machine": "host-1", "params.command": "echo 'as shown' --quiet", "do": "plan", **more}
    page = Page(site.post("/jobs/new/", data=data))
    return page, {**data, "do": "run", **page.hidden()}


def test_every_kind_is_offered_and_keeps_the_machines_that_were_chosen(site):
    page = Page(site.get("/jobs/new/?machine=host-1"))
    for slug in ("install-driver", "convert", "quantize", "package-image", "rollout", "install-os-packages"):
        assert f'href="/jobs/new/?kind={slug}&amp;machine=host-1"' in page.source
    assert site.get("/jobs/new/?kind=nothing").status_code == 404


def test_a_form_is_made_of_the_kinds_parameters(site):
    Artifact.objects.create(type="driver", name="the-driver.run", version="24.1.0", sha256="a" * 64, size=5)
    driver = Page(site.get("/jobs/new/?kind=install-driver&machine=host-1"))
    assert re.search(r'<select[^>]+name="params.driver"', driver.source) and "the-driver.run · 24.1.0" in driver.text
    assert "The depot has no artifact of type firmware yet." in driver.text
    assert re.search(r'name="machine" value="host-1" checked', driver.source)
    convert = Page(site.get("/jobs/new/?kind=convert"))
    assert re.search(r'<select[^>]+name="params.to"', convert.source)
    assert re.search(r'type="number"[^>]+name="params.max_length" value="64"', convert.source)
    assert "The console itself" in convert.text or "the console itself" in convert.text
    packages = Page(site.get("/jobs/new/?kind=install-os-packages&machine=host-1"))
    assert re.search(r'<textarea[^>]+name="params.packages"', packages.source)


def test_each_error_stands_at_its_field_and_nothing_is_launched(site):
    page = Page(site.post("/jobs/new/", data={"kind": "install-driver", "params.firmware": "x", "do": "plan"}))
    assert page.status == 422 and page.error("p-driver") == "This field is required."
    assert page.error("p-firmware") == "A valid integer is required."
    alone = Page(site.post("/jobs/new/", data={"kind": "command", "params.command": "true", "do": "plan"}))
    assert "takes at least one machine" in alone.error("targets")
    unknown = Page(
        site.post("/jobs/new/", data={"kind": "command", "params.command": "x", "machine": "n9", "do": "plan"})
    )
    assert "There is no machine called n9." in unknown.error("targets")
    unprobed = Page(
        site.post(
            "/jobs/new/",
            data={"kind": "install-os-packages", "params.packages": "dkms", "machine": "host-1", "do": "plan"},
        )
    )
    assert "host-1 has not been probed yet. Probe host-1, then plan again." in unprobed.error("targets")
    assert not Job.objects.exists()


def test_the_plan_shows_each_command_byte_for_byte_and_exactly_that_one_runs(site):
    command = "cd /tmp && ./a-very-long-name-of-an-installer_24.1.0.run --full --install-for-all   --quiet <&- 'ü'"
    page, form = draft(site, **{"params.command": command})
    assert page.status == 200 and page.commands()[0] == command and page.commands()[1] == "true"
    answer = site.post("/jobs/new/", data=form)
    job = Job.objects.get()
    assert (answer.status_code, answer.headers["location"]) == (302, f"/jobs/{job.pk}/")
    assert job.plan_hash == form["plan_hash"] and job.created_by == "ada"
    assert job.plan["stages"][0]["lanes"][0]["steps"][0]["action"]["command"] == command


def test_a_form_that_is_sent_twice_launches_one_job(site):
    _, form = draft(site)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: site.post("/jobs/new/", data=form), range(4)))
    job = Job.objects.get()
    assert {answer.headers["location"] for answer in answers} == {f"/jobs/{job.pk}/"}
    # Back, and the same form again after the job's own world has changed: still the one job.
    Machine.objects.update(state=Machine.State.BLOCKED)
    assert site.post("/jobs/new/", data=form).headers["location"] == f"/jobs/{job.pk}/"


def test_a_plan_that_has_changed_is_not_run_but_shown_anew(site):
    _, form = draft(site)
    page = Page(site.post("/jobs/new/", data={**form, "params.command": "echo other"}))
    assert page.status == 422 and "The plan has changed since it was shown; nothing was started." in page.text
    assert page.commands()[0] == "echo other" and page.hidden()["plan_hash"] != form["plan_hash"]
    assert not Job.objects.exists()
    again = site.post("/jobs/new/", data={**form, "params.command": "echo other", **page.hidden()})
    assert again.status_code == 302 and Job.objects.count() == 1


def test_without_the_hash_of_a_plan_nothing_runs(site):
    _, form = draft(site)
    del form["plan_hash"]
    assert site.post("/jobs/new/", data=form).status_code == 422 and not Job.objects.exists()


def test_a_mend_button_leads_to_the_plan_of_what_it_would_do(site):
    query = "kind=command&machine=host-1&params.command=echo+mend"
    assert Page(site.get(f"/jobs/new/?{query}")).commands()[0] == "echo mend"


def test_what_blocks_has_its_mend_and_no_way_to_run(site, machine):
    facts = {"architecture": "aarch64", "kernel": "4.19", "pci_npus": [["0000:01:00.0", "d801"]], "os_id": "kylin"}
    machine.facts = facts
    machine.save()
    for type, name in (("driver", "d-linux-aarch64.run"), ("firmware", "f.run")):
        Artifact.objects.create(type=type, name=name, sha256=type[0] * 64, size=1234567)
    ids = {a.type: a.pk for a in Artifact.objects.all()}
    data = {
        "kind": "install-driver",
        "machine": "host-1",
        "params.driver": ids["driver"],
        "params.firmware": ids["firmware"],
        "do": "plan",
    }
    page = Page(site.post("/jobs/new/", data=data))
    assert "The headers of kernel 4.19 are missing" in page.text
    mend = re.search(r'href="([^"]+kind=install-os-packages[^"]+)"', page.source)
    assert mend and "params.packages=kernel-devel" in html.unescape(mend[1])
    assert "Preflight blocks host-1" in page.text and 'value="run"' not in page.source
    assert "1,234,567 bytes" in page.text and "d" * 64 in page.source
    refused = Page(site.post("/jobs/new/", data={**data, "do": "run", "confirm": "host-1", **page.hidden()}))
    assert refused.status == 422 and not Job.objects.exists()


def test_a_page_wants_a_session(live_server, machine):
    answer = httpx.get(f"{live_server.url}/jobs/new/")
    assert answer.status_code == 302 and answer.headers["location"].startswith("/login/")


def test_a_form_without_its_token_is_refused(site, live_server):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get())
    assert strict.post("/jobs/new/", {"kind": "command"}).status_code == 403


def test_the_history_is_filtered_and_says_what_hides_the_rest(site, machine, second):
    assert "No job yet" in Page(site.get("/jobs/")).text
    one = launch("command", {"command": "true"}, [machine], actor="ada")
    two = launch("command", {"command": "true"}, [machine, second], actor="bob")
    Job.objects.filter(pk=two.pk).update(state="failed")

    def shown(query: str) -> list[int]:
        return [int(n) for n in re.findall(r'href="/jobs/(\d+)/"', Page(site.get(f"/jobs/?{query}")).source)]

    assert shown("") == [two.pk, one.pk]
    assert shown("state=failed") == [two.pk] and shown("state=open") == [one.pk]
    assert shown("machine=host-2") == [two.pk] and shown("person=ada") == [one.pk]
    empty = Page(site.get("/jobs/?kind=quantize&machine=n9"))
    assert "2 jobs are hidden by kind: Quantize a model, machine: n9." in empty.text
    # A day that is none, or before or after all jobs, hides them as any other value does that nothing matches.
    assert shown("since=0026-11-30") == shown("until=9999-12-31") == [two.pk, one.pk]
    for query in ("since=soon", "until=soon", "since=9999-12-31", "until=0026-11-30", "until=0001-01-01"):
        assert "2 jobs are hidden by" in Page(site.get(f"/jobs/?{query}")).text, query


def test_pages_of_the_history_neither_skip_nor_repeat(site, machine):
    for _ in range(3):
        launch("command", {"command": "true"}, [machine], actor="ada")
    template = Job.objects.first()
    for _ in range(110):
        template.pk, template.once = None, None
        template.save(force_insert=True)
    seen: list[int] = []
    query = ""
    while True:
        page = Page(site.get(f"/jobs/{query}"))
        seen += [int(n) for n in re.findall(r'href="/jobs/(\d+)/"', page.source)]
        older = re.search(r'href="(\?[^"]*before=\d+)"', page.source)
        if not older:
            break
        query = html.unescape(older[1])
    assert seen == sorted(seen, reverse=True) and len(seen) == len(set(seen)) == 113
    newer = re.search(r'href="(\?[^"]*after=\d+)"', page.source)
    assert newer and "before=" not in newer[1]


def test_what_takes_a_service_away_asks_for_the_name_of_the_machine_that_serves(site, machine, second):
    image = Artifact.objects.create(type="image", name="i.tar", sha256="c" * 64, size=1)
    release = Release.objects.create(name="bot", version="1", image=image, smoke_text="a", smoke_label="b")
    Deployment.objects.create(machine=second, release=release, state="serving")
    page, form = draft(site, machine=["host-1", "host-2"])
    assert "Serves bot:1" in page.text and "In service now: host-2." in page.text
    refused = Page(site.post("/jobs/new/", data={**form, "confirm": "host-1"}))
    assert refused.status == 422 and refused.error("confirm") == "Type host-2 to confirm it."
    assert not Job.objects.exists()
    assert site.post("/jobs/new/", data={**form, "confirm": "host-2"}).status_code == 302

"""The pages of pipelines, as a person and a browser read them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from django.contrib.auth.models import User

from jobs.models import Job
from jobs.pipelines.models import Pipeline
from tests.console.pages import Page, sign_in
from tests.jobs.pipelines import words


@pytest.fixture
def site(live_server, machine) -> Iterator[httpx.Client]:
    words.register()
    made = sign_in(live_server.url, User.objects.create_user("ada"))
    yield made
    made.close()


def outline(site: httpx.Client, **more: str) -> tuple[Page, dict[str, str]]:
    form = {"pipeline": "chain", "params.word": "hello", "machine": "host-1", "tolerate": "0", "do": "plan", **more}
    page = Page(site.post("/pipelines/new/", data=form))
    hidden = dict(re.findall(r'name="(token|plan_hash)" value="([^"]+)"', page.source))
    return page, {**form, **hidden, "do": "start"}


def test_it_is_started_from_its_outline_once_and_shows_what_is_next_and_why_it_waits(site):
    assert "Chain" in Page(site.get("/pipelines/")).text and "No pipeline yet" in Page(site.get("/pipelines/")).text
    page, form = outline(site)
    assert page.status == 200 and page.commands() == ["true && echo hello"]
    assert "planned when its turn comes" in page.text and "word: from stage One" in page.text
    assert not Job.objects.exists()

    for _ in range(2):
        answer = site.post("/pipelines/new/", data=form)
        assert answer.status_code == 302 and answer.headers["location"] == f"/pipelines/{Pipeline.objects.get().pk}/"
    shown = Page(site.get(answer.headers["location"]))
    one, two, three = (stage.job for stage in Pipeline.objects.get().stages.order_by("position"))
    assert "The next free worker takes it." in shown.text and f"Planned when job {one.pk} has ended." in shown.text
    waiting = Page(site.get(f"/jobs/{three.pk}/"))
    assert "This job is planned when that one has ended" in waiting.text and "made when its turn comes" in waiting.text
    assert f"Comes after job {one.pk} , job {two.pk}" in waiting.text
    words.drain()
    done = Page(site.get(answer.headers["location"]))
    assert "3 of 3" in done.text and "Succeeded" in done.text and "Cancel the pipeline" not in done.text
    assert "3 of 3" in Page(site.get("/pipelines/")).text


def test_what_is_wrong_is_said_at_its_field_and_nothing_is_started(site):
    page, _ = outline(site, machine="")
    assert page.status == 422 and "Choose at least one machine." in page.text
    page, _ = outline(site, tolerate="many")
    assert page.status == 422 and page.error("tolerate") == "This value does not match the required pattern."
    page, _ = outline(site, **{"params.word": ""})
    assert page.status == 422 and "required" in page.error("p-word")
    page, form = outline(site)
    changed = Page(site.post("/pipelines/new/", data={**form, "params.word": "goodbye"}))
    assert changed.status == 422 and "The plan has changed since it was shown" in changed.text
    assert not Job.objects.exists() and not Pipeline.objects.exists()


def test_a_broken_one_goes_on_from_its_page_and_a_running_one_is_cancelled_there(site, tmp_path):
    _, form = outline(site, **{"params.second": f"test -e {tmp_path}/mended"})
    path = site.post("/pipelines/new/", data=form).headers["location"]
    words.drain()
    broken = Page(site.get(path))
    assert "Go on from Two" in broken.text and "exit code 1" in broken.text
    # Each stage that never began names the one that failed, not the one before it.
    failed = Job.objects.get(state="failed").pk
    assert broken.text.count(f"Job {failed} (word), which it needs, did not end well") == 1
    assert site.post(f"{path}retry/").status_code == 302
    assert "before it" in Page(site.get(path)).text
    asked = Page(site.get(f"{path}cancel/"))
    assert "Already done One" in asked.text and "Never begun Two, Three" in asked.text
    assert site.post(f"{path}cancel/").status_code == 302
    assert "is being stopped" in Page(site.get(path)).text
    assert not Job.objects.filter(state__in=("queued", "waiting", "running")).exists()
    assert site.get(f"{path}cancel/").headers["location"] == path and site.get(f"{path}retry/").status_code == 405


def test_it_is_aimed_at_a_label_and_says_who_that_is_now(site, machine):
    machine.labels = ["rack-7"]
    machine.save()
    query = "pipeline=chain&aim=filter&label=rack-7"
    assert "host-1" in Page(site.get(f"/jobs/new/targets/?{query}")).text
    page = Page(site.get(f"/pipelines/new/?{query}&params.word=hello"))
    assert page.commands() == ["true && echo hello"]

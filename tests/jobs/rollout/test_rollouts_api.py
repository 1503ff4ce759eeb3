from __future__ import annotations

from pathlib import Path

from django.contrib.auth.models import User

from jobs.models import Job
from tests.driven import NAME, Driven
from tests.jobs.examples import release
from tests.worker import read_facts


def test_a_rollout_is_shown_before_it_is_launched_and_only_what_was_shown_is_run(
    driven: Driven, settings, tmp_path: Path, transactional_db: None, client
):
    settings.DEPOT_DIR = tmp_path / "depot"
    read_facts(driven.fleet.enroll(NAME))
    client.force_login(User.objects.create_user("ada", is_superuser=True))
    body = {"release": release(), "machines": [NAME]}
    shown = client.post("/api/v1/rollouts/?dry_run=True", body, "application/json")
    assert (shown.status_code, Job.objects.count()) == (200, 0), shown.content
    assert [one["machine"] for one in shown.json()["machines"]] == [NAME]
    other = client.post("/api/v1/rollouts/", {**body, "plan_hash": "0" * 64}, "application/json")
    assert (other.status_code, Job.objects.count()) == (422, 0)
    agreed = {**body, "plan_hash": shown.json()["plan_hash"], "propose": True}
    made = client.post("/api/v1/rollouts/", agreed, "application/json")
    assert made.status_code == 201, made.content
    job = Job.objects.get()
    assert (job.plan_hash, job.state) == (shown.json()["plan_hash"], "proposed")

"""Workers that die between the stages of a pipeline: it goes on, and every stage is planned and started once."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from django.conf import settings

from hardware.inventory.models import Machine
from jobs.engine.reconciler import reconcile
from jobs.models import Job
from jobs.pipelines.models import Pipeline
from jobs.pipelines.services import start
from jobs.pipelines.standing import Standing
from jobs.states import JobState, StepState
from tests.faults import watch
from tests.faults.processes import start_worker
from tests.jobs.pipelines import words

KIND = "tests.jobs.pipelines.words:Word"


@pytest.fixture
def counts(tmp_path: Path) -> list[Path]:
    return [tmp_path / "first", tmp_path / "second"]


@pytest.fixture
def pipeline(machine: Machine, counts: list[Path]) -> Pipeline:
    words.register()
    first, second = (f"echo started >>{count}; sleep 0.2" for count in counts)
    return start("chain", {"word": "hello", "first": first, "second": second}, [machine], actor="ada")


def jobs_of(pipeline: Pipeline) -> list[Job]:
    return [stage.job for stage in pipeline.stages.order_by("position")]


def files_of(pid: int) -> list[str]:
    found = []
    for file in Path(f"/proc/{pid}/fd").glob("*"):
        # One may be closed between the two looks.
        with suppress(FileNotFoundError):
            found.append(os.readlink(file))
    return found


def assert_right(pipeline: Pipeline, counts: list[Path]) -> None:
    assert Standing(pipeline).state == JobState.SUCCEEDED
    assert [count.read_text() for count in counts] == ["started\n", "started\n"]
    for job in jobs_of(pipeline):
        assert job.steps.count() == 1 and job.transitions.filter(to_state="running").exists()
    assert jobs_of(pipeline)[1].transitions.filter(to_state="queued").count() == 1


def test_the_worker_that_ended_a_stage_dies_before_anybody_is_told(pipeline, counts):
    one, two, _ = jobs_of(pipeline)
    worker = start_worker(one, KIND)
    watch.until(lambda: Job.objects.get(pk=one.pk).state == JobState.SUCCEEDED)
    worker.kill()
    two.refresh_from_db()
    assert (two.state, two.plan_hash) == (JobState.WAITING, "") and two.pk in reconcile()
    words.drain()
    assert_right(pipeline, counts)


def test_the_worker_that_is_to_plan_the_next_stage_dies_before_it_can(pipeline, counts):
    one, two, _ = jobs_of(pipeline)
    assert words.drain(1) == [one.pk]
    with watch.database_locked():
        # It has the database open, and stands before its first write.
        worker = start_worker(two, KIND)
        watch.until(lambda: str(settings.DATABASES["default"]["NAME"]) in files_of(worker.pid))
        worker.kill()
    two.refresh_from_db()
    assert (two.state, two.plan_hash) == (JobState.WAITING, "") and not two.steps.exists()
    words.drain()
    assert_right(pipeline, counts)


def test_two_workers_that_find_the_next_stage_at_once_plan_and_start_it_once(pipeline, counts):
    one, two, _ = jobs_of(pipeline)
    assert words.drain(1) == [one.pk]
    workers = [start_worker(two, KIND) for _ in range(3)]
    for worker in workers:
        worker.wait(30)
    two.refresh_from_db()
    assert two.state == JobState.SUCCEEDED, two.failure
    words.drain()
    assert_right(pipeline, counts)


def test_the_worker_dies_in_the_midst_of_a_stage(pipeline, counts):
    _, two, _ = jobs_of(pipeline)
    words.drain(1)
    worker = start_worker(two, KIND)
    watch.until(lambda: two.steps.filter(state=StepState.RUNNING).exclude(boot_id="").exists())
    worker.kill()
    watch.expire(two)
    words.drain()
    assert_right(pipeline, counts)
    assert jobs_of(pipeline)[1].attempt == 2

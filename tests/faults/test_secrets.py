"""Secrets through faults: the command gets them, and the log that is put together from pieces shows none of them."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from hardware.inventory.models import Machine
from jobs.models import Job
from jobs.secrets.models import JobSecret
from jobs.services import launch
from jobs.states import JobState
from tests import secret_kind
from tests.faults import watch
from tests.faults.processes import start_worker, take_over
from tests.worker import log_of

SECRET = "correct-horse-battery"
# Half of the secret, a moment in which the worker may die, and the other half; then where it was read from.
SLOWLY = (
    'echo start >>{count}; s=$(cat "$CONSOLE_SECRETS/password"); i=0; while [ $i -lt 30 ]; do i=$((i + 1)); '
    'echo "line $i"; printf %s "${{s%-battery}}"; sleep 0.05; echo "-battery"; done; ls "$CONSOLE_SECRETS"'
)
STARS = "*" * len(SECRET)


@pytest.mark.parametrize("moment", ["before the start", "half a secret was printed", "after an exit it has not seen"])
def test_a_worker_that_is_killed_leaves_no_part_of_a_secret_in_the_log(machine: Machine, tmp_path: Path, moment: str):
    secret_kind.register()
    count = tmp_path / "count"
    params = {"command": SLOWLY.format(count=count), "password": SECRET}
    job = launch("guarded", params, [machine], actor="ada")
    worker = start_worker(job, "tests.secret_kind:Guarded")
    if moment == "before the start":
        watch.until(lambda: watch.first(job).state == "running")
    else:
        watch.until(lambda: watch.lines(job) >= 6)
    locked = moment == "after an exit it has not seen"
    with watch.database_locked() if locked else nullcontext():
        watch.until(lambda: not locked or (watch.folder(job) / "exit").exists())
        worker.kill()
    assert "battery" not in log_of(job).decode() and "horse" not in log_of(job).decode()
    watch.expire(job)
    take_over(job)
    _assert_whole(job, count)


def _assert_whole(job: Job, count: Path) -> None:
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED, job.failure
    assert count.read_text() == "start\n"
    written = "".join(f"line {number}\n{STARS}\n" for number in range(1, 31)) + "password\n"
    assert log_of(job).decode() == written
    assert not JobSecret.objects.exists() and not watch.folder(job).exists()

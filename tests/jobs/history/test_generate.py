from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from hardware.inventory.models import Machine
from jobs.models import Job
from jobs.services import launch
from jobs.states import ENDED
from tests.conventions.test_project import ROOT


@pytest.mark.django_db
def test_the_made_up_history_has_every_kind_state_and_person_in_the_order_of_time():
    call_command("generate_jobs", 2000, stdout=StringIO())
    jobs = list(Job.objects.order_by("pk"))
    assert len(jobs) == 2000 and {job.state for job in jobs} == set(map(str, ENDED))
    assert len({job.kind for job in jobs}) == 7 and len({job.created_by for job in jobs}) > 30
    times = [job.created_at for job in jobs]
    assert times == sorted(times) and (times[-1] - times[0]).days > 600
    assert all(machine.state == "retired" for machine in Machine.objects.all())
    call_command("generate_jobs", 10, stdout=StringIO())
    assert Job.objects.count() == 2010


def test_it_refuses_a_database_that_holds_real_jobs(machine):
    launch("command", {"command": "true"}, [machine], actor="ada")
    with pytest.raises(CommandError, match="holds real jobs"):
        call_command("generate_jobs", 10, stdout=StringIO())
    assert Job.objects.count() == 1
    call_command("generate_jobs", 10, anyway=True, stdout=StringIO())
    assert Job.objects.count() == 11


def test_the_measurement_makes_its_own_database_and_prints_every_filter(tmp_path):
    command = [sys.executable, "-m", "jobs.history.bench", "--jobs", "300", "--rounds", "1", "--folder", str(tmp_path)]
    environ = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=100)
    # 1 says that a figure was not held: a busy machine is no fault of the command.
    assert done.returncode in (0, 1), done.stderr
    for word in ("no filter", "kind", "person", "text", "any 7 filters", "slowest REST", "export csv: 30"):
        assert word in done.stdout, json.dumps(done.stdout)

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.postgres import Postgres


def test_a_step_is_never_begun_that_a_person_was_told_the_job_pauses_before(postgres: Postgres, tmp_path: Path):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "DATABASE_URL": postgres.url,
        "CONSOLE_VAR": str(tmp_path),
    }
    command = [sys.executable, "-m", "tests.jobs.engine.holding"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.stdout == "False True pending\n", done.stdout + done.stderr[-2000:]

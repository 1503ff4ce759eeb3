from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.postgres import Postgres


def test_workers_that_claim_at_the_same_moment_on_postgresql_lock_all_or_nothing(postgres: Postgres, tmp_path: Path):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "DATABASE_URL": postgres.url,
        "CONSOLE_VAR": str(tmp_path),
    }
    command = [sys.executable, "-m", "tests.jobs.admission.contenders", "15"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.stdout.endswith("whole\n"), done.stderr[-2000:]

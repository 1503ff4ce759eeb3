from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.postgres import Postgres


def contend(postgres: Postgres, var: Path, *arguments: str) -> None:
    """Whatever a database refuses is raised there, and its own log names who stood in whose way."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "DATABASE_URL": postgres.url,
        "CONSOLE_VAR": str(var),
    }
    command = [sys.executable, "-m", "tests.jobs.admission.contenders", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.stdout.endswith("whole\n"), done.stderr[-2000:]
    assert "deadlock" not in (postgres.folder / "log").read_text()


def test_workers_that_claim_at_the_same_moment_on_postgresql_lock_all_or_nothing(postgres: Postgres, tmp_path: Path):
    contend(postgres, tmp_path, "claiming", "15")


def test_workers_at_a_limit_that_is_being_changed_never_lock_each_other_out(postgres: Postgres, tmp_path: Path):
    contend(postgres, tmp_path, "limited", "40")

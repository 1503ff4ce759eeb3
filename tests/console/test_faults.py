"""What a reader is told when a request ends with an error of the database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.ports import free_ports
from tests.postgres import Postgres


def asked(url: str, var: Path, *arguments: str) -> list[dict[str, Any]]:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "DATABASE_URL": url,
        "CONSOLE_VAR": str(var),
    }
    command = [sys.executable, "-m", "tests.console.asking", *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=100)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_while_the_database_is_away_a_script_is_told_when_to_ask_again_and_a_person_that_nothing_is_lost(
    tmp_path: Path,
):
    rest, page = asked(f"postgresql://console@127.0.0.1:{free_ports()}/console", tmp_path, "/api/v1/jobs/", "/jobs/")
    assert (rest["status"], rest["type"], rest["retry"]) == (503, "application/problem+json", "5")
    assert json.loads(rest["text"])["code"] == "database-away"
    assert (page["status"], page["type"]) == (503, "text/html")
    assert "The database does not answer" in page["text"] and "nothing is lost" in page["text"]


def test_what_postgresql_can_not_hold_is_the_askers_fault_and_told_so(postgres: Postgres, tmp_path: Path):
    addresses = ["/api/v1/alerts/?machine=%00", "/jobs/?machine=%00", "/machines/%00/", "/groups/%00/"]
    rest, *pages = asked(postgres.url, tmp_path, "--made", *addresses)
    assert (rest["status"], json.loads(rest["text"])["code"]) == (400, "value-refused")
    assert [page["status"] for page in pages] == [400, 400, 400]
    assert all("The database takes no such value" in page["text"] for page in pages)


def test_a_console_that_finds_no_database_says_so_in_one_line_and_does_not_start(tmp_path: Path):
    port = free_ports()
    environment = {
        **os.environ,
        "DATABASE_URL": f"postgresql://console:hunter2@127.0.0.1:{port}/console",
        "CONSOLE_VAR": str(tmp_path),
        "CONSOLE_PORT": str(free_ports()),
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "up"], env=environment, capture_output=True, text=True, timeout=100
    )
    said = [line for line in done.stderr.splitlines() if line]
    assert done.returncode == 1 and len(said) == 1, done.stderr[-2000:]
    assert "The database does not answer" in said[0] and f"port {port}" in said[0] and "DATABASE_URL" in said[0]
    assert "hunter2" not in said[0]

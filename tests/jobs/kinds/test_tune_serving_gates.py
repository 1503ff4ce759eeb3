"""The kind "tune-serving" where docker is a script: what fails a gate is put back, what has changed is left alone."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hardware.inventory.models import Machine
from jobs.rollout import container
from jobs.rollout.models import Deployment, Release
from jobs.services import launch
from jobs.states import JobState
from tests.jobs.examples import facts, serving
from tests.jobs.kinds.test_install_kinds import with_facts
from tests.worker import work

DOCKER = """#!/bin/sh
echo "$*" >>{calls}
case "$*" in
*Running*) echo 'true false' ;;
*Config.Env*) echo '["SERVING_PREPROCESSING_WORKERS=1","SERVING_MAX_BATCH={batch}"]' ;;
esac
"""


class OldServer(BaseHTTPRequestHandler):
    """Of an image whose code knows no parameters: well, the right release, and silent about them."""

    def do_GET(self) -> None:
        body = json.dumps({"status": "ok", "release": "served:1"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return None


@dataclass
class Docker:
    folder: Path

    def has(self, batch: int) -> None:
        """The container was started with this largest batch."""
        script = self.folder / "docker"
        script.write_text(DOCKER.format(calls=self.folder / "calls", batch=batch))
        script.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()


@pytest.fixture
def docker(machine: Machine, settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Docker]:
    settings.DEPOT_DIR = tmp_path / "depot"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(container, "HEALTHY_WITHIN_S", 1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), OldServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    serving([with_facts(machine, facts())])
    Release.objects.update(port=server.server_port)
    made = Docker(tmp_path)
    made.has(16)
    yield made
    server.shutdown()
    server.server_close()


def test_a_server_that_does_not_take_the_parameters_is_started_with_the_old_ones_again(docker: Docker):
    job = work(launch("tune-serving", {"max_batch": "8"}, [Machine.objects.get()], actor="ada"))
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "gate-failed"), job.failure
    assert "max_batch is None" in job.failure["cause"]
    there = Deployment.objects.get()
    assert (there.state, there.overrides) == ("serving", {})
    started = [call for call in docker.calls if call.startswith("run ")]
    assert len(started) == 2
    assert "SERVING_MAX_BATCH=8 " in started[0] and "SERVING_MAX_BATCH=16 " in started[1]
    assert set(job.steps.filter(key="watch").values_list("state", flat=True)) == {"pending"}


def test_a_container_that_is_no_longer_the_one_of_the_plan_is_not_touched(docker: Docker):
    docker.has(4)
    job = work(launch("tune-serving", {"max_batch": "8"}, [Machine.objects.get()], actor="ada"))
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "command-failed")
    assert "no longer has SERVING_MAX_BATCH=16: plan again" in job.failure["cause"]
    assert {call.split()[0] for call in docker.calls} <= {"inspect", "ps", "--version"}
    assert Deployment.objects.get().state == "serving"

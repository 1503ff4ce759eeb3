"""What the collector's source reads of a machine that serves a release, over SSH, and what it makes of odd answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hardware.inventory.models import Machine
from jobs.rollout.models import Deployment, Release
from jobs.rollout.vitals import ServingVitals
from tests.jobs.examples import facts, serving
from tests.jobs.kinds.test_install_kinds import with_facts
from tests.worker import with_pool


class Engine(BaseHTTPRequestHandler):
    said = (200, b"")
    asked = ""

    def do_GET(self) -> None:
        Engine.asked = self.path
        status, body = Engine.said
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def engine(machine: Machine, settings, tmp_path) -> Iterator[type[Engine]]:
    settings.DEPOT_DIR = tmp_path / "depot"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    serving([with_facts(machine, facts())])
    Release.objects.update(port=server.server_port)
    yield Engine
    server.shutdown()
    server.server_close()


def read(machine: Machine) -> dict[str, float]:
    endpoint = machine.endpoint()
    return with_pool(lambda pool: ServingVitals().read(pool, endpoint, machine.name))


def test_what_the_engine_tells_is_taken_by_name_and_what_is_no_number_is_left_out(engine, machine: Machine):
    engine.said = (200, b'{"requests_waiting": 3.5, "out_of_memory": 0, "latency_ms": null, "max_batch": "8", "x": 1}')
    assert read(machine) == {"requests_waiting": 3.5, "out_of_memory": 0.0}
    assert engine.asked == "/v1/vitals?seconds=10"


@pytest.mark.parametrize("said", [(404, b"{}"), (200, b"no json"), (200, b"[1]"), (200, b"")])
def test_an_answer_that_tells_nothing_costs_nothing(engine, machine: Machine, said: tuple[int, bytes]):
    engine.said = said
    assert read(machine) == {}


def test_a_machine_that_serves_nothing_is_not_asked_and_one_that_does_not_answer_tells_nothing(engine, machine):
    Release.objects.update(port=1)
    assert read(machine) == {}
    Deployment.objects.all().delete()
    engine.asked = ""
    assert read(machine) == {} and engine.asked == ""

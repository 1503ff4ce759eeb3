"""The web server as ``manage.py up`` starts it, on the tests' database, with a Redis that a test may kill."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from hardware.inventory.models import Credential, Machine
from jobs.engine import checkpoints
from jobs.engine.leases import Lease, claim
from jobs.logs.logbook import append
from jobs.models import Job, JobStep
from jobs.services import launch
from jobs.states import JobState
from tests import command_kind
from tests.ports import free_ports
from tests.redis_server import Redis


@dataclass
class Web:
    port: int
    process: subprocess.Popen[bytes]
    cookie: str = ""

    def open(self, path: str, *, cookie: str | None = None, origin: str | None = None) -> ClientConnection:
        headers = {"Cookie": f"sessionid={self.cookie if cookie is None else cookie}"}
        return connect(
            f"ws://127.0.0.1:{self.port}{path}",
            additional_headers=headers,
            origin=origin or f"http://127.0.0.1:{self.port}",
            max_queue=2,
            compression=None,
        )

    def kill(self) -> None:
        """As a power cut would: the server and its worker at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def memory_kb(self) -> int:
        """Resident memory of the server and its worker."""
        listed = subprocess.run(
            ["ps", "-o", "rss=", "--ppid", str(self.process.pid), "-p", str(self.process.pid)],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        return sum(int(line) for line in listed.split())


def start_web(port: int = 0) -> Web:
    """On a free port, or on one that was used before."""
    port = port or free_ports()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "CONSOLE_VAR": str(settings.VAR_DIR),
    }
    command = [
        sys.executable, "-m", "granian", "--interface", "asginl", "--workers", "1", "--host", "127.0.0.1",
        "--port", str(port), "--log-level", "warning", "tests.console.realtime.application:application",
    ]  # fmt: skip
    root = Path(__file__).resolve().parents[3]
    process = subprocess.Popen(command, env=environment, cwd=root, start_new_session=True)
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return Web(port, process)
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, "the web server did not come up"
            time.sleep(0.1)


@pytest.fixture(scope="session")
def web_process() -> Iterator[Web]:
    made = start_web()
    yield made
    made.process.terminate()
    made.process.wait(15)


@pytest.fixture
def web(web_process: Web, redis_server: Redis, transactional_db: None) -> Web:
    """The server, and somebody who is logged in."""
    client = Client()
    client.force_login(User.objects.create_user("ada", password="a-long-test-password"))
    web_process.cookie = client.cookies["sessionid"].value
    return web_process


@dataclass
class Written:
    """A running job whose log the test writes."""

    job: Job
    step: JobStep
    lease: Lease
    size: int = 0

    def write(self, data: bytes) -> None:
        append(self.lease, self.step, f"run-{self.job.pk}", self.size, data)
        self.size += len(data)


@pytest.fixture
def written(transactional_db: None) -> Written:
    command_kind.register()
    credential = Credential.objects.create(name="lab", password="secret")
    machine = Machine.objects.create(
        name="host-1", host="127.0.0.1", port=1, credential=credential, state=Machine.State.READY, host_key="none"
    )
    job = launch("command", {"command": "true"}, [machine], actor="ada")
    lease, _ = claim(job.pk, "test")
    assert lease
    return Written(job, JobStep.objects.filter(job=job).order_by("pk")[0], lease)


def line(number: int) -> bytes:
    return f"line {number}: 量化 {'x' * 60}\n".encode()


def write_in_background(written: Written, count: int, pause: float) -> tuple[threading.Thread, bytes]:
    """Lines, one every ``pause`` seconds, then the job's end; returns what the log will be."""

    def go() -> None:
        for number in range(count):
            written.write(line(number))
            time.sleep(pause)
        checkpoints.end(written.lease, JobState.SUCCEEDED)
        connections.close_all()

    thread = threading.Thread(target=go)
    thread.start()
    return thread, b"".join(line(number) for number in range(count))


@dataclass
class Reader:
    """Reads a job's log as a page does, and checks each frame's place."""

    offset: int = 0
    log: bytearray = field(default_factory=bytearray)
    others: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False
    messages: int = 0

    def take(self, link: ClientConnection, seconds: float = 10) -> None:
        """One message."""
        self.messages += 1
        for frame in json.loads(link.recv(timeout=seconds)):
            if frame["type"] == "log":
                assert frame["offset"] == self.offset, "a gap or a repeat"
                assert frame["size"] == len(frame["text"].encode())
                self.offset += frame["size"]
                self.log += frame["text"].encode()
            elif frame["type"] == "end":
                assert frame["offset"] == self.offset
                self.ended = True
            else:
                self.others.append(frame)

    def until(self, link: ClientConnection, size: int) -> None:
        while self.offset < size:
            self.take(link)


def close_code(link: ClientConnection) -> int:
    """Reads to the close; returns its code."""
    try:
        while True:
            link.recv(timeout=10)
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        return closed.rcvd.code

"""What is measured, running: a console of its own on its own state, and machines to work on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from hardware.processes import die_with_parent

if TYPE_CHECKING:
    from hardware.inventory.models import Machine

PERSON = "bench"
# In a deployment these name the console's own modules; here they make the measured kinds known, then do the same.
_INSTEAD = {"console.celery": "console.bench.worker", "console.asgi:application": "console.bench.web:application"}


class RigFailed(Exception):
    """Something that is to be measured did not come up, or did not end in time; ``str()`` is one line."""


def until(done: Callable[[], Any], seconds: float, what: str, pause: float = 0.02) -> Any:
    """What ``done`` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := done()):
        if time.monotonic() > deadline:
            raise RigFailed(f"{what}: not within {seconds:g} s")
        time.sleep(pause)
    return found


@dataclass
class Host:
    """Machines in one process: ``rows`` are in the console's inventory, ``login`` is the key's file."""

    process: subprocess.Popen[bytes]
    folder: Path
    ports: list[int]
    host_key: str
    rows: list[Machine]

    @property
    def login(self) -> Path:
        return self.folder / "login"


@dataclass
class Rig:
    """``folder`` is the state folder. ``token`` and ``cookie`` are those of a person who is logged in."""

    folder: Path
    port: int
    token: str = ""
    cookie: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Token {self.token}"}, timeout=60
        )

    def start(self, name: str, command: list[str] | None = None) -> subprocess.Popen[bytes]:
        """Start one of the console's processes by the command line of ``manage.py up``, or another."""
        from console.supervisor.stack import commands

        given = command or [_INSTEAD.get(part, part) for part in commands()[name]]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(given, stdout=log, stderr=log, preexec_fn=die_with_parent)
        return self.processes[name]

    def stop(self, name: str) -> None:
        process = self.processes.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def worker(self) -> int:
        """A fresh ``machines`` worker that takes jobs; its process id."""
        self.stop("machines")
        process = self.start("machines")
        self.nothing(20)
        return process.pid

    def nothing(self, count: int) -> None:
        """Let the worker do jobs that do nothing, so that it is warm."""
        from jobs.models import Job
        from jobs.services import launch

        made = [launch("bench-nothing", {}, [], actor=PERSON).pk for _ in range(count)]
        until(lambda: ended(made) == count, 60, "the worker takes no jobs")
        Job.objects.filter(pk__in=made).delete()

    @contextmanager
    def machines(self, count: int, *, light: bool = False) -> Iterator[Host]:
        """Machines in the inventory, ready; they are taken out again afterwards, with their jobs."""
        from hardware.inventory.models import Credential, Machine
        from jobs.models import Job

        folder = self.folder / f"machines-{time.monotonic_ns()}"
        folder.mkdir()
        command = [sys.executable, "-W", "ignore", "-m", "console.bench.machines", str(folder), str(count)]
        process = subprocess.Popen([*command, "--light"] if light else command, preexec_fn=die_with_parent)
        try:
            manifest = folder / "machines.json"
            until(manifest.exists, 120, "the machines did not come up")
            said = json.loads(manifest.read_text())
            login = Credential.objects.create(name=folder.name, private_key=(folder / "login").read_text())
            made = [
                Machine(
                    name=f"bench-{port}", host="127.0.0.1", port=port, credential=login, state=Machine.State.READY,
                    host_key=said["host_key"],
                )
                for port in said["ports"]
            ]  # fmt: skip
            Machine.objects.bulk_create(made)
            rows = list(Machine.objects.filter(credential=login).order_by("pk"))
            yield Host(process, folder, said["ports"], said["host_key"], rows)
            Job.objects.filter(machines__credential=login).delete()
            Machine.objects.filter(credential=login).delete()
        finally:
            process.kill()
            process.wait()


def ended(jobs: list[int]) -> int:
    """How many of the jobs have ended well; raises ``RigFailed`` when one ended badly."""
    from jobs.models import Job
    from jobs.states import ENDED, JobState

    found = Job.objects.filter(pk__gte=min(jobs), pk__lte=max(jobs), state__in=ENDED)
    bad = found.exclude(state=JobState.SUCCEEDED).first()
    if bad is not None:
        raise RigFailed(f"job {bad.pk} ended {bad.state}: {bad.failure or bad.traceback}")
    return found.count()


@contextmanager
def running(folder: Path) -> Iterator[Rig]:
    """The console on ``folder``, with web server and Redis; workers are started by what measures them."""
    os.environ.update(
        CONSOLE_VAR=str(folder), CONSOLE_LOG_LEVEL="WARNING", DJANGO_SETTINGS_MODULE="console.settings",
        CONSOLE_PORT=str(_free_port()),
    )  # fmt: skip
    for name in ("REDIS_URL", "DATABASE_URL"):
        os.environ.pop(name, None)
    import django

    django.setup()
    from django.conf import settings
    from django.db import connection

    from console.bench.kinds import register
    from console.supervisor.redis import server_binary, server_command, wait_until_up
    from console.supervisor.stack import prepare

    prepare()
    register()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_plain (id integer PRIMARY KEY AUTOINCREMENT, batch varchar(40))")
    rig = Rig(folder, settings.PORT)
    rig.token, rig.cookie = _person()
    binary = server_binary()
    assert binary is not None
    try:
        rig.start("redis", server_command(binary))
        if not wait_until_up():
            raise RigFailed("Redis does not answer")
        rig.start("web")
        until(lambda: _answers(rig), 60, "the web server does not answer", 0.2)
        yield rig
    finally:
        for name in reversed(list(rig.processes)):
            rig.stop(name)


def _person() -> tuple[str, str]:
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client
    from rest_framework.authtoken.models import Token

    person = User.objects.create_superuser(PERSON)
    client = Client()
    client.force_login(person)
    return str(Token.objects.create(user=person).key), client.cookies[settings.SESSION_COOKIE_NAME].value


def _answers(rig: Rig) -> bool:
    try:
        return rig.client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

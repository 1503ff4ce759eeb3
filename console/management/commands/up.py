"""``manage.py up``: everything the console needs, under one supervisor."""

from __future__ import annotations

import fcntl
import socket
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError, call_command

from console.supervisor.children import Child, watch
from console.supervisor.redis import server_binary, server_command, wait_until_up


class Command(BaseCommand):
    help = "Start Redis (if none is configured), the web server, the workers and the scheduler; Ctrl-C ends them."

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(settings.VAR_DIR)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "up.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CommandError(f"a console already runs on {folder}; stop it first.") from None
            _require_free(settings.BIND, settings.PORT)
            call_command("migrate", verbosity=0)
            call_command("collectstatic", interactive=False, verbosity=0)
            children: list[Child] = []
            binary = server_binary()
            if binary:
                redis = Child("redis", server_command(binary))
                redis.tend()
                children.append(redis)
            if not wait_until_up():
                for child in children:
                    child.stop()
                raise CommandError("Redis does not answer; look at REDIS_URL, or at the lines above.")
            children += [Child(name, command) for name, command in _commands().items()]
            self.stdout.write(f"http://{settings.BIND}:{settings.PORT}/ · state in {folder} · Ctrl-C ends it")
            watch(children)


def _commands() -> dict[str, list[str]]:
    python = [sys.executable, "-m"]
    celery = [*python, "celery", "-A", "console.celery"]
    worker = [*celery, "worker", "--pool", "threads", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    return {
        "web": [
            *python, "granian", "--interface", "asginl", "--workers", "1", "--host", settings.BIND,
            "--port", str(settings.PORT), "--log-level", "warning", "console.asgi:application",
        ],
        # Jobs wait in the worker's event loop, not in its threads: a few threads are enough.
        "machines": [*worker, "-Q", "machines", "-c", "4", "-n", "machines@%h"],
        "compute": [*worker, "-Q", "compute", "-c", "1", "-n", "compute@%h"],
        "beat": [
            *celery, "beat", "--loglevel", "WARNING", "--pidfile", "", "--schedule", str(settings.VAR_DIR / "beat"),
        ],
    }  # fmt: skip


def _require_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise CommandError(f"port {port} of {host} is taken; set CONSOLE_PORT to a free one.") from None

"""All that the console needs, as children of one process: Redis, web server, workers, scheduler, collector."""

from __future__ import annotations

import fcntl
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import OperationalError

from console.supervisor.children import Child, stop, watch
from console.supervisor.redis import server_binary, server_command, wait_until_up
from hardware.database import is_away


@contextmanager
def state_folder() -> Iterator[Path]:
    """The state folder, for one console at a time. Raises ``CommandError`` when another one runs on it."""
    folder = Path(settings.VAR_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(f"a console already runs on {folder}; stop it first.") from None
        yield folder


def require_free(host: str, port: int, mend: str) -> None:
    """Raises ``CommandError`` with the port and the mend when something listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise CommandError(f"port {port} of {host} is taken; {mend}") from None


def prepare() -> None:
    """Bring database and static files up to date. Raises ``CommandError`` when the database does not answer."""
    try:
        call_command("migrate", verbosity=0)
    except OperationalError as wrong:
        if not is_away(wrong):
            raise
        reason = str(wrong).strip().partition("\n")[0]
        raise CommandError(f"The database does not answer ({reason}); look at DATABASE_URL and its server.") from None
    call_command("collectstatic", interactive=False, verbosity=0)


def run(
    first: dict[str, list[str]] | None = None,
    finished: Callable[[], bool] = lambda: False,
    stopping_now: Callable[[], None] = lambda: None,
    logs: Path | None = None,
) -> None:
    """Start everything and tend it until TERM, Ctrl-C or ``finished()``; ``first`` start first and stop last.

    With ``logs`` each process writes to a file of its own there, instead of to this one's output.
    """
    if logs is not None:
        logs.mkdir(exist_ok=True)

    def child(name: str, command: list[str]) -> Child:
        return Child(name, command, logs / f"{name}.log" if logs else None)

    ground = [child(name, command) for name, command in (first or {}).items()]
    binary = server_binary()
    if binary:
        ground.append(child("redis", server_command(binary)))
    for one in ground:
        one.tend()
    if not wait_until_up():
        stop(ground)
        raise CommandError("Redis does not answer; look at REDIS_URL, or at the lines above.")
    watch(ground, [child(name, command) for name, command in commands().items()], finished, stopping_now)


def commands() -> dict[str, list[str]]:
    """Name -> command line of each child but Redis."""
    python = [sys.executable, "-m"]
    celery = [*python, "celery", "--quiet", "-A", "console.celery"]
    worker = [*celery, "worker", "--pool", "threads", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    return {
        "web": [
            *python, "granian", "--interface", "asginl", "--workers", "1", "--host", settings.BIND,
            "--port", str(settings.PORT), "--log-level", "warning", "console.asgi:application",
        ],
        # Jobs wait in the worker's event loop, not in its threads: a few threads are enough.
        "machines": [*worker, "-Q", "machines", "-c", "4", "-n", "machines@%h"],
        "compute": [*worker, "-Q", "compute", "-c", "1", "-n", "compute@%h"],
        "collector": [sys.executable, str(settings.BASE_DIR / "manage.py"), "collect"],
        "beat": [
            *celery, "beat", "--loglevel", "WARNING", "--pidfile", "",
            "--scheduler", "django_celery_beat.schedulers:DatabaseScheduler",
        ],
    }  # fmt: skip

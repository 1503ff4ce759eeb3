"""``manage.py demo``: the main job end to end on a simulated fleet, driven over the console's own REST API."""

from __future__ import annotations

import json
import secrets
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import BaseCommand, CommandError
from django.core.management.base import CommandParser

from console.demo.client import Client, DemoFailed
from console.demo.ledger import Ledger, StageRow
from console.demo.story import Story
from console.supervisor import stack

MACHINES = 4
USERNAME = "admin"
READY_SECONDS = 60
STOPPED = "the demo was stopped before its end; start it again to go on."


class Command(BaseCommand):
    help = "Take four simulated machines from bare to serving the support bot, then serve until Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when the last stage has; exit 1 if one failed")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        with stack.state_folder() as state:
            folder = state / "demo"
            folder.mkdir(exist_ok=True)
            stack.require_free(settings.BIND, settings.PORT, "set CONSOLE_PORT to a free one.")
            for number in range(MACHINES):
                port = settings.FLEET_PORT + number
                stack.require_free("127.0.0.1", port, f"set CONSOLE_FLEET_PORT to the first of {MACHINES} free ones.")
            stack.prepare()
            telling = Telling(folder, _password(folder), once)
            teller = threading.Thread(target=telling.run, name="demo", daemon=True)
            teller.start()
            fleet = folder / "fleet"
            stack.run(
                {"fleet": _fleet_command(fleet)},
                finished=telling.ended.is_set,
                stopping_now=telling.stopped.set,
                logs=state / "logs",
            )
            if once and not telling.ok:
                raise CommandError(telling.failure or STOPPED)


class Telling:
    """Goes through the story's stages while the supervisor tends the processes."""

    def __init__(self, folder: Path, password: str, once: bool) -> None:
        self.folder = folder
        self.password = password
        self.once = once
        self.address = f"http://{settings.BIND}:{settings.PORT}"
        self.began = time.monotonic()
        self.ledger = Ledger.open(folder / "ledger.json")
        self.ended = threading.Event()
        self.stopped = threading.Event()
        self.ok = False
        self.failure = ""

    def run(self) -> None:
        try:
            self._tell_all()
            self.ok = True
        except DemoFailed as wrong:
            self.failure = str(wrong)
        except httpx.TransportError as wrong:
            # Ctrl-C stops the web server a moment before it stops this.
            stopped = self.stopped.wait(2)
            self.failure = STOPPED if stopped else f"The console did not answer: {wrong}."
        except Exception:
            traceback.print_exc()
            self.failure = "The demo itself is at fault; the lines above say where."
        if self.failure != STOPPED:
            self._finish()
        if self.once:
            self.ended.set()

    def _tell_all(self) -> None:
        fleet = self._wait_for_fleet()
        client = self._wait_for_console()
        self._say(f"{self.address}/ · user {USERNAME} · password {self.password}")
        story = Story(client, self.ledger, fleet, self.folder, self._say)
        story.check_addresses()
        for name, stage in story.stages():
            # The last stage asks what serves now, whatever was proved before.
            there = self.ledger.done(name) if name != "ask" else None
            if there is not None:
                self._say(f"{name}: done by an earlier start: {there.proof}")
                continue
            started = time.monotonic()
            try:
                proof = stage()
            except DemoFailed as wrong:
                self.ledger.enter(StageRow(name, 0, round(time.monotonic() - started, 1), False, str(wrong)))
                raise
            row = StageRow(name, proof.machines, round(time.monotonic() - started, 1), True, proof.text)
            self.ledger.enter(row)
            self._say(f"{name}: {row.proof} ({row.seconds:.1f} s)")

    def _finish(self) -> None:
        report = {
            "stages": [vars(row) for row in self.ledger.stages],
            "artifacts": list(self.ledger.artifacts.values()),
            **{key: value for key, value in self.ledger.figures.items() if key != "mend"},
            "simulated": True,
        }
        file = self.folder / "report.json"
        file.write_text(json.dumps(report, indent=2, ensure_ascii=False), encoding="utf-8")
        print(f"\n{'stage':<20} {'machines':>8} {'seconds':>8}  what was proved")
        for row in self.ledger.stages:
            print(f"{row.name:<20} {row.machines:>8} {row.seconds:>8.1f}  {'' if row.ok else 'FAILED: '}{row.proof}")
        print(f"\nThe machines are simulated: no figure here is an NPU figure. Report: {file}")
        if self.failure and not self.once:
            print(f"The demo did not get to its end: {self.failure}", file=sys.stderr)
        if not self.once:
            print(f"{self.address}/ · user {USERNAME} · password {self.password} · Ctrl-C ends it")
        sys.stdout.flush()

    def _wait_for_fleet(self) -> list[dict[str, Any]]:
        file = self.folder / "fleet" / "fleet.json"
        while time.monotonic() - self.began < READY_SECONDS:
            # One of an earlier start names the same machines; they may still be booting, which enrolling waits out.
            if file.exists():
                machines: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["machines"]
                return machines
            time.sleep(0.2)
        last = (Path(settings.VAR_DIR) / "logs" / "fleet.log").read_text(errors="replace").strip().splitlines()[-1:]
        raise DemoFailed(f"The simulated machines did not come up: {' '.join(last) or 'they gave no reason'}")

    def _wait_for_console(self) -> Client:
        while True:
            try:
                return Client(self.address, USERNAME, self.password, f"demo-{self.ledger.run}")
            except httpx.TransportError:
                if time.monotonic() - self.began > READY_SECONDS:
                    raise
                time.sleep(0.2)

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)


def _fleet_command(folder: Path) -> list[str]:
    return [
        sys.executable, "-m", "hardware.simulator", "--dir", str(folder), "--machines", str(MACHINES),
        "--port", str(settings.FLEET_PORT),
    ]  # fmt: skip


def _password(folder: Path) -> str:
    """Made once, for the demo's one user; kept readable by the owner alone, so that a later start can show it."""
    file = folder / "password"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(12))
    password = file.read_text().strip()
    user, _ = User.objects.get_or_create(username=USERNAME, defaults={"is_staff": True, "is_superuser": True})
    if not user.check_password(password):
        user.set_password(password)
        user.save()
    return password

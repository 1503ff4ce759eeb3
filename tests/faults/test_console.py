"""A whole console whose workers are gone for a minute, that is restarted, or that is killed with all its processes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.running import Console, start
from tests.faults import watch
from tests.sshd import Server

# Between two lines of a command. The short ones end while nobody looks.
PAUSE = 0.5
SHORT, LONG = 30, 90
HERE = "import time; print('begun', flush=True); time.sleep(1); print('{}')"


class Site:
    """A console and its jobs, looked at in its database."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.console: Console = start(
            var, DJANGO_SETTINGS_MODULE="tests.faults.whole_console", CONSOLE_LEASE_SECONDS="5"
        )
        self.counts: list[Path] = []
        # Jobs of earlier tests.
        self.earlier = 0

    def elsewhere(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "tests.faults.elsewhere", *arguments]
        done = subprocess.run(command, env=self.console.environment, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout

    def launch(self, sshd: Server, number: int) -> None:
        """Jobs on so many machines, every second one short."""
        self.earlier = self.ask("SELECT coalesce(max(id), 0) FROM jobs_job")
        self.counts = [self.var / f"count-{self.earlier}-{i}" for i in range(number)]
        commands = [watch.counting(count, self.size(i), PAUSE) for i, count in enumerate(self.counts)]
        self.elsewhere("launch", str(sshd.endpoint.port), sshd.endpoint.host_key or "", *commands)

    @staticmethod
    def size(number: int) -> int:
        return SHORT if number % 2 else LONG

    def ask(self, query: str) -> Any:
        with closing(sqlite3.connect(self.var / "console.sqlite3", timeout=30)) as link:
            return link.execute(query).fetchone()[0]

    def all_write(self) -> bool:
        return bool(self.ask(f"SELECT min(log_length) > 20 FROM jobs_job WHERE id > {self.earlier}"))

    def all_ended(self) -> bool:
        return bool(self.ask("SELECT count(*) = 0 FROM jobs_job WHERE ended_at IS NULL"))

    def look(self) -> list[dict[str, Any]]:
        return list(json.loads(self.elsewhere("look"))[self.earlier :])

    def kill(self, *names: str) -> None:
        """Those of its processes that run, by their pids."""
        children = self.console.children()
        for pid in [children[name] for name in names if name in children]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def come_up_again(self) -> None:
        self.console.process = subprocess.Popen([sys.executable, "manage.py", "up"], env=self.console.environment)

    def assert_all_whole(self) -> None:
        found = self.look()
        for number, count in enumerate(self.counts):
            whole = hashlib.sha256(watch.written(self.size(number))).hexdigest()
            job = found[number]
            assert (job["state"], job["said"], job["sha256"], job["step"]) == ("succeeded", {}, whole, whole)
            assert count.read_text() == "started\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("var"))
    yield made
    made.console.stop()


@pytest.mark.timeout(400)
def test_workers_of_both_queues_that_are_gone_for_a_minute_cost_jobs_time_and_nothing_else(
    site: Site, sshd: Server, at_once: int
):
    site.launch(sshd, at_once)
    watch.until(site.all_write, 120)
    gone_until = time.monotonic() + 60
    site.kill("machines", "compute")
    # Nobody is there to take these.
    launching = threading.Thread(target=site.elsewhere, args=("here", HERE, HERE))
    launching.start()
    while time.monotonic() < gone_until:
        # The supervisor starts them again, and they are killed again.
        site.kill("machines", "compute")
        time.sleep(0.2)
    launching.join()
    assert site.ask("SELECT count(*) FROM jobs_job WHERE kind = 'here' AND started_at IS NULL") == 2
    watch.until(site.all_ended, 150)
    site.assert_all_whole()
    assert [job["state"] for job in site.look()[at_once:]] == ["succeeded"] * 2


def restarted(site: Site) -> None:
    site.console.process.send_signal(signal.SIGINT)
    site.console.process.wait(60)


def killed(site: Site) -> None:
    children = site.console.children()
    site.console.process.kill()
    for pid in children.values():
        os.kill(pid, signal.SIGKILL)
    site.console.process.wait()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("fault", [restarted, killed])
def test_a_console_that_comes_up_again_goes_on_with_its_jobs(
    site: Site, sshd: Server, at_once: int, fault: Callable[[Site], None]
):
    site.launch(sshd, at_once)
    watch.until(site.all_write, 120)
    fault(site)
    site.come_up_again()
    watch.until(site.all_ended, 200)
    site.assert_all_whole()

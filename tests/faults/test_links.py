"""Links that are cut, that swallow what is sent, and that come back: runs go on, steps say they are out of reach."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hardware.database import on_db
from hardware.inventory.models import FactSnapshot, Machine
from hardware.ssh.command import execute
from hardware.ssh.pool import Pool
from jobs.depot.services import ingest
from jobs.models import Job
from jobs.runner import Runner
from jobs.services import cancel, launch
from jobs.states import JobState, StepState
from tests.faults import kinds, watch
from tests.sshd import Proxy

# What is swallowed is noticed after four of them.
KEEPALIVE = 0.4


@pytest.fixture(autouse=True)
def single(machine: Machine) -> None:
    kinds.register()


class Link:
    """A job at work on a machine behind a proxy."""

    def __init__(self, job: Job, pool: Pool, proxy: Proxy) -> None:
        self.job = job
        self.proxy = proxy
        self.work = asyncio.create_task(Runner(pool, "worker").run(job.pk))

    async def until(self, moment: Callable[[], object]) -> None:
        """As ``watch.until``, while the job is at work."""
        async with asyncio.timeout(watch.SECONDS):
            while not await on_db(moment):
                await asyncio.sleep(0.005)

    async def until_out_of_reach(self) -> None:
        await self.until(lambda: watch.first(self.job).state == StepState.UNREACHABLE)

    async def away_for(self, seconds: float) -> None:
        """How long the link stays as it is."""
        await asyncio.sleep(seconds)

    def fail(self, how: str) -> None:
        """``cut``: nothing gets a link; ``half-open``: nothing that is sent arrives, on old links and on new ones."""
        if how == "cut":
            self.proxy.refuse = True
            self.proxy.cut()
        else:
            self.proxy.swallow = True

    def mend(self) -> None:
        """A link comes up again; those that swallowed something are gone."""
        self.proxy.refuse = self.proxy.swallow = False
        self.proxy.cut()


def on_a_bad_link(
    machine: Machine, job: Job, scene: Callable[[Link], Awaitable[None]], keepalive: float = KEEPALIVE
) -> Job:
    """Carry the job out while ``scene`` plays; the job afterwards."""

    @asynccontextmanager
    async def linked() -> AsyncIterator[Link]:
        proxy, pool = Proxy(machine.port), Pool(keepalive, connect_timeout=1.5)
        machine.port = await proxy.start()
        await on_db(machine.save)
        # The job's steps meet a link that is up.
        await pool.connection(await on_db(machine.endpoint))
        try:
            yield Link(job, pool, proxy)
        finally:
            proxy.cut()
            proxy.server.close()
            await pool.close()

    async def go() -> None:
        async with linked() as link:
            await scene(link)
            assert await asyncio.wait_for(link.work, watch.SECONDS)

    asyncio.run(go())
    job.refresh_from_db()
    return job


@pytest.mark.parametrize("how", ["cut", "half-open"])
def test_a_run_goes_on_while_its_link_is_away_and_its_log_is_whole_at_the_end(
    machine: Machine, tmp_path: Path, how: str
):
    count, then = tmp_path / "count", tmp_path / "then"
    job = launch("command", {"command": watch.counting(count), "then": f"echo then >>{then}"}, [machine], actor="ada")

    async def scene(link: Link) -> None:
        await link.until(lambda: watch.lines(job) >= 10)
        link.fail(how)
        await link.until_out_of_reach()
        # The command ends unseen: nothing of it is lost for that.
        await link.until(lambda: (watch.folder(job) / "exit").exists())
        link.mend()

    on_a_bad_link(machine, job, scene)
    watch.assert_whole(job, count, watch.written(), attempt=1)
    assert then.read_text() == "then\n"


@pytest.mark.parametrize("noticed", ["by the keepalive", "by the command's time"])
def test_a_start_whose_answer_was_swallowed_is_found_again(
    machine: Machine, slow_shell: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noticed: str
):
    keepalive = KEEPALIVE
    if noticed == "by the command's time":
        keepalive = 60
        monkeypatch.setitem(execute.__kwdefaults__, "timeout", 1)
    count = tmp_path / "count"
    job = launch("command", {"command": watch.counting(count)}, [machine], actor="ada")

    async def scene(link: Link) -> None:
        await link.until(lambda: (watch.folder(job) / "started").exists())
        link.fail("half-open")
        await link.until_out_of_reach()
        link.mend()

    on_a_bad_link(machine, job, scene, keepalive)
    watch.assert_whole(job, count, watch.written(), attempt=1)


def test_a_step_that_is_to_begin_while_the_link_is_cut_waits_for_it(
    machine: Machine, slow_shell: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("jobs.actions.FIRST_CONTACT_SECONDS", 0.2)
    count, then = tmp_path / "count", tmp_path / "then"
    params = {"command": watch.counting(count, 1), "then": f"echo then >>{then}"}
    job = launch("command", params, [machine], actor="ada")

    async def scene(link: Link) -> None:
        await link.until(lambda: watch.first(job).state == StepState.SUCCEEDED)
        link.fail("cut")
        await link.until(lambda: job.steps.get(key="then").state == StepState.UNREACHABLE)
        await link.away_for(1)
        link.mend()

    on_a_bad_link(machine, job, scene)
    watch.assert_whole(job, count, watch.written(1), attempt=1)
    assert then.read_text() == "then\n"


def test_a_job_that_is_cancelled_while_its_link_is_cut_stops_what_runs_there(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("jobs.runner.BEAT_SECONDS", 0.2)
    late = tmp_path / "late"
    job = launch("command", {"command": f"echo up; sleep 60; touch {late}"}, [machine], actor="ada")

    async def scene(link: Link) -> None:
        await link.until(lambda: watch.lines(job))
        link.fail("cut")
        await link.until_out_of_reach()
        await on_db(cancel, job, actor="ada")
        # By then the worker knows that it is to stop.
        await link.away_for(1)
        link.mend()

    on_a_bad_link(machine, job, scene)
    assert job.state == JobState.CANCELLED and watch.first(job).exit_status is not None
    assert not late.exists()


@pytest.mark.parametrize("how", ["cut", "half-open"])
def test_a_transfer_goes_on_where_its_link_broke(settings, machine: Machine, tmp_path: Path, how: str):
    settings.DEPOT_DIR = tmp_path / "depot"
    whole = hashlib.shake_256(b"driver").digest(24_000_000)
    (tmp_path / "driver").write_bytes(whole)
    with (tmp_path / "driver").open("rb") as file:
        blob = ingest(file, name="driver.bin", type="file", actor="ada")
    there = tmp_path / "there" / "driver.bin"
    action = {"type": "send", "sha256": blob.sha256, "name": blob.name, "size": blob.size, "destination": str(there)}
    job = launch("single", {"action": action}, [machine], actor="ada")

    async def scene(link: Link) -> None:
        link.proxy.lets, link.proxy.last = [8_000_000, 8_000_000], how
        await link.until(lambda: not link.proxy.lets)
        if how == "half-open":
            await link.until_out_of_reach()
            link.mend()

    on_a_bad_link(machine, job, scene)
    assert job.state == JobState.SUCCEEDED, job.failure
    assert there.read_bytes() == whole and not Path(f"{there}.part").exists()
    assert watch.first(job).result["resumed_from"] > 8_000_000


class Service(ThreadingHTTPServer):
    """A service on the machine that is slow to give its first answer."""

    def __init__(self) -> None:
        self.asked, self.first_may_go = threading.Event(), threading.Event()
        super().__init__(("127.0.0.1", 0), Answer)


class Answer(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        if not self.server.asked.is_set():
            self.server.asked.set()
            self.server.first_may_go.wait(watch.SECONDS)
        with suppress(OSError):
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    def log_message(self, format: str, *arguments: object) -> None:
        return


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.first_may_go.set()
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize("how", ["cut", "half-open"])
def test_a_gate_is_not_failed_by_a_link_that_was_away_for_longer_than_the_gate_may_take(
    machine: Machine, service: Service, how: str
):
    action = {"type": "request", "method": "GET", "port": service.server_port, "path": "/healthz", "within_s": 1}
    job = launch("single", {"action": action}, [machine], actor="ada")

    async def scene(link: Link) -> None:
        await link.until(service.asked.is_set)
        link.fail(how)
        await link.until_out_of_reach()
        await link.away_for(1.5)
        link.mend()

    on_a_bad_link(machine, job, scene)
    assert job.state == JobState.SUCCEEDED, job.failure


@pytest.mark.parametrize("how", ["cut", "half-open"])
def test_a_probe_whose_link_breaks_in_its_midst_is_made_again(machine: Machine, how: str):
    job = launch("single", {"action": {"type": "facts"}}, [machine], actor="ada")

    async def scene(link: Link) -> None:
        link.proxy.lets, link.proxy.last = [3_000], how
        await link.until_out_of_reach()
        link.mend()

    on_a_bad_link(machine, job, scene)
    assert job.state == JobState.SUCCEEDED, job.failure
    assert FactSnapshot.objects.filter(machine=machine).count() == 1
    machine.refresh_from_db()
    assert machine.state == Machine.State.READY and machine.trouble == {}

"""Links that are cut, that swallow what is sent, and that come back: runs go on, steps say they are out of reach."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hardware.database import on_db
from hardware.inventory.models import FactSnapshot, Machine
from hardware.ssh.command import execute
from hardware.ssh.pool import Pool
from jobs.control import cancel
from jobs.depot.services import ingest
from jobs.engine.runner import Runner
from jobs.models import Job
from jobs.services import launch
from jobs.states import JobState, StepState
from tests.faults import kinds, watch
from tests.faults.service import Service
from tests.machines import make_machine
from tests.sshd import Proxy, Server

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
    count, then, gate = tmp_path / "count", tmp_path / "then", tmp_path / "gate"
    params = {"command": watch.counting(count, gate=gate), "then": f"echo then >>{then}"}
    job = launch("command", params, [machine], actor="ada")

    async def scene(link: Link) -> None:
        await link.until(lambda: watch.lines(job) >= 10)
        link.fail(how)
        await link.until_out_of_reach()
        # The command ends unseen: nothing of it is lost for that.
        gate.touch()
        await link.until(lambda: (watch.folder(job) / "exit").exists())
        link.mend()

    on_a_bad_link(machine, job, scene)
    watch.assert_whole(job, count, watch.written(), attempt=1)
    assert then.read_text() == "then\n"


@pytest.mark.timeout(300)
def test_runs_go_on_while_their_links_are_cut_for_a_minute_and_none_of_their_logs_has_a_hole(
    machine: Machine, sshd: Server, tmp_path: Path, at_once: int
):
    machines = [machine, *(make_machine(f"host-{number}", sshd) for number in range(2, at_once + 1))]
    counts = [tmp_path / f"count-{number}" for number in range(at_once)]
    # Every second one ends while nobody can see it, the others go on when their links are back.
    sizes = [60 if number % 2 else 160 for number in range(at_once)]
    jobs = [
        launch("command", {"command": watch.counting(count, size, 0.5), "timeout_s": 300}, [one], actor="ada")
        for one, count, size in zip(machines, counts, sizes, strict=True)
    ]

    async def go() -> None:
        proxy, pool = Proxy(machine.port), Pool(connect_timeout=1.5)
        port = await proxy.start()
        await on_db(lambda: Machine.objects.update(port=port))
        runner = Runner(pool, "worker")
        work = [asyncio.create_task(runner.run(job.pk)) for job in jobs]
        async with asyncio.timeout(watch.SECONDS):
            while not await on_db(lambda: all(watch.lines(job) >= 4 for job in jobs)):
                await asyncio.sleep(0.2)
        proxy.refuse = True
        proxy.cut()
        await asyncio.sleep(60)
        states = await on_db(lambda: {watch.first(job).state for job in jobs})
        assert states == {StepState.UNREACHABLE}
        proxy.refuse = False
        assert all(await asyncio.gather(*work))
        proxy.server.close()
        await pool.close()

    asyncio.run(go())
    for job, count, size in zip(jobs, counts, sizes, strict=True):
        watch.assert_whole(job, count, watch.written(size), attempt=1)


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
    monkeypatch.setattr("jobs.actions.actions.FIRST_CONTACT_SECONDS", 0.2)
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
    monkeypatch.setattr("jobs.engine.runner.BEAT_SECONDS", 0.2)
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

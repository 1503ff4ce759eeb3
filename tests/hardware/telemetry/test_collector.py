from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from hardware.inventory.models import Machine
from hardware.inventory.standing import Standing
from hardware.ssh.errors import (
    AuthenticationRefused,
    JumpHostFailed,
    SSHFailure,
    SudoNotAllowed,
    SudoPassword,
    Unreachable,
)
from hardware.telemetry.channel import MARK
from hardware.telemetry.refused import Refused, counts
from hardware.telemetry.samples import collector as sign_of_life
from hardware.telemetry.samples import history
from tests.hardware.telemetry.conftest import INTERVAL, Tool, collecting, newest, state_of, until
from tests.redis_server import Redis
from tests.sshd import Proxy, Server, serve

pytestmark = pytest.mark.usefixtures("redis_server", "tool")


class Stalling(Proxy):
    """A link on which nothing comes through any more, and nothing ends: a machine that hangs."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.flowing = asyncio.Event()
        self.flowing.set()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self.flowing.wait()
            writer.write(data)
            await writer.drain()
        writer.close()


async def test_samples_say_what_npu_smi_says_and_are_kept_for_the_hour(server: Server, enroll):
    await asyncio.to_thread(enroll, "n1", server)
    async with collecting():
        await until(lambda: len(history("n1", 60)) >= 3)
        assert sign_of_life()["machines"] == 1
    samples = history("n1", 60)
    assert [sample["at"] for sample in samples] == sorted(sample["at"] for sample in samples)
    chips = samples[0]["chips"]
    assert [chip["health"] for chip in chips] == ["OK", "Warning"]
    assert chips[0] == {
        "npu_id": 0, "chip_id": 0, "aicore_percent": 12, "temp_c": 44, "power_w": 73.4, "hbm_used_mb": 30710,
        "hbm_total_mb": 32768, "health": "OK", "ecc_errors": None, "link": None, "processes": None, "fault_codes": [],
        "process_list": None,
    }  # fmt: skip
    now = newest("n1")
    assert (now["state"], now["chips"], now["interval_s"]) == ("ok", samples[-1]["chips"], INTERVAL)


async def test_a_link_that_is_cut_is_made_again_and_a_machine_that_is_gone_is_silent(server: Server, enroll):
    proxy = Proxy(server.endpoint.port)
    machine = await asyncio.to_thread(enroll, "n1", server, await proxy.start())
    async with collecting():
        await until(lambda: newest("n1")["state"] == "ok")
        proxy.cut()
        at = newest("n1")["at"]
        assert await until(lambda: newest("n1")["at"] > at) < 3
        assert await asyncio.to_thread(state_of, machine) == Machine.State.READY
        proxy.refuse = True
        proxy.cut()
        await until(lambda: state_of(machine) == Machine.State.SILENT)
        assert machine.trouble["code"] == "ssh-unreachable"
        proxy.refuse = False
        await until(lambda: state_of(machine) == Machine.State.READY)
    proxy.cut()
    proxy.server.close()


async def test_a_machine_without_a_driver_is_said_to_be_and_is_sampled_once_it_has_one(
    server: Server, enroll, tool: Tool
):
    tool.is_missing()
    machine = await asyncio.to_thread(enroll, "bare", server)
    async with collecting():
        await until(lambda: newest("bare")["state"] == "no-driver")
        assert "no driver" in newest("bare")["said"] and history("bare", 60) == []
        assert await asyncio.to_thread(state_of, machine) == Machine.State.READY
        tool.lists_two_chips()
        await until(lambda: len(newest("bare")["chips"]) == 2)


async def test_an_npu_smi_that_hangs_ends_neither_the_watch_nor_the_machine(server: Server, enroll, tool: Tool):
    tool.does("trap '' TERM; sleep 4")
    machine = await asyncio.to_thread(enroll, "n1", server)
    async with collecting(tool_seconds=0.5):
        await until(lambda: newest("n1")["state"] == "stuck")
        assert await asyncio.to_thread(state_of, machine) == Machine.State.READY
        tool.lists_two_chips()
        await until(lambda: newest("n1")["state"] == "ok")


async def test_an_error_of_npu_smi_is_passed_on_in_words(server: Server, enroll, tool: Tool):
    tool.does("echo 'dcmi module initialize failed. ret is -8005'; exit 255")
    await asyncio.to_thread(enroll, "n1", server)
    async with collecting():
        await until(lambda: newest("n1")["state"] == "error")
        assert "-8005" in newest("n1")["said"] and "not restarted" in newest("n1")["said"]


async def test_machines_are_picked_up_when_they_come_and_left_alone_when_they_are_retired(server: Server, enroll):
    async with collecting() as collector:
        await asyncio.sleep(0.5)
        machine = await asyncio.to_thread(enroll, "late", server)
        assert await until(lambda: newest("late")["state"] == "ok") < 5
        await asyncio.to_thread(Machine.objects.filter(pk=machine.pk).update, state=Machine.State.RETIRED)
        await until(lambda: not collector.watches, 5)


async def test_a_machine_that_answers_is_not_left_silent_by_somebody_elses_failure(server: Server, enroll):
    machine = await asyncio.to_thread(enroll, "n1", server)
    async with collecting():
        await until(lambda: newest("n1")["state"] == "ok")
        trouble = {"code": "ssh-unreachable", "cause": "n1: a probe came at a bad time.", "mend": ""}
        silent = {"state": Machine.State.SILENT, "trouble": trouble}
        await asyncio.to_thread(lambda: Machine.objects.filter(pk=machine.pk).update(**silent))
        await until(lambda: state_of(machine) == Machine.State.READY)
        assert machine.trouble == {}


async def test_a_wrong_password_makes_a_machine_silent_until_it_is_corrected(server: Server, enroll):
    machine = await asyncio.to_thread(enroll, "n1", server)
    credential = machine.credential
    right, credential.password = credential.password, "wrong"
    await asyncio.to_thread(credential.save)
    async with collecting():
        await until(lambda: state_of(machine) == Machine.State.SILENT)
        assert machine.trouble["code"] == "ssh-auth-refused"
        # The next attempt of its own accord is minutes away, and the page says when.
        again_at = Standing(machine).tried_again_at
        assert again_at is not None and again_at - timezone.now() > timedelta(minutes=7)
        credential.password = right
        await asyncio.to_thread(credential.save)
        await until(lambda: state_of(machine) == Machine.State.READY)
        assert machine.trouble == {}


async def test_a_wrong_password_is_not_offered_three_times_within_a_quarter_of_an_hour() -> None:
    made, offered, now = Refused(), [0.0], 0.0
    for _attempt in range(6):
        made.another()
        assert made.again_at is not None
        now += (made.again_at - timezone.now()).total_seconds()
        offered.append(now)
    assert all(third - first > 900 for first, third in zip(offered, offered[2:], strict=False))
    assert offered[-1] - offered[-2] >= 3600 - 1
    made.over()
    made.another()
    assert made.again_at - timezone.now() < timedelta(minutes=10)


def test_what_counts_against_an_account_is_a_refusal_of_the_machine_or_of_its_jump_host() -> None:
    def behind(wrong: SSHFailure) -> SSHFailure:
        made = JumpHostFailed("n1", "its jump host gives no way on.")
        made.__cause__ = wrong
        return made

    refusal = AuthenticationRefused("gate", "it refused the login.")
    assert counts(refusal) and counts(SudoPassword("n1", "sudo refused it.")) and counts(behind(refusal))
    assert not counts(SudoNotAllowed("n1", "no.")) and not counts(behind(Unreachable("gate", "nothing answers.")))


async def test_another_host_key_blocks_the_machine(server: Server, enroll):
    machine = await asyncio.to_thread(enroll, "n1", server)
    other = await serve()
    await asyncio.to_thread(Machine.objects.filter(pk=machine.pk).update, port=other.endpoint.port)
    async with collecting() as collector:
        await until(lambda: state_of(machine) == Machine.State.BLOCKED)
        assert machine.trouble["code"] == "ssh-host-key-changed"
        assert machine.offered_key == other.endpoint.host_key
        assert machine.offered_fingerprint.startswith("SHA256:")
        await until(lambda: not collector.watches, 5)
    other.listener.close()


async def test_a_redis_that_goes_away_costs_its_time_only(server: Server, enroll, redis_server: Redis):
    await asyncio.to_thread(enroll, "n1", server)
    async with collecting():
        await until(lambda: newest("n1")["state"] == "ok")
        redis_server.kill()
        await asyncio.sleep(1)
        await asyncio.to_thread(redis_server.start)
        await until(lambda: newest("n1")["state"] == "ok")


async def test_nothing_is_left_on_the_machine_when_the_collector_ends(server: Server, enroll):
    await asyncio.to_thread(enroll, "n1", server)
    async with collecting():
        await until(lambda: newest("n1")["state"] == "ok")
        assert loops()
    await until(lambda: not loops(), 30)


def loops() -> list[str]:
    listed = subprocess.run(["ps", "-ww", "-eo", "ppid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if MARK.decode() in line and line.split()[0] == str(os.getpid())]


def test_term_ends_the_command_cleanly(transactional_db):
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "CONSOLE_VAR": str(settings.VAR_DIR)}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=root, env=environment, check=True)
    process = subprocess.Popen([sys.executable, "manage.py", "collect", "--interval", "1"], cwd=root, env=environment)
    try:
        for _ in range(100):
            if sign_of_life():
                break
            signal.sigtimedwait([], 0.1)
        assert sign_of_life() == {"at": sign_of_life()["at"], "machines": 0, "collectors": 1}
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()


def test_an_interval_that_makes_no_sense_is_said_in_one_line():
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "manage.py", "collect", "--interval", "0"], cwd=root, capture_output=True, text=True,
        env={**os.environ, "CONSOLE_VAR": str(settings.VAR_DIR)},
    )  # fmt: skip
    assert done.returncode == 1 and "--interval 0 is out of range" in done.stderr and "Traceback" not in done.stderr

"""A machine that stops answering, however it does that, and its neighbours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from console.audit.models import AuditEvent
from hardware.inventory.models import Machine
from hardware.telemetry import watch
from hardware.telemetry.samples import history, taken_at
from tests.hardware.telemetry.conftest import INTERVAL, Tool, collecting, newest, state_of, until
from tests.sshd import Proxy, Server

pytestmark = pytest.mark.usefixtures("redis_server", "tool")

# Three intervals, and what the test itself takes to see it on a busy machine.
WITHIN = 3 * INTERVAL + 0.5


def gone(proxy: Proxy) -> None:
    """Off: nothing takes a connection."""
    proxy.refuse = True
    proxy.cut()


def half_open(proxy: Proxy) -> None:
    """The link is up, and nothing comes through."""
    proxy.swallow = True


def login_stalls(proxy: Proxy) -> None:
    """It takes a connection and says nothing."""
    proxy.swallow = True
    proxy.cut()


def mend(proxy: Proxy) -> None:
    proxy.refuse = proxy.swallow = False


FAULTS: dict[str, Callable[[Proxy], None]] = {
    "gone": gone, "half-open": half_open, "login-stalls": login_stalls
}  # fmt: skip


async def test_each_is_silent_within_three_intervals_delays_nobody_and_comes_back_by_itself(server: Server, enroll):
    proxies = {name: Proxy(server.endpoint.port) for name in FAULTS}
    machines = {
        name: await asyncio.to_thread(enroll, name, server, await proxy.start()) for name, proxy in proxies.items()
    }
    await asyncio.to_thread(enroll, "well", server)
    async with collecting():
        for name in (*machines, "well"):
            await until(lambda name=name: newest(name)["state"] == "ok")
        began = time.monotonic()
        for name, fault in FAULTS.items():
            fault(proxies[name])
        for name, machine in machines.items():
            await until(lambda machine=machine: state_of(machine) == Machine.State.SILENT)
            assert time.monotonic() - began < WITHIN, name
        assert {await asyncio.to_thread(shown, name) for name in machines} == {"silent"}
        await asyncio.sleep(2 * INTERVAL)
        times = [taken_at(sample).timestamp() for sample in history("well", 60)]
        assert max(later - earlier for earlier, later in pairwise(times)) < 2 * INTERVAL
        assert times[-1] > time.time() - 2 * INTERVAL
        for proxy in proxies.values():
            mend(proxy)
        for name, machine in machines.items():
            at = newest(name)["at"]
            await until(lambda machine=machine: state_of(machine) == Machine.State.READY)
            assert machine.trouble == {}
            await until(lambda name=name, at=at: newest(name)["at"] > at)
    for proxy in proxies.values():
        proxy.cut()
        proxy.server.close()


async def test_a_collector_that_stood_still_itself_calls_no_machine_silent_for_that(
    server: Server, enroll, monkeypatch
):
    monkeypatch.setattr(watch, "PATIENCE", 6)
    proxy = Proxy(server.endpoint.port)
    machine = await asyncio.to_thread(enroll, "n1", server, await proxy.start())
    async with collecting():
        await until(lambda: len(history("n1", 60)) > 2)
        # The link is lost; then the collector is stopped, or its host asleep, for longer than a machine is waited for.
        gone(proxy)
        await asyncio.sleep(INTERVAL)
        time.sleep(10 * INTERVAL)
        await asyncio.sleep(INTERVAL)
        mend(proxy)
        at = newest("n1")["at"]
        await until(lambda: newest("n1")["at"] > at)
    assert await asyncio.to_thread(state_of, machine) == Machine.State.READY
    assert not await asyncio.to_thread(AuditEvent.objects.filter(action="machine.trouble").exists)
    proxy.cut()
    proxy.server.close()


def shown(name: str) -> str:
    """What REST says of the machine's state."""
    client = APIClient()
    client.force_authenticate(User.objects.get_or_create(username="ada")[0])
    return str(client.get(f"/api/v1/machines/{name}/").json()["state"])


async def test_an_npu_smi_that_hangs_is_said_within_three_intervals_and_its_machine_stays_ready(
    server: Server, enroll, tool: Tool
):
    proxy = Proxy(server.endpoint.port)
    machine = await asyncio.to_thread(enroll, "n1", server, await proxy.start())
    async with collecting():
        await until(lambda: len(history("n1", 60)) > 2)
        tool.does("sleep 3; exit 1")
        at = newest("n1")["at"]
        took = await until(lambda: newest("n1")["state"] == "stuck")
        # The reading before, which was under way perhaps, and the one that hangs.
        assert took < INTERVAL + WITHIN and newest("n1")["at"] > at
        assert await asyncio.to_thread(state_of, machine) == Machine.State.READY
        tool.lists_two_chips()
        await until(lambda: newest("n1")["state"] == "ok")
    proxy.cut()
    proxy.server.close()


async def test_a_machine_that_is_gone_while_its_npu_smi_hangs_is_silent_all_the_same(
    server: Server, enroll, tool: Tool
):
    proxy = Proxy(server.endpoint.port)
    machine = await asyncio.to_thread(enroll, "n1", server, await proxy.start())
    async with collecting(tool_seconds=0.5):
        await until(lambda: newest("n1")["state"] == "ok")
        tool.does("trap '' TERM; sleep 8")
        await until(lambda: newest("n1")["state"] == "stuck")
        gone(proxy)
        assert await until(lambda: state_of(machine) == Machine.State.SILENT) < WITHIN
    proxy.server.close()


async def test_a_slow_npu_smi_is_called_half_of_the_time_at_most(server: Server, enroll, tool: Tool):
    listing = tool.path.read_text().split("\n", 1)[1]
    tool.does(f"sleep 0.6\n{listing}")
    await asyncio.to_thread(enroll, "n1", server)
    async with collecting():
        await until(lambda: len(history("n1", 60)) > 2)
    now = newest("n1")
    assert now["state"] == "ok" and now["interval_s"] > 1.1
    times = [taken_at(sample).timestamp() for sample in history("n1", 60)]
    assert min(later - earlier for earlier, later in pairwise(times)) > 1.0


async def test_a_link_that_dies_while_npu_smi_takes_its_time_is_noticed_all_the_same(
    server: Server, enroll, tool: Tool
):
    proxy = Proxy(server.endpoint.port)
    machine = await asyncio.to_thread(enroll, "n1", server, await proxy.start())
    begun = tool.path.with_name("begun")
    async with collecting():
        await until(lambda: newest("n1")["state"] == "ok")
        tool.does(f"touch {begun}; sleep 3; exit 1")
        await until(begun.exists)
        await asyncio.sleep(INTERVAL / 4)
        half_open(proxy)
        assert await until(lambda: state_of(machine) == Machine.State.SILENT) < WITHIN
        assert await asyncio.to_thread(shown, "n1") == "silent"
    proxy.cut()
    proxy.server.close()

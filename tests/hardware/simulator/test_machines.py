"""What a simulated machine is, seen through the product's own code."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from hardware.inventory.facts import PROBE, Facts, read
from hardware.inventory.preflight import Need, evaluate
from hardware.ssh import runs
from hardware.ssh.command import execute
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import AuthenticationRefused, DiskFull, MachineRebooted, NoShell, SSHFailure, Unreachable
from hardware.ssh.follow import follow
from hardware.ssh.hostkeys import read_host_key
from hardware.ssh.pool import Pool
from hardware.ssh.transfer import send
from hardware.ssh.tunnel import http_request
from tests.detached import begin
from tests.fleet import Fleet

NEED = Need(packages=("dkms", "gcc", "make"), kernel_headers=True, free={"/usr/local": 2 << 30, "/var": 1 << 30})


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[Pool]:
    made = Pool(keepalive=2, connect_timeout=5)
    yield made
    await made.close()


async def facts_of(pool: Pool, endpoint: Endpoint) -> Facts:
    return read((await execute(pool, endpoint, PROBE)).stdout)


async def comes_back(pool: Pool, endpoint: Endpoint, old_boot: str) -> str:
    """The machine's new boot id."""
    async with asyncio.timeout(20):
        while True:
            try:
                now = (await execute(pool, endpoint, "cat /proc/sys/kernel/random/boot_id")).stdout.strip()
                if now != old_boot:
                    return now
            except SSHFailure:
                pass
            await asyncio.sleep(0.1)


async def test_a_bare_machine_has_the_manuals_base_configuration_and_no_driver(fleet: Fleet, pool: Pool):
    facts = await facts_of(pool, fleet.endpoint("kunpeng-04"))
    assert (facts.hostname, facts.simulated) == ("kunpeng-04", True)
    assert (facts.os_id, facts.service_pack, facts.kernel) == ("kylin", "SP2", "4.19.90-24.4.v2101.ky10.aarch64")
    assert (facts.architecture, facts.cpu.model, facts.cpu.sockets, facts.cpu.cores) == (
        "aarch64",
        "Kunpeng-920",
        2,
        128,
    )
    assert facts.cpu.max_mhz == 3000.0 and facts.memory_total == 512 * 2**30
    assert {f.mount for f in facts.filesystems} == {"/", "/data"}
    assert [(raid.level, raid.healthy) for raid in facts.raids] == [("raid5", True)] and facts.raids[0].size > 2e12
    assert [(nic.speed_mbps, nic.up) for nic in facts.nics] == [(1000, True), (25000, True)]
    assert [device for _, device in facts.pci_npus] == ["d801"] * 4
    assert (facts.npus, facts.davinci_nodes, facts.driver, facts.cann) == ((), (), None, None)
    assert facts.npu_error is not None and facts.npu_error.startswith("npu-smi-missing")
    assert facts.warnings == ()


async def test_preflight_finds_the_one_machine_without_kernel_headers(fleet: Fleet, pool: Pool):
    verdicts = {}
    for name in ("kunpeng-03", "kunpeng-04"):
        checks = evaluate(await facts_of(pool, fleet.endpoint(name)), NEED)
        verdicts[name] = [check for check in checks if check.severity != "pass"]
    assert verdicts["kunpeng-04"] == []
    [missing] = verdicts["kunpeng-03"]
    assert (missing.code, missing.severity) == ("kernel-headers", "block")
    assert missing.mend is not None and missing.mend.kind == "install-os-packages"


async def test_each_machine_offers_the_host_key_that_the_manifest_names_and_takes_its_password_only(
    fleet: Fleet, pool: Pool
):
    keys = set()
    for entry in fleet.machines:
        key = await read_host_key(str(entry["name"]), "127.0.0.1", int(entry["port"]))
        assert key.fingerprint == entry["fingerprint"]
        keys.add(key.fingerprint)
    assert len(keys) == len(fleet.machines)
    right = fleet.endpoint("kunpeng-04")
    wrong = Endpoint("kunpeng-04", right.host, right.port, "root", right.host_key, password="wrong")
    with pytest.raises(AuthenticationRefused):
        await execute(pool, wrong, "true")


async def test_machines_share_neither_processes_nor_names_nor_ports_nor_files(fleet: Fleet, pool: Pool):
    one, other = fleet.endpoint("kunpeng-01"), fleet.endpoint("kunpeng-02")
    page = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8000, bind='127.0.0.1')"
    started = await begin(pool, one, run := uuid4().hex, f'mkdir -p /tmp/www; cd /tmp/www; exec python3 -c "{page}"')
    for _ in range(50):
        try:
            status, _ = await http_request(pool, one, "GET", 8000, "/")
            break
        except Unreachable:
            await asyncio.sleep(0.1)
    assert status == 200
    with pytest.raises(Unreachable):
        await http_request(pool, other, "GET", 8000, "/")
    assert "8000" not in (await execute(pool, other, "ps ax")).stdout
    assert (await execute(pool, other, "ls /tmp/www")).exit_status != 0
    assert (await execute(pool, other, "cat /proc/sys/kernel/random/boot_id")).stdout.strip() != started.boot_id
    await runs.cancel(pool, one, run, grace=1)


async def test_a_run_outlives_its_link_and_ends_with_the_machine(fleet: Fleet, pool: Pool):
    endpoint, run, got = fleet.endpoint("kunpeng-01"), uuid4().hex, bytearray()

    async def on_chunk(offset: int, data: bytes) -> None:
        assert offset == len(got)
        got.extend(data)
        if len(got) < 40:
            pool.forget(endpoint)

    await begin(pool, endpoint, run, "i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo line $i; sleep 0.02; done; exit 7")
    done = await follow(pool, endpoint, run, after=0, on_chunk=on_chunk)
    assert done.exit_status == 7 and bytes(got) == "".join(f"line {i}\n" for i in range(1, 21)).encode()

    started = await begin(pool, endpoint, run := uuid4().hex, "sleep 600")
    await execute(pool, endpoint, "(sleep 0.2; reboot) >/dev/null 2>&1 </dev/null &")
    await comes_back(pool, endpoint, started.boot_id)
    with pytest.raises(MachineRebooted):
        await follow(pool, endpoint, run, after=0, on_chunk=on_chunk)
    assert "sleep 600" not in (await execute(pool, endpoint, "ps ax")).stdout


async def test_files_arrive_whole_and_survive_a_restart(fleet: Fleet, pool: Pool, tmp_path: Path):
    source = tmp_path / "blob"
    source.write_bytes(b"x" * 3_000_000)
    endpoint, wanted = fleet.endpoint("kunpeng-02"), hashlib.sha256(source.read_bytes()).hexdigest()
    await send(pool, endpoint, source, "/var/tmp/ascend-console/blob", sha256=wanted)
    before = (await execute(pool, endpoint, "cat /proc/sys/kernel/random/boot_id")).stdout.strip()
    await asyncio.to_thread(fleet.control, "power-cut", "kunpeng-02")
    await comes_back(pool, endpoint, before)
    assert (await send(pool, endpoint, source, "/var/tmp/ascend-console/blob", sha256=wanted)).already_there


async def test_a_small_disk_is_full_in_truth_and_leaves_nothing_behind(new_fleet, pool: Pool, tmp_path: Path):
    made = await asyncio.to_thread(lambda: new_fleet(faults=["kunpeng-01=small-disk"]))
    source, endpoint = tmp_path / "blob", made.endpoint("kunpeng-01")
    source.write_bytes(b"x" * 6_000_000)
    with pytest.raises(DiskFull, match="no space left in /var/tmp"):
        await send(pool, endpoint, source, "/var/tmp/blob", sha256=hashlib.sha256(source.read_bytes()).hexdigest())
    assert (await execute(pool, endpoint, "ls /var/tmp")).stdout == ""


async def test_a_machine_without_a_shell_says_so(new_fleet, pool: Pool):
    made = await asyncio.to_thread(lambda: new_fleet(faults=["kunpeng-01=no-shell"]))
    with pytest.raises(NoShell):
        await begin(pool, made.endpoint("kunpeng-01"), uuid4().hex, "true")


async def test_a_restarting_machine_refuses_connections_until_it_is_back(new_fleet, pool: Pool):
    made = await asyncio.to_thread(lambda: new_fleet(boot_seconds=2))
    endpoint = made.endpoint("kunpeng-01")
    before = (await execute(pool, endpoint, "cat /proc/sys/kernel/random/boot_id")).stdout.strip()
    await asyncio.to_thread(made.control, "power-cut", "kunpeng-01")
    await asyncio.sleep(0.5)
    with pytest.raises((Unreachable, SSHFailure)):
        await execute(Pool(connect_timeout=1), endpoint, "true")
    assert await comes_back(pool, endpoint, before) != before

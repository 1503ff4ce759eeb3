"""The facts of 50 machines, read and stored, and ``ansible -m setup`` on the same machines beside it.

Ansible is a tool of this measurement alone: it is installed into a virtual environment in the folder of the run, or
taken from where ``BENCH_ANSIBLE`` says. It gets its faster way (pipelining: no copying of modules) and a fork for each
machine, as the console takes as many at once.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from console.bench.figure import Figure
from console.bench.rig import Host, Rig, RigFailed

MACHINES = 50
ANSIBLE = "ansible-core==2.19.*"
FASTER, CHEAPER = 20.0, 10.0


def measure(rig: Rig, quick: bool) -> Iterator[Figure]:
    count = 10 if quick else MACHINES
    with rig.machines(count) as host:
        _ours(host)
        ours = min((_ours(host) for _ in range(1 if quick else 3)), key=lambda one: one[0])
        try:
            theirs = _theirs(host, _ansible(rig.folder))
            peer = f"ansible -m setup -f {MACHINES}, pipelining: {theirs[0]:.1f} s, {theirs[1]:.1f} s of processor"
        except RigFailed as wrong:
            theirs, peer = None, f"no peer: {wrong}"
    wall, processor = (theirs[0] / ours[0], theirs[1] / ours[1]) if theirs else (None, None)
    yield Figure(
        f"facts of {count} machines, read and stored", f"{ours[0]:.2f} s", f"{FASTER:g} x faster than the peer", peer,
        wall, None if wall is None or quick else wall >= FASTER, {"machines": count},
    )  # fmt: skip
    yield Figure(
        "the same, processor time of the console", f"{ours[1]:.2f} s", "a tenth of the peer's", peer,
        processor, None if processor is None or quick else processor >= CHEAPER,
    )  # fmt: skip
    # Here all of them share the processors of this one host; a fleet has its own.
    yield Figure(
        "the same, processor time of the machines", f"{ours[2]:.2f} s",
        peer=f"{theirs[2]:.1f} s" if theirs else peer, ratio=theirs[2] / ours[2] if theirs else None,
    )  # fmt: skip


def _ours(host: Host) -> tuple[float, float, float]:
    """Seconds, and seconds of processor here and on the machines: from no link at all to all facts in the database."""
    from hardware.inventory.models import Machine
    from hardware.inventory.services import probe_all
    from hardware.ssh.pool import Pool

    Machine.objects.filter(pk__in=[row.pk for row in host.rows]).update(facts={}, facts_at=None)

    async def go() -> int:
        pool = Pool(connect_timeout=60)
        try:
            return len(await probe_all(pool, host.rows))
        finally:
            await pool.close()

    used, there, began = _processor(resource.RUSAGE_SELF), _of_machines(host), time.monotonic()
    failed = asyncio.run(go())
    took = time.monotonic() - began, _processor(resource.RUSAGE_SELF) - used, _of_machines(host) - there
    if failed or Machine.objects.filter(pk__in=[row.pk for row in host.rows], facts_at=None).exists():
        raise RigFailed(f"{failed} machines could not be probed")
    return took


def _theirs(host: Host, ansible: Path) -> tuple[float, float, float]:
    """The same of ansible, with its ssh clients."""
    known, inventory = host.folder / "known_hosts", host.folder / "hosts"
    known.write_text("".join(f"[127.0.0.1]:{port} {host.host_key}\n" for port in host.ports))
    common = (
        f"ansible_host=127.0.0.1 ansible_user=root ansible_ssh_private_key_file={host.login} "
        f"ansible_python_interpreter={Path(sys.executable).resolve()} "
        f"ansible_ssh_common_args='-F none -o UserKnownHostsFile={known} -o IdentitiesOnly=yes'"
    )
    inventory.write_text("".join(f"n{port} ansible_port={port} {common}\n" for port in host.ports))
    environment = {
        **os.environ, "ANSIBLE_PIPELINING": "True", "ANSIBLE_LOCAL_TEMP": str(host.folder / "tmp"), "LC_ALL": "C.UTF-8",
        "ANSIBLE_HOME": str(host.folder / "home"), "ANSIBLE_SSH_CONTROL_PATH_DIR": "/tmp/bench-cp",
    }  # fmt: skip
    command = [
        str(ansible),
        "all",
        "-i",
        str(inventory),
        "-m",
        "setup",
        "-f",
        str(MACHINES),
        "-t",
        str(host.folder / "facts"),
    ]
    used, there, began = _processor(resource.RUSAGE_CHILDREN), _of_machines(host), time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    took = time.monotonic() - began, _processor(resource.RUSAGE_CHILDREN) - used, _of_machines(host) - there
    read = len(list((host.folder / "facts").glob("n*"))) if (host.folder / "facts").is_dir() else 0
    if done.returncode != 0 or read != len(host.ports):
        said = (done.stderr or done.stdout).strip().splitlines()
        raise RigFailed(f"ansible read {read} of {len(host.ports)} machines ({said[-1][:200] if said else 'silent'})")
    return took


def _ansible(folder: Path) -> Path:
    given = os.environ.get("BENCH_ANSIBLE")
    if given:
        return Path(given)
    own = folder / "ansible"
    try:
        subprocess.run([sys.executable, "-m", "venv", str(own)], check=True, capture_output=True)
        subprocess.run([str(own / "bin/pip"), "install", "-q", ANSIBLE], check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as wrong:
        raise RigFailed(f"{ANSIBLE} can't be installed here ({type(wrong).__name__}); set BENCH_ANSIBLE") from wrong
    return own / "bin/ansible"


def _of_machines(host: Host) -> float:
    """What the SSH servers and their sessions that have ended took of the processors."""
    parts = Path(f"/proc/{host.process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, parts[11:15])) / os.sysconf("SC_CLK_TCK")


def _processor(whose: int) -> float:
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime

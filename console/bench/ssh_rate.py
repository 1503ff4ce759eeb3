"""Jobs of one real run (``true`` on a machine), and a plain loop of ``ssh`` beside them."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator

from console.bench.figure import Figure
from console.bench.rig import PERSON, Host, Rig, ended, until

MACHINES = 20


def measure(rig: Rig, quick: bool) -> Iterator[Figure]:
    count = 40 if quick else 200
    rig.worker()
    with rig.machines(MACHINES) as host:
        _jobs(host, MACHINES)
        ours = _jobs(host, count)
        theirs = _loop(host, count) if shutil.which("ssh") else None
        ours = max(ours, _jobs(host, count))
    peer = "no ssh on this machine: no peer (apt-get install openssh-client)"
    if theirs:
        peer = f"loop of ssh (connect, run, end): {theirs:.1f}/s"
    yield Figure(
        f"jobs of one run of `true` on {MACHINES} machines",
        f"{ours:.1f}/s",
        peer=peer,
        ratio=ours / theirs if theirs else None,
        detail={"count": count},
    )


def _jobs(host: Host, count: int) -> float:
    from jobs.services import launch

    began = time.monotonic()
    made = [
        launch("bench-command", {"command": "true"}, [host.rows[n % MACHINES]], actor=PERSON).pk for n in range(count)
    ]
    until(lambda: ended(made) == count, 300, "the jobs did not end")
    return count / (time.monotonic() - began)


def _loop(host: Host, count: int) -> float:
    """``for host in ...; do ssh host true; done``"""
    known = host.folder / "known_hosts"
    known.write_text("".join(f"[127.0.0.1]:{port} {host.host_key}\n" for port in host.ports))
    began = time.monotonic()
    for n in range(count):
        command = [
            "ssh", "-F", "none", "-i", str(host.login), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes",
            "-o", "IdentitiesOnly=yes", "-p", str(host.ports[n % MACHINES]), "root@127.0.0.1", "true",
        ]  # fmt: skip
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return count / (time.monotonic() - began)

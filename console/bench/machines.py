"""``python -m console.bench.machines FOLDER COUNT [--light]``: machines to run on, SSH servers on ports of loopback.

Each has a port of its own, all share a process, a host key and a login key, and take ten sessions a link, as OpenSSH
does. Commands go to a real ``/bin/sh`` of this host. With ``--light`` no shell is started: the server itself answers
the texts of ``hardware.ssh.supervisor`` from memory. Two thousand machines have two thousand times this host's
processors, and what is measured then is the worker; USR1 ends the runs that wait.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import re
import resource
import signal
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

MAX_SESSIONS = 10
# As sshd has it, and not what this process was started with.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": os.environ.get("HOME", "/root"),
    "USER": "root",
    "SHELL": "/bin/sh",
}
BOOT_ID = "5b1f0d3e-2c55-4d0e-9d43-6d2f3a7c1e10"
_RUN = re.compile(r"/var/tmp/ascend-console/runs/([0-9a-zA-Z]+)")


class Login(asyncssh.SSHServer):
    """One link: who may log in, and how many sessions it has."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.sessions = 0

    def session_requested(self) -> asyncssh.SSHServerProcess[bytes] | bool:
        if self.sessions >= MAX_SESSIONS:
            return False
        self.sessions += 1
        return asyncssh.SSHServerProcess(self._serve, None, 3, False)

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        try:
            await (self.site.answer if self.site.light else in_a_shell)(process)
        except (asyncssh.Error, OSError):
            return
        finally:
            self.sessions -= 1


async def in_a_shell(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """What sshd does: the shell, its output, its exit status."""
    child = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", process.command or "", stdin=-1, stdout=-1, stderr=-1, start_new_session=True, env=ENVIRONMENT
    )
    await process.redirect(stdin=child.stdin)
    await asyncio.gather(_pump(child.stdout, process.stdout), _pump(child.stderr, process.stderr))
    process.exit(await child.wait())


async def _pump(source: asyncio.StreamReader | None, sink: asyncssh.SSHWriter[bytes]) -> None:
    assert source is not None
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()


@dataclass
class Site:
    """All machines of this process; ``runs`` are the light ones' runs by id, with what each prints."""

    light: bool
    runs: dict[str, bytes] = field(default_factory=dict)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """The texts of the supervisor, answered as its shell would. The command ``wait`` waits for USR1, others end."""
        text = process.command or ""
        if text == "sh -s":
            text = (await process.stdin.read()).decode()
        found = _RUN.search(text)
        run = found[1] if found else ""
        if "supervise.$$" in text:
            self.runs[run] = b"waiting\n" if "printf %s wait >" in text else b"done\n"
            process.stdout.write(f"{BOOT_ID}\n".encode())
        elif "how=attached" in text:
            process.stdout.write(f"started\n{BOOT_ID}\n".encode())
        elif "tail -c +" in text and " -f " in text:
            process.stdout.write(self._rest(run, text))
            if self.runs[run] == b"waiting\n":
                await self.released.wait()
        elif text.startswith("tail -c +"):
            process.stdout.write(self._rest(run, text))
        elif "sha256sum" in text:
            log = self.runs[run]
            process.stdout.write(f"0 {len(log)} {hashlib.sha256(log).hexdigest()}\n".encode())
        elif text.startswith("rm -rf"):
            self.runs.pop(run, None)
        process.exit(0)

    def _rest(self, run: str, text: str) -> bytes:
        after = re.search(r"tail -c \+(\d+)", text)
        return self.runs[run][int(after[1]) - 1 :] if after else b""


async def serve(folder: Path, count: int, light: bool) -> None:
    site = Site(light)
    key, login = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    login.write_private_key(str(folder / "login"))
    (folder / "login").chmod(0o600)
    login.write_public_key(str(folder / "login.pub"))
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, site.released.set)
    ports = []
    for _ in range(count):
        listener = await asyncssh.create_server(
            lambda: Login(site), "127.0.0.1", 0, server_host_keys=[key], encoding=None, line_editor=False,
            authorized_client_keys=str(folder / "login.pub"), login_timeout=120,
        )  # fmt: skip
        ports.append(listener.get_port())
    public = key.export_public_key().decode().strip()
    made = folder / "machines.json.new"
    made.write_text(json.dumps({"ports": ports, "host_key": public}))
    made.rename(folder / "machines.json")
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m console.bench.machines")
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("--light", action="store_true")
    given = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(serve(given.folder, given.count, given.light))


if __name__ == "__main__":
    main()

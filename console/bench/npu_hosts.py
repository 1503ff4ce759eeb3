"""``python -m console.bench.npu_hosts FOLDER NUMBER``: machines with eight NPUs each, answered from memory.

A process has one port, and whoever logs in there is another machine: the collector's loop is not run, its questions are
answered as its shell would, with as many bytes and in as many packets. What is measured is the collector.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import re
import resource
import time
from pathlib import Path

import asyncssh

from hardware.npu.bench import CHIPS, hbm
from hardware.telemetry.channel import MARK
from hardware.telemetry.slow import ASK

# Readings differ from one to the next, as real ones do.
VARIANTS = 200
_POWER = re.compile(r"\| (\d+\.\d) +\d+ +0    / 0 ")
_LOAD = re.compile(r"\| \d+ +0    / 0 +\d+/ 65536")


def tables() -> list[bytes]:
    """What ``npu-smi info`` prints of eight busy chips, with other figures each time."""
    draw = random.Random(1)

    def power(found: re.Match[str]) -> str:
        said = f"| {draw.uniform(80, 300):<12.1f}{draw.randrange(35, 80):<18}0    / 0 "
        return said.ljust(len(found[0]))

    def load(found: re.Match[str]) -> str:
        return f"| {draw.randrange(100):<12}0    / 0          {draw.randrange(10000, 60000)}/ 65536"

    return [_LOAD.sub(load, _POWER.sub(power, hbm())).encode() for _ in range(VARIANTS)]


def slow() -> bytes:
    """What the questions that come seldom are answered with."""
    rows = "".join(
        f"{kind} {bit} Bit {what:<27}: 0\n"
        for kind in ("DDR", "HBM")
        for what in ("Error Count", "Aggregate Total Err Cnt", "Isolated Pages Count")
        for bit in ("Single", "Double")
    )
    parts = [
        f"{ASK} df -P -k\nFilesystem 1024-blocks Used Available Capacity Mounted on\n"
        "/dev/sda2 209611776 41943040 167668736 21% /\n",
        f"{ASK} lspci -n -d 19e5:\n" + "".join(f"{n + 1:02x}:00.0 1200: 19e5:d802 (rev 20)\n" for n in range(CHIPS)),
    ]
    for card in range(CHIPS):
        parts.append(f"{ASK} npu-smi info -t ecc -i {card}\nNPU ID : {card}\nChip Count : 1\n\n{rows}Chip ID : 0\n")
        parts.append(f"{ASK} hccn_tool -i {card} -link -g\nlink status: UP\n")
    parts.append(f"{ASK} next \n")
    return "".join(parts).encode()


TABLES = itertools.cycle(tables())
SLOW = slow()


class Machine(asyncssh.SSHServerSession[bytes]):
    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self.chan = chan
        self.buffer = b""

    def exec_requested(self, command: str) -> bool:
        return True

    def data_received(self, data: bytes, datatype: int | None) -> None:
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            turn, _, what = line.partition(b" ")
            if what.startswith(b"slow"):
                self.chan.write(b"%b begin %b %.6f\n" % (MARK, turn, time.time()))
                self.chan.write(b"%b%b end %b 0\n" % (SLOW, MARK, turn))
            else:
                self.chan.write(b"%b begin %b\n" % (MARK, turn))
                self.chan.write(b"%b%b end %b 0\n" % (next(TABLES), MARK, turn))

    def eof_received(self) -> bool:
        return False


class Login(asyncssh.SSHServer):
    def session_requested(self) -> Machine:
        return Machine()


async def serve(folder: Path, number: int) -> None:
    key = asyncssh.read_private_key(str(folder / "host"))
    listener = await asyncssh.create_server(
        Login, "127.0.0.1", 0, server_host_keys=[key], encoding=None, backlog=4096, login_timeout=600,
        authorized_client_keys=str(folder / "login.pub"), keepalive_interval=0,
    )  # fmt: skip
    made = folder / f"port-{number}.new"
    made.write_text(json.dumps(listener.get_port()))
    made.rename(folder / f"port-{number}")
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m console.bench.npu_hosts")
    parser.add_argument("folder", type=Path)
    parser.add_argument("number", type=int)
    given = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(serve(given.folder, given.number))


if __name__ == "__main__":
    main()

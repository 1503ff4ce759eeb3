"""``python -m hardware.simulator --dir DIR``: the simulated fleet, in the foreground, until TERM or Ctrl-C."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections import defaultdict
from pathlib import Path

from hardware.simulator import packages
from hardware.simulator.fleet import Fleet, FleetRefused, fleet_runs
from hardware.simulator.machine import REBOOT_SIGNAL
from hardware.simulator.spec import FAULTS, FaultUnknown, Home, check_fault


def main() -> int:
    """Exit status: 0, or 2 with one line on stderr that says what is wrong and the mend."""
    parser = _parser()
    arguments = parser.parse_args()
    try:
        if arguments.command == "packages":
            for path in packages.write_all(arguments.folder):
                print(path)
        elif arguments.command == "base-image":
            importlib.import_module("hardware.simulator.base_image").write(arguments.file)
        elif arguments.command in ("reboot", "power-cut", "fault"):
            _control(arguments)
        elif arguments.dir is None:
            parser.error("--dir is missing: the folder that keeps the machines")
        else:
            Fleet(
                arguments.dir, arguments.machines, arguments.port, _faults(arguments.fault), arguments.boot_seconds
            ).run()
    except (FleetRefused, FaultUnknown) as wrong:
        print(f"hardware.simulator: {wrong}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hardware.simulator", description=__doc__)
    parser.add_argument("--dir", type=Path, help="the folder that keeps the machines; a second start boots them again")
    parser.add_argument("--machines", type=int, default=4)
    parser.add_argument("--port", type=int, default=2201, help="of the first machine; 0 takes free ones and keeps them")
    parser.add_argument("--boot-seconds", type=float, default=3.0, help="how long a machine is away when it restarts")
    faults = "; ".join(f"{name}: {what}" for name, what in FAULTS.items())
    parser.add_argument(
        "--fault", action="append", default=[], metavar="NAME=FAULT",
        help=f"what is wrong with a machine, instead of what was ('none': nothing). {faults}",
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command")
    command = commands.add_parser("packages", help="write the packages that the simulated machines take")
    command.add_argument("folder", type=Path)
    command = commands.add_parser("base-image", help="write the base image that the simulated docker takes")
    command.add_argument("file", type=Path)
    for name, what in (
        ("reboot", "restart a machine of a running fleet"),
        ("power-cut", "take a machine's power away for a moment"),
        ("fault", "set what is wrong with a machine; some faults show after its next restart"),
    ):
        command = commands.add_parser(name, help=what)
        command.add_argument("dir", type=Path)
        command.add_argument("name")
        if name == "fault":
            command.add_argument("faults", nargs="*")
    return parser


def _faults(given: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for entry in given:
        name, _, fault = entry.partition("=")
        found[name].append(fault)
    return found


def _control(arguments: argparse.Namespace) -> None:
    home = Home(arguments.dir / arguments.name)
    spec = home.load()
    if spec is None:
        raise FleetRefused(f"{arguments.dir} has no machine {arguments.name}.")
    if arguments.command == "fault":
        spec.faults = [check_fault(fault) for fault in arguments.faults if fault != "none"]
        home.store(spec)
        return
    try:
        keeper = int(home.pid.read_text())
        if not fleet_runs(arguments.dir):
            raise ProcessLookupError
        os.kill(keeper, REBOOT_SIGNAL if arguments.command == "reboot" else signal.SIGKILL)
    except (OSError, ValueError):
        raise FleetRefused(f"{arguments.name} is not up.") from None


if __name__ == "__main__":
    sys.exit(main())

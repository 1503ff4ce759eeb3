"""The `docker` command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from hardware.simulator.docker import container_commands, image_commands, running, store, text
from hardware.simulator.docker.commandline import flags
from hardware.simulator.docker.errors import Refused

VERSION = "18.09.0"
_BUILD = "simulated"


def main(arguments: list[str]) -> int:
    """Docker's exit status."""
    if not arguments or arguments[0] in ("--help", "help", "-h"):
        print(f"\nUsage:\tdocker [OPTIONS] COMMAND\n\nCommands:\n  {'  '.join(sorted(COMMANDS))}")
        return 0
    if arguments[0] in ("--version", "-v"):
        print(f"Docker version {VERSION}, build {_BUILD}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name in ("container", "image") and rest:
        name = {"ls": "images" if name == "image" else "ps", "list": "ps"}.get(rest[0], rest[0])
        name, rest = ("rmi" if arguments[0] == "image" and name == "rm" else name), rest[1:]
    command = COMMANDS.get(name)
    if command is None:
        print(f"docker: '{name}' is not a docker command.\nSee 'docker --help'", file=sys.stderr)
        return 1
    try:
        return command(rest)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return refused.status
    except BrokenPipeError:
        return 141
    except KeyboardInterrupt:
        return 130


def inspect(arguments: list[str]) -> int:
    given = flags(arguments, {"-f": "format", "--format": "format", "--type": "type", "-s": "", "--size": ""})
    found, status = [], 0
    for reference in filter(None, given.get("left", "").split("\n")):
        said = text.inspected(reference)
        if said is None:
            status = 1
            if "format" not in given:
                continue
            raise Refused(f"\nError: No such object: {reference}")
        found.append(said)
        if "format" in given:
            print(text.fill(given["format"], said))
    if "format" not in given:
        print(json.dumps(found, indent=4))
    if status:
        missing = [name for name in given["left"].split("\n") if text.inspected(name) is None]
        print("\n".join(f"Error: No such object: {name}" for name in missing), file=sys.stderr)
    return status


def version(arguments: list[str]) -> int:
    given = flags(arguments, {"-f": "format", "--format": "format"})
    part = {"Version": VERSION, "ApiVersion": "1.39", "Os": "linux", "Arch": running.ARCHITECTURE, "GitCommit": _BUILD}
    if "format" in given:
        print(text.fill(given["format"], {"Client": part, "Server": part}))
        return 0
    for side in ("Client", "Server"):
        print(f"{side}:\n Version:           {VERSION}\n API version:       1.39")
        print(f" OS/Arch:           linux/{running.ARCHITECTURE}\n Git commit:        {_BUILD}")
    return 0


def info(arguments: list[str]) -> int:
    given = flags(arguments, {"-f": "format", "--format": "format"})
    found = store.containers()
    said = {
        "Containers": len(found),
        "ContainersRunning": sum(item.running for item in found),
        "ContainersStopped": sum(not item.running for item in found),
        "Images": len(store.images()),
        "ServerVersion": VERSION,
        "Driver": "overlay2",
        "DockerRootDir": str(store.ROOT),
        "Architecture": "aarch64",
        "OSType": "linux",
        "DefaultRuntime": "runc",
    }
    if "format" in given:
        print(text.fill(given["format"], said))
        return 0
    print(
        f"Containers: {said['Containers']}\n Running: {said['ContainersRunning']}\n Paused: 0\n"
        f" Stopped: {said['ContainersStopped']}\nImages: {said['Images']}\nServer Version: {VERSION}\n"
        f"Storage Driver: overlay2\nRuntimes: runc\nDefault Runtime: runc\nOSType: linux\nArchitecture: aarch64\n"
        f"Docker Root Dir: {store.ROOT}"
    )
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "load": image_commands.load,
    "images": image_commands.images,
    "rmi": image_commands.rmi,
    "pull": image_commands.pull,
    "run": container_commands.run,
    "create": container_commands.create,
    "start": container_commands.start,
    "stop": container_commands.stop,
    "restart": container_commands.restart,
    "kill": container_commands.kill,
    "rm": container_commands.rm,
    "ps": container_commands.ps,
    "logs": container_commands.logs,
    "exec": container_commands.execute,
    "inspect": inspect,
    "version": version,
    "info": info,
    # What a machine's boot runs; no docker has it.
    "simulated-boot": container_commands.boot,
}

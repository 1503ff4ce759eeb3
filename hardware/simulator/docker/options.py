"""The command line of `docker run` and `docker create`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from hardware.simulator.docker.errors import Refused

_SHORT = {"d": "detach", "e": "env", "v": "volume", "p": "publish", "l": "label", "w": "workdir", "h": "hostname",
          "u": "user", "m": "memory", "i": "interactive", "t": "tty", "P": "publish-all"}  # fmt: skip
_SWITCHES = frozenset(
    ("detach", "interactive", "tty", "rm", "privileged", "init", "read-only", "publish-all", "no-healthcheck",
     "oom-kill-disable", "sig-proxy")
)  # fmt: skip
# Taken, and without effect here: a simulated machine has one user, its own network, and no limits.
_IGNORED = frozenset(
    ("user", "memory", "memory-swap", "cpus", "cpu-shares", "cpuset-cpus", "pids-limit", "ulimit", "log-driver",
     "log-opt", "ipc", "pid", "uts", "cgroup-parent", "cap-add", "cap-drop", "security-opt", "dns", "add-host",
     "stop-timeout", "stop-signal", "tmpfs", "group-add", "sysctl", "mac-address", "ip", "health-cmd",
     "health-interval", "health-retries", "health-timeout", "oom-score-adj", "device-cgroup-rule", "gpus")
)  # fmt: skip
_MANY = frozenset(("env", "env-file", "volume", "publish", "label", "device", "mount"))
_ONE = frozenset(("name", "restart", "network", "net", "shm-size", "workdir", "hostname", "entrypoint", "runtime"))
_RESTART = re.compile(r"no|always|unless-stopped|on-failure(:\d+)?")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_HELP = "See 'docker run --help'."


@dataclass
class RunOptions:
    """What was asked. `env` is `NAME=value`; `volumes` are source, target, mode; `nodes` host path, path inside."""

    image: str
    arguments: list[str]
    detach: bool = False
    remove: bool = False
    privileged: bool = False
    name: str = ""
    restart: str = "no"
    network: str = "default"
    hostname: str = ""
    workdir: str = ""
    entrypoint: str | None = None
    shm_size: str = "64m"
    env: list[str] = field(default_factory=list)
    volumes: list[list[str]] = field(default_factory=list)
    nodes: list[list[str]] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)


def parse(arguments: list[str]) -> RunOptions:
    """Raises Refused with docker's exit status 125."""
    one, many, left = _read(arguments)
    if not left:
        raise Refused(
            "\"docker run\" requires at least 1 argument.\nSee 'docker run --help'.\n\n"
            "Usage:  docker run [OPTIONS] IMAGE [COMMAND] [ARG...]",
            125,
        )
    restart = one.get("restart", "no")
    if not _RESTART.fullmatch(restart):
        raise Refused(f"docker: invalid restart policy '{restart}'.\n{_HELP}", 125)
    if "rm" in one and restart != "no":
        raise Refused(f"docker: Conflicting options: --restart and --rm.\n{_HELP}", 125)
    name = one.get("name", "")
    if name and not _NAME.fullmatch(name):
        raise Refused(
            f"docker: Error response from daemon: Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are "
            f"allowed.\n{_HELP}",
            125,
        )
    if one.get("runtime", "runc") != "runc":
        raise Refused(f"docker: Error response from daemon: Unknown runtime specified {one['runtime']}.\n{_HELP}", 125)
    if many["mount"]:
        raise Refused(f"docker: --mount is not simulated: use -v.\n{_HELP}", 125)
    return RunOptions(
        image=left[0],
        arguments=left[1:],
        detach="detach" in one,
        remove="rm" in one,
        privileged="privileged" in one,
        name=name,
        restart=restart,
        network=one.get("network", one.get("net", "default")),
        hostname=one.get("hostname", ""),
        workdir=one.get("workdir", ""),
        entrypoint=one.get("entrypoint"),
        shm_size=one.get("shm-size", "64m"),
        env=_env(many["env-file"], many["env"]),
        volumes=[_volume(given) for given in many["volume"]],
        nodes=[_node(given) for given in many["device"]],
        ports=[_port(given) for given in many["publish"]],
        labels=dict(given.partition("=")[::2] for given in many["label"]),
    )


def _read(arguments: list[str]) -> tuple[dict[str, str], dict[str, list[str]], list[str]]:
    one: dict[str, str] = {}
    many: dict[str, list[str]] = {name: [] for name in _MANY}
    left = list(arguments)
    while left and left[0].startswith("-") and left[0] != "-":
        word = left.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
        else:
            # Short switches may stand together: -itd, -dp 80:80.
            while len(word) > 2 and _SHORT.get(word[1]) in _SWITCHES:
                one[_SHORT[word[1]]] = "true"
                word = "-" + word[2:]
            if word[1] not in _SHORT:
                raise Refused(f"unknown shorthand flag: '{word[1]}' in {word}\n{_HELP}", 125)
            name, value = _SHORT[word[1]], word[2:].removeprefix("=")
            equals = value
        if name in _SWITCHES:
            if value.lower() != "false":
                one[name] = "true"
            continue
        if name not in _ONE | _MANY | _IGNORED:
            raise Refused(f"unknown flag: --{name}\n{_HELP}", 125)
        if not equals:
            if not left:
                raise Refused(f"flag needs an argument: --{name}\n{_HELP}", 125)
            value = left.pop(0)
        if name in _MANY:
            many[name].append(value)
        elif name in _ONE:
            one[name] = value
    return one, many, left


def _env(files: list[str], given: list[str]) -> list[str]:
    lines: list[str] = []
    for name in files:
        try:
            lines += Path(name).read_text().splitlines()
        except OSError:
            raise Refused(f"docker: open {name}: no such file or directory.\n{_HELP}", 125) from None
    wanted = [line.strip() for line in lines if line.strip() and not line.startswith("#")] + given
    # A name alone takes the caller's value, if there is one.
    return [
        item if "=" in item else f"{item}={os.environ[item]}" for item in wanted if "=" in item or item in os.environ
    ]


def _volume(given: str) -> list[str]:
    parts = given.split(":")
    if len(parts) == 1:
        raise Refused(f"docker: anonymous volumes are not simulated: {given}.\n{_HELP}", 125)
    mode = parts[2] if len(parts) > 2 else "rw"
    if len(parts) > 3 or not parts[1].startswith("/"):
        raise Refused(f"docker: Error response from daemon: invalid volume specification: '{given}'.\n{_HELP}", 125)
    return [parts[0], parts[1], "ro" if "ro" in mode.split(",") else "rw"]


def _node(given: str) -> list[str]:
    host, _, rest = given.partition(":")
    inside = rest.partition(":")[0]
    return [host, inside if inside.startswith("/") else host]


def _port(given: str) -> str:
    ports = given.partition("/")[0].split(":")[-2:]
    if not all(port.isdigit() and 0 < int(port) < 65536 for port in ports):
        raise Refused(f"docker: Invalid containerPort: {ports[-1]}.\n{_HELP}", 125)
    if len(ports) != 2 or ports[0] != ports[1]:
        raise Refused(f"docker: a port is published as itself only on a simulated machine, not {given}.\n{_HELP}", 125)
    return ports[0]

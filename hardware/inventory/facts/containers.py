"""Running containers with the NPUs that each was given, and what runs them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from hardware.inventory.facts.records import Container

_NODE = re.compile(r"/dev/davinci([0-9]{1,4})")
# Without Ascend's own runtime the variable gives a container nothing.
_PLAIN_RUNTIMES = ("", "runc", "crun", "io.containerd.runc.v2", "<no value>")
_MOST = 64
_VERSION = re.compile(r"(?:[Vv]ersion:?\s+|\sv?)v?([0-9]+(?:\.[0-9]+)+[\w.+-]*)")


def read_containers(text: str, nodes: Iterable[str]) -> tuple[Container, ...]:
    """Containers by name, from what the probe asks ``docker inspect``. ``nodes`` are the machine's device nodes."""
    there = tuple(sorted(int(match[1]) for node in nodes if (match := _NODE.fullmatch(node))))
    found: list[Container] = []
    for block in re.split(r"^container ", text, flags=re.M)[1:]:
        head, *rest = block.splitlines()
        words = head.split()
        if len(words) < 5:
            continue
        said = dict(line.partition(" ")[::2] for line in rest)
        npus = set(_devices(said.get("devices", "")))
        visible = re.search(r'"ASCEND_VISIBLE_DEVICES=([^"]*)"', said.get("env", ""))
        if visible and said.get("runtime", "").strip() not in _PLAIN_RUNTIMES:
            npus |= set(visible_devices(visible[1], there))
        identity, pid, privileged, state, name = words[:5]
        found.append(
            Container(
                name.removeprefix("/"),
                identity[:12],
                said.get("image", "").strip(),
                tuple(sorted(npus)),
                int(pid) if pid.isdigit() and int(pid[:10]) else None,
                privileged == "true",
                state,
            )
        )
    return tuple(sorted(found, key=lambda one: one.name))


def _devices(text: str) -> list[int]:
    try:
        said: Any = json.loads(text)
    except ValueError:
        return []
    paths = [str(one.get("PathOnHost")) for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    return [int(match[1]) for path in paths if (match := _NODE.fullmatch(path))]


def visible_devices(value: str, there: tuple[int, ...]) -> list[int]:
    """NPUs as ``ASCEND_VISIBLE_DEVICES`` names them: ``0-3``, ``0,1``, ``0-1,4``, ``all``; none for ``void``."""
    if value.strip().lower() == "all":
        return list(there)
    found: set[int] = set()
    for part in value.split(","):
        span = re.fullmatch(r"\s*([0-9]{1,4})(?:-([0-9]{1,4}))?\s*", part)
        if span:
            low, high = int(span[1]), int(span[2] or span[1])
            found.update(range(low, min(high, low + _MOST) + 1))
    return sorted(found)


def read_runtimes(text: str) -> dict[str, str]:
    """What runs containers, with its version: ``docker``, ``containerd``, ``isula``, ``crio``, Ascend's own runtime.

    ``default`` is the one that docker takes when nothing is said, where its configuration names one.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        word = line.split(" ", 1)[0].lower()
        if word == "default-runtime":
            found["default"] = line.split(" ", 1)[1].strip()
        elif word == "ascend-docker-runtime":
            found[word] = ""
        elif word in ("docker", "containerd", "isula", "isulad", "crio"):
            version = _VERSION.search(line)
            if version:
                found.setdefault("isula" if word == "isulad" else word, version[1].rstrip(","))
    return found

"""Docker's tables, templates and times."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from hardware.simulator.docker import store
from hardware.simulator.docker.store import Container, Image

_FIELD = re.compile(r"\{\{\s*(json\s+)?\.([\w.]*)\s*\}\}")


def fill(template: str, values: dict[str, Any]) -> str:
    """A Go template as far as it is used on command lines: fields, `json`, and the usual escapes."""

    def value(match: re.Match[str]) -> str:
        found: Any = values
        for key in filter(None, match[2].split(".")):
            found = found.get(key) if isinstance(found, dict) else None
        if match[1]:
            return json.dumps(found)
        if isinstance(found, bool):
            return str(found).lower()
        return "<no value>" if found is None else str(found)

    return _FIELD.sub(value, template.replace("\\t", "\t").replace("\\n", "\n"))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell and three blanks."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) + 3 for column in range(len(header))]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def ago(seconds: float) -> str:
    """`5 seconds`, `About a minute`, `3 hours`."""
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return f"{int(seconds)} second{'s' if int(seconds) != 1 else ''}"
    minutes = int(seconds / 60)
    if minutes < 2:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = round(minutes / 60)
    if hours < 2:
        return "About an hour"
    return f"{hours} hours" if hours < 48 else f"{hours // 24} days"


def status(container: Container) -> str:
    now = time.time()
    if container.state == "running":
        return f"Up {ago(now - container.started)}"
    if container.state == "restarting":
        return f"Restarting ({container.exit_code}) {ago(now - container.finished)} ago"
    if container.state == "exited":
        return f"Exited ({container.exit_code}) {ago(now - container.finished)} ago"
    return "Created"


def container_row(container: Container, *, whole: bool = False) -> dict[str, Any]:
    """A container as `docker ps` names its columns."""
    command = " ".join(container.command)
    return {
        "ID": container.id if whole else container.short_id,
        "Image": container.image,
        "Command": f'"{command if whole or len(command) <= 20 else command[:19] + "…"}"',
        "CreatedAt": f"{datetime.fromtimestamp(container.created, UTC):%Y-%m-%d %H:%M:%S} +0000 UTC",
        "RunningFor": f"{ago(time.time() - container.created)} ago",
        "Status": status(container),
        "State": container.state,
        "Ports": ", ".join(f"0.0.0.0:{port}->{port}/tcp" for port in container.ports),
        "Names": container.name,
        "Networks": container.network,
        "Labels": ",".join(f"{key}={value}" for key, value in container.labels.items()),
    }


def image_rows(image: Image) -> list[dict[str, Any]]:
    """An image as `docker images` names its columns, once a tag."""
    created = _seconds_since(image.created)
    rows = []
    for tag in image.tags or ["<none>:<none>"]:
        name, _, version = tag.rpartition(":")
        rows.append(
            {
                "Repository": name,
                "Tag": version,
                "ID": image.id[:12],
                "Digest": "<none>",
                "CreatedAt": image.created,
                "CreatedSince": f"{ago(created)} ago" if created is not None else "N/A",
                "Size": size(image.size),
            }
        )
    return rows


def _seconds_since(created: str) -> float | None:
    try:
        return max(0.0, time.time() - datetime.fromisoformat(created.replace("Z", "+00:00")).timestamp())
    except ValueError:
        return None


def size(count: float) -> str:
    """Decimal, three digits, as docker has it: 90.4MB."""
    unit = 0
    units = ("B", "kB", "MB", "GB", "TB")
    while count >= 1000 and unit < len(units) - 1:
        count /= 1000
        unit += 1
    return f"{count:.3g}{units[unit]}"


def inspect_container(container: Container) -> dict[str, Any]:
    """What `docker inspect` says of a container, as far as it is simulated."""
    name, _, most = container.restart.partition(":")
    return {
        "Id": container.id,
        "Created": _time(container.created),
        "Path": container.command[0],
        "Args": container.command[1:],
        "State": {
            "Status": container.state,
            "Running": container.running,
            "Paused": False,
            "Restarting": container.state == "restarting",
            "OOMKilled": False,
            "Dead": False,
            "Pid": container.pid,
            "ExitCode": container.exit_code,
            "Error": container.error,
            "StartedAt": _time(container.started),
            "FinishedAt": _time(container.finished),
        },
        "Image": f"sha256:{container.image_id}",
        "LogPath": str(container.log),
        "Name": f"/{container.name}",
        "RestartCount": container.restarts,
        "Driver": "overlay2",
        "Platform": "linux",
        "HostConfig": {
            "Binds": [":".join(volume) for volume in container.volumes],
            "NetworkMode": container.network,
            "RestartPolicy": {"Name": name, "MaximumRetryCount": int(most or 0)},
            "AutoRemove": container.auto_remove,
            "Privileged": container.privileged,
            "Runtime": "runc",
            "Devices": [
                {"PathOnHost": host, "PathInContainer": inside, "CgroupPermissions": "rwm"}
                for host, inside in container.nodes
            ],
            "PortBindings": {f"{port}/tcp": [{"HostIp": "", "HostPort": port}] for port in container.ports},
        },
        "Mounts": [
            {"Type": "bind", "Source": source, "Destination": target, "Mode": mode, "RW": mode != "ro"}
            for source, target, mode in container.volumes
        ],
        "Config": {
            "Hostname": container.hostname,
            "Env": container.env,
            "Image": container.image,
            "Labels": container.labels,
            "WorkingDir": container.workdir,
        },
    }


def inspect_image(image: Image) -> dict[str, Any]:
    """What `docker inspect` says of an image."""
    return {
        "Id": f"sha256:{image.id}",
        "RepoTags": image.tags,
        "RepoDigests": [],
        "Created": image.created,
        "Config": image.run,
        "Architecture": image.config.get("architecture", ""),
        "Os": image.config.get("os", "linux"),
        "Size": image.size,
        "RootFS": {"Type": "layers", "Layers": [f"sha256:{layer}" for layer in image.layers]},
    }


def inspected(reference: str) -> dict[str, Any] | None:
    container = store.find_container(reference)
    if container is not None:
        return inspect_container(container)
    image = store.find_image(reference)
    return inspect_image(image) if image is not None else None


def _time(at: float) -> str:
    if not at:
        return "0001-01-01T00:00:00Z"
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S.%f}000Z"

"""What docker keeps under /var/lib/docker: images, layers, containers. One lock, and files that are whole or absent."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

ROOT = Path("/var/lib/docker")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass
class Image:
    """A loaded image. `id` and `layers` are digests without `sha256:`; `layers` from the bottom up."""

    id: str
    tags: list[str]
    layers: list[str]
    config: dict[str, Any]
    size: int
    created: str = ""

    @property
    def run(self) -> dict[str, Any]:
        """What the image says about running it."""
        return dict(self.config.get("config") or {})


@dataclass
class Container:
    """A container, as its file says. `devices` are the numbers of its NPUs; `pid` is 0 while nothing runs in it."""

    name: str
    id: str
    image: str
    image_id: str
    command: list[str]
    env: list[str]
    workdir: str = "/"
    devices: list[int] = field(default_factory=list)
    nodes: list[list[str]] = field(default_factory=list)
    volumes: list[list[str]] = field(default_factory=list)
    network: str = "default"
    ports: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    hostname: str = ""
    shm_size: str = "64m"
    privileged: bool = False
    restart: str = "no"
    auto_remove: bool = False
    host_interpreter: bool = False
    state: str = "created"
    pid: int = 0
    keeper: int = 0
    exit_code: int = 0
    error: str = ""
    created: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    restarts: int = 0
    stopped_by_hand: bool = False
    boot_id: str = ""

    @property
    def short_id(self) -> str:
        return self.id[:12]

    @property
    def root(self) -> Path:
        """Its files: the image's layers, unpacked, and what it wrote."""
        return ROOT / "roots" / self.id

    @property
    def log(self) -> Path:
        return ROOT / "logs" / f"{self.id}.log"

    @property
    def running(self) -> bool:
        return self.state in ("running", "restarting")


@contextmanager
def lock() -> Iterator[None]:
    """Held for what reads and then writes."""
    ROOT.mkdir(parents=True, exist_ok=True)
    with (ROOT / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def images() -> list[Image]:
    with suppress(FileNotFoundError):
        return [Image(**entry) for entry in json.loads((ROOT / "images.json").read_text())]
    return []


def save_images(all_images: list[Image]) -> None:
    _write(ROOT / "images.json", json.dumps([asdict(image) for image in all_images]))


def find_image(reference: str) -> Image | None:
    """By name, name and tag, or the beginning of its id."""
    wanted = with_tag(reference)
    found = images()
    by_tag = next((image for image in found if wanted in image.tags), None)
    start = reference.removeprefix("sha256:")
    return by_tag or next((image for image in found if len(start) >= 4 and image.id.startswith(start)), None)


def with_tag(reference: str) -> str:
    name = reference.removeprefix("docker.io/library/").removeprefix("docker.io/")
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def blob(digest: str) -> Path:
    return ROOT / "blobs" / "sha256" / digest


def boot_id() -> str:
    return BOOT_ID.read_text().strip()


def containers() -> list[Container]:
    """All, the newest first. One whose keeper is gone, by a power cut perhaps, does not run whatever its file says."""
    known = {item.name for item in fields(Container)}
    found = []
    for path in (ROOT / "containers").glob("*.json"):
        with suppress(FileNotFoundError):
            said = json.loads(path.read_text())
            container = Container(**{key: value for key, value in said.items() if key in known})
            if container.running and not (container.boot_id == boot_id() and _alive(container.keeper)):
                container.state, container.pid, container.exit_code = "exited", 0, 137
            found.append(container)
    return sorted(found, key=lambda container: -container.created)


def find_container(reference: str) -> Container | None:
    """By name or the beginning of its id."""
    found = containers()
    by_name = next((item for item in found if item.name == reference.removeprefix("/")), None)
    return by_name or next((item for item in found if reference and item.id.startswith(reference)), None)


def save_container(container: Container) -> None:
    _write(ROOT / "containers" / f"{container.name}.json", json.dumps(asdict(container)))


def forget_container(container: Container) -> None:
    """Its files, log and record. Nothing of it may run any more."""
    shutil.rmtree(container.root, ignore_errors=True)
    container.log.unlink(missing_ok=True)
    (ROOT / "containers" / f"{container.name}.json").unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(text)
    new.replace(path)

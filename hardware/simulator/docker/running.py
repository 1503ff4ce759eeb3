"""`docker run`, `create` and `start`."""

from __future__ import annotations

import re
import secrets
import socket
import time
from pathlib import Path

from hardware.simulator.base_image import INTERPRETER_LABEL
from hardware.simulator.docker import archives, keeper, store
from hardware.simulator.docker.errors import Refused, run_refused
from hardware.simulator.docker.options import RunOptions, parse
from hardware.simulator.docker.store import Container, Image

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_WORDS = (
    ("brave", "calm", "eager", "keen", "quiet", "sharp"),
    ("curie", "gauss", "hopper", "noether", "shannon", "wu"),
)
ARCHITECTURE = "arm64"


def create(arguments: list[str]) -> tuple[Container, RunOptions]:
    """A container that has everything but a process. Raises Refused."""
    options = parse(arguments)
    image = store.find_image(options.image)
    if image is None:
        raise Refused(
            f"Unable to find image '{store.with_tag(options.image)}' locally\n"
            "docker: Error response from daemon: Get https://registry-1.docker.io/v2/: dial tcp: lookup "
            "registry-1.docker.io: Temporary failure in name resolution.\nSee 'docker run --help'.",
            125,
        )
    container = _container(options, image)
    with store.lock():
        other = store.find_container(container.name)
        if other is not None and other.name == container.name:
            raise run_refused(
                f'Conflict. The container name "/{container.name}" is already in use by container "{other.id}". You '
                "have to remove (or rename) that container to be able to reuse that name."
            )
        store.save_container(container)
    try:
        archives.unpack(image, container.root)
    except Refused:
        store.forget_container(container)
        raise
    return container, options


def _container(options: RunOptions, image: Image) -> Container:
    said = image.run
    entrypoint = said.get("Entrypoint") or []
    arguments = options.arguments or said.get("Cmd") or []
    if options.entrypoint is not None:
        entrypoint, arguments = ([options.entrypoint] if options.entrypoint else []), options.arguments
    command = [*entrypoint, *arguments]
    if not command:
        raise run_refused("No command specified.")
    identity = secrets.token_hex(32)
    hostname = options.hostname or (socket.gethostname() if options.network == "host" else identity[:12])
    # The last of a name counts.
    env = dict(
        item.partition("=")[::2]
        for item in (_PATH, f"HOSTNAME={hostname}", "HOME=/root", *(said.get("Env") or []), *options.env)
    )
    volumes = [[_source(source), target, mode] for source, target, mode in options.volumes]
    labels = said.get("Labels") or {}
    numbers = [re.fullmatch(r"/dev/davinci(\d+)", host) for host, _ in options.nodes]
    if options.privileged:
        numbers = [re.fullmatch(r"/dev/davinci(\d+)", str(path)) for path in sorted(Path("/dev").glob("davinci*"))]
    return Container(
        name=options.name or _name(),
        id=identity,
        image=options.image,
        image_id=image.id,
        command=command,
        env=[f"{key}={value}" for key, value in env.items()],
        workdir=options.workdir or said.get("WorkingDir") or "/",
        devices=[int(number[1]) for number in numbers if number],
        nodes=options.nodes,
        volumes=volumes,
        network=options.network,
        ports=[] if options.network == "host" else options.ports,
        labels={**labels, **options.labels},
        hostname=hostname,
        shm_size=options.shm_size,
        privileged=options.privileged,
        restart=options.restart,
        auto_remove=options.remove,
        host_interpreter=labels.get(INTERPRETER_LABEL) == "host" and image.config.get("architecture") == ARCHITECTURE,
        created=time.time(),
    )


def _source(given: str) -> str:
    """A path as it is; a name is a volume of docker's own."""
    return given if given.startswith("/") else str(store.ROOT / "volumes" / given / "_data")


def _name() -> str:
    return "_".join(secrets.choice(words) for words in _WORDS)


def start(container: Container) -> None:
    """Checks what only a start can know, then starts it. Raises Refused; the container stays as it was created."""
    if container.running:
        return
    for host, _ in container.nodes:
        if not Path(host).exists():
            raise run_refused(
                f'error gathering device information while adding custom device "{host}": no such file or directory.'
            )
    for port in container.ports:
        if _taken(int(port)):
            raise run_refused(
                f"driver failed programming external connectivity on endpoint {container.name} "
                f"({container.id}): Bind for 0.0.0.0:{port} failed: port is already allocated."
            )
    with store.lock():
        found = store.find_container(container.name)
        if found is None:
            raise Refused(f"Error response from daemon: No such container: {container.name}")
        found.stopped_by_hand = False
        found.restarts = 0
        store.save_container(found)
    keeper.start(found)


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return True
    return False

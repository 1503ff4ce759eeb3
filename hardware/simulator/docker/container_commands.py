"""Docker's commands about containers."""

from __future__ import annotations

import os
import sys
import time

from hardware.simulator.docker import keeper, running, store, text
from hardware.simulator.docker.commandline import each, flags, names_of, print_rows
from hardware.simulator.docker.errors import Refused, no_container
from hardware.simulator.docker.store import Container

_COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
_HEADER = ("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES")


def ps(arguments: list[str]) -> int:
    given = flags(
        arguments,
        {"--format": "format", "-q": "", "--quiet": "", "-a": "", "--all": "", "--no-trunc": "", "--filter": "filter",
         "-f": "filter", "-aq": "", "-qa": "", "-n": "last", "-l": ""},
    )  # fmt: skip
    everything = {"-a", "--all", "-aq", "-qa"} & given.keys()
    found = [item for item in store.containers() if everything or item.running]
    for condition in filter(None, given.get("filter", "").split("\n")):
        key, _, value = condition.partition("=")
        if key == "status" and not everything:
            found = store.containers()
        found = [item for item in found if _matches(item, key, value)]
    rows = [text.container_row(item, whole="--no-trunc" in given) for item in found]
    if {"-q", "--quiet", "-aq", "-qa"} & given.keys():
        print("".join(f"{row['ID']}\n" for row in rows), end="")
        return 0
    print_rows(rows, given.get("format"), _COLUMNS, _HEADER)
    return 0


def _matches(container: Container, key: str, value: str) -> bool:
    if key == "name":
        return value.strip("^$/") in container.name
    if key == "label":
        name, equals, wanted = value.partition("=")
        return name in container.labels and (not equals or container.labels[name] == wanted)
    if key == "ancestor":
        return store.with_tag(value) == store.with_tag(container.image)
    if key == "id":
        return container.id.startswith(value)
    if key == "status":
        return container.state == value
    raise Refused(f"Error response from daemon: Invalid filter '{key}'")


def run(arguments: list[str]) -> int:
    container, options = running.create(arguments)
    running.start(container)
    if options.detach:
        print(container.id, flush=True)
        return 0
    _follow(container)
    ended = store.find_container(container.name)
    return ended.exit_code if ended is not None else 0


def create(arguments: list[str]) -> int:
    print(running.create(arguments)[0].id)
    return 0


def start(arguments: list[str]) -> int:
    def one(name: str) -> None:
        found = store.find_container(name)
        if found is None:
            raise no_container(name)
        try:
            running.start(found)
        except Refused as refused:
            first = str(refused).partition("\n")[0].removeprefix("docker: ").removesuffix(".")
            raise Refused(first) from None

    status = each(names_of(arguments, "start"), one)
    if status:
        print(f"Error: failed to start containers: {' '.join(names_of(arguments, 'start'))}", file=sys.stderr)
    return status


def stop(arguments: list[str]) -> int:
    given = flags(arguments, {"-t": "time", "--time": "time"})

    def one(name: str) -> None:
        found = store.find_container(name)
        if found is None:
            raise no_container(name)
        keeper.stop(found, float(given.get("time", 10)))

    return each(names_of(given.get("left", "").split("\n"), "stop"), one)


def restart(arguments: list[str]) -> int:
    given = flags(arguments, {"-t": "time", "--time": "time"})

    def one(name: str) -> None:
        found = store.find_container(name)
        if found is None:
            raise no_container(name)
        keeper.stop(found, float(given.get("time", 10)))
        running.start(store.find_container(name) or found)

    return each(names_of(given.get("left", "").split("\n"), "restart"), one)


def kill(arguments: list[str]) -> int:
    def one(name: str) -> None:
        found = store.find_container(name)
        if found is None:
            raise no_container(name)
        if not found.running:
            raise Refused(
                f"Error response from daemon: Cannot kill container: {name}: Container {found.id} is not running"
            )
        keeper.kill(found)

    return each(names_of(arguments, "kill"), one)


def rm(arguments: list[str]) -> int:
    given = flags(arguments, {"-f": "", "--force": "", "-v": "", "--volumes": "", "-fv": "", "-vf": ""})
    force = {"-f", "--force", "-fv", "-vf"} & given.keys()

    def one(name: str) -> None:
        found = store.find_container(name)
        if found is None:
            raise no_container(name, daemon=False)
        if found.running and not force:
            raise Refused(
                f"Error response from daemon: You cannot remove a running container {found.id}. Stop the container "
                "before attempting removal or force remove"
            )
        keeper.kill(found)
        store.forget_container(found)

    return each(names_of(given.get("left", "").split("\n"), "rm"), one)


def logs(arguments: list[str]) -> int:
    given = flags(
        arguments,
        {"-f": "", "--follow": "", "--tail": "tail", "-n": "tail", "-t": "", "--timestamps": "", "--since": "since"},
    )
    [name] = names_of(given.get("left", "").split("\n"), "logs")[:1]
    container = store.find_container(name)
    if container is None:
        raise no_container(name, daemon=False)
    body = container.log.read_bytes() if container.log.exists() else b""
    tail = given.get("tail", "all")
    shown = (
        body if not tail.isdigit() else b"".join(body.splitlines(keepends=True)[-int(tail) :] if tail != "0" else [])
    )
    sys.stdout.buffer.write(shown)
    sys.stdout.buffer.flush()
    if {"-f", "--follow"} & given.keys():
        _follow(container, len(body))
    return 0


def _follow(container: Container, offset: int = 0) -> None:
    """Shows the log until nothing runs in the container."""
    while True:
        found = store.find_container(container.name)
        over = found is None or not found.running
        if container.log.exists():
            with container.log.open("rb") as stream:
                stream.seek(offset)
                body = stream.read()
            offset += len(body)
            sys.stdout.buffer.write(body)
            sys.stdout.buffer.flush()
        if over:
            return
        time.sleep(0.1)


def execute(arguments: list[str]) -> int:
    left = list(arguments)
    while left and left[0].startswith("-"):
        left.pop(0)
    if len(left) < 2:
        raise Refused("\"docker exec\" requires at least 2 arguments.\nSee 'docker exec --help'.")
    container = store.find_container(left[0])
    if container is None:
        raise no_container(left[0], daemon=False)
    if not container.pid:
        raise Refused(f"Error response from daemon: Container {container.id} is not running")
    environment = dict(item.partition("=")[::2] for item in container.env)
    os.execvpe("nsenter", ["nsenter", "-t", str(container.pid), "-m", "-r", "-w", "--", *left[1:]], environment)


def boot(arguments: list[str]) -> int:
    keeper.boot()
    return 0

"""Docker's commands about images."""

from __future__ import annotations

from pathlib import Path

from hardware.simulator.docker import archives, store, text
from hardware.simulator.docker.commandline import each, flags, names_of, print_rows
from hardware.simulator.docker.errors import Refused

_COLUMNS = ("Repository", "Tag", "ID", "CreatedSince", "Size")
_HEADER = ("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE")


def load(arguments: list[str]) -> int:
    given = flags(arguments, {"-i": "input", "--input": "input", "-q": "", "--quiet": ""})
    path = Path(given.get("input", "/dev/stdin"))
    for line in archives.load(path):
        print(line, flush=True)
    return 0


def images(arguments: list[str]) -> int:
    given = flags(
        arguments, {"--format": "format", "-q": "", "--quiet": "", "-a": "", "--no-trunc": "", "--filter": "filter"}
    )
    wanted = given.get("left", "").split("\n")[0]
    rows = [
        row
        for image in store.images()
        for row in text.image_rows(image)
        if not wanted or wanted in (row["Repository"], f"{row['Repository']}:{row['Tag']}")
    ]
    if "-q" in given or "--quiet" in given:
        print("\n".join(dict.fromkeys(row["ID"] for row in rows)))
        return 0
    print_rows(rows, given.get("format"), _COLUMNS, _HEADER)
    return 0


def rmi(arguments: list[str]) -> int:
    given = flags(arguments, {"-f": "", "--force": ""})

    def one(name: str) -> None:
        with store.lock():
            image = store.find_image(name)
            if image is None:
                raise Refused(f"Error: No such image: {name}")
            user = next((item for item in store.containers() if item.image_id == image.id), None)
            if user is not None and (user.running or "-f" not in given):
                raise Refused(
                    f'Error response from daemon: conflict: unable to remove repository reference "{name}" (must '
                    f"force) - container {user.short_id} is using its referenced image {image.id[:12]}"
                )
            tags = [store.with_tag(name)] if store.with_tag(name) in image.tags and len(image.tags) > 1 else image.tags
            for tag in list(tags):
                image.tags.remove(tag)
                print(f"Untagged: {tag}")
            kept = [item for item in store.images() if item.id != image.id]
            if image.tags:
                store.save_images([image, *kept])
                return
            store.save_images(kept)
            print(f"Deleted: sha256:{image.id}")
            used = {layer for item in kept for layer in item.layers}
            for layer in image.layers:
                if layer not in used:
                    store.blob(layer).unlink(missing_ok=True)

    return each(names_of(given.get("left", "").split("\n"), "rmi"), one, echo=False)


def pull(arguments: list[str]) -> int:
    raise Refused(
        "Error response from daemon: Get https://registry-1.docker.io/v2/: dial tcp: lookup registry-1.docker.io: "
        "Temporary failure in name resolution"
    )

"""The list of a checkpoint's shards: which file has which weight."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from jobs.conversion.errors import ConversionRefused


def read_index(path: Path) -> dict[str, str]:
    """Name of a weight -> name of the file beside `path` that has it.

    Raises `index-invalid`, and `file-missing` for a shard that is not there.
    """
    try:
        placed = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        if not placed or not all(isinstance(file, str) for file in placed.values()):
            raise TypeError("weight_map")
    except (ValueError, RecursionError) as error:
        raise _invalid(path, "is no JSON") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise _invalid(path, "has no weight_map of weights and the files that they are in") from error
    for file in sorted(set(placed.values())):
        if PurePosixPath(file).name != file or "\\" in file or "\0" in file:
            raise _invalid(path, f"names {file!r}, which is no file beside it")
        if not (path.parent / file).is_file():
            raise ConversionRefused(
                "file-missing",
                f"{path.name} in {path.parent.name} lists {file}, which is not there.",
                "Copy the folder again, all files of it.",
            )
    return dict(placed)


def _invalid(path: Path, how: str) -> ConversionRefused:
    return ConversionRefused(
        "index-invalid",
        f"{path.name} in {path.parent.name} {how}.",
        "Copy the folder again, all files of it.",
    )

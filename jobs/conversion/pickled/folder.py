"""A model folder whose weights are pickled, as one with safetensors: `unpickled`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs.conversion.decoders.shards import INDEX, SINGLE
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.files import read_start
from jobs.conversion.index import read_index
from jobs.conversion.pickled.load import Loaded, legacy, require_zip, to_safetensors
from jobs.conversion.weights import SafetensorsFile
from jobs.conversion.writing import Progress, refuse_overwriting

PICKLED_INDEX, PICKLED = "pytorch_model.bin.index.json", "pytorch_model.bin"
ENDINGS = (".pt", ".pth", ".bin")
# Pickles that lie beside the weights and are none.
OTHERS = ("training_args", "optimizer", "scheduler", "rng_state", "scaler")


@contextmanager
def unpickled(
    folder: Path, destination: Path, tell: Progress, file: Path | None = None
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder with the weights as safetensors, and what was loaded to that end; gone when the block ends.

    That is `folder` itself, and nothing, where it has safetensors; else a folder beside `destination`. `file` is the
    checkpoint that was meant, where one was. Raises ConversionRefused: `pickle-ambiguous`, `config-missing`,
    `output-is-input` and what `to_safetensors` raises.
    """
    files = [file] if file else _weights(folder)
    for path in files:
        require_zip(path)
    if not files:
        yield folder, {}
        return
    if not (folder / "config.json").is_file():
        raise ConversionRefused(
            "config-missing",
            f"{files[0].name} is a checkpoint of PyTorch, and there is no config.json beside it.",
            "Give the model folder with config.json and tokenizer.json, or a tar of it.",
        )
    refuse_overwriting(files, destination)
    scratch = destination.resolve().parent
    try:
        place = tempfile.TemporaryDirectory(prefix=".unpickled-", dir=scratch)
    except OSError as error:
        raise ConversionRefused(
            "not-writable",
            f"The checkpoint cannot be loaded in {scratch}: {error.strerror or error}.",
            "Check the folder, its rights and the free space.",
        ) from error
    with place as name:
        made = Path(name)
        # config.json and the tokenizer, and how sentence-transformers make a vector (1_Pooling/config.json).
        for path in (*folder.glob("*.json"), *folder.glob("*/config.json")):
            if path.name not in (PICKLED_INDEX, INDEX) and path.is_file():
                link = made / path.relative_to(folder)
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(path.resolve())
        loaded = _load(files, made, tell)
        yield made, {"pickled": [asdict(one) for one in loaded]}


def _load(files: list[Path], made: Path, tell: Progress) -> list[Loaded]:
    if len(files) == 1:
        tell(0.0, f"loading {files[0].name} in a process of its own")
        return [to_safetensors(files[0], made / SINGLE, tell)]
    loaded, placed = [], {}
    for index, path in enumerate(files):
        tell(0.0, f"loading {path.name} in a process of its own")
        name = f"model-{index + 1:05}-of-{len(files):05}.safetensors"
        loaded.append(to_safetensors(path, made / name, tell))
        placed.update(dict.fromkeys(SafetensorsFile(made / name), name))
    (made / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": placed}), encoding="utf-8")
    return loaded


def _weights(folder: Path) -> list[Path]:
    """The pickled files that hold the weights; none where there are safetensors, or nothing at all."""
    if (folder / SINGLE).is_file() or (folder / INDEX).is_file():
        return []
    if (folder / "pickle").is_file() and (folder / "storages").is_file():
        # A tar of torch's first years: what `opened_checkpoint` unpacked is the checkpoint itself.
        raise legacy("The tar")
    if (folder / PICKLED_INDEX).is_file():
        return _indexed(folder / PICKLED_INDEX)
    if (folder / PICKLED).is_file():
        return [folder / PICKLED]
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix in ENDINGS and not path.name.startswith(OTHERS) and path.is_file()
    )
    if len(found) > 1:
        raise ConversionRefused(
            "pickle-ambiguous",
            f"{folder.name} holds {len(found)} checkpoints: {', '.join(path.name for path in found[:5])}.",
            "Give the one that is meant as the first argument.",
        )
    return found


def _indexed(index: Path) -> list[Path]:
    names = sorted(set(read_index(index).values()))
    for name in names:
        read_start(index.parent / name)
    return [index.parent / name for name in names]

"""The base image that simulated machines run: `write(Path("base.tar"))`.

A real base image is an arm64 userland with Python, CANN and ais_bench. This one holds none of that: a stand-in for
ais_bench, what lets the machine's faults reach a server (``sitecustomize``), and a label that tells the simulated
docker to show the host's own interpreter and libraries in the container. A real docker would find nothing to execute in
it, and the label says so.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

NAME, TAG = "console/simulated-base", "1"
# What the simulated docker looks for: without it an image must bring its own interpreter, which here cannot run.
INTERPRETER_LABEL = "console.simulated.interpreter"
_PACKAGE = Path(__file__).resolve().parent / "ais_bench"
_CUSTOMIZE = _PACKAGE.with_name("sitecustomize.py")
_PYTHON = "opt/simulated/python"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_ABOUT = (
    "Base image for simulated machines only: it holds a stand-in for ais_bench and no interpreter.\n"
    "The simulated docker shows the host's Python in the container.\n"
)


def write(output: Path) -> None:
    """Writes the archive: OCI layout and `docker save` in one, the same bytes every time."""
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(output.name + ".part")
    part.write_bytes(_archive())
    part.replace(output)


def _archive() -> bytes:
    layer = _tar(_files())
    config = _json(
        {
            "created": "1970-01-01T00:00:00Z",
            "architecture": "arm64",
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", f"PYTHONPATH=/{_PYTHON}"],
                "Entrypoint": ["python3"],
                "WorkingDir": "/",
                "Labels": {
                    "console.simulated": "true",
                    INTERPRETER_LABEL: "host",
                    "org.opencontainers.image.description": " ".join(_ABOUT.split()),
                },
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer)}"]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "hardware.simulator base-image"}],
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, config),
            "layers": [_descriptor(_LAYER, layer)],
        }
    )
    index = {
        "schemaVersion": 2,
        "mediaType": _INDEX,
        "manifests": [
            {
                **_descriptor(_MANIFEST, manifest),
                "platform": {"architecture": "arm64", "os": "linux"},
                "annotations": {
                    "io.containerd.image.name": f"docker.io/{NAME}:{TAG}",
                    "org.opencontainers.image.ref.name": TAG,
                },
            }
        ],
    }
    saved = [
        {
            "Config": f"blobs/sha256/{_sha256(config)}",
            "RepoTags": [f"{NAME}:{TAG}"],
            "Layers": [f"blobs/sha256/{_sha256(layer)}"],
        }
    ]
    blobs = {f"blobs/sha256/{_sha256(content)}": content for content in (layer, config, manifest)}
    return _tar(
        {
            **blobs,
            "index.json": _json(index),
            "manifest.json": _json(saved),
            "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        }
    )


def _files() -> dict[str, bytes]:
    package = {
        f"{_PYTHON}/ais_bench/{path.relative_to(_PACKAGE).as_posix()}": path.read_bytes()
        for path in _PACKAGE.rglob("*.py")
    }
    return {
        **package,
        f"{_PYTHON}/{_CUSTOMIZE.name}": _CUSTOMIZE.read_bytes(),
        "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
        "etc/group": b"root:x:0:\n",
        "etc/os-release": b'ID=simulated\nPRETTY_NAME="Base image of the simulated fleet"\n',
        "opt/simulated/README": _ABOUT.encode(),
    }


def _tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        folders = {str(parent) for name in files for parent in Path(name).parents} - {"."}
        for folder in sorted(folders):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(files[name]), 0o644
            tar.addfile(entry, io.BytesIO(files[name]))
    return out.getvalue()


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{_sha256(content)}", "size": len(content)}


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

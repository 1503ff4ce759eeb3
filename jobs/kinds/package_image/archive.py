"""One archive from a base image, the serving code and a model: `build`.

The archive is an OCI layout in a tar and what `docker save` writes, both at once, so that containerd, podman and docker
of any age load it without a registry. The same inputs give the same bytes. Nothing is ever whole in memory.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jobs.kinds.package_image.base import LAYER, Base
from jobs.kinds.package_image.errors import ImageRefused
from jobs.kinds.package_image.layers import Layer, folder_files
from jobs.kinds.package_image.writing import canonical, digest_of, write
from jobs.serving.errors import ModelRefused
from jobs.serving.profile import Profile

CODE = Path(__file__).resolve().parents[2] / "serving"
PORT = 8000
EPOCH = "1970-01-01T00:00:00Z"
# Marks of a real OM (ATC) and of one that a simulated machine made.
OM_MARKS = (b"IMOD", b"SIMULATED OM")
SIMULATED_LABEL = "console.simulated"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ImageReport:
    """What was built, from what. `digest` is the manifest's, `id` the configuration's (docker's image id)."""

    image: str
    name: str
    tag: str
    digest: str
    id: str
    architecture: str
    simulated: bool
    layers: list[dict[str, Any]]
    path: str
    bytes: int
    sha256: str
    provenance: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self)


def build(
    base: Path,
    model: Path,
    profile: Path,
    output: Path,
    *,
    name: str,
    tag: str,
    architecture: str = "arm64",
    code: Path = CODE,
    progress: Progress = lambda line: None,
) -> ImageReport:
    """Writes the archive to `output`, which is there whole or not at all. Raises ImageRefused."""
    _check_name(name, tag)
    checked = _read_profile(profile)
    form, simulated_model = _form(model)
    if not (code / "__main__.py").is_file():
        raise ImageRefused("code-missing", f"There is no serving code in {code}.", "Install the console again.")
    under = Base.read(base, architecture)
    progress(f"base {base.name}: {under.architecture}, {len(under.layers)} layers")
    layers = [
        Layer("serving code", folder_files(code, "opt/console/serving")),
        Layer("model", {f"model/model.{form}": model, "model/profile.json": profile}),
    ]
    sources = {"model": _sha256(model), "profile": _sha256(profile)}
    for layer in layers:
        progress(f"layer {layer.title}: {layer.size} bytes, sha256:{layer.digest}")

    labels = under.config.get("config", {}).get("Labels") or {}
    simulated = simulated_model or labels.get(SIMULATED_LABEL) == "true"
    provenance = {
        "base": {"file": base.name, "digest": under.digest and f"sha256:{under.digest}"},
        "model": {"file": model.name, "format": form, "sha256": sources["model"], "bytes": model.stat().st_size},
        "profile": {"file": profile.name, "sha256": sources["profile"], "name": checked.name},
        "code": {"digest": f"sha256:{layers[0].digest}"},
    }
    config = canonical(_config(under, layers, f"{name}:{tag}", checked.name, sources, simulated))
    descriptors = [
        *(_descriptor(blob.media_type, blob.digest, blob.size) for blob in under.layers),
        *(_descriptor(LAYER, layer.digest, layer.size) for layer in layers),
    ]
    manifest = canonical(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, digest_of(config), len(config)),
            "layers": descriptors,
        }
    )
    index = _index(manifest, under.architecture, name, tag)
    try:
        size, sha256 = write(output, under, layers, config, manifest, index, f"{name}:{tag}")
    except OSError as error:
        raise ImageRefused(
            "not-writable",
            f"{output} cannot be written: {error.strerror or error}.",
            "Check the folder, its rights and the free space.",
        ) from error
    progress(f"wrote {output.name}: {size} bytes")
    titles = ["base"] * len(under.layers) + [layer.title for layer in layers]
    return ImageReport(
        image=f"{name}:{tag}",
        name=name,
        tag=tag,
        digest=f"sha256:{digest_of(manifest)}",
        id=f"sha256:{digest_of(config)}",
        architecture=under.architecture,
        simulated=simulated,
        layers=[
            {"title": title, "digest": entry["digest"], "bytes": entry["size"]}
            for title, entry in zip(titles, descriptors, strict=True)
        ],
        path=str(output),
        bytes=size,
        sha256=sha256,
        provenance=provenance,
    )


def _check_name(name: str, tag: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > 255:
        raise ImageRefused(
            "name-invalid", f"{name!r} is no image name.", "Use lower-case letters, digits and - . _ / between them."
        )
    if not _TAG.fullmatch(tag):
        raise ImageRefused("name-invalid", f"{tag!r} is no image tag.", "Use letters, digits and - . _ in it.")


def _read_profile(path: Path) -> Profile:
    try:
        profile = Profile.read_file(path)
        profile.load_tokenizer()
    except ModelRefused as refused:
        raise ImageRefused("profile-invalid", f"{path.name}: {refused.message}", refused.mend) from refused
    return profile


def _form(model: Path) -> tuple[str, bool]:
    """`onnx` or `om`, and whether a simulated machine made it."""
    if not model.is_file() or not model.stat().st_size:
        raise ImageRefused("model-invalid", f"There is no model {model}, or it is empty.", "Give its file.")
    with model.open("rb") as stream:
        start = stream.read(64)
    if start.startswith(OM_MARKS):
        return "om", start.startswith(OM_MARKS[1])
    # An ONNX begins with its IR version, field 1 of the protobuf message.
    if model.suffix == ".onnx" and start[0] == 0x08:
        return "onnx", False
    raise ImageRefused(
        "model-invalid", f"{model.name} is neither an ONNX model nor an OM.", "Convert the model, then package that."
    )


def _config(
    base: Base, layers: list[Layer], image: str, model_name: str, sources: dict[str, str], simulated: bool
) -> dict[str, Any]:
    """The base's configuration with our layers, and the server as what the container runs."""
    config = json.loads(json.dumps(base.config))
    run: dict[str, Any] = config.setdefault("config", {}) or {}
    environment = dict(item.partition("=")[::2] for item in run.get("Env") or [])
    # What the base set stays: CANN's own Python packages are found by it.
    environment["PYTHONPATH"] = ":".join(filter(None, ["/opt/console", environment.get("PYTHONPATH", "")]))
    run["Env"] = [f"{key}={value}" for key, value in environment.items()]
    run["Entrypoint"] = ["python3", "-m", "serving", "--model", "/model"]
    run.pop("Cmd", None)
    run["WorkingDir"] = "/"
    run["ExposedPorts"] = {**(run.get("ExposedPorts") or {}), f"{PORT}/tcp": {}}
    run["Labels"] = {
        **(run.get("Labels") or {}),
        "org.opencontainers.image.title": image,
        **({"org.opencontainers.image.base.digest": f"sha256:{base.digest}"} if base.digest else {}),
        "console.model.name": model_name,
        "console.model.sha256": sources["model"],
        "console.profile.sha256": sources["profile"],
        SIMULATED_LABEL: str(simulated).lower(),
    }
    config["config"] = run
    config.pop("container_config", None)
    config["created"] = base.config.get("created", EPOCH)
    config["rootfs"]["diff_ids"] += [f"sha256:{layer.digest}" for layer in layers]
    history = [{"created": EPOCH, "created_by": f"console: {layer.title}"} for layer in layers]
    config["history"] = [*(config.get("history") or []), *history]
    return dict(config)


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _index(manifest: bytes, architecture: str, name: str, tag: str) -> bytes:
    first = name.split("/", 1)[0]
    if "/" not in name:
        full = f"docker.io/library/{name}"
    else:
        full = name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}"
    return canonical(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                {
                    **_descriptor(_MANIFEST, digest_of(manifest), len(manifest)),
                    "platform": {"architecture": architecture, "os": "linux"},
                    "annotations": {
                        "io.containerd.image.name": f"{full}:{tag}",
                        "org.opencontainers.image.ref.name": tag,
                    },
                }
            ],
        }
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

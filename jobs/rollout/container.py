"""A release's container on a machine: how it is started, and how it is known to be well."""

from __future__ import annotations

from jobs.plan import Request, RunCommand
from jobs.rollout.models import Release
from jobs.serving.parameters import VARIABLES, Parameters

DOCKER = "/var/lib/docker"
HEALTHY_WITHIN_S = 120

# FACTS section 6: what a container of an Ascend 910 needs besides its /dev/davinciN.
_DEVICES = ("/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc")
_VOLUMES = (
    "/usr/local/dcmi",
    "/usr/local/bin/npu-smi",
    "/usr/local/Ascend/driver/lib64/",
    "/usr/local/Ascend/driver/version.info",
    "/etc/ascend_install.info",
)


def again(command: str, writes: str = DOCKER) -> RunCommand:
    """A command that may be run again after a restart of the machine cut it."""
    return RunCommand(command, timeout_s=300, repeatable=True, writes=[writes])


def stop(release: Release) -> RunCommand:
    return again(f"docker stop -t 30 {release.container}")


def start(release: Release, parameters: Parameters) -> RunCommand:
    """Whatever is left of an earlier try under this name goes first, so that the step may be done again."""
    name = release.container
    devices = [f"--device /dev/davinci{number}" for number in release.devices]
    devices += [f"--device {node}" for node in _DEVICES]
    volumes = [f"-v {path}:{path}:ro" for path in _VOLUMES]
    environment = {VARIABLES[key]: value for key, value in parameters.to_json().items()}
    options = [
        f"--name {name}", "--restart unless-stopped", "--network host", "--shm-size=1g", *devices, *volumes,
        f"-e CONSOLE_RELEASE={release}", *(f"-e {key}={value}" for key, value in environment.items()),
    ]  # fmt: skip
    image = release.image.meta["image"]
    return again(
        f"docker rm -f {name} >/dev/null 2>&1; "
        f"docker run -d {' '.join(options)} {image} --port {release.port} --device {release.devices[0]}"
    )


def health(release: Release, parameters: dict[str, int] | None = None) -> Request:
    """It is well, and this very release; with ``parameters`` it says that it is served with those."""
    expect = {"status": "ok", "release": str(release), **(parameters or {})}
    return Request("GET", release.port, "/healthz", None, expect, HEALTHY_WITHIN_S)


def smoke(release: Release) -> Request:
    body = {"texts": [release.smoke_text]}
    return Request("POST", release.port, "/v1/classify", body, {"results.0.label": release.smoke_label}, 30)

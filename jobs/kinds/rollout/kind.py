"""Take machines from what they serve to a release, in batches.

A machine's lane: image there, loaded, the old container stopped, the new one started, then two gates: it must say that
it is healthy and that it is this very release, and it must answer the release's smoke question rightly. A machine that
fails a gate goes back to the container it had, and no further batch begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from hardware.inventory.preflight import Check, Need, evaluate
from jobs.failures import PlanRefused
from jobs.kind import DepotView, Kind, Target
from jobs.plan import Lane, Plan, Request, RunCommand, SendArtifact, Stage, Step
from jobs.rollout.models import Deployment, Release
from jobs.rollout.services import KIND, set_deployment

if TYPE_CHECKING:
    from hardware.inventory.models import Machine
    from jobs.models import Job

FOLDER = "/var/tmp/ascend-console/images"
GIB = 1024**3
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


class Params(serializers.Serializer[Any]):
    release = serializers.IntegerField(min_value=1, label=_("Release"))
    batch_size = serializers.IntegerField(min_value=1, max_value=1000, default=1, label=_("Machines a batch"))


class Rollout(Kind):
    slug = KIND
    title = _("Roll out a release")
    summary = _("In batches, each gated by a health check and a smoke inference; a machine that fails goes back.")
    Params = Params

    def offers(self, name: str) -> list[tuple[str, str]] | None:
        if name != "release":
            return None
        return [(str(r.pk), f"{r}, {r.image.name}") for r in Release.objects.select_related("image")[:200]]

    def preflight(self, params: dict[str, Any], target: Target, depot: DepotView) -> list[Check]:
        return evaluate(
            target.require_facts(), Need(npus=True, docker=True, free={FOLDER: 2 * GIB, "/var/lib/docker": 2 * GIB})
        )

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        release = _release(params["release"])
        names = [target.name for target in targets]
        before = {
            deployment.machine.name: deployment.release
            for deployment in Deployment.objects.filter(machine__name__in=names).select_related("machine", "release")
        }
        lanes = [self._lane(target, release, before.get(target.name)) for target in targets]
        size = params["batch_size"]
        batches = [lanes[start : start + size] for start in range(0, len(lanes), size)]
        stages = [Stage(f"Batch {number} of {len(batches)}", batch) for number, batch in enumerate(batches, 1)]
        return Plan(stages, [f"Release {release}"])

    def _lane(self, target: Target, release: Release, before: Release | None) -> Lane:
        facts = target.require_facts()
        missing = [f"/dev/davinci{n}" for n in release.devices if f"/dev/davinci{n}" not in facts.davinci_nodes]
        if missing:
            raise PlanRefused(
                "npu-missing",
                f"{target.name} has no {', '.join(missing)}, which release {release} needs.",
                "Install the driver and probe again, or take the machine out of the targets.",
                "targets",
            )
        image = release.image
        archive = f"{FOLDER}/{image.sha256[:16]}.tar"
        steps = [
            Step("send", f"Send {image.name}", SendArtifact(image.sha256, image.name, image.size, archive)),
            Step("load", "Load the image", RunCommand(f"docker load -i {archive}", 1800, repeatable=True)),
        ]
        undo = [Step("remove", f"Remove {release}", _again(f"docker rm -f {release.container}"))]
        # The same release again is a restart of its container: there is nothing else to go back to.
        if before is not None and before != release:
            steps.append(Step("stop", f"Stop {before}", _again(f"docker stop -t 30 {before.container}")))
            undo += [
                Step("restore", f"Start {before} again", _again(f"docker start {before.container}")),
                Step("restored", f"{before} is healthy again", _health(before)),
            ]
        steps += [
            Step("start", f"Start {release}", _again(_start(release))),
            Step("health", f"{release} is healthy", _health(release)),
            Step("smoke", "It answers the smoke question", _smoke(release)),
            Step("clean", "Remove the archive", _again(f"rm -f -- {archive}")),
        ]
        return Lane(target.name, steps, undo)

    def succeeded(self, step: Step, machine: Machine | None, job: Job) -> None:
        if machine is None or step.key not in ("start", "smoke", "remove", "restored"):
            return
        release = _release(job.params["release"])
        if step.key == "start":
            # The question is who may be asked now: until the gates are passed, nobody may ask this machine.
            Deployment.objects.filter(machine=machine).update(state=Deployment.State.CHANGING)
        elif step.key == "smoke":
            set_deployment(machine, release, Deployment.State.SERVING, job)
        else:
            there = Deployment.objects.filter(machine=machine).select_related("release").first()
            if there is not None:
                state = Deployment.State.SERVING if step.key == "restored" else Deployment.State.DOWN
                set_deployment(machine, there.release, state, job)

    def summarize(self, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {"gates_passed": sum(1 for result in results if result.get("answer") is not None)}


def _release(release_id: int) -> Release:
    found = Release.objects.filter(pk=release_id).select_related("image").first()
    if found is None:
        raise PlanRefused("release-unknown", f"There is no release {release_id}.", "Choose a release.", "release")
    return found


def _again(command: str) -> RunCommand:
    return RunCommand(command, timeout_s=300, repeatable=True)


def _start(release: Release) -> str:
    """Whatever is left of an earlier try under this name goes first, so that the step may be done again."""
    name = release.container
    devices = [f"--device /dev/davinci{number}" for number in release.devices]
    devices += [f"--device {node}" for node in _DEVICES]
    volumes = [f"-v {path}:{path}:ro" for path in _VOLUMES]
    options = [
        f"--name {name}", "--restart unless-stopped", "--network host", "--shm-size=1g", *devices, *volumes,
        f"-e CONSOLE_RELEASE={release}",
    ]  # fmt: skip
    image = release.image.meta["image"]
    return (
        f"docker rm -f {name} >/dev/null 2>&1; "
        f"docker run -d {' '.join(options)} {image} --port {release.port} --device {release.devices[0]}"
    )


def _health(release: Release) -> Request:
    expect = {"status": "ok", "release": str(release)}
    return Request("GET", release.port, "/healthz", None, expect, HEALTHY_WITHIN_S)


def _smoke(release: Release) -> Request:
    body = {"texts": [release.smoke_text]}
    return Request("POST", release.port, "/v1/classify", body, {"results.0.label": release.smoke_label}, 30)

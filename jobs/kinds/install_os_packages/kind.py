"""Install rpm packages of the operating system from the depot; nothing is fetched from a repository."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from jobs.failures import PlanRefused
from jobs.kind import ArtifactRef, DepotView, Kind, Target
from jobs.plan import Lane, Plan, ReadFacts, RunCommand, Stage, Step
from jobs.software.packages import remote_path, send_step


class Params(serializers.Serializer[Any]):
    packages = serializers.ListField(
        child=serializers.RegexField(r"^[A-Za-z0-9][A-Za-z0-9+._-]*$"), min_length=1, max_length=50, label=_("Packages")
    )


class InstallOsPackages(Kind):
    slug = "install-os-packages"
    title = _("Install OS packages")
    summary = _("rpm packages from the depot, such as the kernel headers that dkms needs.")
    Params = Params

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        lanes = []
        for target in targets:
            facts = target.require_facts()
            chosen = [_choose(name, facts.kernel or "", facts.architecture or "", depot) for name in params["packages"]]
            files = " ".join(shlex.quote(remote_path(artifact)) for artifact in chosen)
            sends = [
                send_step(f"send-{name}", artifact) for name, artifact in zip(params["packages"], chosen, strict=True)
            ]
            # Which files those are, only the packages know.
            writes = ["/var/lib/rpm", *(f"what {artifact.name} holds" for artifact in chosen)]
            install = RunCommand(f"rpm -Uvh --replacepkgs {files}", timeout_s=900, writes=writes)
            lanes.append(
                Lane(
                    target.name,
                    [*sends, Step("install", "Install", install), Step("verify", "Read facts", ReadFacts())],
                )
            )
        return Plan([Stage("Install", lanes)])


def _choose(name: str, kernel: str, architecture: str, depot: DepotView) -> ArtifactRef:
    """The depot's newest package of that name; for one that belongs to a kernel, the one of this kernel."""
    found = depot.find("os-package", package=name)
    fitting = [a for a in found if a.meta.get("architecture") in (architecture, "noarch")]
    if name.startswith("kernel-"):
        fitting = [a for a in fitting if f"{a.version}.{a.meta.get('architecture')}" == kernel]
    if not fitting:
        wanted = f"{name} for kernel {kernel}" if name.startswith("kernel-") else f"{name} for {architecture}"
        raise PlanRefused(
            "package-missing",
            f"The depot has no {wanted}.",
            f"Ingest the rpm of {wanted} from the Kylin medium.",
            "packages",
        )
    return fitting[0]

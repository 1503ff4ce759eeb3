"""What a kind of job is. A new kind is one folder in ``jobs/kinds`` with a subclass of ``Kind`` in its ``kind.py``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from rest_framework import serializers

from hardware.inventory.facts import Facts
from hardware.inventory.preflight import Check, Claim, Need
from jobs.failures import JobFailed, PlanRefused
from jobs.plan import LocalCommand, Plan, Step

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    from hardware.inventory.models import Machine
    from jobs.models import Job


# A command line of ours ends with it when its input can't be used; its last line says why, and what to do.
BAD_INPUT = 2


@dataclass(frozen=True)
class Target:
    """A machine as a plan sees it: its name and the facts of its last probe."""

    name: str
    facts: Facts | None

    def require_facts(self) -> Facts:
        """The facts, or a refusal that says to probe first."""
        if self.facts is None:
            raise PlanRefused(
                "facts-missing",
                f"{self.name} has not been probed yet.",
                f"Probe {self.name}, then plan again.",
                "targets",
            )
        return self.facts


@dataclass(frozen=True)
class ArtifactRef:
    """An artifact as a plan sees it. ``size`` in bytes; ``meta`` is what ingesting found out about it."""

    id: int
    type: str
    name: str
    version: str
    sha256: str
    size: int
    meta: dict[str, Any] = field(default_factory=dict)


class DepotView(Protocol):
    """What planning may ask of the depot; nothing here touches a machine."""

    def get(self, artifact_id: int, type: str | None = None) -> ArtifactRef: ...

    def find(self, type: str, **meta: Any) -> list[ArtifactRef]: ...

    def by_sha256(self, sha256: str) -> ArtifactRef | None: ...


class Kind(ABC):
    """A class of jobs.

    ``mutates`` takes the locks of its machines. ``targets`` is how many machines it takes: ``none``, ``optional`` (none
    or one, as its parameters say), ``one`` or ``many``. ``artifacts`` names parameters that hold an artifact's id, with
    the artifact's type. ``secrets`` names parameters that are text which nobody may see again: ``plan`` is given a
    placeholder in their place, and a ``RunCommand`` that reads one names it.

    A kind whose result is worth a page of its own names that page: ``report_title``, its ``report_template``, and the
    type of the artifact that holds the whole report (``report_artifact``); ``report_page`` is what the template shows.
    """

    slug: ClassVar[str]
    title: ClassVar[StrOrPromise]
    summary: ClassVar[StrOrPromise] = ""
    mutates: ClassVar[bool] = True
    targets: ClassVar[str] = "many"
    secrets: ClassVar[frozenset[str]] = frozenset()
    artifacts: ClassVar[Mapping[str, str]] = {}
    report_title: ClassVar[StrOrPromise] = ""
    report_template: ClassVar[str] = ""
    report_artifact: ClassVar[str] = ""
    Params: ClassVar[type[serializers.Serializer[Any]]]

    @abstractmethod
    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        """The plan; pure. Raises ``PlanRefused`` with the field and the mend."""

    def need(self, params: dict[str, Any], depot: DepotView) -> Need | None:
        """What it asks of every machine: what preflight's rules hold the facts against. ``None``: nothing."""
        return None

    def preflight(self, params: dict[str, Any], target: Target, depot: DepotView) -> list[Check]:
        """What only this kind knows to check of a machine, beside the rules."""
        return []

    def claim(self, params: dict[str, Any], target: Target) -> Claim | None:
        """The NPUs of the machine that the job takes for itself (``jobs.planning.collision``); ``None`` for none."""
        return None

    def claims(self, params: dict[str, Any], targets: Sequence[Target]) -> Mapping[str, Claim | None]:
        """The same of many machines, by name; for a kind that can ask once for all of them."""
        return {target.name: self.claim(params, target) for target in targets}

    def offers(self, name: str) -> list[tuple[str, str]] | None:
        """What may be chosen for a parameter, as (value, words) for a form; ``None`` when it is typed."""
        return None

    def judge(self, step: Step, exit_status: int, log: str) -> dict[str, Any]:
        """What a run's end means; ``log`` is the last 64 KiB of its output. Raises ``JobFailed`` when it failed."""
        if exit_status != 0:
            last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "no output")
            if exit_status == BAD_INPUT and isinstance(step.action, LocalCommand):
                raise JobFailed("input-refused", last[:500], "Do what the message says, then run the job again.")
            raise JobFailed(
                "command-failed",
                f"{step.title} ended with exit code {exit_status}: {last[:300]}",
                "Read the step's log, mend what it names, then run the job again.",
            )
        return {}

    def succeeded(self, step: Step, machine: Machine | None, job: Job) -> None:
        """What the console itself knows now; called in the transaction that checkpoints the step."""
        return None

    def summarize(self, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The job's result out of its steps' results: the artifacts made, and the last report."""
        reports = [result["report"] for result in results if result.get("report")]
        artifacts = [artifact for result in results for artifact in result.get("artifacts", ())]
        return {"artifacts": artifacts, "report": reports[-1] if reports else {}}

    def has_report(self, job: Job) -> bool:
        """Whether there is something to show on the page of its own."""
        return bool(self.report_template and job.result.get("report"))

    def report_page(self, job: Job, report: dict[str, Any], *, whole: bool) -> dict[str, Any]:
        """What ``report_template`` shows. Without ``whole``, ``report`` is what the log's last line had of it."""
        return {"report": report}


class Parametrised(Protocol):
    """A kind of job, or a pipeline."""

    title: ClassVar[StrOrPromise]
    Params: ClassVar[type[serializers.Serializer[Any]]]


def check_names(of: Parametrised, params: Mapping[str, Any]) -> None:
    """Raise ``PlanRefused`` for a parameter that there is not: left out, a default would take its place."""
    known = of.Params().fields
    for name in params:
        if name not in known:
            raise PlanRefused("params-invalid", f"{of.title} has no parameter {name}.", f"Leave {name} out.", str(name))

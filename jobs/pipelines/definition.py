"""What a pipeline is: its parameters, and the stages that they give. Each has a file in ``jobs/pipelines/catalog``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from rest_framework import serializers

from jobs.kind import ArtifactRef, Target
from jobs.pipelines.references import FACT, FROM

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    from jobs.kind import DepotView


def made(stage: str, path: str) -> dict[str, Any]:
    """A parameter that is what an earlier stage made: ``made("convert", "artifacts.model.id")``."""
    return {FROM: {"stage": stage, "path": path}}


def fact(path: str) -> dict[str, Any]:
    """A parameter that is a fact of the targets when the stage's turn comes."""
    return {FACT: path}


@dataclass(frozen=True)
class Stage:
    """One job of a pipeline: ``params`` are values, what ``made`` gives, or what ``fact`` gives.

    ``machines`` are names of targets; none of them for a job of the console itself. Every stage needs all before it.
    """

    name: str
    kind: str
    params: Mapping[str, Any] = field(default_factory=dict)
    machines: Sequence[str] = ()


class Definition(ABC):
    """A pipeline as it may be started. It has what a form asks of a kind: ``Params``, ``artifacts``, ``targets``.

    ``tolerate`` is what stands in the options when nothing else is given.
    """

    slug: ClassVar[str]
    title: ClassVar[StrOrPromise]
    summary: ClassVar[StrOrPromise] = ""
    targets: ClassVar[str] = "many"
    tolerate: ClassVar[str] = "0"
    artifacts: ClassVar[Mapping[str, str]] = {}
    secrets: ClassVar[frozenset[str]] = frozenset()
    # Stages that may restart a machine: a person types a name before it is started.
    restarts: ClassVar[frozenset[str]] = frozenset()
    # The words over each stage.
    words: ClassVar[Mapping[str, StrOrPromise]] = {}
    Params: ClassVar[type[serializers.Serializer[Any]]]

    @abstractmethod
    def stages(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> list[Stage]:
        """The stages in order; pure. Raises ``PlanRefused`` with the field and the mend."""

    def offers(self, name: str) -> list[tuple[str, str]] | None:
        """What may be chosen for a parameter, as (value, words) for a form; ``None`` when it is typed."""
        return None

    def artifact(self, params: Mapping[str, Any], name: str, depot: DepotView) -> ArtifactRef:
        """The artifact that a parameter names. Raises ``PlanRefused``."""
        return depot.get(int(params[name]), self.artifacts[name])

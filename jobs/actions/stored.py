"""Results that are there already: the same input, parameters and toolkit are not worked through again.

A kind says with a ``Provenance`` what decides about its product's bytes. The product carries it in its ``meta``, and
``from_depot`` finds it by the hash over it, the ``recipe``. What was made on a simulated machine is never taken for
what a real one makes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from jobs.depot.models import Artifact
from jobs.depot.services import verify
from jobs.failures import JobFailed
from jobs.kind import DepotView
from jobs.plan import Lane, Plan, Recall, Stage, Step


@dataclass(frozen=True)
class Provenance:
    """``inputs`` are SHA-256 by role; ``parameters`` what the tool is told, without names of files; ``toolkit`` the
    tool with its version, empty where the machine does not tell it: then nothing is looked up. ``machine`` is told
    with the result and decides nothing.
    """

    inputs: dict[str, str]
    parameters: dict[str, Any]
    toolkit: str
    machine: str
    simulated: bool = False

    @property
    def recipe(self) -> str:
        """SHA-256 over what decides about the result."""
        decides = [self.inputs, self.parameters, self.toolkit, self.simulated]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def meta(self) -> dict[str, Any]:
        """What the product's ``meta`` says of it; the depot adds the job (``jobs.actions.products``)."""
        said = {
            "inputs": self.inputs,
            "parameters": self.parameters,
            "toolkit": self.toolkit,
            "machine": self.machine,
        }
        return {"provenance": said, "recipe": self.recipe, "simulated": self.simulated}


@dataclass(frozen=True)
class Found:
    """A stored result: its ``name``, ``sha256`` and the ``job`` that made it."""

    name: str
    sha256: str
    job: int

    def plan(self) -> Plan:
        """The plan that takes it, in the place of the one that would make it."""
        step = Step("recall", f"Take {self.name}, made by job {self.job}", Recall(self.sha256, self.name, self.job))
        return Plan([Stage("Already in the depot", [Lane(None, [step])])])


def from_depot(depot: DepotView, type: str, provenance: Provenance) -> Found | None:
    """The newest result of the same recipe."""
    if not provenance.toolkit:
        return None
    for made in depot.find(type, recipe=provenance.recipe):
        job = (made.meta.get("provenance") or {}).get("job")
        if isinstance(job, int):
            return Found(made.name, made.sha256, job)
    return None


def recall(action: Recall) -> dict[str, Any]:
    """The step's result: the artifact, once its bytes were found whole. Raises ``JobFailed`` when they are not."""
    made = Artifact.objects.filter(sha256=action.sha256).first()
    if made is None:
        raise JobFailed(
            "artifact-missing", f"{action.name} is no longer in the depot.", "Run the job again: it is made anew."
        )
    verify(made)
    kept = {"id": made.pk, "type": made.type, "name": made.name, "sha256": made.sha256, "size": made.size}
    return {"artifacts": [kept], "recalled_from": action.made_by}

"""What a conversion on a machine has, whatever its tool: the check before it, a work folder, the file back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jobs.actions.stored import Provenance
from jobs.conversion.errors import ConversionRefused
from jobs.failures import PlanRefused
from jobs.kind import ArtifactRef
from jobs.plan import FetchArtifact, Lane, LocalCommand, Plan, Product, RunCommand, SendArtifact, Stage, Step

FOLDER = "/var/tmp/ascend-console/conversion"
# Kept of a model that becomes another one: what serving and the next step need to know of it.
CARRIED = ("profile", "max_length", "scheme")


def work_folder(model: ArtifactRef) -> str:
    return f"{FOLDER}/{model.sha256[:16]}"


def steps_on(machine: str, folder: str, steps: list[Step]) -> Plan:
    """``steps``, then the work folder is removed, also where one of them fails."""
    clean = Step(
        "clean", "Remove the work folder", RunCommand(f"rm -rf -- {folder}", 60, repeatable=True, writes=[folder])
    )
    return Plan([Stage("Convert", [Lane(machine, [*steps, clean], [clean])])])


def after_check(model: ArtifactRef, options: list[str], plan: Plan) -> Plan:
    """The same plan once the console has looked at the model itself: what atc refuses is refused at once."""
    arguments = ["python", "-m", "jobs.conversion.checks", "model.onnx", *options, "--json"]
    check = Step("check", f"Check {model.name}", LocalCommand(arguments, {"model.onnx": model.sha256}, timeout_s=600))
    return Plan([Stage("Check", [Lane(None, [check])]), *plan.stages])


def send(key: str, artifact: ArtifactRef, destination: str) -> Step:
    return Step(key, f"Send {artifact.name}", SendArtifact(artifact.sha256, artifact.name, artifact.size, destination))


def fetch(path: str, name: str, model: ArtifactRef, provenance: Provenance, **meta: Any) -> Step:
    """Brings the result into the depot with where it is from."""
    kept = {key: model.meta[key] for key in CARRIED if key in model.meta}
    product = Product(path, "model", name, meta={**kept, "from": model.sha256, **meta, **provenance.meta()})
    return Step("fetch", f"Fetch {name}", FetchArtifact(product))


@contextmanager
def refused_at(field: str, machine: str = "") -> Iterator[None]:
    """A library's refusal as the plan's, at the field that it is about."""
    try:
        yield
    except ConversionRefused as wrong:
        said = f"{machine}: {wrong.message}" if machine else wrong.message
        raise PlanRefused(wrong.code, said, wrong.mend, field) from wrong


def require_format(model: ArtifactRef, takes: tuple[str, ...], tool: str) -> str:
    """The model's format, when ``tool`` reads it."""
    form = str(model.meta.get("format", "onnx"))
    if form in takes:
        return form
    names = {"om": "an OM", "mindir": "a MindIR", "air": "an AIR", "onnx": "an ONNX"}
    raise PlanRefused(
        f"model-is-{form}",
        f"{model.name} is {names.get(form, form)}, which {tool} does not read.",
        "Choose an ONNX model.",
        "model",
    )

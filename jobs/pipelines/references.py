"""Parameters that are not known yet: what another job makes, and what a machine's facts say.

========================================================  =========================================================
``{"$from": {"job": 12, "path": "artifacts.model.id"}}``  from the result of job 12, once it has ended
``{"$fact": "architecture"}``                             from the facts of the targets, which must agree
========================================================  =========================================================

A path goes down by keys and by positions in a list. In a list of artifacts a word that is no number is the first
artifact of that type. Where a pipeline is stored, ``"stage": "convert"`` stands in the place of ``"job"``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from hardware.inventory.models import Machine
from jobs.failures import PlanRefused
from jobs.models import Job

FROM, FACT = "$from", "$fact"


def is_reference(value: Any) -> bool:
    return isinstance(value, Mapping) and (FROM in value or FACT in value)


def references(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every reference in a value, however deep."""
    if is_reference(value):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from references(inner)


def check(params: Mapping[str, Any], after: Collection[int]) -> None:
    """Raise ``PlanRefused`` for a reference that is not well formed, or to a job that is not among ``after``."""
    for name, value in params.items():
        for reference in references(value):
            if FACT in reference:
                if len(reference) == 1 and isinstance(reference[FACT], str) and reference[FACT]:
                    continue
                raise _malformed(name)
            source = reference[FROM]
            right = (
                len(reference) == 1
                and isinstance(source, Mapping)
                and set(source) == {"job", "path"}
                and type(source["job"]) is int
                and isinstance(source["path"], str)
                and all(source["path"].split("."))
            )
            if not right:
                raise _malformed(name)
            if source["job"] not in after:
                raise PlanRefused(
                    "reference-unknown",
                    f"{name} is taken from job {source['job']}, which is not among those it is to come after.",
                    f"Name job {source['job']} in after.",
                    name,
                )


def _malformed(name: str) -> PlanRefused:
    return PlanRefused(
        "reference-malformed",
        f"{name} holds a reference that can't be read.",
        'Write {"$from": {"job": 12, "path": "artifacts.model.id"}} or {"$fact": "architecture"}.',
        name,
    )


def resolve(params: Mapping[str, Any], machines: Sequence[Machine]) -> dict[str, Any]:
    """The parameters with values in the place of references. Raises ``PlanRefused`` that names the parameter."""
    return {name: _resolved(value, name, machines) for name, value in params.items()}


def bind(value: Any, jobs: Mapping[str, int]) -> Any:
    """A pipeline's parameter with the jobs of its stages in the place of their names."""

    def named(reference: Mapping[str, Any]) -> Any:
        source = reference.get(FROM)
        if isinstance(source, Mapping) and "stage" in source:
            return {FROM: {"job": jobs[source["stage"]], "path": source["path"]}}
        return dict(reference)

    return _mapped(value, named)


def _resolved(value: Any, name: str, machines: Sequence[Machine]) -> Any:
    def found(reference: Mapping[str, Any]) -> Any:
        if FACT in reference:
            return _fact(str(reference[FACT]), name, machines)
        return _result(reference[FROM], name)

    return _mapped(value, found)


def _mapped(value: Any, change: Callable[[Mapping[str, Any]], Any]) -> Any:
    if is_reference(value):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(inner, change) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(inner, change) for inner in value]
    return value


def _result(source: Mapping[str, Any], name: str) -> Any:
    job = Job.objects.filter(pk=source["job"]).only("pk", "state", "result").first()
    if job is None or not job.ended:
        raise PlanRefused(
            "result-not-there",
            f"{name} is taken from job {source['job']}, which has not ended: what it makes is not known yet.",
            "Launch it to come after that job; it is planned when its turn comes.",
            name,
        )
    try:
        return _at(job.result, str(source["path"]))
    except (KeyError, IndexError, TypeError):
        raise PlanRefused(
            "result-lacks-it",
            f"{name} is taken from {source['path']} of job {job.pk}, which made no such thing.",
            "Look at that job's result and correct the path.",
            name,
        ) from None


def _fact(path: str, name: str, machines: Sequence[Machine]) -> Any:
    said: dict[str, Any] = {}
    for machine in machines:
        try:
            said[machine.name] = _at(machine.facts, path)
        except (KeyError, IndexError, TypeError):
            said[machine.name] = None
    values = list(said.values())
    if not values or any(value is None or value != values[0] for value in values):
        words = ", ".join(f"{machine}: {value}" for machine, value in said.items()) or "there is no target"
        raise PlanRefused(
            "fact-differs",
            f"{name} is to be the fact {path}, which is not one and the same on all targets ({words}).",
            "Probe the machines, or take the ones that differ out of the targets.",
            name,
        )
    return values[0]


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(value, list):
            # No more digits than a list has places; and "²" is a digit, too, but no number.
            if part.isascii() and part.isdigit() and len(part) < 10:
                value = value[int(part)]
            else:
                value = next((item for item in value if isinstance(item, dict) and item.get("type") == part), None)
        else:
            value = value[part]
        if value is None:
            raise KeyError(path)
    return value

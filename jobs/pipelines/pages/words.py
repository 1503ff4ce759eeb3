"""What the pages say about a stage: what it is called, why it waits, what comes next."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from jobs import registry as kinds
from jobs.depot.models import Artifact
from jobs.models import Job
from jobs.pages import causes, waits
from jobs.pipelines.definition import Definition
from jobs.pipelines.references import FACT, FROM, references
from jobs.pipelines.standing import StageStanding
from jobs.states import JobState


def stage_words(definition: Definition | None, name: str) -> str:
    return str(definition.words.get(name, name)) if definition is not None else name


def why_it_waits(stage: StageStanding) -> str:
    """One sentence for a stage that has not begun; empty for one that has, or is over."""
    job = stage.job
    if job is None:
        return ""
    if job.state == JobState.PROPOSED:
        return _("Its plan waits for another person’s approval.")
    if job.state == JobState.QUEUED:
        return _("The next free worker takes it.")
    if job.state == JobState.PAUSED:
        return _("Paused; it goes on when a person resumes it.")
    if job.state != JobState.WAITING:
        return ""
    if job.waits_on.get("reason") == "dependency":
        after = {"id": job.waits_for_id}
        return _("Planned when job %(id)s has ended.") % after if job.waits_for_id else _("Planned next.")
    found = waits.of(job)
    return f"{found.what} {found.why}".strip() if found else ""


def parameters(kind: str, params: dict[str, Any], definition: Definition | None) -> list[tuple[str, str]]:
    """A stage's parameters as words; what is not known yet says where it will come from, an artifact has its name."""
    kept = kinds.all_kinds()[kind].artifacts if kind in kinds.all_kinds() else {}
    ids = [value for name, value in params.items() if name in kept and isinstance(value, int)]
    names = dict(Artifact.objects.filter(pk__in=ids).values_list("pk", "name"))
    said = []
    for name, value in params.items():
        if value in (None, "", []):
            continue
        known = names.get(value) if name in kept and isinstance(value, int) else None
        said.append((name, known or _value(value, definition)))
    return said


def _value(value: Any, definition: Definition | None) -> str:
    for reference in references(value):
        if FACT in reference:
            return _("the fact %(name)s") % {"name": reference[FACT]}
        source = reference[FROM]
        return _("from stage %(stage)s") % {"stage": stage_words(definition, str(source.get("stage", "")))}
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return str(value)


def left_behind(job: Job) -> list[dict[str, str]]:
    """The machines that take no part in a stage, each with the cause."""
    deferral = getattr(job, "deferral", None)
    found = deferral.left_behind if deferral is not None else {}
    return [
        {"machine": name, "cause": causes.cause(said["cause"]), "mend": causes.mend(said["mend"])}
        for name, said in sorted(found.items())
    ]

"""A job's steps as a grid: machines down, steps across; and what went wrong in it, per machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from jobs.models import Job, JobStep
from jobs.pages import forms, wording
from jobs.states import DONE_STEPS, StepState

# Rows shown at once; a larger grid shows what is not done first.
ROWS = 50
# The worse of two states of a lane comes first.
_WORST = (
    StepState.ERRORED, StepState.FAILED, StepState.INTERRUPTED, StepState.UNREACHABLE, StepState.CANCELLED,
    StepState.RUNNING,
)  # fmt: skip
_BROKEN = (StepState.FAILED, StepState.ERRORED, StepState.INTERRUPTED)


@dataclass
class Cell:
    """``words`` is the short text in the cell, ``None`` for a step that this lane does not have."""

    step: JobStep | None
    words: str = ""
    label: str = ""


@dataclass
class Row:
    machine: str | None
    state: str
    cells: list[Cell]


@dataclass
class Table:
    """One or more stages that have the same steps."""

    titles: list[str]
    columns: list[tuple[str, str]]
    rows: list[Row]
    hidden: int = 0


@dataclass
class Fault:
    """One failed step and all the machines it failed on in the same way."""

    machines: list[str | None]
    title: str
    step: JobStep
    what: str
    cause: str
    mend: str
    code: str
    tried: list[str]
    retry_url: str = ""
    line: str = ""


@dataclass
class Progress:
    """How many machines are done, failed and there at all; of a job of the console alone, how many steps."""

    of_machines: bool = True
    done: int = 0
    failed: int = 0
    total: int = 0


def tables(steps: Sequence[JobStep], *, whole: bool = False) -> list[Table]:
    """The grid's tables. Stages next to each other with the same steps share one."""
    made: list[Table] = []
    titled = _stage_titles(steps)
    for number, staged in groupby(steps, key=lambda step: step.stage):
        lanes = [list(lane) for _number, lane in groupby(staged, key=lambda step: step.lane)]
        lanes = [[step for step in lane if not step.compensates or step.state != StepState.PENDING] for lane in lanes]
        columns = _columns(lanes)
        if not made or [key for key, _title in made[-1].columns] != [key for key, _title in columns]:
            made.append(Table([], columns, []))
        made[-1].titles.append(titled.get(number, ""))
        made[-1].rows += [_row(lane, columns) for lane in lanes]
    for table in made:
        if len(table.rows) > ROWS and not whole:
            shown = sorted(table.rows, key=lambda row: row.state in DONE_STEPS)[:ROWS]
            table.hidden = len(table.rows) - len(shown)
            table.rows = shown
    return made


def progress(steps: Sequence[JobStep]) -> Progress:
    """A machine is done when all of its lanes are."""
    forward = [step for step in steps if not step.compensates]
    by_machine: dict[int, list[JobStep]] = {}
    for step in forward:
        if step.machine_id is not None:
            by_machine.setdefault(step.machine_id, []).append(step)
    states = [_lane_state(mine) for mine in by_machine.values()] or [_lane_state([step]) for step in forward]
    return Progress(
        of_machines=bool(by_machine),
        done=states.count(StepState.SUCCEEDED),
        failed=sum(1 for state in states if state in _BROKEN),
        total=len(states),
    )


def faults(job: Job, steps: Sequence[JobStep]) -> list[Fault]:
    """What went wrong, once for each cause, with the machines that share it."""
    found: dict[tuple[str, str, str], Fault] = {}
    for step in steps:
        if step.state not in _BROKEN or not step.failure:
            continue
        machine = step.machine.name if step.machine else None
        # The cause names the machine it speaks of; without its name the causes of several can be the same.
        kind = step.failure["cause"].replace(machine or "\0", "")
        made = found.get((step.key, step.failure["code"], kind))
        if made is not None:
            made.machines.append(machine)
            continue
        found[step.key, step.failure["code"], kind] = Fault(
            machines=[machine],
            title=wording.title(step.title),
            step=step,
            what=_what(step),
            cause=step.failure["cause"],
            mend=wording.mend(step.failure["mend"]),
            code=step.failure["code"],
            tried=_tried(job, step, steps),
        )
    for fault in found.values():
        query = {
            "kind": job.kind,
            "machine": [name for name in fault.machines if name] or [m.name for m in job.machines.all()],
        }
        query |= forms.query(job.params) | {"retry_of": job.pk}
        fault.retry_url = f"{reverse('job-new')}?{urlencode(query, doseq=True)}"
    return list(found.values())


def _stage_titles(steps: Sequence[JobStep]) -> dict[int, str]:
    if not steps:
        return {}
    return {number: wording.title(stage["title"]) for number, stage in enumerate(steps[0].job.plan["stages"])}


def _columns(lanes: list[list[JobStep]]) -> list[tuple[str, str]]:
    """(key, title) in the order of the longest lane; steps that only others have come behind."""
    keys: dict[str, str] = {}
    for lane in sorted(lanes, key=len, reverse=True):
        for step in lane:
            keys.setdefault(step.key, wording.title(step.title))
    return list(keys.items())


def _row(lane: list[JobStep], columns: list[tuple[str, str]]) -> Row:
    by_key = {step.key: step for step in lane}
    machine = lane[0].machine.name if lane and lane[0].machine else None
    cells = [_cell(by_key.get(key), machine) for key, _title in columns]
    return Row(machine, _lane_state([step for step in lane if not step.compensates]), cells)


def _cell(step: JobStep | None, machine: str | None) -> Cell:
    if step is None:
        return Cell(None)
    state = StepState(step.state)
    words = _words(step, state)
    where = machine or _("Console")
    return Cell(step, words, f"{where}, {wording.title(step.title)}: {state.label}" + (f", {words}" if words else ""))


def _words(step: JobStep, state: StepState) -> str:
    match state:
        case StepState.PENDING:
            return ""
        case StepState.RUNNING:
            return f"{step.progress:.0%}" if step.progress else clock(since(step.started_at))
        case StepState.UNREACHABLE:
            return _("link cut")
        case StepState.SKIPPED:
            return _("not needed")
        case StepState.FAILED if step.exit_status:
            return _("exit %(status)s") % {"status": step.exit_status}
        case StepState.SUCCEEDED:
            return clock((step.ended_at or timezone.now()) - step.started_at) if step.started_at else ""
        case _:
            return str(state.label)


def _lane_state(steps: Sequence[JobStep]) -> str:
    states = [step.state for step in steps]
    for state in _WORST:
        if state in states:
            return state
    if all(state in DONE_STEPS for state in states):
        return StepState.SUCCEEDED
    return StepState.RUNNING if any(state in DONE_STEPS for state in states) else StepState.PENDING


def _what(step: JobStep) -> str:
    names = {"number": step.position + 1, "title": wording.title(step.title)}
    took = clock(step.ended_at - step.started_at) if step.started_at and step.ended_at else ""
    if step.exit_status is not None and took:
        ended = {"status": step.exit_status, "time": took}
        return _("Step %(number)s, %(title)s, ended with exit code %(status)s after %(time)s.") % (names | ended)
    if step.state == StepState.INTERRUPTED:
        return _("Step %(number)s, %(title)s, was cut by a restart of the machine.") % names
    return _("Step %(number)s, %(title)s, did not end as it must.") % names


def _tried(job: Job, step: JobStep, steps: Sequence[JobStep]) -> list[str]:
    """What the console did about it, and what it left as it is."""
    lane = [other for other in steps if (other.stage, other.lane) == (step.stage, step.lane)]
    said = []
    if job.attempt > 1:
        said.append(
            _("The job was taken over %(count)s times; nothing was started twice.") % {"count": job.attempt - 1}
        )
    undone = [other for other in lane if other.compensates]
    for other in undone:
        said.append(f"{wording.title(other.title)}: {StepState(other.state).label}.")
    done = [other for other in lane if other.state == StepState.SUCCEEDED and not other.compensates]
    kept = [wording.title(other.title) for other in done]
    if kept:
        said.append(_("Done before and kept: %(steps)s.") % {"steps": "; ".join(kept)})
    if not undone:
        said.append(_("It was not tried again by itself, and nothing was taken back."))
    return said


def since(moment: datetime | None) -> timedelta:
    return timezone.now() - moment if moment else timedelta()


def clock(span: timedelta) -> str:
    """A duration that keeps its place in a narrow cell: ``19 s``, ``3:07``, ``1:02:11``."""
    total = max(0, round(span.total_seconds()))
    if total < 60:
        return _("%(n)s s") % {"n": total}
    hours, rest = divmod(total, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"

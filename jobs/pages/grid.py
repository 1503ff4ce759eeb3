"""A job's steps as a grid: machines down, steps across. Fifty rows are shown at a time, of however many there are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from jobs.models import Job
from jobs.pages import batches, wording
from jobs.pages.steps import Step, clock, since
from jobs.states import DONE_STEPS, ENDED, JobState, StepState

# Rows shown at once.
ROWS = 50
# The worse of two states of a machine comes first.
WORST = (
    StepState.ERRORED, StepState.FAILED, StepState.INTERRUPTED, StepState.UNREACHABLE, StepState.CANCELLED,
    StepState.RUNNING,
)  # fmt: skip
BROKEN = (StepState.FAILED, StepState.ERRORED, StepState.INTERRUPTED)
# What a grid can be narrowed down to, and the states of machines that belong to it.
SHOWS: dict[str, tuple[str, ...]] = {
    "bad": (*BROKEN, StepState.UNREACHABLE, StepState.CANCELLED),
    "running": (StepState.RUNNING, JobState.PAUSED),
    "pending": (StepState.PENDING,),
    "done": (StepState.SUCCEEDED,),
}
_RANK = {state: number for number, states in enumerate(SHOWS.values()) for state in states}


@dataclass(frozen=True)
class View:
    """What of the grid is asked for: ``show`` a key of ``SHOWS`` or ``all``, machines that ``find`` is part of, a
    batch, a page. Without ``show`` a large grid has what is not done first."""

    show: str = ""
    find: str = ""
    batch: int = 0
    page: int = 1

    @classmethod
    def of(cls, data: QueryDict) -> View:
        show = "all" if data.get("all") == "1" else data.get("show", "")
        return cls(
            show if show in (*SHOWS, "all") else "",
            data.get("find", "").strip()[:63],
            _number(data.get("batch", "")),
            max(1, _number(data.get("page", ""))),
        )

    def query(self, **other: Any) -> str:
        """As the query of an address, with ``other`` in the place of what it has; a new filter begins at page 1."""
        values = {"show": self.show, "find": self.find, "batch": self.batch, "page": 1} | other
        return urlencode({name: value for name, value in values.items() if value and (name, value) != ("page", 1)})

    @property
    def now(self) -> str:
        return self.query(page=self.page)


@dataclass
class Cell:
    """``words`` is the short text in the cell, ``step`` is ``None`` where this machine has no such step."""

    step: Step | None
    words: str = ""
    label: str = ""
    title: str = ""


@dataclass
class Row:
    """A machine, or a lane of the console itself. ``steps`` stand under their columns."""

    id: str
    machine: str | None
    state: str
    batch: int
    steps: list[Step | None]
    cells: list[Cell] = field(default_factory=list)


@dataclass
class Table:
    """``columns`` are (key, title). ``rows`` are those that are shown."""

    columns: list[tuple[str, str]]
    rows: list[Row]


@dataclass
class Choice:
    """A filter with how many machines it leaves."""

    show: str
    words: str
    count: int
    query: str
    current: bool


@dataclass
class Grid:
    """``many`` machines are shown in part: then there are ``choices``, pages and a ``picture`` of all of them.

    ``mark`` changes when other rows, or the same in another order, would be shown.
    """

    tables: list[Table]
    view: View
    many: bool = False
    choices: list[Choice] = field(default_factory=list)
    batches: batches.Batches | None = None
    matching: int = 0
    pages: int = 1
    picture: dict[str, Any] | None = None
    mark: str = ""

    @property
    def first(self) -> int:
        return (self.view.page - 1) * ROWS + 1

    @property
    def last(self) -> int:
        return min(self.view.page * ROWS, self.matching)

    @property
    def before(self) -> str:
        return self.view.query(page=self.view.page - 1) if self.view.page > 1 else ""

    @property
    def after(self) -> str:
        return self.view.query(page=self.view.page + 1) if self.view.page < self.pages else ""


@dataclass
class Progress:
    """How many machines are done, failed and there at all; of a job of the console alone, how many steps."""

    of_machines: bool = True
    done: int = 0
    failed: int = 0
    total: int = 0


def of(job: Job, steps: Sequence[Step], view: View, *, bare: bool = False) -> Grid:
    """The grid as ``view`` asks for it; ``bare`` is without cells and picture."""
    console = _console_table(job, [step for step in steps if step.machine is None])
    columns, rows = _machine_rows(job, steps)
    made = Grid([*([console] if console else [])], view)
    if rows:
        made.batches = batches.of(job, rows)
        made.many = len(rows) > ROWS
        made.matching = len(rows)
        shown = rows
        if made.many:
            shown = _narrowed(made, rows)
            made.picture = None if bare else _picture(columns, rows)
        if not bare:
            _fill(shown)
        made.tables.append(Table(columns, shown))
    order = ",".join(f"{row.id}" for table in made.tables for row in table.rows)
    keys = ",".join(key for table in made.tables for key, _title in table.columns)
    made.mark = hashlib.sha256(f"{order};{keys}".encode()).hexdigest()[:12]
    return made


def rows_of(job: Job, steps: Sequence[Step]) -> list[Row]:
    """The rows of the machines that these steps are of, with their cells."""
    _columns, rows = _machine_rows(job, steps)
    console = _console_table(job, [step for step in steps if step.machine is None])
    rows = [*(console.rows if console else []), *rows]
    _fill(rows)
    return rows


def progress(job: Job, steps: Sequence[Step]) -> Progress:
    """A machine is done when all of its steps are."""
    by_machine: dict[int, list[Step]] = {}
    forward = [step for step in steps if not step.compensates]
    for step in forward:
        if step.machine_id is not None:
            by_machine.setdefault(step.machine_id, []).append(step)
    lanes = list(by_machine.values()) or [[step] for step in forward]
    states = [lane_state(job, lane) for lane in lanes]
    return Progress(
        of_machines=bool(by_machine),
        done=states.count(StepState.SUCCEEDED),
        failed=sum(1 for state in states if state in BROKEN),
        total=len(states),
    )


def lane_state(job: Job, steps: Sequence[Step]) -> str:
    """How a machine stands: its worst step; between two steps it is running, unless the job itself stands still."""
    states = {step.state for step in steps}
    for state in WORST:
        if state in states:
            return state
    if states <= set(DONE_STEPS):
        return StepState.SUCCEEDED
    if not states & set(DONE_STEPS):
        return StepState.PENDING
    if job.state in ENDED:
        return StepState.CANCELLED
    return JobState.PAUSED if job.state == JobState.PAUSED else StepState.RUNNING


def _console_table(job: Job, steps: Sequence[Step]) -> Table | None:
    if not steps:
        return None
    lanes = [list(lane) for _place, lane in groupby(steps, key=lambda step: (step.stage, step.lane))]
    columns: dict[str, str] = {}
    for lane in lanes:
        for step in lane:
            columns.setdefault(step.key, wording.title(step.title))
    rows = []
    for lane in lanes:
        by_key = {step.key: step for step in lane if _told(step)}
        name = f"c{lane[0].stage}-{lane[0].lane}"
        rows.append(Row(name, None, lane_state(job, _forward(lane)), 0, [by_key.get(key) for key in columns]))
    _fill(rows)
    return Table(list(columns.items()), rows)


def _machine_rows(job: Job, steps: Sequence[Step]) -> tuple[list[tuple[str, str]], list[Row]]:
    """One row a machine, whatever stages its steps are in; a key that comes twice has two columns."""
    lanes: dict[int, list[Step]] = {}
    for step in steps:
        if step.machine_id is not None and _told(step):
            lanes.setdefault(step.machine_id, []).append(step)
    placed: list[tuple[int, list[Step], dict[tuple[str, int], Step]]] = []
    for machine, lane in lanes.items():
        counts: dict[str, int] = {}
        cells: dict[tuple[str, int], Step] = {}
        for step in lane:
            counts[step.key] = counts.get(step.key, 0) + 1
            cells[step.key, counts[step.key]] = step
        placed.append((machine, lane, cells))
    columns: dict[tuple[str, int], str] = {}
    seen: set[tuple[tuple[str, int], ...]] = set()
    # The columns in the order of the longest row; most rows have the same ones.
    for _machine, _lane, cells in sorted(placed, key=lambda one: -len(one[2])):
        shape = tuple(cells)
        if shape not in seen:
            seen.add(shape)
            for place, step in cells.items():
                columns.setdefault(place, wording.title(step.title))
    rows = [
        Row(
            f"m{machine}",
            lane[0].machine,
            lane_state(job, _forward(lane)),
            lane[0].stage,
            [cells.get(place) for place in columns],
        )
        for machine, lane, cells in placed
    ]
    return [(key, title) for (key, _nth), title in columns.items()], rows


def _narrowed(made: Grid, rows: list[Row]) -> list[Row]:
    """The rows of the page that the view asks for; says in ``made`` what else there is."""
    view = made.view
    counts = {show: sum(1 for row in rows if row.state in states) for show, states in SHOWS.items()}
    words = {"bad": _("Not OK"), "running": _("Running"), "pending": _("Not begun"), "done": _("Done")}
    made.choices = [
        Choice("", _("All, not done first"), len(rows), view.query(show=""), view.show == ""),
        *(Choice(show, words[show], counts[show], view.query(show=show), view.show == show) for show in SHOWS),
        Choice("all", _("All, in order"), len(rows), view.query(show="all"), view.show == "all"),
    ]
    found = rows
    if view.show in SHOWS:
        found = [row for row in found if row.state in SHOWS[view.show]]
    if view.batch:
        found = [row for row in found if row.batch == view.batch]
    if view.find:
        found = [row for row in found if view.find.lower() in (row.machine or "").lower()]
    if not view.show:
        found = sorted(found, key=lambda row: _RANK.get(row.state, 0))
    made.matching = len(found)
    made.pages = max(1, -(-len(found) // ROWS))
    if view.page > made.pages:
        made.view = view = View(view.show, view.find, view.batch, made.pages)
    return found[(view.page - 1) * ROWS : view.page * ROWS]


# One letter a state: 6,000 cells are 6 KB.
LETTERS = {
    StepState.PENDING: "p", StepState.RUNNING: "r", StepState.UNREACHABLE: "u", StepState.SUCCEEDED: "s",
    StepState.SKIPPED: "k", StepState.FAILED: "f", StepState.ERRORED: "e", StepState.CANCELLED: "c",
    StepState.INTERRUPTED: "i",
}  # fmt: skip


def _picture(columns: list[tuple[str, str]], rows: list[Row]) -> dict[str, Any]:
    """All cells at once, for the browser to draw: names, ids of steps and a string of states a machine."""
    return {
        "letters": {str(state): letter for state, letter in LETTERS.items()},
        "columns": [title for _key, title in columns],
        "machines": [row.machine for row in rows],
        "ids": [[step.pk if step else 0 for step in row.steps] for row in rows],
        "states": ["".join(LETTERS.get(StepState(s.state), "p") if s else " " for s in row.steps) for row in rows],
    }


def _fill(rows: Sequence[Row]) -> None:
    titles: dict[str, str] = {}
    for row in rows:
        row.cells = [_cell(step, row.machine, titles) for step in row.steps]


def _cell(step: Step | None, machine: str | None, titles: dict[str, str]) -> Cell:
    if step is None:
        return Cell(None)
    if step.title not in titles:
        titles[step.title] = wording.title(step.title)
    state, title = StepState(step.state), titles[step.title]
    words = _words(step, state)
    said = ", ".join(filter(None, [str(state.label), words, _("the job pauses before it") if step.held else ""]))
    return Cell(step, words, f"{machine or _('Console')}, {title}: {said}", title)


def _words(step: Step, state: StepState) -> str:
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


def _told(step: Step) -> bool:
    """What only runs after a failure is no news before it does."""
    return not step.compensates or step.state != StepState.PENDING


def _forward(lane: Sequence[Step]) -> list[Step]:
    return [step for step in lane if not step.compensates]


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0

"""A parallel plan as its page shows it; the manual's claims beside what was reckoned for this site."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext, gettext_noop, ngettext
from django.utils.translation import gettext as _

from jobs.depot import files
from jobs.depot.models import Artifact
from jobs.depot.services import verify
from jobs.failures import JobFailed
from jobs.models import Job

PARTS = ("weights", "cache", "activations", "buffers", "idle")
# What the launch parameters say where an engine can't be used.
UNSUPPORTED = (gettext_noop("vLLM-Ascend runs on Atlas A2, A3 and 300I, not on the first Ascend 910."),)


@dataclass(frozen=True)
class Part:
    """What takes memory of a chip: bytes, and where its piece of the bar is, of 100."""

    label: str
    bytes: int
    fill: str
    x: str
    width: str


@dataclass(frozen=True)
class Saved:
    """The ring against one parameter server by one measure; ``holds``: whether the manual's 60 % is reached."""

    label: str
    ring: str
    server: str
    share: str
    holds: bool


@dataclass(frozen=True)
class Launched:
    """What to run on a machine, for a shell: environment, then command lines in their order."""

    machine: str
    script: str


def shown(job: Job, report: dict[str, Any]) -> dict[str, Any]:
    """The page's parts."""
    best, gradients = report["best"], report["gradients"]
    launched, unsupported = _launch(job)
    return {
        "report": report,
        "best": best,
        "reasons": _reasons(report),
        "parts": _parts(best["memory"]),
        "free": best["memory"]["usable"] - best["memory"]["needed"],
        "options": [{**row, "best": row == best} for row in report.get("options") or ()],
        "exchanges": [_exchange(_("A token of each sequence"), best["decode"]),
                      _exchange(_("A pass over a prompt"), best["prefill"])],
        "links": [(_("Between chips of a machine"), report["site"].get("inside")),
                  (_("Between machines"), report["site"].get("across"))],
        "saved": _saved(gradients),
        "gradients": gradients,
        "files": _files(job),
        "launched": launched,
        "unsupported": unsupported,
        "shards": report.get("shards"),
        "machines": [machine.name for machine in job.machines.all()],
        "simulated": any(machine.simulated for machine in job.machines.all()),
    }  # fmt: skip


def _reasons(report: Mapping[str, Any]) -> list[str]:
    """Why this split, from the figures that decide."""
    best, nodes = report["best"], report["site"]["nodes"]
    said = [_("It is the smallest group of chips that the model fits on.")]
    chips = best["tensor"] * best["pipeline"]
    smaller = [
        row for row in report.get("options") or () if not row["fits"] and row["tensor"] * row["pipeline"] < chips
    ]
    if smaller:
        nearest = max(smaller, key=lambda row: row["tensor"] * row["pipeline"])
        n = nearest["tensor"] * nearest["pipeline"]
        said.append(
            ngettext(
                "On %(n)s chip %(gib)s GiB would be missing.", "On %(n)s chips %(gib)s GiB a chip would be missing.", n
            )
            % {"n": n, "gib": f"{nearest['short'] / 2**30:.1f}"}
        )
    if best["nodes"] > 1:
        said.append(_("One replica lies on %(n)s machines, because no single one holds it.") % {"n": best["nodes"]})
    elif nodes > 1:
        said.append(_("It stays inside a machine, so that nothing of a pass crosses the slower network."))
    if best["data"] > 1:
        said.append(
            _("%(n)s replicas share the requests; while they serve, they exchange nothing.") % {"n": best["data"]}
        )
    return said


def _parts(memory: Mapping[str, int]) -> list[Part]:
    labels = {
        "weights": _("Weights"),
        "cache": _("Key-value cache"),
        "activations": _("Activations"),
        "buffers": _("Exchange buffers"),
        "idle": _("In use before it starts"),
    }
    made, at = [], 0
    whole = max(memory["usable"], memory["needed"], 1)
    for number, name in enumerate(PARTS):
        size = memory[name]
        made.append(Part(labels[name], size, f"mem-{number}", f"{100 * at / whole:.2f}", f"{100 * size / whole:.2f}"))
        at += size
    return made


def _exchange(label: str, exchange: Mapping[str, Any]) -> tuple[str, int, str]:
    """What is sent for what by the busiest chip, in bytes, and how long that takes."""
    return label, int(exchange["bytes"]), milliseconds(exchange["seconds"])


def milliseconds(seconds: float | None) -> str:
    """As a person reads it; a link that nobody measured has no times."""
    if seconds is None:
        return _("needs a measured link")
    value = seconds * 1e3
    return f"{value:.2f} ms" if value < 1000 else f"{seconds:.2f} s"


def _saved(gradients: Mapping[str, Any]) -> list[Saved]:
    if "ring" not in gradients:
        return []
    ranks, ring, server = gradients["ranks"], gradients["ring"], gradients["server"]
    saved, holds = gradients["saved"], gradients["holds"]

    def row(name: str, label: str, of_ring: str, of_server: str) -> Saved:
        return Saved(label, of_ring, of_server, f"{saved[name] * 100:.1f} %", bool(holds[name]))

    made = [
        # Each worker sends its gradients, and the server gives the sum back to each.
        row("all_bytes", _("All bytes on the network"), _size(ranks * ring["sent"]), _size(2 * ranks * server["sent"])),
        row("busiest_port", _("Sent by the busiest port"), _size(ring["busiest"]), _size(server["busiest"])),
    ]
    if "seconds" in saved:
        times = (milliseconds(ring["seconds"]), milliseconds(server["seconds"]))
        made.append(row("seconds", _("Time on the measured link"), *times))
    return made


def _size(count: float) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.2f} MiB"


def _files(job: Job) -> list[Artifact]:
    ids = [one["id"] for one in job.result.get("artifacts") or () if one["type"] in files.TYPES]
    return list(Artifact.objects.filter(pk__in=ids).order_by("pk"))


def _script(one: Mapping[str, Any]) -> str:
    exports = [f"export {name}={shlex.quote(str(value))}" for name, value in one.get("environment", {}).items()]
    return "\n".join([*exports, *one.get("lines", ())])


def _launch(job: Job) -> tuple[list[Launched], str]:
    """vLLM-Ascend's commands by machine, or why there are none."""
    for artifact in _files(job):
        if artifact.type != "launch-parameters":
            continue
        try:
            verify(artifact)
            told = json.loads(artifact.path.read_bytes()).get("vllm-ascend") or {}
        except (JobFailed, OSError, ValueError):
            return [], ""
        made = [Launched(name, _script(one)) for name, one in (told.get("machines") or {}).items()]
        return made, gettext(str(told.get("unsupported", ""))) if told.get("unsupported") else ""
    return [], ""

"""A quantization's report as its page shows it: what was measured, and the manual's claims beside it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from jobs.depot.models import Artifact
from jobs.kinds.quantize import chart, words
from jobs.kinds.quantize.claims import claims
from jobs.models import Job

REPORT = "quantization-report"
TITLE = gettext_lazy("Quantization report")
TEMPLATE = "quantization/report.html"
# What the command says when nothing that it tried was good enough (`jobs.quantization.budget`).
_BEST = re.compile(
    r"(?P<model>.+) loses (?P<best>[\d.]+) of (?P<of>\w+) at best on (?P<on>.+), with (?P<kept>\d+) of (?P<all>\d+) "
    r"weights kept higher; (?P<asked>[\d.e-]+) may be lost\."
)
# Activations that are named.
CLIPPED = 6
# Settings that are told elsewhere on the page, or that no person chooses.
_ELSEWHERE = (
    "calibration", "profile", "inline_limit", "measure", "budget", "calibrate", "percentile", "pictures",
)  # fmt: skip
# Settings of 4 bits alone.
_OF_FOUR_BITS = ("block", "zero_points", "method", "memory_mib")


@dataclass(frozen=True)
class Size:
    """A class of tensors, in bytes; ``ratio`` is how many times smaller, ``None`` of what stays as it is.

    ``before_width`` and ``after_width`` are of 100, the largest class being all of them.
    """

    label: str
    detail: str
    tensors: int | None
    before: int
    after: int
    ratio: float | None
    before_width: str = "0"
    after_width: str = "0"


@dataclass(frozen=True)
class NotHeld:
    """A budget that could not be held. ``said`` is the command's own line, where it has no ``best``."""

    said: str
    mend: str
    asked: str = ""
    best: str = ""
    on: str = ""
    kept: int = 0
    all: int = 0


def not_held(job: Job) -> NotHeld | None:
    """What became of a budget that could not be held; ``None`` for every other job."""
    failure = job.failure or {}
    if failure.get("code") != "budget-not-held":
        return None
    text, mend = str(failure.get("cause", "")), str(failure.get("mend", ""))
    found = _BEST.match(text)
    if found is None:
        return NotHeld(text, mend)
    return NotHeld(
        text,
        mend,
        lost(float(found["asked"]), found["of"]),
        percent(float(found["best"])),
        words.said(found["on"]),
        int(found["kept"]),
        int(found["all"]),
    )


def shown(job: Job, report: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """The page's parts. A report of an earlier version may lack some: what it has not is left out."""
    if not report:
        return {"not_held": not_held(job), "report": {}}
    compared = report.get("agreement") or {}
    parameters = report.get("parameters") or {}
    generated = "generated inputs" in str(compared.get("on", "")) and not parameters.get("calibration")
    return {
        "report": report,
        "scheme": words.scheme(str(report.get("scheme", ""))),
        "latency": _latency(report),
        "accuracy": _accuracy(compared),
        "answers": _answers(compared),
        "compared": compared,
        "on": words.said(str(compared.get("on", ""))),
        "generated": generated,
        "budget": _budget(report),
        "calibrated": _calibrated(report),
        "fitted": words.said(str((report.get("fitted") or {}).get("on", ""))),
        "claims": claims(report, whole=whole),
        "sizes": _sizes(report),
        "chart": chart.of(report, whole=whole),
        "warnings": [words.said(str(line)) for line in report.get("warnings") or ()],
        "files": _files(report),
        "settings": _settings(report),
        "command": _command(job),
    }


def percent(share: float) -> str:
    """A share of 1: ``97.7 %``; of less than a tenth of a percent all of it."""
    value = share * 100
    return f"{value:.1f} %" if abs(value) >= 0.1 or not value else f"{value:.2g} %"


def lost(share: float, of: str) -> str:
    """How much of what."""
    if of == "accuracy":
        return _("%(share)s of the right answers") % {"share": percent(share)}
    return _("%(share)s of the answers other than the original’s") % {"share": percent(share)}


def _latency(report: Mapping[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] | None = report.get("latency")
    if not found or not found.get("after_ms"):
        return None
    before, after = float(found["before_ms"]), float(found["after_ms"])
    return {**found, "times": f"{before / after:.2f}", "faster": before >= after}


def _accuracy(compared: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Label, figure, what it is."""
    rows = _answers(compared)
    for name, label in (("cosine_mean", _("Output cosine, mean")), ("cosine_min", _("Output cosine, lowest row"))):
        if compared.get(name) is not None:
            rows.append((label, f"{compared[name]:.6f}", _("1 is the same direction")))
    if compared.get("largest_difference") is not None:
        rows.append((_("Largest difference"), f"{compared['largest_difference']:.4g}", _("of one output value")))
    return rows


def _answers(compared: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The same, of the answers alone."""
    rows: list[tuple[str, str, str]] = []
    if compared.get("agreement") is not None:
        rows.append((_("Agreement"), percent(compared["agreement"]), _("share of answers that are the original's")))
    before, after = compared.get("accuracy_before"), compared.get("accuracy_after")
    if before is not None and after is not None:
        rows.append((_("Top-1 before"), percent(before), _("right answers of the original")))
        lost = (before - after) * 100
        change = _("%(points)s points lost") if lost >= 0 else _("%(points)s points gained")
        rows.append((_("Top-1 after"), percent(after), change % {"points": f"{abs(lost):.1f}"}))
    return rows


def _budget(report: Mapping[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] | None = report.get("budget")
    if not found:
        return None
    return {
        **found,
        "asked": lost(found["asked"], str(found["of"])),
        "lost": percent(found["lost"]),
        "lost_by_scheme": percent(found["lost_by_scheme"]),
        "on": words.said(str(found["on"])),
        # Of what the scheme alone makes.
        "share_more": percent(found["bytes_more"] / max(1, report["bytes_after"] - found["bytes_more"])),
    }


def _calibrated(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The ranges of activations that were seen on samples, those that are clipped most."""
    found: dict[str, Any] | None = report.get("calibration")
    if not found:
        return None
    how = {
        "minmax": _("smallest and largest value seen"),
        "percentile": _("percentile %(share)s") % {"share": found.get("percentile")},
        "entropy": _("entropy: what changes the distribution least"),
    }
    clipped = [
        {**one, "share": percent(one["clipped"])} for one in found.get("activations") or () if one["clipped"] > 0
    ]
    return {
        **found,
        "how": how.get(str(found["method"]), str(found["method"])),
        "on": words.said(str(found["on"])),
        "clipped": clipped[:CLIPPED],
    }


def _sizes(report: Mapping[str, Any]) -> list[Size]:
    """Quantized classes, what stays by reason, and the rest of the file, so that it adds up to the whole."""
    rows = []
    for group in report.get("groups") or ():
        bits = ", ".join(_("%(n)s bit") % {"n": n} for n in group.get("bits") or ())
        detail = ", ".join(part for part in (group["kind"], bits) if part)
        label = words.tensor_class(group["kind"])
        sizes = group["bytes_before"], group["bytes_after"], group["ratio"]
        rows.append(Size(label, detail, group["tensors"], *sizes))
    rows.sort(key=lambda row: -row.before)
    for left in report.get("left") or ():
        why = words.said(str(left["reason"]))
        rows.append(Size(_("As it was"), why, left["tensors"], left["bytes"], left["bytes"], None))
    before = report["bytes_before"] - sum(row.before for row in rows)
    after = report["bytes_after"] - sum(row.after for row in rows)
    if before > 0 and after > 0:
        rows.append(Size(_("Everything else"), _("graph, names, integers"), None, before, after, None))
    most = max((row.before for row in rows), default=1) or 1
    return [
        Size(
            row.label, row.detail, row.tensors, row.before, row.after, row.ratio,
            f"{100 * row.before / most:.2f}", f"{100 * row.after / most:.2f}",
        )
        for row in rows
    ]  # fmt: skip


def _files(report: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    """What it is, its name in the depot (else that of the work folder), its SHA-256, and whether the depot has it."""
    found = [(_("Original"), name, digest) for name, digest in (report.get("source_sha256") or {}).items()]
    found.append((_("Result"), str(report.get("destination", "")).rpartition("/")[2], str(report.get("sha256", ""))))
    if report.get("external_sha256"):
        found.append((_("Result"), str(report.get("external_data", "")), str(report["external_sha256"])))
    parameters = report.get("parameters") or {}
    roles = {parameters.get("calibration"): _("Calibration set"), parameters.get("profile"): _("Model profile")}
    for name, digest in (report.get("samples_sha256") or {}).items():
        found.append((roles.get(name, _("Calibration set")), name, digest))
    names = dict(Artifact.objects.filter(sha256__in=[row[2] for row in found]).values_list("sha256", "name"))
    return [(role, names.get(digest, name), digest, digest in names) for role, name, digest in found]


def _command(job: Job) -> str:
    """The command line that made it, as the plan has it."""
    for stage in job.plan.get("stages") or ():
        for lane in stage.get("lanes") or ():
            for step in lane.get("steps") or ():
                if step.get("key") in ("quantize", "convert") and step.get("action", {}).get("arguments"):
                    return shlex.join(step["action"]["arguments"])
    return ""


def _settings(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was asked for, as far as this scheme has a use for it."""
    asked = report.get("parameters") or {}
    idle = set(_ELSEWHERE)
    if report.get("scheme") != "int4":
        idle |= set(_OF_FOUR_BITS)
    if asked.get("method") != "gptq":
        idle.add("memory_mib")
    return [
        (name, f"{value:,} MiB" if name == "memory_mib" else _plain(value))
        for name, value in asked.items()
        if name not in idle and value not in (None, "", 0)
    ]


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

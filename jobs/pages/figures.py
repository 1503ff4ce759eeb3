"""What a job's report says, as figures with their units; the manual's claim beside those that it makes one about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hardware.telemetry.alerts.metrics import METRICS
from jobs.kinds.quantize import words
from jobs.pages import sharded


@dataclass
class Figure:
    """``manual`` is what the handbook claims for it, empty where it claims nothing."""

    label: str
    measured: str
    detail: str = ""
    manual: str = ""


@dataclass
class Result:
    """``rest`` is what the report says beyond the figures, as it says it."""

    artifacts: list[dict[str, Any]] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    rest: list[tuple[str, str]] = field(default_factory=list)
    simulated: bool = False

    def __bool__(self) -> bool:
        return bool(self.artifacts or self.figures or self.rest)


# What the manual claims of quantization (by bits of the weights): size, and accuracy.
_SIZE_CLAIMS = {8: gettext_lazy("13 GB to 1.6 GB, which is 4 bit from FP32"), 4: gettext_lazy("1/8 of the size")}
_ACCURACY_CLAIMS = {
    8: (gettext_lazy("%(share)s of accuracy kept"), "98.7 %"),
    4: (gettext_lazy("%(share)s lost at most"), "2 %"),
}
_BEFORE = ("bytes_before", "source_bytes", "size_before", "original_bytes", "input_bytes")
_AFTER = ("bytes_after", "bytes", "size_after", "output_bytes")


def of_result(result: dict[str, Any], *, simulated: bool = False) -> Result:
    """A job's result as its page shows it."""
    report = {**(result.get("report") or {})}
    report |= {name: value for name, value in result.items() if name not in ("artifacts", "report")}
    # A conversion that quantized as well: what that did is told as of any quantization, and on a page of its own.
    quantized = report.pop("quantization", None)
    if isinstance(quantized, dict):
        report |= {name: quantized.get(name) for name in ("scheme", "agreement", "bytes_before", "bytes_after")}
        report.pop("bytes", None)
    compared = report.pop("agreement", None)
    compared = dict(compared) if isinstance(compared, dict) else {"agreement": compared}
    made = Result(artifacts=list(result.get("artifacts") or ()), simulated=simulated)
    bits = _bits(str(report.get("scheme", "")))
    before, after = _take(report, _BEFORE), _take(report, _AFTER)
    if before and after:
        ratio = f"{before / after:.2f} x"
        detail = _("%(before)s to %(after)s") % {"before": size(before), "after": size(after)}
        made.figures.append(
            Figure(_("Smaller by"), ratio, detail, str(_SIZE_CLAIMS.get(bits, "")) if bits is not None else "")
        )
    elif after:
        made.figures.append(Figure(_("Size"), size(after), _("%(count)s bytes") % {"count": f"{int(after):,}"}))
    if isinstance(share := compared.get("agreement"), int | float):
        made.figures.append(_agreement(float(share), compared, bits or 0))
    if "per_node" in report:
        made.figures += [Figure(*row) for row in sharded.rows(report)]
    gates = _take(report, ("gates_passed",))
    if gates is not None:
        made.figures.append(Figure(_("Gates passed"), f"{gates:.0f}", _("health checks and smoke inferences")))
    parameters = _take(report, ("parameters",))
    if parameters:
        made.figures.append(Figure(_("Parameters"), f"{parameters / 1e6:.1f} M"))
    seconds = _take(report, ("seconds",))
    if seconds is not None:
        made.figures.append(Figure(_("Took"), _("%(n)s s") % {"n": f"{seconds:.1f}"}, _("on the console")))
    for watched in report.pop("watched", None) or ():
        made.figures += _watched(watched)
    for profile in report.pop("profiles", None) or ():
        made.figures += _profiled(profile)
    made.rest = [(name, _said(value)) for name, value in report.items() if value not in (None, "", [], {})]
    return made


def _watched(watched: dict[str, Any]) -> list[Figure]:
    """What was measured of a machine before something was changed there, and after."""
    samples, found = watched["samples"], []
    minutes = f"{watched['seconds'] / 60:g}"
    if not samples["before"] and not samples["after"]:
        said = _("The collector measured nothing in these %(minutes)s minutes.") % {"minutes": minutes}
        return [Figure(watched["machine"], "–", said)]
    detail = _("%(minutes)s min before and after on %(machine)s") % {"minutes": minutes, "machine": watched["machine"]}
    if watched["simulated"]:
        detail = _("%(what)s; simulated, so no figure of an NPU") % {"what": detail}
    for figure in watched["figures"]:
        metric = METRICS.get(figure["name"])
        label, unit = (str(metric.title), metric.unit) if metric else (figure["name"], "")
        before, after = (_plain(figure[side], unit) for side in ("before", "after"))
        found.append(Figure(label[:1].upper() + label[1:], f"{before} → {after}", detail))
        # Said once a machine.
        detail = ""
    return found


def _plain(value: float | None, unit: str) -> str:
    if value is None:
        return _("not measured")
    return f"{value:.3g} {unit}".strip() if value < 1000 else f"{value:,.0f} {unit}".strip()


def _profiled(profile: dict[str, Any]) -> list[Figure]:
    """What msprof found: the operators that take most of the time, and what the cores did."""
    figures = [
        Figure(
            _("%(type)s on %(core)s") % {"type": row["type"], "core": row["core"]},
            f"{row['share_percent']:.1f} %",
            _("%(count)s calls, %(ms)s ms in all")
            % {"count": f"{row['count']:,}", "ms": f"{row['time_us'] / 1e3:,.1f}"},
        )
        for row in profile.get("operators", ())[:5]
    ]
    for device, ratios in profile.get("cores", {}).items():
        busy = max((value for name, value in ratios.items() if name.endswith("_ratio")), default=None)
        if busy is None:
            continue
        bound = ratios.get("memory_bound", 0) > 1
        detail = _("waits for data more than it computes") if bound else ""
        figures.append(Figure(_("%(device)s, its busiest unit") % {"device": device}, f"{busy * 100:.1f} %", detail))
    return figures


def _agreement(share: float, compared: dict[str, Any], bits: int) -> Figure:
    """How often the result answers as the original, and on what that was measured."""
    rows, on = compared.get("rows"), words.said(str(compared.get("on") or ""))
    detail = _("answers as the original does")
    if rows and not on:
        detail = _("answers as the original does, on %(count)s inputs") % {"count": f"{rows:,}"}
    claimed, claim = _ACCURACY_CLAIMS.get(bits, ("", ""))
    return Figure(
        _("Agreement"),
        f"{share * 100:.1f} %",
        f"{detail} ({on})" if on else detail,
        str(claimed) % {"share": claim} if claim else "",
    )


def size(count: float) -> str:
    """Bytes in binary units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _bits(scheme: str) -> int | None:
    return next((bits for bits in (4, 8) if f"int{bits}" in scheme), None)


def _take(report: dict[str, Any], names: tuple[str, ...]) -> float | None:
    """The first of these that is a number; it is then no part of the rest."""
    for name in names:
        value = report.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            del report[name]
            return float(value)
    return None


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_said(item)}" for key, item in list(value.items())[:12])
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return _("%(count)s entries, in the log") % {"count": len(value)}
    if isinstance(value, list):
        shown = ", ".join(_said(item) for item in value[:8])
        return shown if len(value) <= 8 else _("%(shown)s and %(count)s more") % {
            "shown": shown, "count": len(value) - 8,
        }  # fmt: skip
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)

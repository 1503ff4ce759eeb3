"""The metrics that a rule may rest on: their units, where they may lie, what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Of = Literal["npu", "machine", "facts"]


@dataclass(frozen=True)
class Metric:
    """``of``: each NPU has one, the machine has one, or it is found when the machine's facts are stored.

    ``low`` and ``high`` are the limits of a threshold, ``counter`` what only ever grows until it is reset.
    """

    name: str
    of: Of
    title: str | Promise
    unit: str = ""
    low: float = 0
    high: float = 1e12
    counter: bool = False


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("aicore_percent", "npu", _("NPU utilisation"), "%", 0, 100),
        Metric("temp_c", "npu", _("NPU temperature"), "°C", -50, 150),
        Metric("power_w", "npu", _("NPU power"), "W", 0, 5000),
        Metric("hbm_used_percent", "npu", _("HBM in use"), "%", 0, 100),
        # 0 OK, 1 Warning, 2 Alarm, 3 Critical.
        Metric("health", "npu", _("NPU health"), "", 0, 3),
        Metric("ecc_errors", "npu", _("ECC errors"), "", counter=True),
        Metric("link", "npu", _("NPU link"), "", 0, 1),
        Metric("processes", "npu", _("processes on the NPU"), ""),
        Metric("npus_on_bus", "machine", _("NPUs on the bus"), "", 0, 1024),
        Metric("npus_listed", "machine", _("NPUs that npu-smi lists"), "", 0, 1024),
        Metric("npus_missing", "machine", _("NPUs that were there and are not"), "", 0, 1024),
        Metric("disk_used_percent", "machine", _("fullest file system"), "%", 0, 100),
        Metric("clock_skew_s", "machine", _("clock against the console’s"), "s", -1e9, 1e9),
        Metric("clock_off_s", "machine", _("clock off by, either way"), "s", 0, 1e9),
        Metric("links_down", "machine", _("NPU links that are down"), "", 0, 1024),
        Metric("requests_waiting", "machine", _("requests that wait"), ""),
        Metric("requests_per_s", "machine", _("requests answered"), "1/s"),
        Metric("latency_ms", "machine", _("latency"), "ms"),
        Metric("latency_p95_ms", "machine", _("latency, 95th percentile"), "ms"),
        Metric("latency_spread_percent", "machine", _("spread of the latency"), "%", 0, 100_000),
        Metric("out_of_memory", "machine", _("times out of memory"), "", counter=True),
        Metric("max_batch", "machine", _("largest batch"), "", 0, 100_000),
        Metric("preprocessing_workers", "machine", _("preprocessing workers"), "", 0, 10_000),
        # 1 for a period in which the machine said nothing.
        Metric("silent", "machine", _("no answer"), "", 0, 1),
        Metric("version_conflicts", "facts", _("versions that do not agree"), "", 0, 1000),
    )
}
STATS = ("min", "mean", "max", "p95")
OPS = ("<", ">", "rises")


def known(name: Any) -> Metric | None:
    return METRICS.get(name) if isinstance(name, str) else None

"""The rules that are built in: those of the manual's table, and what else a fleet should not be asked for by hand.

They are data: ``ensure`` puts them into the database, where people edit them. A newer console changes those that
nobody has edited. Their words are translated where they are shown, as long as they are these words.
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_noop as _

from hardware.telemetry.alerts.models import Rule


def _on(metric: str, op: str, value: float, clear: float | None = None, stat: str = "mean") -> dict[str, Any]:
    return {"metric": metric, "stat": stat, "op": op, "value": value, "clear": value if clear is None else clear}


# Fields of ``Rule`` by slug.
BUILTIN: dict[str, dict[str, Any]] = {
    "npu-idle-while-requests-wait": {
        "title": _("NPU idle while requests wait"),
        "severity": "warning",
        "scope": "npu",
        "conditions": [
            _on("aicore_percent", "<", 30, 40),
            # A mean over the time: that a request waits a moment for the one before it is no backlog.
            _on("requests_waiting", ">", 1, 0.5),
            # Not of an NPU that serves nothing.
            _on("processes", ">", 0, 0, "max"),
        ],
        "for_s": 300,
        "clear_for_s": 120,
        "cause": _(
            "Requests wait and the NPU is used under 30 percent: it waits for its input. Decoding and preprocessing on "
            "the CPU are the bottleneck."
        ),
        "advice": _("Set the release’s preprocessing workers to 8, watch for ten minutes, and compare."),
        "remedy": {"kind": "tune-serving", "params": {"preprocessing_workers": 8}},
    },
    "latency-varies-when-hot": {
        "title": _("Latency varies while the NPU is hot"),
        "severity": "warning",
        "scope": "machine",
        "conditions": [_on("latency_spread_percent", ">", 20, 15), _on("temp_c", ">", 75, 70, "max")],
        "for_s": 180,
        "clear_for_s": 300,
        "cause": _("The latency varies by more than 20 percent and an NPU is hot: it lowers its clock to stay cool."),
        "advice": _(
            "Raise the fans through the BMC, never above its own limit, and hand control back when it is cool."
        ),
        "remedy": {"kind": "set-fan", "params": {"rpm": 4500}},
    },
    "out-of-memory": {
        "title": _("Serving ran out of memory"),
        "severity": "critical",
        "scope": "machine",
        "conditions": [_on("out_of_memory", "rises", 1)],
        "for_s": 0,
        "clear_for_s": 900,
        "cause": _("The serving process ran out of NPU memory: its batches are too large for the model beside them."),
        "advice": _("Lower max_batch to 32, or by half where it is lower already, and restart serving in place."),
        "remedy": {"kind": "tune-serving", "params": {"max_batch": "remedy"}},
    },
    "npu-health": {
        "title": _("NPU is not healthy"),
        "severity": "critical",
        "scope": "npu",
        "conditions": [_on("health", ">", 0, 0, "min")],
        "for_s": 60,
        "clear_for_s": 120,
        "cause": _("The NPU itself reports a fault. Its fault codes say which, where it gives any."),
        "advice": _("Move what serves there to another NPU. What to do next depends on the fault code."),
    },
    "chip-lost": {
        "title": _("An NPU is lost"),
        "severity": "critical",
        "scope": "machine",
        "conditions": [_on("npus_missing", ">", 0, 0, "min")],
        "for_s": 60,
        "clear_for_s": 60,
        "cause": _(
            "Fewer NPUs are on the bus, or listed by npu-smi, than were there before: one fell off the bus, lost its "
            "power, or its driver no longer takes it."
        ),
        "advice": _(
            "Look at the BMC’s log. Turn the machine off and on (a restart may not be enough); if the NPU stays away, "
            "have its card looked at."
        ),
    },
    "ecc-growth": {
        "title": _("ECC errors grow"),
        "severity": "warning",
        "scope": "npu",
        "conditions": [_on("ecc_errors", "rises", 1)],
        "for_s": 0,
        "clear_for_s": 3600,
        "cause": _("The NPU’s memory had new ECC errors. Single ones are corrected; many announce a failing HBM."),
        "advice": _("Watch how fast they grow. If it goes on, plan to move the load away and have the card replaced."),
    },
    "hbm-full-without-process": {
        "title": _("HBM nearly full with no process"),
        "severity": "warning",
        "scope": "npu",
        "conditions": [_on("hbm_used_percent", ">", 90, 80, "min"), _on("processes", "<", 1, 1, "max")],
        "for_s": 300,
        "clear_for_s": 60,
        "cause": _(
            "The NPU’s memory is nearly full and no process is listed for it: one that was killed left its memory "
            "behind, or one in a container is not shown."
        ),
        "advice": _(
            "Look for containers that hold the NPU. If there are none, reset the NPU while nothing runs on it."
        ),
    },
    "disk-nearly-full": {
        "title": _("Disk nearly full"),
        "severity": "warning",
        "scope": "machine",
        "conditions": [_on("disk_used_percent", ">", 90, 85)],
        "for_s": 300,
        "clear_for_s": 60,
        "cause": _(
            "A file system is more than 90 percent full. Images, old releases and logs are what usually fills it."
        ),
        "advice": _("Remove images and releases that nothing uses, and look at the logs under /var/log."),
    },
    "link-down": {
        "title": _("NPU link down"),
        "severity": "warning",
        "scope": "npu",
        "conditions": [_on("link", "<", 1, 1, "max")],
        "for_s": 120,
        "clear_for_s": 60,
        "cause": _("The NPU’s own network port has no link: cable, optical module, switch port, or its configuration."),
        "advice": _("Check cable, module and switch port; compare /etc/hccn.conf with the plan of addresses."),
    },
    "versions-differ": {
        "title": _("Versions differ"),
        "severity": "warning",
        "scope": "machine",
        "conditions": [_on("version_conflicts", ">", 0, 0)],
        "for_s": 0,
        "clear_for_s": 0,
        "cause": _(
            "Driver, firmware or tools differ from those of like machines of the same site, or from what the driver "
            "itself says that it runs with."
        ),
        "advice": _("Install the driver and firmware that the other machines have."),
        "remedy": {"kind": "install-driver", "params": {"driver": "{driver}", "firmware": "{firmware}"}},
    },
    "machine-silent": {
        "title": _("Machine silent"),
        "severity": "critical",
        "scope": "machine",
        "conditions": [_on("silent", ">", 0, 0, "max")],
        "for_s": 180,
        "clear_for_s": 60,
        "cause": _("The machine has not answered for three minutes. Whether it runs is not known."),
        "advice": _("Check its power through the BMC, and the management network. What runs there may go on."),
    },
    "clock-skew": {
        "title": _("Clock differs from the console’s"),
        "severity": "warning",
        "scope": "machine",
        "conditions": [_on("clock_off_s", ">", 5, 2, "max")],
        "for_s": 180,
        "clear_for_s": 60,
        "cause": _("The machine’s clock differs from the console’s by more than 5 seconds: no time server answers it."),
        "advice": _("Set up chrony or ntpd with the site’s time server. Until then times in logs do not compare."),
    },
}


def fields_of(slug: str) -> dict[str, Any]:
    """All fields of a built-in rule, as ``reset`` sets them."""
    return {"remedy": {}, "enabled": True, **BUILTIN[slug]}


def ensure() -> None:
    """Every built-in rule is there; those that nobody has edited are as this console has them."""
    there = {rule.slug: rule for rule in Rule.objects.filter(slug__in=BUILTIN)}
    for slug in BUILTIN:
        rule = there.get(slug)
        wanted = fields_of(slug)
        if rule is None:
            Rule.objects.get_or_create(slug=slug, defaults={**wanted, "builtin": True})
        elif not rule.edited:
            wanted.pop("enabled")
            different = {name: value for name, value in wanted.items() if getattr(rule, name) != value}
            if different:
                for name, value in different.items():
                    setattr(rule, name, value)
                rule.version += 1
                rule.save()


def after_migrate(**_kwargs: Any) -> None:
    ensure()

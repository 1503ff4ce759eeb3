"""A parallel plan's report as figures, the manual's claims beside those that it makes one about."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

# Label, what was reckoned, what it rests on, what the manual claims.
Row = tuple[str, str, str, str]
GIB = 1024**3


def rows(report: dict[str, Any]) -> list[Row]:
    """Takes what it shows out of ``report``."""
    best, per_node = report.pop("best"), report.pop("per_node")
    memory, gradients = best["memory"], report.pop("gradients")
    split = _("tensor %(tensor)s × pipeline %(pipeline)s × data %(data)s") % best
    parts = {name: f"{memory[name] / GIB:.1f}" for name in ("weights", "cache", "activations", "buffers", "idle")}
    found = [
        (
            _("Best split"),
            split,
            _("of %(count)s that divide the model") % {"count": len(report.get("options", ()))},
            "",
        ),
        (
            _("Memory of the fullest chip"),
            f"{memory['needed'] / GIB:.1f} / {memory['usable'] / GIB:.1f} GiB",
            _(
                "GiB: weights %(weights)s, key-value cache %(cache)s, activations %(activations)s, "
                "buffers %(buffers)s, idle %(idle)s"
            )
            % parts,
            "",
        ),
        (
            _("Parameters of a node’s share"),
            f"{per_node['parameters'] / 1e9:.2f} B",
            _("were the model cut over all %(nodes)s machines") % per_node,
            "4 × 3.25 B",
        ),
        _exchanged(best),
    ]
    return [*found, *_gradients(gradients)]


def _exchanged(best: dict[str, Any]) -> Row:
    sent = f"{best['decode']['bytes'] / 1024**2:.2f} MiB"
    if best["decode"]["seconds"] is None:
        return _("Sent by a chip for a token"), sent, _("times need a measured link"), ""
    took = f"{best['decode']['seconds'] * 1e3:.2f}"
    return _("Sent by a chip for a token"), sent, _("%(ms)s ms on the measured links") % {"ms": took}, ""


def _gradients(gradients: dict[str, Any]) -> list[Row]:
    """Training only; who serves exchanges none."""
    label, manual = _("Ring instead of a parameter server saves"), "60 %"
    names = {
        "all_bytes": _("of all bytes"),
        "busiest_port": _("of the busiest port’s bytes"),
        "seconds": _("of the time"),
    }
    saved = gradients.get("saved", {})
    made = [(label, f"{share:.1%}", names[name], manual) for name, share in saved.items()]
    if made:
        made.append((_("The same when serving"), "0 %", _("replicas that serve exchange no gradients"), ""))
    return made

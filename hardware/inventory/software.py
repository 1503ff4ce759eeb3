"""The software of a machine, part by part, with a verdict on each: what the Machine page's table shows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.utils.translation import gettext as _

from hardware.inventory.facts import Facts
from hardware.inventory.standing import Standing, new_job


@dataclass(frozen=True)
class Part:
    """``state`` is that of a chip; ``url`` leads to the job that would mend it, if one would."""

    words: str
    version: str
    state: str
    verdict: str
    button: str = ""
    url: str = ""


def software(standing: Standing) -> list[Part]:
    facts = standing.facts
    assert facts is not None, "software is asked for after a probe"
    return [*_driver(standing, facts), _cann(standing, facts), _mindspore(standing, facts), _docker(facts)]


def _driver(standing: Standing, facts: Facts) -> list[Part]:
    mend = (_("Install"), new_job("install-driver", [standing.machine.name]))
    if facts.driver is None and facts.firmware is None:
        state, verdict = ("warning", _("Missing")) if facts.pci_npus else ("unknown", _("Not needed"))
        button, url = mend if facts.pci_npus else ("", "")
        return [Part(_("Driver"), "", state, verdict, button, url), Part(_("Firmware"), "", state, verdict)]
    pair = next((c.severity for c in standing.checks if c.code == "driver-firmware"), "")
    state, verdict = {
        "pass": ("ok", _("Compatible")),
        "block": ("failed", _("Wrong")),
        "warn": ("warning", _("Doubtful")),
    }.get(pair, ("unknown", _("Unknown")))
    driver = facts.driver.version if facts.driver else ""
    firmware = facts.firmware.version if facts.firmware else ""
    button, url = mend if pair != "pass" else ("", "")
    return [
        Part(_("Driver"), driver, state if driver else "warning", verdict if driver else _("Missing")),
        Part(
            _("Firmware"),
            firmware,
            state if firmware else "warning",
            verdict if firmware else _("Missing"),
            button,
            url,
        ),
    ]


def _verdict(standing: Standing, code: str) -> tuple[str, str]:
    """The state and the words of a part by the check that judges it against its counterpart."""
    check = next((check for check in standing.checks if check.code == code), None)
    if check is None:
        return "ok", _("Installed")
    return {
        "pass": ("ok", _("Compatible")),
        "unknown": ("unknown", _("Unknown")),
    }.get(check.severity, ("warning", _("Does not match")))


def _cann(standing: Standing, facts: Facts) -> Part:
    if facts.cann is not None:
        state, verdict = _verdict(standing, "driver-cann")
        return Part("CANN", facts.cann.version, state, verdict)
    return Part(
        "CANN", "", "unknown", _("Needed to convert"), _("Install"), new_job("install-cann", [standing.machine.name])
    )


def _mindspore(standing: Standing, facts: Facts) -> Part:
    if facts.mindspore is not None:
        state, verdict = _verdict(standing, "mindspore-cann")
        return Part("MindSpore", facts.mindspore.version, state, verdict)
    url = new_job("install-mindspore", [standing.machine.name])
    return Part("MindSpore", "", "unknown", _("Needed to train"), _("Install"), url)


def _docker(facts: Facts) -> Part:
    if facts.docker is not None:
        # "Docker version 18.09.0, build ..."
        version = re.search(r"\d+(\.\d+)+", facts.docker)
        return Part("docker", version.group() if version else facts.docker, "ok", _("Installed"))
    return Part("docker", "", "unknown", _("Needed to serve"))

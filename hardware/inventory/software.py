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
    return [*_driver(standing, facts), _cann(standing, facts), _docker(facts)]


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


def _cann(standing: Standing, facts: Facts) -> Part:
    if facts.cann is not None:
        return Part("CANN", facts.cann.version, "ok", _("Installed"))
    return Part(
        "CANN", "", "unknown", _("Needed to convert"), _("Install"), new_job("install-cann", [standing.machine.name])
    )


def _docker(facts: Facts) -> Part:
    if facts.docker is not None:
        # "Docker version 18.09.0, build ..."
        version = re.search(r"\d+(\.\d+)+", facts.docker)
        return Part("docker", version.group() if version else facts.docker, "ok", _("Installed"))
    return Part("docker", "", "unknown", _("Needed to serve"))

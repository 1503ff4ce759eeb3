"""The speeds of the management and the service network. One link that is fast enough for both may be both."""

from __future__ import annotations

from collections.abc import Iterator

from hardware.inventory.facts import Facts
from hardware.inventory.preflight.records import Check, Need, Severity, gettext_noop, say

# They have no speed of their own, whatever they say.
_BRIDGES = ("docker", "br-", "virbr", "cni", "flannel", "kube")

_UP = gettext_noop("A link of %(speed)s Gbit/s or more is up.")
_DOWN = gettext_noop("No link of %(speed)s Gbit/s is up.")
_DOWN_THERE = gettext_noop("No link of %(speed)s Gbit/s is up; without a link: %(down)s.")
_UNTOLD = gettext_noop("Whether a link of %(speed)s Gbit/s is up is not known: %(up)s did not tell its speed.")


def nics(facts: Facts, need: Need) -> Iterator[Check]:
    links = [nic for nic in facts.nics if not nic.name.startswith(_BRIDGES)]
    fastest = max((nic.speed_mbps for nic in links if nic.up and nic.speed_mbps), default=0)
    down = ", ".join(nic.name for nic in links if not nic.up)
    untold = ", ".join(nic.name for nic in links if nic.up and not nic.speed_mbps)

    def lacking(speed: int) -> tuple[str, dict[str, object]]:
        if untold:
            return _UNTOLD, {"speed": speed, "up": untold}
        return (_DOWN_THERE, {"speed": speed, "down": down}) if down else (_DOWN, {"speed": speed})

    severity: Severity = "unknown" if untold else "warn"
    if fastest >= 1000:
        yield say("management-nic", "pass", _UP, speed=1)
    else:
        sentence, values = lacking(1)
        yield say("management-nic", severity, sentence, **values)
    if fastest >= 25000:
        yield say("service-nic", "pass", _UP, speed=25)
    else:
        sentence, values = lacking(25)
        yield say("service-nic", severity, sentence, **values)

"""``ip link``, ``ip addr`` (one line or several to a link, or brief) and speeds as ``/sys`` and ethtool give them.

Of the addresses those of IPv4 are read.
"""

from __future__ import annotations

import re

from hardware.inventory.facts.records import Nic

_LINK = re.compile(r"^[0-9]+: ([^:@\s]+)\S*: <([^>]*)>(.*)$")
_BRIEF = re.compile(r"^([^\s@:]+)(?:@\S+)?\s+(UP|DOWN|UNKNOWN|LOWERLAYERDOWN|DORMANT)\s+(.*)$")
_ONE_LINE = re.compile(r"^[0-9]+:\s+(\S+)\s+inet\s+(\S+)")
_IPV4 = re.compile(r"(?<!\S)[0-9.]+/[0-9]+(?!\S)")
_WITHIN = re.compile(r"^\s+inet\s+(\S+)")
# Ends of containers and virtual machines: they come and go with those and are no NIC of the machine.
ENDS = ("veth", "cali", "lxc", "vnet", "tap", "cilium", "nodelocaldns", "kube-ipvs")
_SPEED = re.compile(r"(?:/sys/class/net/)?([^\s/]+)(?:/speed)?\s[^0-9(-]*([0-9]{1,9})")


def read_ip(links: str, addresses: str = "", speeds: str = "") -> tuple[Nic, ...]:
    """Links in order, without the loopback and the ends of containers.

    ``links`` may have the addresses, too, where it is ``ip addr``.
    """
    up: dict[str, bool] = {}
    owned: dict[str, list[str]] = {}
    for text in (links, addresses):
        name = ""
        for line in text.splitlines():
            link, brief, one, within = _LINK.match(line), _BRIEF.match(line), _ONE_LINE.match(line), _WITHIN.match(line)
            if one:
                owned.setdefault(one[1], []).append(one[2])
            elif link:
                name = link[1]
                if text is links:
                    flags = link[2].split(",")
                    up[name] = "UP" in flags and "NO-CARRIER" not in flags
            elif brief:
                if text is links:
                    up[brief[1]] = brief[2] in ("UP", "UNKNOWN")
                owned.setdefault(brief[1], []).extend(_IPV4.findall(brief[3]))
            elif within and name:
                owned.setdefault(name, []).append(within[1])
    rates = read_speeds(speeds)
    return tuple(
        Nic(name, is_up, rates.get(name), tuple(dict.fromkeys(owned.get(name, ()))))
        for name, is_up in up.items()
        if name != "lo" and not name.startswith(ENDS)
    )


def read_speeds(text: str) -> dict[str, int]:
    """Mbit/s by link, from lines of ``/sys/class/net/NAME/speed VALUE`` and ``NAME Speed: 25000Mb/s``."""
    rates: dict[str, int] = {}
    for line in text.splitlines():
        found = _SPEED.match(line)
        if found and int(found[2]) > 0:
            rates.setdefault(found[1], int(found[2]))
    return rates

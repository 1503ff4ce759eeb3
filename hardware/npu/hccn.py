"""The NPUs' own network: ``/etc/hccn.conf`` and what ``hccn_tool`` prints about addresses, links and optics."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from hardware.npu.report import ToolError
from hardware.npu.text import lines
from hardware.npu.values import Unreadable, number, whole, word
from hardware.npu.versions import assignments

_CONF = re.compile(r"(address|netmask|gateway|netdetect|ipv6address|ipv6netmask)_(\d{1,4})")
_COMMAND = re.compile(r"(?:^|[\s/])(hccn_tool(?:\s+-\S+(?:\s+[^\s|<>-]\S*)*)*)\s*(?:\|.*)?$")
_NOISE = re.compile(r"LogLevel failed", re.I)
_ERROR = re.compile(
    r"Device ID is out of|is not exist|(?:Cmd|Command) execute failed|command execute failed|Parameter error"
    r"|Unrecognized parameter|Get .* failed|not (?:support(?:ed)?|found)\b|No such file|未找到|没有那个文件"
    r"|[Pp]ermission denied",
)
_DEVICE = re.compile(r"^\[devid (\d+)\]\s*")
_CHANGE = re.compile(r"^(\w{3} \w{3} +\d+ [\d:]{8} \d{4})\s+LINK[ _](UP|DOWN)$", re.I)
_PING = re.compile(r"(\d+) packets transmitted, (\d+) received, ([\d.]+)% packet loss", re.I)
_ANSWER = re.compile(r"recv seq=(\d+),\s*time=([\d.]+)\s*ms")
_SPEED = re.compile(r"Speed\s*:\s*(\d+)\s*Mb/s", re.I)
_TLS = re.compile(r"dev_id:(\d+), tls switch\[(\d+)\]")
_UNIT = re.compile(r"^(-?\d+(?:\.\d+)?)\s*(C|mV|mW|mA|nm|dB|dBm|V|W|Gbps|Mb/s|ms)$")


@dataclass(frozen=True)
class Address:
    """Of one NPU's port, as ``/etc/hccn.conf`` has it."""

    address: str | None = None
    netmask: str | None = None
    gateway: str | None = None
    netdetect: str | None = None
    ipv6address: str | None = None
    ipv6netmask: str | None = None


@dataclass
class Hccn:
    """One output. ``link`` is ``UP`` or ``DOWN``; ``changes`` are (time as printed, ``UP`` or ``DOWN``), newest first;
    ``tables`` are rows by their header. ``fields`` has every labelled value: ``(number, unit)`` where it has a unit.
    """

    command: str | None = None
    device: int | None = None
    link: str | None = None
    address: str | None = None
    netmask: str | None = None
    health: str | None = None
    speed_mbps: int | None = None
    lost_percent: float | None = None
    changes: list[tuple[str, str]] = field(default_factory=list)
    tables: list[list[dict[str, str]]] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    error: ToolError | None = None


def read_conf(text: str | bytes) -> dict[int, Address]:
    """Addresses by NPU. A line that is none of them (ARP, detection) is left out."""
    found: dict[int, Address] = {}
    for key, value in assignments(text).items():
        match = _CONF.fullmatch(key)
        if match and value:
            place = int(match[2])
            found[place] = replace(found.get(place, Address()), **{match[1]: value})
    return dict(sorted(found.items()))


def read_hccn(text: str | bytes) -> Hccn:
    """Whatever ``hccn_tool ... -g`` printed. Never raises; a line that is not understood is a warning."""
    report = Hccn()
    header: list[str] = []
    routes = False
    said = lines(text)
    if any(line.strip().startswith("hccn_tool -h") for line in said):
        # Help has examples of commands, which ask nothing of any NPU.
        return Hccn("hccn_tool -h", fields={"text": "\n".join(said)})
    for raw in said:
        line = raw.strip()
        if not line or line.startswith("+--"):
            header = header if line else []
            continue
        command = _COMMAND.search(line) if "hccn_tool" in line else None
        if command and not _ERROR.search(line):
            report.command = " ".join(command[1].split())
            asked = re.search(r" -i (\d{1,4})\b", report.command)
            report.device = int(asked[1]) if asked else report.device
        elif line.startswith("hccn_tool "):
            # A manual's form of the command, with names in brackets.
            continue
        elif _NOISE.search(line):
            report.warnings.append(line)
        elif line[0] == "|":
            header = _table(line, header, report)
        elif routes or line.startswith("Destination "):
            routes = True
            header = _route(line, header, report)
        elif _ERROR.search(line):
            _error(line, report)
        else:
            _said(line, report)
    return report


def _error(line: str, report: Hccn) -> None:
    """The first error says what is wrong, the ones after it only that it was."""
    if report.error is None or report.error.code == "failed":
        before = report.error
        code, cause = "failed", "hccn_tool could not ask the NPU's port; the driver may not be loaded."
        if re.search(r"Device ID|not exist", line):
            code, cause = "invalid-device", "This tool counts NPUs by their logic id, from 0."
        elif re.search(r"[Pp]arameter", line):
            code, cause = "invalid-parameter", "hccn_tool does not take this parameter, or not for this NPU."
        elif re.search(r"not found|No such file|未找到|没有那个文件", line):
            code, cause = "hccn_tool-missing", "hccn_tool is not installed: there is no driver."
        elif re.search(r"[Pp]ermission", line):
            code, cause = "not-permitted", "Only root may run hccn_tool."
        elif "support" in line:
            code, cause = "unsupported", "This NPU does not support the question."
        report.error = ToolError(code, line, cause)
        if before is not None:
            report.warnings.append(before.text)
    else:
        report.warnings.append(line)


def _table(line: str, header: list[str], report: Hccn) -> list[str]:
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    if not header or len(cells) != len(header):
        report.tables.append([])
        return cells
    rows = report.tables[-1]
    if rows and cells[0] == "":
        # A row that goes on: what it leaves out is as above.
        cells = [cell or rows[-1][name] for name, cell in zip(header, cells, strict=True)]
    row = dict(zip(header, cells, strict=True))
    rows.append(row)
    if row.get("Time_Stamp") and row.get("Link_Status", "").startswith("LINK_"):
        report.changes.append((row["Time_Stamp"], row["Link_Status"].removeprefix("LINK_")))
    return header


def _route(line: str, header: list[str], report: Hccn) -> list[str]:
    cells = line.split()
    if not header:
        report.tables.append([])
        return cells
    if len(cells) == len(header):
        report.tables[-1].append(dict(zip(header, cells, strict=True)))
    else:
        report.warnings.append(f"line not understood: {line}")
    return header


def _said(line: str, report: Hccn) -> None:
    device = _DEVICE.match(line)
    if device:
        report.device = int(device[1])
        line = line[device.end() :]
    change, ping, answer, tls = _CHANGE.match(line), _PING.search(line), _ANSWER.match(line), _TLS.search(line)
    if change:
        report.changes.append((change[1], change[2].upper()))
    elif ping:
        report.lost_percent = float(ping[3])
        report.fields |= {"transmitted": int(ping[1]), "received": int(ping[2])}
    elif answer:
        report.fields.setdefault("time_ms", []).append(float(answer[2]))
    elif tls:
        report.device = int(tls[1])
        report.fields["tls switch"] = int(tls[2])
    elif line.startswith("device ") and "PING" in line:
        place = re.match(r"device (\d+) PING (\S+)", line)
        if place:
            report.device, report.fields["ping"] = int(place[1]), place[2]
    elif ":" in line:
        _labelled(line, report)
    else:
        report.warnings.append(f"line not understood: {line}")


def _labelled(line: str, report: Hccn) -> None:
    label, _, value = (part.strip() for part in line.partition(":"))
    if value.startswith("Settings for "):
        report.fields["interface"] = value.removeprefix("Settings for ").rstrip(":")
        return
    gateway = re.match(r"(\S+?),\s*Iface:\s*(\S+)$", value)
    if gateway:
        report.fields |= {label: gateway[1], "Iface": gateway[2]}
        return
    if not value:
        report.fields.setdefault(label, None)
        return
    place = _PLACES.get(label.lower())
    if place is not None:
        setattr(report, place[0], place[1](value))
    speed = _SPEED.match(line)
    if speed:
        report.speed_mbps = whole(speed[1][:15])
    unit = _UNIT.match(value)
    if unit:
        report.fields[label] = (_figure(unit[1]), unit[2])
    else:
        report.fields[label] = _figure(value)


def _figure(value: str) -> float | str | None:
    try:
        return number(value)
    except Unreadable:
        return word(value)


_PLACES: dict[str, tuple[str, Callable[[str], str | None]]] = {
    "link status": ("link", lambda value: word(value.upper())),
    "ipaddr": ("address", word),
    "netmask": ("netmask", word),
    "net health status": ("health", word),
}

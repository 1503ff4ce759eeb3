"""What is read seldom: error counts, links, fault codes, disks, the PCI bus and the clock.

``SLOW`` is the part of the loop on the machine that asks. It takes the number of questions that were answered before
and the chips, and prints each question with its answer, for two seconds or so: with eight busy NPUs all of it takes
many seconds, and readings must come in between. ``next N`` then says where to go on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hardware.npu import parse
from hardware.npu.counts import ecc_errors, fault_codes
from hardware.npu.hccn import read_hccn
from hardware.npu.pci import read_lspci

ASK = "@@ask"
SECONDS = 2

SLOW = f"""ask() {{
  place=$((place + 1))
  [ $place -gt $done ] || return 0
  if [ -n "$next" ] || {{ [ $place -gt $((done + 1)) ] && [ $(($(date +%s) - since)) -ge {SECONDS} ]; }}; then
    next=${{next:-$((place - 1))}}
    return 0
  fi
  echo "{ASK} $*"
  command -v "$1" >/dev/null 2>&1 && $limit "$@" </dev/null 2>&1
}}
slow() {{
  done=$1 place=0 next= since=$(date +%s)
  shift
  ask df -P -k
  ask lspci -n -d 19e5:
  for one in "$@"; do
    IFS=: read -r card chip logic health <<END
$one
END
    [ "$chip" != 0 ] || ask npu-smi info -t ecc -i "$card"
    ask hccn_tool -i "$logic" -link -g
    [ "$health" = OK ] || ask npu-smi info -t health -i "$card" -c "$chip"
  done
  echo "{ASK} next $next"
}}
"""

# A chip by its card and its place on that.
Place = tuple[int | None, int | None]


@dataclass
class Slow:
    """What was read so far; a value that no question gave is absent."""

    ecc: dict[Place, int] = field(default_factory=dict)
    link: dict[Place, int] = field(default_factory=dict)
    codes: dict[Place, list[str]] = field(default_factory=dict)
    vitals: dict[str, float] = field(default_factory=dict)

    def onto(self, chips: Iterable[dict[str, Any]], vitals: dict[str, float]) -> None:
        """Write the values into a sample's chips and vitals."""
        listed = 0
        for chip in chips:
            place = chip["npu_id"], chip["chip_id"] or 0
            chip["ecc_errors"], chip["link"] = self.ecc.get(place), self.link.get(place)
            # Without a fault there is no code; the tool is not asked for one.
            chip["fault_codes"] = [] if chip["health"] == "OK" else self.codes.get(place)
            listed += 1
        vitals.update(self.vitals)
        vitals["npus_listed"] = listed


def words(done: int, chips: Iterable[Mapping[str, Any]]) -> str:
    """What ``slow`` takes: the questions that were answered, and the chips in the order of npu-smi's list."""
    told = [
        f"{chip['npu_id']}:{chip['chip_id'] or 0}:{logic}:{chip['health'] or '-'}"
        for logic, chip in enumerate(chips)
        if chip["npu_id"] is not None
    ]
    return " ".join([str(done), *told])


def take(output: str, chips: list[Mapping[str, Any]], into: Slow) -> int | None:
    """Read one answer; returns the number of questions that are answered when there are more, else ``None``."""
    places: list[Place] = [(chip["npu_id"], chip["chip_id"] or 0) for chip in chips]
    for question, text in _parts(output):
        tool, *rest = question.split()
        if tool == "next":
            _count_links(places, into)
            return int(rest[0]) if rest and rest[0].isdigit() else None
        if tool == "df":
            into.vitals.pop("disk_used_percent", None)
            if (used := disk_used(text)) is not None:
                into.vitals["disk_used_percent"] = used
        elif tool == "lspci":
            into.vitals.pop("npus_on_bus", None)
            # A bus without any NPU and a machine without lspci print the same.
            if (found := on_bus(text)) > 0:
                into.vitals["npus_on_bus"] = found
        elif tool == "hccn_tool":
            place = places[int(rest[1])]
            into.link.pop(place, None)
            if (up := link(text)) is not None:
                into.link[place] = up
        elif "ecc" in rest:
            card = int(rest[rest.index("-i") + 1])
            for place in [place for place in into.ecc if place[0] == card]:
                del into.ecc[place]
            for chip, count in ecc(text):
                into.ecc[card, chip or 0] = count
        elif "health" in rest:
            place = int(rest[rest.index("-i") + 1]), int(rest[rest.index("-c") + 1])
            into.codes.pop(place, None)
            if (found_codes := codes(text)) is not None:
                into.codes[place] = list(found_codes)
    return None


def _parts(output: str) -> Iterator[tuple[str, str]]:
    for part in output.split(f"{ASK} ")[1:]:
        question, _, text = part.partition("\n")
        if question.strip():
            yield question, text


def _count_links(places: list[Place], slow: Slow) -> None:
    known = [slow.link[place] for place in places if place in slow.link]
    slow.vitals.pop("links_down", None)
    if known:
        slow.vitals["links_down"] = known.count(0)


def skew(began: list[bytes], asked: float, delay: float) -> float | None:
    """Seconds that the machine's clock is ahead of ours: it read it between our question and its first word."""
    try:
        theirs = float(began[0].split(b".%")[0])
    except (IndexError, ValueError):
        return None
    # A date that knows no fractions of a second is half a second behind on average.
    return round(theirs + (0 if b"." in began[0] and b"%" not in began[0] else 0.5) - (asked + delay / 2), 3)


_ROW = re.compile(r"^(/\S+)\s.*?\s(\d{1,3})%\s+(/.*)$", re.M)


@lru_cache(maxsize=4096)
def disk_used(text: str) -> float | None:
    """Of the fullest file system on a disk of the machine, in percent. Images that are mounted are full by nature."""
    rows = [(device, int(used)) for device, used, _ in _ROW.findall(text)]
    return max((used for device, used in rows if not re.match(r"/dev/(loop|sr)\d", device)), default=None)


@lru_cache(maxsize=256)
def on_bus(text: str) -> int:
    return len(read_lspci(text))


@lru_cache(maxsize=4096)
def ecc(text: str) -> tuple[tuple[int | None, int], ...]:
    return tuple((chip, count) for (_, chip), count in ecc_errors(parse(text, "npu-smi info -t ecc")).items())


@lru_cache(maxsize=256)
def link(text: str) -> int | None:
    return {"UP": 1, "DOWN": 0}.get(read_hccn(text).link or "")


@lru_cache(maxsize=1024)
def codes(text: str) -> tuple[str, ...] | None:
    found = fault_codes(parse(text, "npu-smi info -t health"))
    return None if found is None else tuple(found)

"""Fault codes of NPUs in words.

``faults.json`` has what is known of them, with its sources, in English and Chinese: of some codes what they mean, of
more of them what kind of care the vendor's own cluster software takes of them. A code that is not there is unknown, and
said to be.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

_CODE = re.compile(r"(?:0x)?([0-9a-f]{8})", re.I)


@dataclass(frozen=True)
class Fault:
    """``means`` and ``do`` by language (``en``, ``zh``). Empty ``means``: what it means is not known, only what to do;
    both empty: the code is unknown. ``sources`` are what says so.
    """

    code: str
    means: dict[str, str]
    do: dict[str, str]
    sources: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        return bool(self.means or self.do)


def explain(code: str) -> Fault:
    """A code as npu-smi, the driver's log or the BMC writes it: ``0x80e01801``, ``80E01801``."""
    match = _CODE.fullmatch(code.strip())
    if match is None:
        return Fault(code.strip(), {}, {})
    digits = match[1].upper()
    data = _data()
    said = data["codes"].get(digits, {})
    care = _cares().get(digits)
    handling = data["care"].get(care, {})
    means = said.get("means", {})
    do = said.get("do") or handling.get("do", {})
    names = [*said.get("sources", ()), *handling.get("sources", ())]
    return Fault(f"0x{digits}", means, do, tuple(data["sources"][name] for name in dict.fromkeys(names)))


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(Path(__file__).with_name("faults.json").read_text(encoding="utf-8"))
    return read


@lru_cache(maxsize=1)
def _cares() -> dict[str, str]:
    """Code -> the name of its care; one that is in two lists has the graver, which comes first."""
    found: dict[str, str] = {}
    for name, care in _data()["care"].items():
        for code in care["codes"].split():
            found.setdefault(code.upper(), name)
    return found

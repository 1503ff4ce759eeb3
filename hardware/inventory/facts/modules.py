"""``dkms status``: which kernel modules are built for which kernel."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(
    r"^\s*(?P<name>[\w.+-]+)(?:/|,\s*)(?P<version>[^\s,:]+)"
    r"(?:,\s*(?P<kernel>[^\s,:]+)(?:,\s*(?P<arch>[^\s,:]+))?)?\s*:\s*(?P<state>added|built|installed(?:-weak)?|broken)\b(?P<note>.*)$"
)


@dataclass(frozen=True)
class Module:
    """``state``: added, built, installed, installed-weak or broken; ``note`` is what dkms warns of."""

    name: str
    version: str
    kernel: str | None
    architecture: str | None
    state: str
    note: str = ""


def read_dkms(text: str) -> tuple[Module, ...]:
    """Modules in the layout of dkms 2 (``name, version, kernel, arch: state``) and 3 (``name/version, ...``)."""
    found = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            note = match["note"].strip().removeprefix("(").removesuffix(")").strip()
            found.append(Module(match["name"], match["version"], match["kernel"], match["arch"], match["state"], note))
    return tuple(found)

"""The machine's SSH server is stopped: links that are open say no more, new ones are taken and get no answer.

What runs on the machine goes on, and the links go on when the fault is cleared, as after a network that swallowed
everything for a while.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from hardware.simulator.faults.fault import Fault
from hardware.simulator.spec import Home

SLUG = "machine-silent"
# What the machine's SSH server calls itself.
SERVER = "sshd"


class MachineSilent(Fault):
    slug = SLUG
    summary = "the machine takes connections and answers nothing, while its processes go on"

    def value(self, words: list[str]) -> list[str]:
        self.at_most(words, 0)
        return []

    def began(self, home: Home) -> None:
        _signal(home, signal.SIGSTOP)

    def ended(self, home: Home) -> None:
        _signal(home, signal.SIGCONT)


def _signal(home: Home, number: signal.Signals) -> None:
    # A machine that is off has no server; one that boots looks for the fault itself.
    with suppress(OSError, ValueError):
        keeper = int(home.pid.read_text())
        for init in _children(keeper):
            for child in _children(init):
                if Path(f"/proc/{child}/comm").read_text().strip() == SERVER:
                    os.kill(child, number)


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                text = (entry / "stat").read_text()
                if int(text[text.rindex(")") + 2 :].split()[1]) == parent:
                    found.append(int(entry.name))
    return found

"""Whether a machine has an interpreter that MindSpore's wheel is for."""

from __future__ import annotations

from collections.abc import Iterator

from hardware.inventory.facts import Facts
from hardware.inventory.preflight.records import Check, Mend, gettext_noop, say


def interpreter(facts: Facts, python: str) -> str | None:
    """The command of the machine's interpreter of that minor version (``3.9``), the most particular name first."""
    fitting = [name for name, version in facts.pythons.items() if version.split(".")[:2] == python.split(".")]
    return max(fitting, key=len, default=None)


def python_for_mindspore(facts: Facts, python: str, mend: Mend | None) -> Iterator[Check]:
    """``python`` is the minor version that the wheel is for; ``mend`` installs it, where the depot has it."""
    found = interpreter(facts, python)
    if found:
        sentence = gettext_noop("%(found)s is Python %(version)s, for which MindSpore was made.")
        yield say("python", "pass", sentence, python=python, found=found, version=facts.pythons[found])
    else:
        has = ", ".join(f"{name} {version}" for name, version in facts.pythons.items()) or "none"
        sentence = gettext_noop("The wheel is for Python %(python)s; the machine has %(has)s.")
        yield say("python", "block", sentence, mend, python=python, has=has)

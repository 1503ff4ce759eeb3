"""Checks of facts against what a job needs. No Django here.

A new rule is a function ``(facts, need) -> Iterator[Check]`` in a module of its own, named in ``judging.RULES``; its
code and cause stand in ``codes.CAUSES`` and in docs/preflight.md.
"""

from hardware.inventory.preflight.codes import CAUSES, cause
from hardware.inventory.preflight.judging import RULES, evaluate, in_order
from hardware.inventory.preflight.mindspore import interpreter, python_for_mindspore
from hardware.inventory.preflight.records import Check, Claim, Image, Mend, Need, Part, Severity, gettext_noop, say

__all__ = [
    "CAUSES", "RULES", "Check", "Claim", "Image", "Mend", "Need", "Part", "Severity", "cause", "evaluate",
    "gettext_noop", "in_order", "interpreter", "python_for_mindspore", "say",
]  # fmt: skip

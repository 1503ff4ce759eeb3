"""Checks of facts against what a job needs. No Django here."""

from hardware.inventory.preflight.checks import Check, Mend, Need, evaluate

__all__ = ["Check", "Mend", "Need", "evaluate"]

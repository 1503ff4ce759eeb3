"""The user that the driver's files and device nodes belong to."""

from __future__ import annotations

from collections.abc import Iterator

from hardware.inventory.facts import Facts
from hardware.inventory.preflight.records import Check, Mend, Need, gettext_noop, say


def driver_user(facts: Facts, need: Need) -> Iterator[Check]:
    """A driver is not installed without it, and gives -8005 in containers once it is gone."""
    if facts.hwhiaiuser:
        yield say("driver-user", "pass", gettext_noop("User and group HwHiAiUser are there."))
    elif need.replaces_driver:
        yield say("driver-user", "pass", gettext_noop("User or group HwHiAiUser is missing: the job makes it first."))
    elif facts.driver is not None:
        mend = Mend("create-driver-user", {}, gettext_noop("Create HwHiAiUser"))
        sentence = gettext_noop(
            "User or group HwHiAiUser is missing, to which the driver’s device nodes belong: containers get -8005."
        )
        yield say("driver-user", "warn", sentence, mend)

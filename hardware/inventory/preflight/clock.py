"""The machine's clock against the console's.

Two seconds is more than a synchronised clock is ever off by, and what a probe itself can be mistaken by is less. From a
minute on, the times of a machine's logs can no longer be laid beside the console's, and what compares times (tickets,
tokens, make) begins to refuse or to leave out work.
"""

from __future__ import annotations

from collections.abc import Iterator

from hardware.inventory.facts import Facts
from hardware.inventory.preflight.records import Check, Need, gettext_noop, say

WARN_SECONDS, BLOCK_SECONDS = 2, 60


def clock(facts: Facts, need: Need) -> Iterator[Check]:
    skew = facts.clock_skew_s
    if skew is None:
        return
    off = abs(skew)
    if off <= WARN_SECONDS:
        yield say("clock", "pass", gettext_noop("The clock is the console's to within 2 seconds."), skew=skew)
        return
    values = {"skew": skew, "seconds": f"{off:.0f}"}
    if skew > 0:
        sentence = gettext_noop("The clock is %(seconds)s s ahead of the console's: set up time synchronisation.")
    else:
        sentence = gettext_noop("The clock is %(seconds)s s behind the console's: set up time synchronisation.")
    yield say("clock", "block" if off > BLOCK_SECONDS else "warn", sentence, **values)

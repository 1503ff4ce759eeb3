"""What happened, as failures and refusals carry it, in the reader's language with its values. See ``sentences``."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from hardware.inventory import causes
from hardware.inventory.sentences import Sentences
from jobs.pages.wording import title

_HELD = Sentences(
    (
        "Container %(container)s (%(process)s, pid %(pid)s) has the NPU driver open: stop it.",
        "Process %(process)s (pid %(pid)s) has the NPU driver open: stop it.",
        "NPU %(npus)s is held by process %(process)s (pid %(pid)s): stop it, or choose other NPUs.",
        "NPU %(npus)s is held by process %(process)s (pid %(pid)s): stop it.",
        "NPU %(npus)s is held by container %(container)s (%(process)s, pid %(pid)s): stop it, or choose other NPUs.",
        "NPU %(npus)s is held by container %(container)s: stop it, or choose other NPUs.",
        "NPU %(npus)s is held by container %(container)s: stop it.",
    )
)

# The more particular ones first. Of remedies:
TEMPLATES = (
    _("%(machine)s: no release is served there."),
    _("%(machine)s: its facts have not been read."),
    _("%(machine)s: driver and firmware agree; it is CANN that differs."),
    _("%(machine)s: like machines have %(part)s %(versions)s, none of them most."),
    _("%(machine)s: the depot has no firmware that goes with driver %(version)s for it."),
    _("%(machine)s: the depot has no driver %(version)s for it."),
    _("%(machine)s: the depot has no firmware %(version)s for it."),
    _("%(machine)s: served with %(values)s already."),
    _("Alert %(alert)s has ended."),
    _("Job %(job)s is mending alert %(alert)s already."),
    _("The rule %(rule)s names no job that mends it."),
    # Of fans.
    _(
        "%(machine)s: after %(n)s s at %(level)s %% the hottest chip still had %(degrees)s °C. The fans were handed "
        "back to the BMC."
    ),
    _("%(machine)s: its BMC does not let the fans be set."),
    _("%(machine)s: somebody holds its fans at %(level)s %% by hand."),
    _("%(machine)s: its BMC now takes %(most)s %% at most, and the plan says %(level)s %%."),
    _("%(machine)s: somebody set its fans back to automatic meanwhile."),
    _(
        "%(machine)s: the fans are still held at %(level)s %%, and could not be handed back: %(why)s The BMC takes "
        "them back by itself by %(time)s UTC."
    ),
    _("%(machine)s: it has no BMC at %(where)s (any more)."),
    # Of what is on a machine.
    _("%(machine)s has no NPU on its PCI bus."),
    _("%(file)s is not for %(machine)s, which is %(architecture)s."),
    _("%(machine)s: %(wanted)s was to be there, the machine has %(has)s."),
    _("%(machine)s: npu-smi lists %(n)s healthy NPUs, not %(wanted)s (%(said)s)."),
    _("%(machine)s: firmware %(firmware)s is outside the range of driver %(driver)s."),
    _("%(machine)s: %(held)s (So it was %(ago)s; the machine gave no answer just now.)"),
    # Of any job.
    _("%(machine)s did not come back within %(n)s s of its restart."),
    _("%(machine)s: %(request)s was not right in time: %(said)s."),
    _("The depot no longer has the bytes of %(file)s."),
    _("The job was stopped: it took longer than the %(n)s s it may."),
    _("The console itself is at fault."),
    _("%(title)s ended with exit code %(code)s: %(said)s"),
)


def cause(text: str) -> str:
    """The sentence of a failure or a refusal; as it was kept where it is none of these."""
    if not text:
        return ""
    told = _SENTENCES.say(text)
    if told != text:
        return told
    told = causes.cause(text)
    if told != text:
        return told
    # Who holds an NPU is preflight's own sentence, behind the machine's name.
    name, colon, rest = text.partition(": ")
    return f"{name}: {held}" if colon and (held := _HELD.say(rest)) != rest else text


_SENTENCES = Sentences(TEMPLATES, {"title": title, "why": causes.cause, "held": _HELD.say})

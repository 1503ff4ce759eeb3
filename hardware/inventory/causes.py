"""Why a machine or its board can't be used, in the reader's language. The sentences are those of ``hardware.ssh``,
``hardware.bmc.redfish`` and the collector.
"""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from hardware.inventory.sentences import Sentences

TEMPLATES = (
    _("%(machine)s: its jump host gives no way on: %(why)s"),
    _("%(machine)s: its jump host %(name)s refuses to pass connections on."),
    _("%(machine)s: its jump host %(name)s does not answer any more."),
    _("%(machine)s: it is retired; nothing logs in there."),
    _("%(machine)s: its host key has not been confirmed."),
    _("%(machine)s: the host key changed from %(pinned)s to %(offered)s; nothing was sent."),
    _("%(machine)s: its private key can't be read (%(said)s)."),
    _("%(machine)s: %(host)s refused the login of user %(user)s."),
    _("%(machine)s: no SSH connection to %(where)s (%(reason)s)."),
    _("%(machine)s: nothing that speaks SSH answers at %(host)s port %(port)s (%(reason)s)."),
    _("%(machine)s: %(host)s port %(port)s offered no host key."),
    _("%(machine)s: it lets nobody log in: no answer for %(n)s s."),
    _("%(machine)s: it has not answered for %(n)s s."),
    _("%(machine)s: a tool hangs."),
    _("%(machine)s: a tool hung that was asked for error counts and links."),
    _("%(machine)s: port %(port)s gave no answer within %(n)s s."),
    _("%(machine)s: nothing answers on its port %(port)s."),
    _("%(machine)s: the SSH link was cut."),
    _("%(machine)s: the SSH link was cut (%(reason)s)."),
    _("%(machine)s: the SSH link has been cut for %(n)s s."),
    _("%(machine)s: the link was cut while %(file)s was sent."),
    _("%(machine)s: the link was cut while %(file)s was fetched."),
    _("%(machine)s: it has no working /bin/sh."),
    _("%(machine)s: it has no working /bin/sh: the probe printed nothing."),
    _("%(machine)s: it has no working /bin/sh: the session ended at once."),
    _("%(machine)s: it refused to start a shell (%(reason)s)."),
    _("%(machine)s: its shell ended without a status."),
    _("%(machine)s: a command gave no result within %(n)s s."),
    _("%(machine)s: sudo gave no answer within %(n)s s."),
    _("%(machine)s: sudo wants a terminal from user %(user)s (requiretty)."),
    _("%(machine)s: sudo does not let user %(user)s run commands as root."),
    _("%(machine)s: sudo refused the password of user %(user)s."),
    _("%(machine)s: sudo wants a password from user %(user)s."),
    _("%(machine)s: it has no sudo."),
    _("%(machine)s: sudo did not make user %(user)s root (%(said)s)."),
    _("%(machine)s: no space left for the run folder in %(folder)s."),
    _("%(machine)s: no space left in %(folder)s for %(file)s."),
    _("%(machine)s: the run folder in %(folder)s can't be written (%(said)s)."),
    _("%(machine)s: the run could not be started (exit code %(code)s: %(said)s)."),
    _("%(machine)s: %(folder)s can't be written (%(said)s)."),
    _("%(machine)s: there is no file %(file)s to fetch."),
    _("%(machine)s: %(file)s can't be read (%(said)s)."),
    _("%(machine)s: %(file)s did not arrive as it was sent: its SHA-256 differs."),
    _("%(machine)s: %(file)s did not arrive as it is there: its SHA-256 differs."),
    _("%(machine)s: %(file)s can't be put in place: %(said)s"),
    _("%(machine)s: it restarted as run %(run)s was to begin."),
    _("%(machine)s: it restarted while run %(run)s was under way."),
    _("%(machine)s: the folder of run %(run)s is gone; whether its command ran is not known."),
    _("%(machine)s: the folder of run %(run)s was removed before its end could be read."),
    _("%(machine)s: run %(run)s has no folder, or was never started."),
    _("%(machine)s: what watched over run %(run)s was killed before the run's end."),
    _("%(machine)s: the log of run %(run)s was cut short: %(n)s bytes of it are stored."),
    _("%(machine)s: nobody has confirmed its BMC's certificate yet."),
    _("%(machine)s: its BMC offers another certificate (%(fingerprint)s)."),
    _("%(machine)s: its BMC refused the login of %(user)s."),
    _("%(machine)s: its BMC at %(where)s gave no answer within %(n)s s."),
    _("%(machine)s: its BMC at %(where)s does not answer (%(said)s)."),
    _("%(machine)s: its BMC showed no certificate."),
    _("%(machine)s: its BMC has no thermal resource."),
    _("%(machine)s: its BMC answered %(status)s with something that is no JSON."),
    _("%(machine)s: its BMC answered %(status)s to %(request)s"),
    _("%(machine)s: what its BMC sends is too large for an answer."),
    _("%(machine)s: the log has %(n)s bytes, %(here)s arrived."),
)


def cause(text: str) -> str:
    """A trouble's sentence; as it was kept where it is none of these."""
    return _SENTENCES.say(text) if text else ""


# Why a connection did not come about, as the transport and the system say it.
_REASONS = Sentences(
    (
        _("no answer in time"),
        _("Connection refused"),
        _("No route to host"),
        _("Network is unreachable"),
        # What a host offers in the place of its key.
        _("one of another type"),
    )
)
_SENTENCES = Sentences(TEMPLATES, within={"why": cause, "reason": _REASONS.say, "offered": _REASONS.say})

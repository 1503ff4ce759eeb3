"""Of remedies, fans, what is on a machine, and of any job while it runs."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

TEMPLATES = (
    # Of remedies.
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
    _("%(n)s machines failed. The first: %(why)s"),
    _("%(title)s ended with exit code %(code)s: %(said)s"),
    _("Install %(wanted)s; after an installation, read its log."),
    _("%(machine)s: %(n)s of %(wanted)s device nodes /dev/davinciN are there."),
    _("%(machine)s: %(n)s of %(wanted)s device nodes /dev/davinciN are there, /dev/davinci_manager is not."),
    _("%(machine)s has no driver."),
    _("%(machine)s has no firmware."),
    _("%(machine)s has no driver and no firmware."),
    # Of logins.
    _("%(machine)s: the new key was added, and a login of user %(user)s with it is refused."),
    _("The credential %(name)s is gone."),
    _("There is no credential %(id)s."),
    _("Choose another one."),
    _("The credential %(name)s has no private key."),
    _("The key of %(name)s can't be read."),
    _("Store it anew."),
    _("%(user)s is no user name that a shell knows."),
    _("Correct it."),
    _("%(old)s and %(new)s have the same key."),
    _("%(machine)s is logged in to as %(user)s, and %(new)s is for %(other)s."),
    _("Make a new key for %(name)s, or leave this machine out."),
    _("%(machine)s: %(title)s was stopped: it took longer than the %(n)s s it may."),
    _("The step ended well but made no %(file)s."),
    _("%(title)s: it ran, but not on an NPU: %(said)s"),
    # Of a machine that can't be used.
    _("A machine of this kind has its fans elsewhere."),
    _("Allow it in %(name)s's sshd_config: AllowTcpForwarding yes, and PermitOpen for %(where)s."),
    _("See what sudo asks there: ssh in and run sudo -v."),
    _("Add the line `Defaults:%(user)s !requiretty` to its sudoers, with visudo."),
    _("Let %(user)s run commands as root there, with visudo: %(line)s; or log in as another user."),
    _("Give the password for sudo in the machine's credential, or let %(user)s do without one there: %(line)s."),
    _("Check the machine's load, its power and its management network."),
    _("On %(name)s: %(why)s"),
    _("Look at the machine's SSH service, then try again."),
    _("Look at the jump host first; what lies behind it comes back with it."),
    _("Log in there as that user and run sudo -v to see what it wants."),
    _("Correct the password for sudo in the machine's credential."),
    _("Install sudo there, or log in as root."),
    _("Compare the fingerprint with the one on the machine's own screen, then confirm it."),
    _("Look at the board's own pages, then try again."),
    # Of the console's own part.
    _("%(title)s ended with exit code %(code)s: A defect of the console: %(said)s. Report it."),
    _("%(method)s %(path)s on port %(port)s"),
)

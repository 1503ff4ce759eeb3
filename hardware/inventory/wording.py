"""What the pages say about checks and troubles, in the reader's language.

The pure rules mark their sentences for the catalogue (``preflight.gettext_noop``); here they are looked up in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from hardware.inventory import causes, preflight
from hardware.inventory.preflight import Check, Mend
from hardware.ssh.errors import SSHFailure

if TYPE_CHECKING:
    from hardware.inventory.selection import Selection


def value(said: Any) -> str:
    """A fact's value as a reader says it: the items of a list one after another, pairs as ranges."""
    if isinstance(said, bool):
        return _("yes") if said else _("no")
    if isinstance(said, list):
        return ", ".join("\N{EN DASH}".join(map(str, one)) if isinstance(one, list) else str(one) for one in said)
    return str(said)


def unreached(title: str, wrong: SSHFailure) -> dict[str, str]:
    """The fault of an address where no host key could be read, and which was not stored for that."""
    return {
        "title": title,
        "cause": causes.cause(str(wrong)),
        "code": wrong.code,
        "mend": _("Check the address and the port, and that the machine is on. Nothing was stored."),
    }


_WORDS = ("first", "second")


def cause(check: Check) -> str:
    """What is wrong, in a few words."""
    return _(preflight.cause(check))


def reason(check: Check) -> str:
    """The sentence of a check, with the values it saw; a check without one says what its rule said."""
    # The names of parts are words of the catalogue, too: driver, firmware.
    said = {name: _(value) if name in _WORDS else value for name, value in check.values.items()}
    return " ".join(_(one) % said for one in check.sentences) or check.reason


def button(mend: Mend) -> str:
    """The words on the button of a mend."""
    if mend.kind == "install-driver":
        return _("Install driver and firmware")
    if mend.kind == "install-cann":
        return _("Install CANN")
    if mend.kind == "install-os-packages":
        names = mend.params.get("packages", [])
        if names == ["kernel-devel"]:
            return _("Install kernel headers")
        return _("Install %(names)s") % {"names": ", ".join(names)}
    return _(mend.label)


# code -> (what happened, what to do). The cause with the machine's name and the address stays as it was recorded.
_TROUBLES = {
    "ssh-unreachable": (
        gettext_lazy("Nothing answers at the address"),
        gettext_lazy("Check the machine’s power, its management network and the address, then probe it again."),
    ),
    "ssh-jump-host-failed": (
        gettext_lazy("Its jump host gives no way on"),
        gettext_lazy("Look at the jump host that is named here; what lies behind it comes back with it."),
    ),
    "ssh-sudo-password": (
        gettext_lazy("sudo refused the password"),
        gettext_lazy("Correct the password for sudo in the machine’s credential, then probe it again."),
    ),
    "ssh-sudo-not-allowed": (
        gettext_lazy("sudo does not let the user"),
        gettext_lazy("Let the user run commands as root in the machine’s sudoers, or log in as another user."),
    ),
    "ssh-sudo-terminal": (
        gettext_lazy("sudo wants a terminal"),
        gettext_lazy("Switch requiretty off for the user in the machine’s sudoers."),
    ),
    "ssh-sudo-missing": (
        gettext_lazy("There is no sudo"),
        gettext_lazy("Install sudo on the machine, or log in as root."),
    ),
    "ssh-sudo-refused": (
        gettext_lazy("sudo was refused"),
        gettext_lazy("Log in there as that user and run sudo -v to see what it wants."),
    ),
    "ssh-link-lost": (
        gettext_lazy("The link was cut"),
        gettext_lazy(
            "Check the network to the machine. What runs there goes on; its log follows when the link is back."
        ),
    ),
    "ssh-auth-refused": (
        gettext_lazy("Login refused"),
        gettext_lazy("Correct the user name, password or key in the machine’s credential, then probe it again."),
    ),
    "ssh-host-key-not-pinned": (
        gettext_lazy("The fingerprint is not confirmed"),
        gettext_lazy("Compare the fingerprint with the one on the machine’s own screen, then confirm it."),
    ),
    "ssh-host-key-changed": (
        gettext_lazy("The host key changed"),
        gettext_lazy("Find out why: a new installation, or someone in between. Then confirm the new fingerprint."),
    ),
    "ssh-no-shell": (
        gettext_lazy("No working shell"),
        gettext_lazy("Give the user a login shell that runs /bin/sh, and see that /bin/sh exists on the machine."),
    ),
    "machine-retired": (
        pgettext_lazy("machine", "Retired"),
        gettext_lazy("Take it into use again first."),
    ),
    "command-timeout": (
        gettext_lazy("A command took too long"),
        gettext_lazy("Look at the machine’s load, then try again."),
    ),
    "disk-full": (
        gettext_lazy("The disk is full"),
        gettext_lazy("Free space on that file system, then run the job again; it goes on where it stopped."),
    ),
}


def trouble_title(code: str) -> str:
    """What happened, in a few words."""
    return str(_TROUBLES[code][0]) if code in _TROUBLES else _("The last contact failed")


def trouble_mend(code: str, recorded: str) -> str:
    """What to do; ``recorded`` is what was stored with the trouble."""
    return str(_TROUBLES[code][1]) if code in _TROUBLES else recorded


# States as filters name them: those of the machine and of ``Standing``.
_STATES = {
    "ready": pgettext_lazy("machine", "Ready"),
    "attention": pgettext_lazy("machine", "Needs attention"),
    "unprobed": pgettext_lazy("machine", "Not probed"),
    "silent": gettext_lazy("Out of reach"),
    "new": pgettext_lazy("machine", "To confirm"),
    "blocked": pgettext_lazy("machine", "Blocked"),
    "retired": pgettext_lazy("machine", "Retired"),
}


def selection(wanted: Selection) -> str:
    """Filters as a person reads them: ``site: lab, label: canary``; empty for none."""
    said = [
        (_("site"), wanted.site),
        *((_("label"), label) for label in wanted.labels),
        (_("state"), _STATES.get(wanted.state, wanted.state)),
        (_("chip"), wanted.chip),
        (_("driver"), wanted.driver),
        (_("text"), wanted.text),
    ]
    return ", ".join(f"{name}: {value}" for name, value in said if value)

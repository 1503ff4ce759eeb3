"""What the pages say of a list of machines, in the reader's language. The readers know no Django and speak English."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from hardware.inventory import causes
from hardware.inventory.lists.entries import Problem
from hardware.inventory.lists.services import Outcome
from hardware.inventory.sentences import Sentences

TEMPLATES = (
    # Of the list as a whole.
    _("The file is no text in UTF-8 or GB 18030."),
    _("%(file)s is larger than %(most)s MiB; a list of machines is not."),
    _("The list is encrypted by ansible-vault; import what ansible-vault view prints of it."),
    _("The list names more than %(most)s machines."),
    _("The first line names no column called name; columns are %(columns)s."),
    _("The column %(name)s was left out."),
    _("Line %(line)s is no CSV: %(said)s."),
    _("Line %(line)s is no YAML: %(said)s."),
    _("The list is no YAML: %(said)s."),
    _("A YAML inventory begins with the name of a group, such as all."),
    _("The groups under %(name)s lie too deep."),
    _("The group %(name)s must be a mapping."),
    _("The hosts of %(name)s must be a mapping."),
    _("The host %(name)s must be a mapping."),
    _("The vars of %(name)s must be a mapping."),
    _("The children of %(name)s must be a mapping."),
    _("Line %(line)s: %(text)s is no section."),
    _("Line %(line)s: %(text)s is no variable (name=value)."),
    _("Line %(line)s: %(said)s."),
    _("%(pattern)s stands for more than %(most)s machines."),
    _("%(pattern)s has a range that can't be counted."),
    _("%(pattern)s has a range that runs backwards."),
    _("Left out: %(names)s. Choose a credential of the console."),
    # Of a machine in it.
    _("%(name)s is no name: letters, digits, dots, dashes and underscores, 63 at most."),
    _("No machine can be called %(name)s: that is the address of a page."),
    _("%(name)s stands in line %(line)s already."),
    _("%(machine)s: %(text)s is no address."),
    _("%(machine)s: %(text)s is no port."),
    _("%(machine)s and %(other)s have the same address: %(host)s port %(port)s."),
    _("%(machine)s: the site %(text)s is more than one line; is a quotation mark left open?"),
    _("%(machine)s: the credential %(text)s is more than one line; is a quotation mark left open?"),
    _("%(machine)s: the label %(text)s is more than one line; is a quotation mark left open?"),
    _("%(machine)s: the site %(text)s is longer than %(most)s characters."),
    _("%(machine)s: the credential %(text)s is longer than %(most)s characters."),
    _("%(machine)s: the label %(text)s is longer than %(most)s characters."),
    _("%(machine)s: %(text)s names no machine to go through."),
    _("%(machine)s: %(text)s is no address of a BMC (host or host:port)."),
    _("%(machine)s: its BMC has no credential; name one in bmc_credential."),
    _("%(machine)s: %(text)s is no fingerprint (SHA256:...)."),
    # Of its import.
    _("%(machine)s: there is no credential called %(name)s for its BMC."),
    _("%(machine)s: there is no credential called %(name)s."),
    _("%(machine)s names no credential."),
    _("%(machine)s is retired."),
    _("%(machine)s: there is no machine %(name)s to go through."),
    _("%(machine)s offers %(offered)s, the list says %(pinned)s."),
    _("Store the credential first."),
    _("Add the jump host first, or put it into the list."),
    _("Choose a credential."),
    _("Take it into use again on its page; its history is there."),
    _("Name another jump host, or none."),
    _("Find out which is right before you confirm it."),
    # Of a range of addresses.
    _("%(range)s runs backwards."),
    _("%(range)s is no range of addresses: write 10.0.0.0/24 or 10.0.0.10-10.0.0.50."),
    _("%(range)s has %(n)s addresses; %(most)s at most are looked through at once."),
)

_SENTENCES = Sentences(TEMPLATES)


def said(text: str) -> str:
    """Why a list is refused, or what is wrong in it."""
    return told if (told := _SENTENCES.say(text)) != text else causes.cause(text)


def problems(found: Iterable[Problem]) -> list[Problem]:
    return [replace(one, text=said(one.text)) for one in found]


def outcome(one: Outcome) -> Outcome:
    """What became of an entry; the mend of a machine that can't be reached is whole in the catalogue."""
    return replace(one, cause=said(one.cause), mend=gettext(one.mend) if one.mend else "")

"""What the pages say about steps and failures, in the reader's language.

Plans and failures are records: they are stored in English, as they were made and hashed. Here the sentences that the
kinds use have their translation; one that is new since is shown as it was stored.
"""

from __future__ import annotations

import re

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

# A step's title, and the sentence for translation that has the same parts.
_TITLES = tuple(
    (re.compile(pattern), message)
    for pattern, message in (
        (r"Install driver", _("Install driver")),
        (r"Install firmware", _("Install firmware")),
        (r"Install CANN", _("Install CANN")),
        (r"Install", _("Install")),
        (r"Create user (?P<name>\S+)", _("Create user %(name)s")),
        (r"Restart, if the installer asks for it", _("Restart, if the installer asks for it")),
        (r"Read facts", _("Read facts")),
        (r"npu-smi lists (?P<n>\d+) healthy NPUs", _("npu-smi lists %(n)s healthy NPUs")),
        (r"CANN (?P<version>\S+) is there", _("CANN %(version)s is there")),
        (r"Quantize (?P<name>\S+) to (?P<scheme>\S+)", _("Quantize %(name)s to %(scheme)s")),
        (r"Convert (?P<name>\S+) to ONNX", _("Convert %(name)s to ONNX")),
        (r"Convert for (?P<soc>\S+)", _("Convert for %(soc)s")),
        (r"Check (?P<name>\S+)", _("Check %(name)s")),
        (r"Send (?P<name>\S+)", _("Send %(name)s")),
        (r"Fetch (?P<name>\S+)", _("Fetch %(name)s")),
        (r"Remove the work folder", _("Remove the work folder")),
        (r"Remove the archive", _("Remove the archive")),
        (r"Remove (?P<name>\S+)", _("Remove %(name)s")),
        (r"Load the image", _("Load the image")),
        (r"Start (?P<name>\S+) again", _("Start %(name)s again")),
        (r"Start (?P<name>\S+)", _("Start %(name)s")),
        (r"Stop (?P<name>\S+)", _("Stop %(name)s")),
        (r"(?P<name>\S+) is healthy again", _("%(name)s is healthy again")),
        (r"(?P<name>\S+) is healthy", _("%(name)s is healthy")),
        (r"It answers the smoke question", _("It answers the smoke question")),
        (r"Package (?P<name>\S+)", _("Package %(name)s")),
        (r"Batch (?P<n>\d+) of (?P<all>\d+)", _("Batch %(n)s of %(all)s")),
        (r"Quantize", _("Quantize")),
        (r"Convert", _("Convert")),
        (r"Package", _("Package")),
    )
)

# What to do, as failures carry it.
MENDS = (
    _("Check the depot's disk, remove the artifact and ingest the file again."),
    _("Copy the file again from its source, and compare the SHA-256 that the vendor gives."),
    _("Copy the file again."),
    _("Do what the message says, then run the job again."),
    _("Give the job's number to its makers."),
    _("Ingest the file again."),
    _("Look at the installer's log; restart the machine if it has not been restarted since."),
    _("Look at the log of the service on the machine."),
    _("Look at the machine's console or its BMC."),
    _("Read the installer's log."),
    _("Read the step's log, mend what it names, then run the job again."),
    _("Read the step's log."),
    _("See in its log what it waited for, then run the job again."),
    _("Read /var/log/ascend_seclog/ascend_install.log on the machine."),
    _("Read /var/log/ascend_seclog/ascend_install.log: the module did not build for this kernel."),
    _("Read /var/log/ascend_seclog/ascend_toolkit_install.log on the machine."),
    _("Correct the value that the message names; --soc_version is Ascend + the Name that npu-smi shows."),
    _("Correct the value that the message names."),
    _("Give the option that the message names."),
    _("Replace the operator that the message names, or convert for a CANN that knows it."),
    _("The chip has no kernel for this operator: convert with another precision, or replace it."),
    _("Install the Python module that the message names on the machine."),
    _("Install CANN again: its Python part is not whole."),
    _("Install the driver first: CANN finds no driver library."),
    _("Install the kernel headers of the running kernel, dkms, gcc and make, then run it again."),
    _("Stop the containers and processes that hold an NPU, then run it again."),
    _("Install the tools that the message names, then run it again."),
    _("Free space under /usr/local, then run it again."),
    _("Choose the package for this machine's chip."),
    _("Create the user and group HwHiAiUser, then run it again."),
    _("Log in as root, or with sudo."),
    _("Wait until the other installer has ended, then run it again."),
    _("Check that the folder exists and that the login user may write there."),
    _("Check the machine's power, its management network and the address, then probe it again."),
    _("Check the network to the machine. What runs there goes on; its log follows when the link is back."),
    _("Correct the user name, password or key in the machine's credential."),
    _("Free space on that file system, then run the job again; it goes on where it stopped."),
    _("Look at the machine's load, then try again."),
    _("Look at the machine: what the command did is not known. Then run the job again if that is safe."),
    _("See what the command had done before the restart, then run the job again if that is safe."),
    _("Try again. If it happens twice, check the machine's memory and disk."),
    _("Find out why: a new installation, or someone in between. Then confirm the new fingerprint."),
    _("Give the user a login shell that runs /bin/sh, and see that /bin/sh exists on the machine."),
    _("Choose a release."),
    _("Choose one that is in the depot."),
    _("Confirm its fingerprint, or take it out of the targets."),
    _("Correct the targets."),
    _("Give another version."),
    _("Look at the new plan, then run it."),
    _("Run it again on all of them."),
    _("Wait for its end, or cancel it; then run it again."),
    _("Take it out of the targets."),
    _("Install the driver and probe again, or take the machine out of the targets."),
)

# Of a step's key, the word over its column.
KEYS = (
    _("Send driver"), _("Send firmware"), _("Send cann"), _("User"), _("Driver"), _("Firmware"), _("Cann"),
    _("Reboot"), _("Verify"), _("Load"), _("Start"), _("Stop"), _("Health"), _("Smoke"), _("Clean"), _("Undo"),
    _("Send"), _("Fetch"), _("Atc"), _("Check"), _("Convert"), _("Quantize"), _("Package"), _("Install"), _("Remove"),
    _("Restore"), _("Restored"), _("Architecture"), _("Chip"), _("Format"), _("Scheme"),
)  # fmt: skip


def title(text: str) -> str:
    """The title of a step or of a stage."""
    for pattern, message in _TITLES:
        if (found := pattern.fullmatch(text)) is not None:
            return gettext(message) % found.groupdict() if found.groupdict() else gettext(message)
    return text


def mend(text: str) -> str:
    """What to do."""
    return gettext(text) if text else ""


def column(key: str) -> str:
    """A step's key as the head of its column: ``send-driver`` is ``Send driver``."""
    return gettext(key.replace("-", " ").replace("_", " ").capitalize()) if key else ""

"""What the pages say about steps, in the reader's language.

Plans are records: they are stored in English, as they were made and hashed. Here the sentences that the kinds use have
their translation; one that is new since is shown as it was stored.
"""

from __future__ import annotations

import re

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

# A step's title, and the sentence for translation that has the same parts.
_TITLES = tuple(
    (re.compile(pattern), message)
    for pattern, message in (
        (r"Rotate", _("Rotate")),
        (r"Add the new key", _("Add the new key")),
        (r"Log in with the new key, and use it from now on", _("Log in with the new key, and use it from now on")),
        (r"Take the old key away", _("Take the old key away")),
        (r"Install driver", _("Install driver")),
        (r"Install firmware", _("Install firmware")),
        (r"Install CANN", _("Install CANN")),
        (r"Install MindSpore", _("Install MindSpore")),
        (r"Install", _("Install")),
        (r"Hold the fans at (?P<level>\d+) % until it is cool", _("Hold the fans at %(level)s %% until it is cool")),
        (r"Hold the fans", _("Hold the fans")),
        (r"Create user (?P<name>\S+)", _("Create user %(name)s")),
        (r"Restart, if the installer asks for it", _("Restart, if the installer asks for it")),
        (r"Read facts", _("Read facts")),
        (r"Nobody holds the NPU driver", _("Nobody holds the NPU driver")),
        (r"Nobody else holds NPU (?P<npus>[\d, ]+)", _("Nobody else holds NPU %(npus)s")),
        (r"npu-smi lists (?P<n>\d+) healthy NPUs", _("npu-smi lists %(n)s healthy NPUs")),
        (r"CANN (?P<version>\S+) is there", _("CANN %(version)s is there")),
        (r"MindSpore (?P<version>\S+) is there", _("MindSpore %(version)s is there")),
        (r"MindSpore (?P<version>\S+) computes on an NPU", _("MindSpore %(version)s computes on an NPU")),
        (r"MindSpore computes on an NPU", _("MindSpore computes on an NPU")),
        (r"Install MindSpore", _("Install MindSpore")),
        (r"(?P<n>\d+) healthy NPUs, and software that fits", _("%(n)s healthy NPUs, and software that fits")),
        (r"Quantize (?P<name>\S+) to (?P<scheme>\S+)", _("Quantize %(name)s to %(scheme)s")),
        (r"Convert (?P<name>\S+) to ONNX", _("Convert %(name)s to ONNX")),
        (r"Convert (?P<name>\S+) to MindIR", _("Convert %(name)s to MindIR")),
        (r"Everything is there for it", _("Everything is there for it")),
        (r"Unpack the checkpoint", _("Unpack the checkpoint")),
        (r"Quantize with msModelSlim", _("Quantize with msModelSlim")),
        (r"Hash the result", _("Hash the result")),
        (r"Pack the result", _("Pack the result")),
        (r"Already in the depot", _("Already in the depot")),
        (r"Take (?P<name>\S+), made by job (?P<job>\d+)", _("Take %(name)s, made by job %(job)s")),
        (r"Convert for (?P<soc>\S+)", _("Convert for %(soc)s")),
        (r"Check (?P<name>\S+)", _("Check %(name)s")),
        (r"Check", _("Check")),
        (r"Send (?P<name>\S+)", _("Send %(name)s")),
        (r"Fetch (?P<name>\S+)", _("Fetch %(name)s")),
        (r"Remove the work folder", _("Remove the work folder")),
        (r"Remove the archive", _("Remove the archive")),
        (r"Remove (?P<name>\S+)", _("Remove %(name)s")),
        (r"Load the image", _("Load the image")),
        (r"Start (?P<name>\S+) again", _("Start %(name)s again")),
        (r"Start (?P<name>\S+) with (?P<what>.+)", _("Start %(name)s with %(what)s")),
        (r"(?P<name>\S+) is healthy and has (?P<what>.+)", _("%(name)s is healthy and has %(what)s")),
        (r"(?P<name>\S+) runs as planned", _("%(name)s runs as planned")),
        (r"Watch what it does", _("Watch what it does")),
        (r"Watch", _("Watch")),
        (r"Start (?P<name>\S+)", _("Start %(name)s")),
        (r"Stop (?P<name>\S+)", _("Stop %(name)s")),
        (r"(?P<name>\S+) is healthy again", _("%(name)s is healthy again")),
        (r"(?P<name>\S+) is healthy", _("%(name)s is healthy")),
        (r"It answers the smoke question", _("It answers the smoke question")),
        (r"Package (?P<name>\S+)", _("Package %(name)s")),
        (r"Batch (?P<n>\d+) of (?P<all>\d+)", _("Batch %(n)s of %(all)s")),
        (r"(?P<stage>.+) \((?P<n>\d+) of (?P<all>\d+)\)", _("%(stage)s (%(n)s of %(all)s)")),
        (r"Profile with msprof", _("Profile with msprof")),
        (r"Read and pack the result", _("Read and pack the result")),
        (r"Profile", _("Profile")),
        (r"Quantize", _("Quantize")),
        (r"Mend (?P<name>\S+)", _("Mend %(name)s")),
        (r"Mend", _("Mend")),
        (r"Convert", _("Convert")),
        (r"Plan", _("Plan")),
        (r"Lay (?P<name>\S+) over (?P<n>\d+) machines", _("Lay %(name)s over %(n)s machines")),
        (r"Split (?P<name>\S+) into (?P<n>\d+) shards", _("Split %(name)s into %(n)s shards")),
        (r"Package", _("Package")),
    )
)

# Of a step's key, the word over its column.
KEYS = (
    _("Send driver"), _("Send firmware"), _("Send cann"), _("User"), _("Driver"), _("Firmware"), _("Cann"),
    _("Reboot"), _("Verify"), _("Load"), _("Start"), _("Stop"), _("Health"), _("Smoke"), _("Clean"), _("Undo"),
    _("Send"), _("Fetch"), _("Atc"), _("Check"), _("Convert"), _("Quantize"), _("Package"), _("Install"), _("Remove"),
    _("Look"), _("Free"), _("Watch"), _("Mindspore"), _("Restore"), _("Restored"), _("Architecture"), _("Chip"),
    _("Format"), _("Scheme"), _("Fans"), _("Add"), _("Prove"), _("Plan"), _("Split"),
    _("Converter"), _("Recall"), _("Send aipp"),
    _("Unpack"), _("Finish"), _("Pack"), _("Fetch manifest"), _("Mend"),
)  # fmt: skip


def title(text: str) -> str:
    """The title of a step or of a stage."""
    for pattern, message in _TITLES:
        if (found := pattern.fullmatch(text)) is not None:
            parts = found.groupdict()
            # A batch carries the title of its stage.
            if "stage" in parts:
                parts["stage"] = title(parts["stage"])
            return gettext(message) % parts if parts else gettext(message)
    return text


def column(key: str) -> str:
    """A step's key as the head of its column: ``send-driver`` is ``Send driver``."""
    return gettext(key.replace("-", " ").replace("_", " ").capitalize()) if key else ""

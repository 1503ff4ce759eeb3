"""Profile what NPUs do, with msprof of CANN: beside what serves there, or around a command.

Beside serving: system data of the NPUs for some seconds, with AI Core counters sampled; nothing is restarted, and no
request is disturbed. Around a command: msprof runs it and tells operators and calls apart. What the manual calls
``ms_profiler`` does not exist (FACTS section 9).
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from hardware.inventory.preflight import Check, Need, evaluate
from hardware.inventory.preflight.versions import key
from jobs.failures import JobFailed, PlanRefused
from jobs.kind import DepotView, Kind, Target
from jobs.kinds.profile.summary import MARK, summary
from jobs.plan import FetchArtifact, Lane, Plan, Product, RunCommand, Stage, Step
from jobs.software.cann import LOAD

FOLDER = "/var/tmp/ascend-console/profile"
GIB = 1024**3
# Before it, the command is an option's value; since then it stands at the end.
POSITIONAL_SINCE = "8.0"
METRICS = ("PipeUtilization", "ArithmeticUtilization", "Memory", "MemoryL0", "MemoryUB", "ResourceConflictRatio")
# Of each file; the step's log is read back for the summary, and holds 64 KiB.
_FILE_BYTES = 12_000
_DONE = re.compile(r"Data is saved in (\S+?/PROF_\w+)")


class Params(serializers.Serializer[Any]):
    what = serializers.ChoiceField(
        [("npus", _("NPUs, beside what serves there")), ("command", _("A command, from its start to its end"))],
        default="npus",
        label=_("Profile"),
    )
    seconds = serializers.IntegerField(min_value=1, max_value=3600, default=10, label=_("Seconds (of NPUs)"))
    devices = serializers.RegexField(
        r"^(all|\d{1,3}(,\d{1,3})*)$", default="all", label=_("NPUs"), help_text=_("all, or their numbers: 0,1,2"),
    )  # fmt: skip
    command = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=2000, label=_("Command"),
        help_text=_("It runs on the machine as it stands here, under the login's rights."),
    )  # fmt: skip
    metrics = serializers.ChoiceField([(one, one) for one in METRICS], default=METRICS[0], label=_("AI Core counters"))

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["what"] == "command" and not attrs["command"].strip():
            raise serializers.ValidationError({"command": _("Give the command that is to be profiled.")})
        if "\n" in attrs["command"] or "\0" in attrs["command"]:
            raise serializers.ValidationError({"command": _("One line; put more into a script on the machine.")})
        return attrs


class Profile(Kind):
    slug = "profile"
    title = _("Profile NPUs or a command")
    summary = _("msprof beside a serving process or around a command; the result in the depot, and in short here.")
    # A command may do anything; and two at a time on one machine would share a folder and the NPUs' counters.
    mutates = True
    Params = Params

    def preflight(self, params: dict[str, Any], target: Target, depot: DepotView) -> list[Check]:
        return evaluate(target.require_facts(), Need(npus=True, cann=True, free={FOLDER: 2 * GIB}))

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        return Plan([Stage("Profile", [self._lane(params, target) for target in targets])])

    def _lane(self, params: dict[str, Any], target: Target) -> Lane:
        facts = target.require_facts()
        if facts.cann is None:
            raise PlanRefused(
                "cann-missing", f"{target.name}: CANN is not installed, so there is no msprof.", "Install CANN first.",
                "targets",
            )  # fmt: skip
        asked = hashlib.sha256(json.dumps([target.name, params], sort_keys=True).encode()).hexdigest()[:16]
        folder = f"{FOLDER}/{asked}"
        output = f"{folder}/output"
        seconds = params["seconds"] if params["what"] == "npus" else 3600
        msprof = _msprof(params, output, facts.cann.version)
        command = f"{LOAD} && rm -rf {folder} && mkdir -p {output} && cd {folder} && {msprof}"
        name = f"profile-{target.name}-{asked[:8]}.tar.gz"
        meta = {
            "machine": target.name,
            "what": params["what"],
            "cann": facts.cann.version,
            "simulated": facts.simulated,
        }
        result = Product(f"{folder}/profile.tar.gz", "profiling", name, meta=meta)
        clean = RunCommand(f"rm -rf -- {folder}", 60, repeatable=True, writes=[folder])
        return Lane(
            target.name,
            [
                # A command is the user's own: whether it may run twice is not ours to say.
                Step(
                    "msprof",
                    "Profile with msprof",
                    RunCommand(command, seconds + 1800, repeatable=params["what"] == "npus", writes=[folder]),
                ),
                Step(
                    "pack", "Read and pack the result", RunCommand(_pack(folder), 900, repeatable=True, writes=[folder])
                ),
                Step("fetch", f"Fetch {name}", FetchArtifact(result)),
                Step("clean", "Remove the work folder", clean),
            ],
            [Step("clean", "Remove the work folder", clean)],
        )

    def judge(self, step: Step, exit_status: int, log: str) -> dict[str, Any]:
        """msprof's own closing line decides; the packing step carries what the files say."""
        if step.key == "msprof":
            if exit_status == 0 and _DONE.search(log):
                return {}
            wrong = next((line.strip() for line in log.splitlines() if "[ERROR]" in line), "")
            if wrong:
                raise JobFailed(
                    "msprof-failed",
                    f"msprof failed: {wrong[:300]}",
                    "Read the step's log, mend what it names, then run the job again.",
                )
            return super().judge(step, exit_status or 1, log)
        if step.key == "pack" and exit_status == 0:
            return {"profile": summary(log)}
        return super().judge(step, exit_status, log)

    def summarize(self, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Each machine's artifact with what its files say in short."""
        artifacts = [artifact for result in results for artifact in result.get("artifacts", ())]
        profiles = [result["profile"] for result in results if "profile" in result]
        return {"artifacts": artifacts, "report": {"profiles": profiles}}


def _msprof(params: dict[str, Any], output: str, cann: str) -> str:
    counters = f"--ai-core=on --aic-metrics={params['metrics']}"
    if params["what"] == "npus":
        return (
            f"msprof --output={output} --sys-devices={params['devices']} --sys-period={params['seconds']} "
            f"--aic-mode=sample-based {counters}"
        )
    command = params["command"].strip()
    if key(cann) >= key(POSITIONAL_SINCE):
        return f"msprof --output={output} {counters} {command}"
    return f"msprof --output={output} {counters} --application={shlex.quote(command)}"


def _pack(folder: str) -> str:
    """Print the tables behind marks, the widest answers first, and put everything into one archive."""
    return (
        f"cd {folder}/output && "
        "for module in op_statistic ai_core_utilization ai_vector_core_utilization api_statistic; do "
        'for file in PROF_*/mindstudio_profiler_output/"$module"_*.csv; do '
        f'[ -f "$file" ] || continue; echo "{MARK}file ${{file##*/}}"; head -c {_FILE_BYTES} "$file"; echo; '
        f"done; done; echo '{MARK}end'; tar -czf ../profile.tar.gz PROF_*"
    )

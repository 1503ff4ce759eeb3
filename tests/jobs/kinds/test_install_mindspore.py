from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from hardware.inventory.facts import Facts, read
from hardware.inventory.facts.probe import MARK
from jobs import readiness, registry
from jobs.depot.models import Artifact
from jobs.depot.services import Depot, ingest
from jobs.failures import JobFailed, PlanRefused
from jobs.kind import Target
from jobs.plan import RunCommand, Step
from jobs.services import launch, plan
from jobs.states import JobState
from tests.jobs.kinds.test_install_kinds import with_facts
from tests.probe_text import probe_text
from tests.worker import log_of, read_facts, work

CHECK = Step("check", "MindSpore computes on an NPU", RunCommand("x"))
RIGHT = (
    "The result of multiplication calculation is correct, MindSpore has been installed on platform [{}] successfully!"
)


def facts(*, cann: str = "8.0.0", pythons: str = "python3 Python 3.7.9\npython3.9 Python 3.9.9") -> Facts:
    text = probe_text(driver="24.1.0", firmware="7.5.0.2.220", npus=True, cann=cann)
    return read(f"{text}{MARK} pythons\n{pythons}\n{MARK} = 0\n")


def test_the_plan_names_every_wheel_and_the_check_that_proves_it(machine, wheels):
    made, _ = plan("install-mindspore", {"mindspore": wheels["mindspore"]}, [with_facts(machine, facts())])
    steps = made.stages[0].lanes[0].steps
    sent = [step.action.name.split("-")[0] for step in steps if step.key.startswith("send-")]
    # What MindSpore asks for, what that asks for, and what CANN's compiler needs beside it.
    assert sent[0] == "mindspore" and {"numpy", "six", "wheel", "sympy", "mpmath", "decorator"} <= set(sent)
    actions = {step.key: step.action for step in steps}
    command = actions["install"].command
    assert command.startswith("python3.9 -m pip install --no-index ") and command.count(".whl") == len(sent)
    assert "mindspore.set_context(device_target='Ascend'); mindspore.run_check()" in actions["check"].command
    assert actions["verify"].expect == {"mindspore": "2.4.10"}


def test_a_wheel_that_the_depot_lacks_is_named_with_who_asks_for_it(machine, wheels):
    Artifact.objects.get(pk=wheels["numpy"]).delete()
    with pytest.raises(PlanRefused, match=r"no wheel of numpy .*<2.0.0,>=1.20.0 for mindspore 2.4.10") as refused:
        plan("install-mindspore", {"mindspore": wheels["mindspore"]}, [with_facts(machine, facts())])
    assert "pip download" in refused.value.mend


def test_of_two_wheels_the_newest_that_everything_allows_is_taken(machine, wheels, simulated_packages, tmp_path):
    # Newer than what MindSpore takes, by its name and by what it says of itself.
    content = (simulated_packages["driver"].parent / "six-1.16.0-py2.py3-none-any.whl").read_bytes()
    for name in ("numpy-2.1.0-cp39-cp39-manylinux2014_aarch64.whl", "numpy-1.26.9-cp310-cp310-linux_aarch64.whl"):
        ingest(BytesIO(content + name.encode()), name=name, type="wheel", actor="ada")
    made, _ = plan("install-mindspore", {"mindspore": wheels["mindspore"]}, [with_facts(machine, facts())])
    assert "/numpy-1.26.4-cp39-" in made.stages[0].lanes[0].steps[-3].action.command


@pytest.mark.parametrize(
    ("facts", "code", "severity"),
    [
        (facts(), "mindspore-cann", "pass"),
        (facts(cann="8.0.1"), "mindspore-cann", "warn"),
        (facts(cann="8.2.RC1"), "mindspore-cann", "block"),
        (facts(cann=""), "cann-missing", "block"),
        (facts(pythons="python3 Python 3.7.9"), "python", "block"),
    ],
)
def test_preflight_knows_which_cann_and_which_python_it_was_made_for(wheels, facts, code, severity):
    kind = registry.get("install-mindspore")
    checks = readiness.checks(kind, {"mindspore": wheels["mindspore"]}, Target("n1", facts), Depot())
    [check] = [check for check in checks if check.code == code]
    assert check.severity == severity
    if code == "python":
        assert check.mend is not None and check.mend.params == {"packages": ["python39"]}


@pytest.mark.parametrize(
    ("log", "code", "says"),
    [
        (RIGHT.format("CPU"), "mindspore-not-on-npu", "built for Ascend"),
        ("MindSpore running check failed.\nNo module named 'sympy'", "mindspore-check-failed", "wheel of sympy"),
        ("RuntimeError: Unsupported device target Ascend.\nlibascend_hal.so: cannot open shared object file",
         "mindspore-check-failed", "Install the driver"),
        ("libge_runner.so: cannot open shared object file", "mindspore-check-failed", "Install the CANN"),
        ("", "mindspore-check-failed", "Read the step"),
    ],
)  # fmt: skip
def test_only_the_closing_line_with_the_npu_in_it_is_a_proof(log, code, says):
    with pytest.raises(JobFailed) as failed:
        # The real check ends with 0 even when it failed.
        registry.get("install-mindspore").judge(CHECK, 0, log)
    assert failed.value.code == code and says in failed.value.mend


def test_versions_that_do_not_match_are_told_with_the_result():
    warning = "MindSpore version 2.3.1 and Ascend AI software package version 7.5 does not match, the version of software package expect one of ['7.2']"  # noqa: E501
    said = registry.get("install-mindspore").judge(CHECK, 0, f"[WARNING] {warning}\n{RIGHT.format('Ascend')}")
    assert said["warnings"] == [f"[WARNING] {warning}"]


def test_a_file_that_is_no_wheel_is_not_taken_for_one(settings, tmp_path: Path, db):
    settings.DEPOT_DIR = tmp_path
    with pytest.raises(JobFailed, match="not a wheel"):
        ingest(BytesIO(b"not a zip"), name="six-1.16.0-py3-none-any.whl", type="wheel", actor="ada")
    assert not Artifact.objects.exists()


def test_without_a_driver_pip_installs_it_and_the_check_says_what_is_missing(new_fleet, depot, wheels, monkeypatch):
    fleet = new_fleet()
    machine = read_facts(fleet.enroll("kunpeng-01"))
    assert machine.read.pythons == {"python3": "3.7.9"}
    python = work(launch("install-os-packages", {"packages": ["python39"]}, [machine], actor="ada"))
    assert python.state == JobState.SUCCEEDED, python.failure
    cann = fleet.disk("kunpeng-01") / "usr/local/Ascend/ascend-toolkit"
    (cann / "latest").mkdir(parents=True)
    (cann / "set_env.sh").write_text("export ASCEND_HOME_PATH=/usr/local/Ascend/ascend-toolkit/latest\n")
    for name in ("need", "preflight"):
        monkeypatch.setattr(type(registry.get("install-mindspore")), name, lambda *_: None if len(_) < 4 else [])
    machine.refresh_from_db()
    job = work(launch("install-mindspore", {"mindspore": wheels["mindspore"]}, [machine], actor="ada"))
    assert job.state == JobState.FAILED and job.failure["code"] == "mindspore-check-failed"
    assert "libascend_hal.so" in job.failure["cause"] and "Install the driver" in job.failure["mend"]
    assert "Successfully installed" in log_of(job).decode()
    found = read_facts(machine).read.mindspore
    assert (found.version, found.python) == ("2.4.10", "3.9")

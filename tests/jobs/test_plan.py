"""Plans of every kind: pure, and complete in what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from hardware.inventory.facts import read
from hardware.inventory.models import Machine
from jobs import registry
from jobs.services import plan
from tests.console.pages import sign_in
from tests.jobs.examples import Made, examples, facts
from tests.jobs.kinds.test_install_kinds import with_facts
from tests.probe_text import probe_text

# Commands that a mutating kind runs and that only read: why they say nothing of what they write.
READS_ONLY = {
    ("install-mindspore", "check"): "computes on an NPU and prints whether it was right",
    ("tune-serving", "check"): "asks docker what runs",
    ("quantize-llm", "look"): "looks whether weights, tool and folder are there",
}


@pytest.fixture
def asked(machine, second, depot, wheels) -> dict[str, Made]:
    return examples([with_facts(machine, facts()), with_facts(second, facts())], depot, wheels)


def elsewhere(asked: dict[str, Made], seed: str) -> dict[str, str]:
    environment = {
        **os.environ, "DJANGO_SETTINGS_MODULE": "tests.faults.same_database", "PYTHONHASHSEED": seed,
        "CONSOLE_VAR": str(settings.VAR_DIR), "CONSOLE_DEPOT": str(settings.DEPOT_DIR),
    }  # fmt: skip
    request = {slug: [params, [machine.name for machine in machines]] for slug, (params, machines) in asked.items()}
    command = [sys.executable, "-m", "tests.jobs.plan_elsewhere"]
    done = subprocess.run(command, input=json.dumps(request), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    hashes: dict[str, str] = json.loads(done.stdout)
    return hashes


def test_every_kind_has_an_example(asked):
    ours = {slug for slug, kind in registry.all_kinds().items() if type(kind).__module__.startswith("jobs.kinds.")}
    assert ours == set(asked)


def test_every_kind_plans_the_same_in_another_process_and_reaches_no_machine_for_it(asked):
    # Whatever is there that is not an input must not matter: order of sets, time of day, the last contact.
    here = {slug: plan(slug, params, machines)[0].hash for slug, (params, machines) in asked.items()}
    Machine.objects.update(facts_at=timezone.now(), trouble={"code": "ssh-unreachable"}, port=1)
    assert elsewhere(asked, "1") == here == elsewhere(asked, "4242")


def test_every_command_of_a_mutating_kind_says_what_it_writes(asked):
    silent = set()
    for slug, (params, machines) in asked.items():
        for _, lane in plan(slug, params, machines)[0].lanes():
            for step in (*lane.steps, *lane.on_failure):
                if step.action.type == "run" and registry.get(slug).mutates and not step.action.writes:
                    silent.add((slug, step.key))
    assert silent == set(READS_ONLY)


def test_a_dry_run_shows_per_machine_and_in_order_what_would_happen(asked, live_server):
    client = sign_in(live_server.url, User.objects.create_user("ada", is_staff=True))
    params, _ = asked["install-driver"]
    body: dict[str, Any] = {"kind": "install-driver", "params": params, "machines": ["host-1", "host-2"]}
    shown = client.post("/api/v1/jobs/?dry_run=1", json=body).raise_for_status().json()
    assert [lane["machine"] for lane in shown["machines"]] == ["host-1", "host-2"]
    lane = shown["machines"][0]
    stored = shown["plan"]["stages"][0]["lanes"][0]["steps"]
    assert [step["key"] for step in lane["steps"]] == [step["key"] for step in stored]
    steps = {step["key"]: step for step in lane["steps"]}
    actions = {step["key"]: step["action"] for step in stored}
    assert steps["driver"]["command"] == actions["driver"]["command"]
    assert steps["reboot"]["command"] == actions["reboot"]["command"]
    sent = steps["send-driver"]["transfer"]
    assert (sent["bytes"], sent["sha256"]) == (actions["send-driver"]["size"], actions["send-driver"]["sha256"])
    assert steps["send-driver"]["writes"] == [sent["destination"]]
    assert lane["bytes"] == sent["bytes"] + steps["send-firmware"]["transfer"]["bytes"]
    assert {"/usr/local/Ascend/driver", "/etc/passwd", sent["destination"]} <= set(lane["writes"])
    # Never run before: said so, not guessed.
    assert shown["estimate"] == {"median_s": None, "p90_s": None, "unknown": [step["key"] for step in stored]}
    assert steps["driver"]["expected"] is None


def test_a_dry_run_names_the_job_that_mends_what_blocks(asked, live_server):
    client = sign_in(live_server.url, User.objects.create_user("ada", is_staff=True))
    machine = Machine.objects.get(name="host-1")
    with_facts(machine, read(probe_text(headers=False)))
    body = {"kind": "install-driver", "params": asked["install-driver"][0], "machines": ["host-1"]}
    shown = client.post("/api/v1/jobs/?dry_run=1", json=body).raise_for_status().json()
    (blocked,) = [check for check in shown["preflight"]["host-1"] if check["severity"] == "block"]
    assert blocked["mend"]["kind"] == "install-os-packages" and blocked["mend"]["label"]
    assert blocked["mend"]["params"]["packages"] == ["kernel-devel"]

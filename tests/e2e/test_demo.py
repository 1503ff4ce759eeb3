"""The demo as a newcomer runs it: a subprocess on its own state, stopped in its midst and started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_ports

STAGES = [
    "enroll", "probe", "preflight", "depot", "install-os-packages", "install-driver", "install-cann",
    "convert to ONNX", "quantize", "convert to OM", "package-image", "rollout", "ask",
]  # fmt: skip


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """No Redis of anybody else's, ports of its own, and a PATH without docker or any NPU tool."""
    tools = tmp_path_factory.mktemp("bin")
    for folder in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for tool in Path(folder).iterdir():
            if tool.name not in ("docker", "npu-smi", "atc") and not (tools / tool.name).exists():
                (tools / tool.name).symlink_to(tool)
    passed_on = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "DATABASE_URL")}
    return {
        **passed_on,
        "PATH": str(tools),
        "CONSOLE_VAR": str(tmp_path_factory.mktemp("var")),
        "CONSOLE_PORT": str(free_ports(1)),
        "CONSOLE_FLEET_PORT": str(free_ports(4)),
        "CONSOLE_LEASE_SECONDS": "5",
    }


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "demo", "--once"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], seconds: float) -> str:
    out, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, out
    return out


def report_of(environment: dict[str, str]) -> dict[str, Any]:
    return json.loads((Path(environment["CONSOLE_VAR"]) / "demo" / "report.json").read_text())


def wait_for_rollout(environment: dict[str, str], process: subprocess.Popen[str], seconds: float) -> None:
    ledger = Path(environment["CONSOLE_VAR"]) / "demo" / "ledger.json"
    deadline = time.monotonic() + seconds
    while not (ledger.exists() and "rollout" in json.loads(ledger.read_text())["jobs"]):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the demo did not get to its rollout"
        time.sleep(0.1)


@pytest.mark.timeout(900)
def test_a_demo_that_is_stopped_in_its_rollout_goes_on_and_ends_right(environment):
    first = start(environment)
    wait_for_rollout(environment, first, 300)
    time.sleep(1)
    first.send_signal(signal.SIGINT)
    out, _ = first.communicate(timeout=200)
    assert first.returncode == 1 and "Traceback" not in out, out
    assert out.splitlines()[-1] == "CommandError: the demo was stopped before its end; start it again to go on."
    out = finish(start(environment), 400)
    assert "Traceback" not in out
    report = report_of(environment)
    assert [stage["name"] for stage in report["stages"]] == STAGES
    assert all(stage["ok"] and stage["proof"] for stage in report["stages"])
    assert report["sizes"]["before"] > 3 * report["sizes"]["after"]
    assert report["rollout"]["state"] == "succeeded" and len(report["rollout"]["machines"]) == 4
    assert len(report["answers"]) == 10 and {"intent", "confidence", "latency_ms"} <= set(report["answers"][0])
    assert all(len(artifact["sha256"]) == 64 and artifact["bytes"] > 0 for artifact in report["artifacts"])
    logs = list(Path(environment["CONSOLE_VAR"]).glob("demo/fleet/*/disk/var/log/ascend_seclog/operation.log"))
    assert len(logs) == 4
    for log in logs:
        text = log.read_text()
        assert text.count("npu-driver") == text.count("npu-firmware") == 1, text


@pytest.mark.timeout(240)
def test_a_demo_that_ended_is_started_again_and_asks_what_serves(environment):
    out = finish(start(environment), 200)
    assert "done by an earlier start" in out and all(stage["ok"] for stage in report_of(environment)["stages"])


@pytest.mark.timeout(240)
def test_machines_that_were_enrolled_on_other_ports_are_named_with_what_to_do(environment):
    out, _ = (process := start({**environment, "CONSOLE_FLEET_PORT": str(free_ports(4))})).communicate(timeout=200)
    assert process.returncode == 1, out
    said = out.splitlines()[-1]
    assert f"was enrolled on port {environment['CONSOLE_FLEET_PORT']}" in said and "CONSOLE_FLEET_PORT" in said


@pytest.mark.timeout(240)
def test_a_port_that_is_taken_is_named_before_anything_starts(environment):
    with socket.socket() as taken:
        # The links of the demo before have ended a moment ago.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(environment["CONSOLE_FLEET_PORT"]) + 1))
        taken.listen()
        out, _ = (process := start(environment)).communicate(timeout=200)
    assert process.returncode == 1 and out.count("\n") <= 2
    assert f"port {int(environment['CONSOLE_FLEET_PORT']) + 1}" in out and "CONSOLE_FLEET_PORT" in out

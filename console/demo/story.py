"""The stages of the demo, in order: bare machines to a served model. Each proves what it claims or raises."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.demo.client import Client, DemoFailed, Tell
from console.demo.ledger import Ledger
from console.demo.supplies import SCENARIO, make_supplies

MODEL = "minilm-bank77"
NPUS = 4
NO_DRIVER = "npus-healthy"
LOSS_ALLOWED = 0.03
RELEASE = {"name": "support-bot", "version": "1.0.0"}


@dataclass(frozen=True)
class Proof:
    """What a stage proved, and on how many machines."""

    machines: int
    text: str


class Story:
    """One telling of the demo. ``fleet`` is the simulator's list of machines."""

    def __init__(self, client: Client, ledger: Ledger, fleet: list[dict[str, Any]], folder: Path, tell: Tell) -> None:
        self.client = client
        self.ledger = ledger
        self.fleet = fleet
        self.folder = folder
        self.tell = tell
        self.names = [machine["name"] for machine in fleet]

    def stages(self) -> list[tuple[str, Callable[[], Proof]]]:
        return [
            ("enroll", self.enroll),
            ("probe", self.probe),
            ("preflight", self.preflight),
            ("depot", self.stock_depot),
            ("install-os-packages", self.mend_headers),
            ("install-driver", self.install_driver),
            ("install-cann", self.install_cann),
            ("convert to ONNX", self.convert_to_onnx),
            ("quantize", self.quantize),
            ("convert to OM", self.convert_to_om),
            ("package-image", self.package_image),
            ("rollout", self.roll_out),
            ("ask", self.ask),
        ]

    def check_addresses(self) -> None:
        """Machines that an earlier start enrolled must still be where they were. Raises ``DemoFailed``."""
        enrolled = {one["name"]: one["port"] for one in self.client.get("/machines/", page_size=500)["results"]}
        for machine in self.fleet:
            name, port = machine["name"], machine["port"]
            if enrolled.get(name, port) != port:
                raise DemoFailed(
                    f"{name} was enrolled on port {enrolled[name]} and now is on {port}. "
                    "Set CONSOLE_FLEET_PORT to what it was, or begin anew in another CONSOLE_VAR."
                )

    def enroll(self) -> Proof:
        """The fingerprint is compared with what the machine's own screen would show: the simulator's list."""
        first = self.fleet[0]
        credential = {"name": "fleet", "username": first["username"], "password": first["password"]}
        if not self.client.get("/credentials/", name="fleet")["results"]:
            self.client.post("/credentials/", credential, "credential")
        known = {machine["name"]: machine for machine in self.client.get("/machines/", page_size=500)["results"]}
        for machine in self.fleet:
            name = machine["name"]
            fields = {"name": name, "host": machine["host"], "port": machine["port"], "credential": "fleet"}
            there = known.get(name) or self.client.post("/machines/", {**fields, "site": "demo"}, f"enroll-{name}")
            # Silent: its key is pinned, too; the collector has not reached it again yet.
            if there["state"] in ("ready", "silent") and there["host_key_fingerprint"] == machine["fingerprint"]:
                continue
            if there["offered_fingerprint"] != machine["fingerprint"]:
                raise DemoFailed(f"{name} offers {there['offered_fingerprint']}, its screen says another fingerprint.")
            self.client.post(f"/machines/{name}/confirm/", {"fingerprint": machine["fingerprint"]})
            self.tell(f"{name}: fingerprint {machine['fingerprint'][:20]}... confirmed, key pinned")
        return Proof(len(self.fleet), "host keys pinned after their fingerprints were compared")

    def probe(self) -> Proof:
        said = []
        for name in self.names:
            facts = self.client.post(f"/machines/{name}/probe/", {})["facts"]
            cpu = facts["cpu"]
            said.append((facts["architecture"], facts["service_pack"], cpu["sockets"], len(facts["pci_npus"])))
            if facts["driver"] is not None and self.ledger.done("install-driver") is None:
                raise DemoFailed(f"{name} has a driver already; remove the demo's folder to start with bare machines.")
            self.tell(f"{name}: {cpu['sockets']} x {cpu['model']}, {len(facts['pci_npus'])} NPUs on the bus, no driver")
        if set(said) != {("aarch64", "SP2", 2, NPUS)}:
            raise DemoFailed(f"The machines are not what they were said to be: {sorted(set(said))}.")
        return Proof(len(said), f"2 x Kunpeng 920, {NPUS} NPUs on the bus, Kylin V10 SP2, no driver")

    def preflight(self) -> Proof:
        blocked: dict[str, dict[str, Any]] = {}
        for name in self.names:
            for check in self.client.get(f"/machines/{name}/preflight/")["checks"]:
                # That there is no driver yet is what the next stages are for.
                if check["severity"] == "block" and check["code"] != NO_DRIVER:
                    blocked[name] = check
                    self.tell(f"{name}: {check['reason']}")
        if [check["code"] for check in blocked.values()] != ["kernel-headers"]:
            raise DemoFailed(f"Exactly one machine lacks its kernel headers; preflight found {blocked}.")
        name, check = next(iter(blocked.items()))
        self.ledger.figures["mend"] = {"machine": name, **check["mend"]}
        return Proof(len(self.names), f"{name} lacks its kernel headers; the mend offered is {check['mend']['kind']}")

    def stock_depot(self) -> Proof:
        for supply in make_supplies(self.folder / "supplies"):
            made = self.client.upload(
                supply.file, supply.sha256, type=supply.type, meta=json.dumps(supply.meta), origin=supply.origin
            )
            self._keep(supply.role, made)
            self.client.post(f"/artifacts/{made['id']}/verify/", {})
            self.tell(f"{made['name']}: {made['size']:,} bytes, SHA-256 {made['sha256'][:12]}...")
        total = sum(artifact["bytes"] for artifact in self.ledger.artifacts.values())
        return Proof(0, f"{len(self.ledger.artifacts)} artifacts, {total:,} bytes, each read back against its SHA-256")

    def mend_headers(self) -> Proof:
        mend = self.ledger.figures["mend"]
        name = mend["machine"]
        self._job("install-os-packages", mend["kind"], mend["params"], [name], 120)
        checks = self.client.get(f"/machines/{name}/preflight/")["checks"]
        if any(check["severity"] == "block" and check["code"] != NO_DRIVER for check in checks):
            raise DemoFailed(f"{name} is still blocked after the mend.")
        return Proof(1, f"{name} passes preflight")

    def install_driver(self) -> Proof:
        params = {"driver": self._id("driver"), "firmware": self._id("firmware")}
        self._job("install-driver", "install-driver", params, self.names, 300)
        for name in self.names:
            facts = self.client.get(f"/machines/{name}/")["facts"]
            healthy = [npu for npu in facts["npus"] if npu["health"] == "OK"]
            if len(healthy) != NPUS:
                raise DemoFailed(f"{name}: npu-smi lists {len(healthy)} healthy NPUs, not {NPUS}.")
        return Proof(len(self.names), f"npu-smi info lists {NPUS} healthy NPUs on each machine, after its restart")

    def install_cann(self) -> Proof:
        name = self.names[0]
        self._job("install-cann", "install-cann", {"cann": self._id("cann")}, [name], 180)
        version = self.client.get(f"/machines/{name}/")["facts"]["cann"]["version"]
        return Proof(1, f"{name} has CANN {version} and with it atc")

    def convert_to_onnx(self) -> Proof:
        params = {"to": "onnx", "name": MODEL, "checkpoint": self._id("checkpoint"), "head": self._id("head")}
        result = self._job("convert to ONNX", "convert", params, [], 180)["result"]
        self._keep_made(result, {"model": "onnx", "profile": "profile"})
        report = result["report"]
        if len(report["labels"]) != 77:
            raise DemoFailed(f"The head has {len(report['labels'])} intents, not 77.")
        return Proof(0, f"{report['parameters']:,} parameters and 77 intents in one ONNX, without torch")

    def quantize(self) -> Proof:
        params = {"model": self._id("onnx"), "scheme": "int8-weight", "calibration": self._id("calibration")}
        result = self._job("quantize", "quantize", params, [], 180)["result"]
        self._keep_made(result, {"model": "int8"})
        before, after = (self.ledger.artifacts[role]["bytes"] for role in ("onnx", "int8"))
        measured = result["report"]["agreement"]
        share, rows = measured["agreement"], measured["rows"]
        self.ledger.figures |= {
            "sizes": {"before": before, "after": after, "ratio": round(before / after, 3)},
            "agreement": {"share": share, "rows": rows, "on": measured["on"], "cosine_min": measured["cosine_min"]},
        }
        if after >= before or share < 1 - LOSS_ALLOWED:
            raise DemoFailed(f"{before} bytes became {after}; the answers agree in {share:.1%} of {rows} texts.")
        return Proof(
            0,
            f"{before:,} to {after:,} bytes ({before / after:.2f} x smaller), the same answer to "
            f"{share:.1%} of {rows} texts",
        )

    def convert_to_om(self) -> Proof:
        name = self.names[0]
        params = {"to": "om", "name": MODEL, "model": self._id("int8")}
        result = self._job("convert to OM", "convert", params, [name], 240)["result"]
        self._keep_made(result, {"model": "om"})
        meta = self.client.get(f"/artifacts/{self._id('om')}/")["meta"]
        if not meta["simulated"]:
            raise DemoFailed("The OM came from a simulated machine and is not marked so.")
        return Proof(1, f"atc on {name} wrote an OM for {meta['soc_version']}, marked as simulated")

    def package_image(self) -> Proof:
        params = {"model": self._id("om"), "base": self._id("base"), "name": "console/support-bot", "tag": "1.0.0"}
        result = self._job("package-image", "package-image", params, [], 180)["result"]
        self._keep_made(result, {"image": "image"})
        image = self.ledger.artifacts["image"]
        return Proof(0, f"{image['name']}, {image['bytes']:,} bytes: base image, serving code, model")

    def roll_out(self) -> Proof:
        question = _questions()[0]
        found = self.client.get("/releases/", **RELEASE)["results"]
        release = found[0] if found else self.client.post(
            "/releases/",
            {**RELEASE, "image": self._id("image"), "smoke_text": question["text"], "smoke_label": question["intent"]},
            "release",
        )  # fmt: skip
        params = {"release": release["id"], "batch_size": 2}
        job = self._job("rollout", "rollout", params, self.names, 300)
        rollout = self.client.get(f"/rollouts/{job['id']}/")
        gates = [gate for batch in rollout["batches"] for machine in batch["machines"] for gate in machine["gates"]]
        passed = [gate for gate in gates if gate["state"] == "succeeded"]
        self.ledger.figures["rollout"] = {
            "release": rollout["release_name"],
            "state": rollout["state"],
            "machines": {m["machine"]: m["state"] for batch in rollout["batches"] for m in batch["machines"]},
        }
        if len(rollout["batches"]) != 2 or len(passed) != 2 * len(self.names):
            raise DemoFailed(f"{len(passed)} gates passed in {len(rollout['batches'])} batches.")
        return Proof(len(self.names), f"2 batches, {len(passed)} gates passed: healthy, and right on a smoke question")

    def ask(self) -> Proof:
        answers = []
        for question in _questions():
            answer = self._ask(question["text"])
            answers.append({"question": question["text"], "expected": question["intent"], **answer})
            self.tell(f"{question['text']} -> {answer['intent']} ({answer['confidence']:.0%}, {answer['machine']})")
        self.ledger.figures["answers"] = answers
        right = [answer for answer in answers if answer["intent"] == answer["expected"]]
        machines = {answer["machine"] for answer in answers}
        if len(right) < len(answers) - 1:
            raise DemoFailed(f"{len(right)} of {len(answers)} questions were answered rightly.")
        return Proof(len(machines), f"{len(right)} of {len(answers)} questions answered rightly")

    def _ask(self, text: str) -> dict[str, Any]:
        """Containers that come up after a restart of the machines are given a moment."""
        deadline = time.monotonic() + 60
        while True:
            try:
                answer: dict[str, Any] = self.client.post("/scenarios/support-bot/ask/", {"text": text})
                return answer
            except DemoFailed:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def _job(self, stage: str, kind: str, params: dict[str, Any], machines: list[str], seconds: float) -> Any:
        """The stage's job, launched once: a second start of the demo finds it and goes on waiting."""
        job_id = self.ledger.jobs.get(stage)
        job = self.client.wait(job_id, self.tell, seconds) if job_id else None
        if job is None or job["state"] != "succeeded":
            if job is not None:
                self.tell(f"job {job_id} had ended {job['state']}; it is launched again")
                self.ledger.tries[stage] = self.ledger.tries.get(stage, 0) + 1
            key = f"{stage}-{self.ledger.tries.get(stage, 0)}".replace(" ", "-")
            self.ledger.jobs[stage] = job_id = self.client.launch(kind, params, machines, key)
            self.ledger.save()
            job = self.client.wait(job_id, self.tell, seconds)
        if job["state"] != "succeeded":
            failure = job["failure"] or {}
            cause, mend = failure.get("cause", f"it ended {job['state']}."), failure.get("mend", "")
            raise DemoFailed(f"Job {job_id} ({kind}): {cause} {mend}".strip())
        return job

    def _id(self, role: str) -> int:
        return int(self.ledger.artifacts[role]["id"])

    def _keep(self, role: str, artifact: dict[str, Any]) -> None:
        self.ledger.artifacts[role] = {
            "id": artifact["id"],
            "type": artifact["type"],
            "name": artifact["name"],
            "sha256": artifact["sha256"],
            "bytes": artifact["size"],
        }

    def _keep_made(self, result: dict[str, Any], roles: dict[str, str]) -> None:
        for artifact in result["artifacts"]:
            if artifact["type"] in roles:
                self._keep(roles[artifact["type"]], artifact)


def _questions() -> list[dict[str, str]]:
    questions: list[dict[str, str]] = json.loads((SCENARIO / "questions.json").read_text(encoding="utf-8"))
    return questions

"""What goes wrong on machines, as a REST client is told of it: one clear sentence, the mend, and nothing half done."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token

from hardware.ssh.command import execute
from hardware.ssh.errors import SSHFailure
from hardware.ssh.pool import Pool
from jobs.depot.models import Artifact, blob_path
from jobs.depot.services import ingest
from jobs.models import Job
from tests.fleet import Fleet, start
from tests.worker import work

MACHINE = "kunpeng-01"
PACKAGES = "var/tmp/ascend-console/packages"


@pytest.fixture
def client(live_server: Any, transactional_db: None, settings: Any, tmp_path: Path) -> Iterator[httpx.Client]:
    settings.DEPOT_DIR = tmp_path / "depot"
    token = Token.objects.create(user=User.objects.create_user("robot"))
    headers = {"Authorization": f"Token {token.key}"}
    with httpx.Client(base_url=f"{live_server.url}/api/v1", headers=headers, timeout=60) as made:
        yield made


def enroll(client: httpx.Client, fleet: Fleet, password: str = "") -> None:
    entry = fleet.machines[0]
    credential = {"name": "fleet", "password": password or entry["password"]}
    client.post("/credentials/", json=credential).raise_for_status()
    fields = {"name": MACHINE, "host": "127.0.0.1", "port": entry["port"], "credential": "fleet"}
    offered = client.post("/machines/", json=fields).raise_for_status().json()["offered_fingerprint"]
    assert offered == entry["fingerprint"]
    client.post(f"/machines/{MACHINE}/confirm/", json={"fingerprint": offered}).raise_for_status()


def probe(client: httpx.Client) -> httpx.Response:
    return client.post(f"/machines/{MACHINE}/probe/")


def run(client: httpx.Client, kind: str, params: dict[str, Any], machines: tuple[str, ...] = (MACHINE,)) -> Any:
    """Launch a job and carry it out as a worker does; returns it as the client reads it."""
    answer = client.post("/jobs/", json={"kind": kind, "params": params, "machines": machines})
    assert answer.status_code == 201, answer.text
    work(Job.objects.get(pk=answer.json()["id"]))
    return client.get(f"/jobs/{answer.json()['id']}/").json()


def wait_until_it_is_back(fleet: Fleet) -> None:
    async def ask() -> None:
        pool = Pool()
        deadline = asyncio.get_running_loop().time() + 30
        while asyncio.get_running_loop().time() < deadline:
            try:
                said = await execute(pool, fleet.endpoint(MACHINE), "df -P -k /var/tmp | tail -n 1")
                if int(said.stdout.split()[1]) < 10_000:
                    return
            except SSHFailure:
                pass
            await asyncio.sleep(0.2)
        raise AssertionError("the machine did not come back with its small disk")

    asyncio.run(ask())


def assert_clear(said: dict[str, Any], code: str, *words: str) -> None:
    """One sentence that names what is meant, with a mend; no trace of our own code."""
    sentence = said.get("title") or said.get("cause")
    assert said["code"] == code and said["mend"], said
    assert sentence and "\n" not in sentence and "Traceback" not in sentence
    for word in words:
        assert word in sentence, sentence


def test_a_wrong_password(client, new_fleet: Callable[..., Fleet]):
    enroll(client, new_fleet(), password="not the password")
    answer = probe(client)
    assert answer.status_code == 502
    assert_clear(answer.json(), "ssh-auth-refused", MACHINE, "root")
    assert "not the password" not in answer.text
    machine = client.get(f"/machines/{MACHINE}/").json()
    assert machine["state"] == "silent" and machine["trouble"]["code"] == "ssh-auth-refused" and not machine["facts"]


def test_a_host_key_that_changed_blocks_the_machine_until_a_person_confirms_the_new_one(client, new_fleet, tmp_path):
    fleet = new_fleet()
    enroll(client, fleet)
    assert probe(client).status_code == 200
    fleet.stop()
    (fleet.folder / MACHINE / "ssh_host_ed25519_key").unlink()
    again = start(fleet.folder)
    try:
        answer = probe(client)
        assert answer.status_code == 502
        assert_clear(answer.json(), "ssh-host-key-changed", MACHINE, str(fleet.machines[0]["fingerprint"]))
        machine = client.get(f"/machines/{MACHINE}/").json()
        new = again.machines[0]["fingerprint"]
        assert machine["state"] == "blocked" and machine["offered_fingerprint"] == new
        refused = client.post("/jobs/", json={"kind": "install-cann", "params": {"cann": 1}, "machines": [MACHINE]})
        assert (refused.status_code, refused.json()["code"]) == (422, "machine-not-ready")
        client.post(f"/machines/{MACHINE}/confirm/", json={"fingerprint": new}).raise_for_status()
        assert probe(client).json()["state"] == "ready"
    finally:
        again.stop()


def test_a_machine_without_a_shell(client, new_fleet):
    enroll(client, new_fleet(faults=[f"{MACHINE}=no-shell"]))
    answer = probe(client)
    assert answer.status_code == 502
    assert_clear(answer.json(), "ssh-no-shell", MACHINE, "/bin/sh")


def test_a_disk_that_is_too_small_stops_a_job_before_a_byte_is_copied(client, new_fleet, depot):
    fleet = new_fleet(faults=[f"{MACHINE}=small-install-disk"])
    enroll(client, fleet)
    probe(client)
    params = {"driver": depot["driver"], "firmware": depot["firmware"]}
    answer = client.post("/jobs/", json={"kind": "install-driver", "params": params, "machines": [MACHINE]})
    assert answer.status_code == 422, answer.text
    assert_clear(answer.json(), "preflight-blocked", MACHINE, "free for /usr/local/Ascend")
    assert not (fleet.disk(MACHINE) / PACKAGES).exists()


def test_a_disk_that_fills_up_while_packages_are_sent(client, new_fleet, depot):
    fleet = new_fleet()
    enroll(client, fleet)
    probe(client)
    # After the probe: preflight can't know of it.
    fleet.control("fault", MACHINE, "small-disk")
    fleet.control("reboot", MACHINE)
    wait_until_it_is_back(fleet)
    job = run(client, "install-driver", {"driver": depot["driver"], "firmware": depot["firmware"]})
    assert job["state"] == "failed"
    assert_clear(job["failure"], "disk-full", MACHINE, "no space left")
    assert not list((fleet.disk(MACHINE) / "usr/local/Ascend").glob("driver*"))


def test_a_package_that_is_not_the_one_that_was_meant_is_not_stored(client, settings):
    data = {"type": "driver", "name": "driver.run", "expected_sha256": hashlib.sha256(b"whole").hexdigest()}
    answer = client.post("/artifacts/", data=data, files={"file": b"damaged"})
    assert answer.status_code == 422
    assert_clear(answer.json(), "artifact-corrupt", "driver.run")
    left = [path for path in Path(settings.DEPOT_DIR).rglob("*") if path.is_file()]
    assert not Artifact.objects.exists() and not left


def test_a_package_that_was_damaged_in_the_depot_never_gets_onto_a_machine(client, fleet: Fleet, depot):
    enroll(client, fleet)
    probe(client)
    blob = blob_path(Artifact.objects.get(pk=depot["driver"]).sha256)
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    job = run(client, "install-driver", {"driver": depot["driver"], "firmware": depot["firmware"]})
    assert job["state"] == "failed"
    assert_clear(job["failure"], "transfer-corrupt", MACHINE, "SHA-256")
    steps = client.get(f"/jobs/{job['id']}/steps/").json()
    # Before the transfer the machine only says that nobody holds its NPUs.
    assert [step["state"] for step in steps] == ["succeeded", "failed"] + ["pending"] * (len(steps) - 2)
    sent = fleet.disk(MACHINE) / PACKAGES
    assert not sent.exists() or not list(sent.glob("*driver*"))


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = start(tmp_path_factory.mktemp("ready"))
    yield made
    made.stop()


@pytest.fixture
def with_cann(client: httpx.Client, ready: Fleet, depot: dict[str, int]) -> Fleet:
    """A machine with driver and CANN; installed once, for the tests below share it."""
    enroll(client, ready)
    facts = probe(client).json()["facts"]
    if facts["driver"] is None:
        job = run(client, "install-driver", {"driver": depot["driver"], "firmware": depot["firmware"]})
        assert job["state"] == "succeeded", job["failure"]
    if facts["cann"] is None:
        job = run(client, "install-cann", {"cann": depot["cann"]})
        assert job["state"] == "succeeded", job["failure"]
    return ready


@pytest.fixture
def onnx(depot: dict[str, int], tmp_path: Path) -> int:
    """A model of one operator in the depot."""
    from onnx import TensorProto, helper, save_model

    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])],
    )
    path = tmp_path / "relu.onnx"
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), str(path))
    with path.open("rb") as file:
        return ingest(file, name="relu.onnx", type="model", actor="ada", meta={"format": "onnx"}).pk


def left_of_conversion(fleet: Fleet) -> list[Path]:
    return list((fleet.disk(MACHINE) / "var/tmp/ascend-console/conversion").glob("*"))


@pytest.mark.timeout(180)
def test_a_soc_version_that_atc_does_not_know(client, with_cann: Fleet, onnx: int):
    params = {"to": "om", "name": "relu", "model": onnx, "input_shape": "x:1,8"}
    # A family's name is known to be none before a machine is bothered.
    family = {"kind": "convert", "params": {**params, "soc_version": "Ascend910"}, "machines": [MACHINE]}
    refused = client.post("/jobs/", json=family)
    assert refused.status_code == 422 and refused.json()["field"] == "soc_version"
    assert_clear(refused.json(), "soc-coarse", "Ascend910")
    job = run(client, "convert", {**params, "soc_version": "Ascend910X"})
    assert job["state"] == "failed"
    assert_clear(job["failure"], "atc-refused", "soc_version", "Ascend910X")
    assert not left_of_conversion(with_cann) and not Artifact.objects.filter(name="relu.om").exists()


def test_the_same_model_with_the_machines_own_chip_is_converted(client, with_cann: Fleet, onnx: int):
    job = run(client, "convert", {"to": "om", "name": "relu", "model": onnx, "input_shape": "x:1,8"})
    assert job["state"] == "succeeded", job["failure"]
    made = Artifact.objects.get(name="relu.om")
    assert made.meta["simulated"] and made.meta["soc_version"] == "Ascend910A"


def test_the_same_conversion_again_is_the_stored_one_and_touches_no_machine(client, with_cann: Fleet, onnx: int):
    profiles = {"dynamic_batch_size": "1,2,4", "precision_mode": "force_fp16", "output_type": "FP32"}
    params = {"to": "om", "name": "several", "model": onnx, **profiles}
    first = run(client, "convert", params)
    assert first["state"] == "succeeded", first["failure"]
    made = Artifact.objects.get(name="several.om")
    assert (made.meta["input_shape"], made.meta["dynamic"]) == ("x:-1,8", "dynamic_batch_size=1,2,4")
    said = made.meta["provenance"]
    assert (said["job"], said["machine"], said["toolkit"]) == (first["id"], MACHINE, "CANN 8.0.0")
    assert said["inputs"] == {"model": Artifact.objects.get(pk=onnx).sha256}
    again = run(client, "convert", {**params, "name": "another-name"})
    assert again["state"] == "succeeded", again["failure"]
    assert again["result"]["artifacts"] == first["result"]["artifacts"]
    assert not Job.objects.get(pk=again["id"]).mutates
    (step,) = client.get(f"/jobs/{again['id']}/steps/").json()
    assert step["title"] == f"Take several.om, made by job {first['id']}" and step["machine"] is None


def test_onnx_becomes_mindir_where_mindspore_lite_is(client, with_cann: Fleet, onnx: int):
    probe(client)
    job = run(client, "convert", {"to": "mindir", "name": "relu", "model": onnx})
    assert job["state"] == "succeeded", job["failure"]
    made = Artifact.objects.get(name="relu.mindir")
    assert made.meta["format"] == "mindir" and made.meta["provenance"]["toolkit"] == "MindSpore Lite 2.4.10"
    assert made.path.read_bytes().startswith(b"SIMULATED MINDIR")
    assert not left_of_conversion(with_cann)


def test_an_air_goes_to_atc_with_aipp_as_the_file_that_its_fields_make(client, with_cann: Fleet, depot):
    air = ingest(BytesIO(b"\x0a\x04lenet"), name="lenet.air", type="model", actor="ada")
    assert air.meta == {"format": "air"}
    image = {"input_format": "RGB888_U8", "width": 32, "height": 32, "mean": [104, 117, 123]}
    job = run(client, "convert", {"to": "om", "name": "lenet", "model": air.pk, "aipp_fields": image})
    assert job["state"] == "succeeded", job["failure"]
    said = Artifact.objects.get(name="lenet.om").meta["provenance"]["parameters"]
    assert said["framework"] == "1" and "input_shape" not in said and "mean_chn_1: 117" in said["aipp"]


def test_a_language_model_is_quantized_only_where_msmodelslim_is(client, with_cann: Fleet, depot, tmp_path: Path):
    import numpy as np
    from safetensors.numpy import load_file, save_file

    disk = with_cann.disk(MACHINE)
    params = {"name": "tiny-w8a8", "model_path": "/data/tiny", "model_type": "Tiny", "folder": "/data"}
    refused = client.post("/jobs/", json={"kind": "quantize-llm", "params": params, "machines": [MACHINE]})
    assert refused.status_code == 422
    assert_clear(refused.json(), "msmodelslim-missing", MACHINE, "torch", "msmodelslim")
    # As if somebody had installed it; no package of the simulator brings it.
    site = disk / "opt/slim/lib/python3.9/site-packages"
    for package in ("torch-2.1.0", "torch_npu-2.1.0.post10", "msmodelslim-8.3.0"):
        (site / f"{package}.dist-info").mkdir(parents=True)
    (disk / "usr/local/bin/msmodelslim").symlink_to("/usr/local/simulated/software/msmodelslim")
    probe(client)
    job = run(client, "quantize-llm", params)
    assert_clear(job["failure"], "not-ready", "/data/tiny has no config.json")
    (disk / "data/tiny").mkdir()
    (disk / "data/tiny/config.json").write_text("{}")
    save_file({"w": np.ones((4, 8), np.float32), "norm": np.ones(8, np.float32)}, disk / "data/tiny/m.safetensors")
    job = run(client, "quantize-llm", params)
    assert job["state"] == "succeeded", job["failure"]
    made = load_file(disk / "data/tiny-w8a8/quant_model_weight_w8a8.safetensors")
    assert made["w"].dtype == np.int8 and not (disk / "data/tiny-w8a8.part").exists()
    manifest = Artifact.objects.get(type="manifest")
    assert manifest.meta["provenance"]["toolkit"].startswith("msmodelslim 8.3.0, torch_npu 2.1.0.post10, torch 2.1.0")
    lines = dict(line.split("  ")[::-1] for line in manifest.path.read_text().splitlines())
    weights = disk / "data/tiny-w8a8/quant_model_weight_w8a8.safetensors"
    assert lines["./quant_model_weight_w8a8.safetensors"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert "./config.json" in lines
    job = run(client, "quantize-llm", params)
    assert_clear(job["failure"], "not-ready", "/data/tiny-w8a8 is there already")
    assert weights.exists() and not list((disk / "var/tmp/ascend-console/quantization").glob("*"))


@pytest.mark.parametrize("kind", ["convert", "quantize"])
def test_a_file_that_is_no_onnx(client, with_cann: Fleet, depot, tmp_path: Path, kind: str):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    with path.open("rb") as file:
        model = ingest(file, name="model.onnx", type="model", actor="ada", meta={"format": "onnx"}).pk
    if kind == "convert":
        job = run(client, kind, {"to": "om", "name": "m", "model": model, "input_shape": "x:1,8"})
    else:
        job = run(client, kind, {"model": model}, ())
    assert job["state"] == "failed"
    assert_clear(job["failure"], "input-refused", "model.onnx", "LFS")
    assert not left_of_conversion(with_cann)
    assert Artifact.objects.filter(type="model").count() == 1

"""The stand-in for docker on a simulated machine, and a model's way from its ONNX to an answer there."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shlex
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from hardware.simulator import base_image
from hardware.ssh.command import CommandResult, execute
from hardware.ssh.errors import SSHFailure
from hardware.ssh.pool import Pool
from hardware.ssh.transfer import send
from hardware.ssh.tunnel import http_request
from jobs.kinds.package_image.archive import build
from tests import tiny_model
from tests.fleet import Fleet, start

NAME = "kunpeng-01"
# As an installed driver leaves it; the installers have tests of their own.
DRIVER = "usr/local/Ascend/driver/version.info"
SHAPES = "input_ids:1,16;attention_mask:1,16"


class Box:
    """One simulated machine with a driver, and what is done to it over SSH."""

    def __init__(self, fleet: Fleet, pool: Pool) -> None:
        self.fleet, self.pool = fleet, pool

    async def sh(self, command: str, *, ok: bool = True) -> CommandResult:
        done = await execute(self.pool, self.fleet.endpoint(NAME), command, timeout=60)
        assert not ok or done.exit_status == 0, f"{command}: {done}"
        return done

    async def put(self, file: Path) -> str:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        await send(self.pool, self.fleet.endpoint(NAME), file, f"/var/tmp/{file.name}", sha256=digest)
        return f"/var/tmp/{file.name}"

    async def ask(self, method: str, port: int, path: str, body: bytes = b"") -> dict:
        for _ in range(100):
            try:
                status, answer = await http_request(self.pool, self.fleet.endpoint(NAME), method, port, path, body=body)
                if status == 200:
                    return json.loads(answer)
            except SSHFailure:
                pass
            await asyncio.sleep(0.1)
        raise AssertionError((await self.sh("docker ps -a; docker logs serving")).stdout)

    async def restart(self, how: str = "reboot") -> None:
        before = (await self.sh("cat /proc/sys/kernel/random/boot_id")).stdout
        self.fleet.control(how, NAME)
        for _ in range(200):
            await asyncio.sleep(0.1)
            try:
                if (await self.sh("cat /proc/sys/kernel/random/boot_id")).stdout != before:
                    return
            except SSHFailure:
                pass
        raise AssertionError("the machine did not come back")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory):
    fleet = start(tmp_path_factory.mktemp("docker-fleet"), machines=1, boot_seconds=0.2)
    disk = fleet.disk(NAME)
    (disk / DRIVER).parent.mkdir(parents=True)
    (disk / DRIVER).write_text("Version=24.1.0\n")
    yield fleet
    fleet.stop()


@pytest_asyncio.fixture
async def box(machine: Fleet) -> AsyncIterator[Box]:
    pool = Pool()
    made = Box(machine, pool)
    if (await made.sh("ls /dev/davinci0", ok=False)).exit_status:
        await made.restart()
    await made.sh("docker rm -f $(docker ps -aq) 2>/dev/null; true")
    yield made
    await pool.close()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Images of the tiny model, by tag."""
    folder = tiny_model.release(tmp_path_factory.mktemp("image"))
    base_image.write(folder / "base.tar")

    def make(tag: str = "1", model: str = "model.onnx", **changes: bytes) -> Path:
        for name, content in changes.items():
            (folder / name).write_bytes(content)
        output = folder / f"image-{tag}.tar"
        build(folder / "base.tar", folder / model, folder / "profile.json", output, name="tiny", tag=tag)
        return output

    return make


async def test_an_onnx_becomes_an_om_on_the_machine_and_answers_from_a_container(box, image, tmp_path: Path):
    model = await box.put(tiny_model.release(tmp_path) / "model.onnx")
    # CANN's own installer puts atc there.
    atc = "/usr/local/simulated/software/atc"
    converted = await box.sh(
        f"cd /var/tmp && {atc} --model={model} --framework=5 --output=model --input_format=ND "
        f"--input_shape={shlex.quote(SHAPES)} --soc_version=Ascend910A"
    )
    assert converted.stdout.endswith("ATC run success, welcome to the next use.\n")
    om = (box.fleet.disk(NAME) / "var/tmp/model.om").read_bytes()
    archive = await box.put(image("om", "model.om", **{"model.om": om}))

    assert "Loaded image: tiny:om" in (await box.sh(f"docker load -i {archive}")).stdout
    await box.sh(
        "docker run -d --name serving --restart unless-stopped --network host --shm-size=1g --device /dev/davinci0 "
        "--device /dev/davinci_manager --device /dev/devmm_svm --device /dev/hisi_hdc "
        "-v /usr/local/Ascend/driver:/usr/local/Ascend/driver:ro -e CONSOLE_RELEASE='tiny 1' tiny:om --port 8000"
    )
    health = await box.ask("GET", 8000, "/healthz")
    assert health["status"] == "ok" and health["release"] == "tiny 1"
    assert health["engine"] == "ascend OM" and health["simulated"] is True
    answer = await box.ask("POST", 8000, "/v1/classify", b'{"texts": ["my card", "transfer money"]}')
    assert [result["label"] for result in answer["results"]] == ["card", "money"]
    # The process that npu-smi derives its load from.
    state = json.loads((box.fleet.disk(NAME) / "var/lib/docker/containers/serving.json").read_text())
    assert state["devices"] == [0] and state["state"] == "running"
    assert "serving" in (await box.sh(f"tr '\\0' ' ' </proc/{state['pid']}/cmdline")).stdout


async def test_an_om_for_another_chip_is_refused_by_the_runtime_and_the_log_says_which(box, image, tmp_path: Path):
    model = await box.put(tiny_model.release(tmp_path) / "model.onnx")
    await box.sh(
        f"cd /var/tmp && /usr/local/simulated/software/atc --model={model} --framework=5 --output=other "
        f"--input_format=ND --input_shape={shlex.quote(SHAPES)} --soc_version=Ascend910B3"
    )
    om = (box.fleet.disk(NAME) / "var/tmp/other.om").read_bytes()
    await box.sh(f"docker load -i {await box.put(image('other', 'model.om', **{'model.om': om}))}")
    await box.sh("docker run -d --name serving --device /dev/davinci0 tiny:other")
    for _ in range(100):
        if (await box.sh("docker inspect -f '{{.State.Status}}' serving")).stdout == "exited\n":
            break
        await asyncio.sleep(0.1)
    log = (await box.sh("docker logs serving")).stdout
    assert "E19999: Inner Error!" in log and "[ERROR] load model from file failed, model file is /model/model.om" in log
    assert "serving: device-refused: NPU 0 refuses model.om" in log
    assert "the model was made for Ascend910B3, the device is Ascend910A" in log


async def test_the_code_that_runs_is_the_code_in_the_image(box, image):
    await box.sh(f"docker load -i {await box.put(image())}")
    await box.sh("docker run -d --name serving --device /dev/davinci0 tiny:1")
    await box.ask("GET", 8000, "/healthz")
    where = await box.sh("docker exec serving python3 -c 'import serving; print(serving.__file__)'")
    assert where.stdout.strip() == "/opt/console/serving/__init__.py"
    assert (await box.sh("docker exec serving python3 -c 'import jobs'", ok=False)).exit_status == 1
    nodes = (await box.sh("docker exec serving ls /dev")).stdout.split()
    assert "davinci0" in nodes and "davinci1" not in nodes


async def test_a_device_that_is_not_there_ends_run_with_125_and_leaves_the_container_created(box, image):
    await box.sh(f"docker load -i {await box.put(image())}")
    done = await box.sh("docker run -d --name serving --device /dev/davinci9 tiny:1", ok=False)
    assert done.exit_status == 125
    assert (
        "docker: Error response from daemon: error gathering device information while adding custom device "
        '"/dev/davinci9": no such file or directory.'
    ) in done.stderr
    assert (await box.sh("docker ps -a --format '{{.Names}} {{.Status}}'")).stdout == "serving Created\n"


async def test_names_images_and_containers_that_are_not_there_are_refused_as_docker_does(box, image):
    await box.sh(f"docker load -i {await box.put(image())}")
    await box.sh("docker run -d --name serving tiny:1")
    taken = await box.sh("docker run -d --name serving tiny:1", ok=False)
    assert taken.exit_status == 125 and 'Conflict. The container name "/serving" is already in use' in taken.stderr
    unknown = await box.sh("docker run -d nothing:1", ok=False)
    assert unknown.exit_status == 125 and "Unable to find image 'nothing:1' locally" in unknown.stderr
    for command, text in (
        ("stop nothing", "Error response from daemon: No such container: nothing"),
        ("rm nothing", "Error: No such container: nothing"),
        ("logs nothing", "Error: No such container: nothing"),
        ("rmi nothing", "Error: No such image: nothing"),
        ("rm serving", "You cannot remove a running container"),
        ("inspect nothing", "Error: No such object: nothing"),
        ("load -i nothing.tar", "open nothing.tar: no such file or directory"),
        ("run --gpu 1 tiny:1", "unknown flag: --gpu"),
    ):
        done = await box.sh(f"docker {command}", ok=False)
        assert done.exit_status != 0 and text in done.stderr, (command, done)


async def test_a_damaged_archive_is_not_loaded(box, image, tmp_path: Path):
    # What docker has already is not read again.
    await box.sh("docker rmi -f $(docker images -q) 2>/dev/null; true")
    whole = image().read_bytes()
    # In the midst of a member: at a border between two the archive would only be one of fewer members.
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2 + 1])
    (tmp_path / "changed.tar").write_bytes(whole.replace(b"class Batcher", b"class Botcher"))
    for name, text in (("cut.tar", "Error processing tar file"), ("changed.tar", "invalid diffID for layer")):
        done = await box.sh(f"docker load -i {await box.put(tmp_path / name)}", ok=False)
        assert done.exit_status == 1 and text in done.stderr, done


async def test_stop_ends_the_server_in_order_and_start_brings_it_back(box, image):
    await box.sh(f"docker load -i {await box.put(image())}")
    await box.sh("docker run -d --name serving --restart unless-stopped -p 8000:8000 tiny:1")
    await box.ask("GET", 8000, "/healthz")
    assert (await box.sh("docker inspect -f '{{.State.Running}} {{.State.ExitCode}}' serving")).stdout == "true 0\n"
    await box.sh("docker stop -t 30 serving")
    assert (await box.sh("docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' serving")).stdout == "exited 0\n"
    assert "stopped" in (await box.sh("docker logs --tail 1 serving")).stdout
    await box.sh("docker start serving")
    await box.ask("GET", 8000, "/healthz")


async def test_a_server_that_dies_is_restarted_and_one_that_cannot_serve_shows_why(box, image):
    await box.sh(f"docker load -i {await box.put(image())}")
    await box.sh("docker run -d --name serving --restart always tiny:1")
    await box.ask("GET", 8000, "/healthz")
    await box.sh("kill -9 $(docker inspect -f '{{.State.Pid}}' serving)")
    await asyncio.sleep(0.5)
    await box.ask("GET", 8000, "/healthz")
    assert (await box.sh("docker inspect -f '{{.RestartCount}}' serving")).stdout == "1\n"
    await box.sh("docker run -d --name broken tiny:1 --model /nothing --port 9000")
    await asyncio.sleep(1)
    assert (await box.sh("docker inspect -f '{{.State.ExitCode}}' broken")).stdout == "2\n"
    assert "serving: folder-missing" in (await box.sh("docker logs broken")).stdout


async def test_after_a_restart_of_the_machine_only_what_its_policy_says_runs(box, image):
    await box.sh(f"docker load -i {await box.put(image())}")
    await box.sh("docker run -d --name serving --restart unless-stopped --network host tiny:1 --port 8000")
    await box.sh("docker run -d --name once --network host tiny:1 --port 8001")
    await box.sh("docker run -d --name halted --restart unless-stopped --network host tiny:1 --port 8002")
    await box.ask("GET", 8000, "/healthz")
    await box.sh("docker stop halted")
    for how in ("reboot", "power-cut"):
        await box.restart(how)
        await box.ask("GET", 8000, "/healthz")
        assert (await box.sh("docker ps --format '{{.Names}}'")).stdout == "serving\n"


async def test_an_image_with_programs_of_its_own_cannot_run_and_its_log_says_why(box, tmp_path: Path, monkeypatch):
    base_image.write(tmp_path / "base.tar")
    await box.sh(f"docker load -i {await box.put(tmp_path / 'base.tar')}")
    assert (await box.sh("docker run --rm console/simulated-base:1 -c 'print(6 * 7)'")).stdout == "42\n"
    monkeypatch.setattr(base_image, "INTERPRETER_LABEL", "another")
    base_image.write(tmp_path / "real.tar")
    await box.sh(f"docker load -i {await box.put(tmp_path / 'real.tar')}")
    done = await box.sh("docker run --name real console/simulated-base:1 -c 'print(6 * 7)'", ok=False)
    assert done.exit_status == 1 and "exec format error" in done.stdout


async def test_docker_says_which_it_is(box):
    assert (await box.sh("docker --version")).stdout.startswith("Docker version 18.09.0, build ")
    assert (await box.sh("docker version --format '{{.Server.Version}}'")).stdout == "18.09.0\n"
    assert (await box.sh("docker info --format '{{.Architecture}}'")).stdout == "aarch64\n"
    assert (await box.sh("docker frobnicate", ok=False)).exit_status == 1

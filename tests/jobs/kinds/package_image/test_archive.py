from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from jobs.kinds.package_image.archive import build
from jobs.kinds.package_image.errors import ImageRefused
from tests import tiny_model

ROOT = Path(__file__).resolve().parents[4]


def tar_of(files: dict[str, bytes], mtime: int = 0) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), mtime
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def configuration(diff_ids: list[str], architecture: str = "arm64") -> bytes:
    return json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/bin", "PYTHONPATH=/usr/local/Ascend/python"],
                "Cmd": ["bash"],
                "Labels": {"a": "b"},
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in diff_ids]},
            "history": [{"created_by": "base"}],
        }
    ).encode()


LAYER = tar_of({"etc/os-release": b"ID=kylin\n", "usr/bin/python3": b"\x7fELF" * 1000})


def oci(architecture: str = "arm64", layer: bytes = LAYER, stored: bytes | None = None, nested: bool = False) -> bytes:
    """An OCI archive as buildkit exports one: a compressed layer, and an attestation beside the image."""
    packed = gzip.compress(layer, mtime=0)
    config = configuration([sha(layer)], architecture)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "config": {"mediaType": "c", "digest": f"sha256:{sha(config)}", "size": len(config)},
            "layers": [
                {
                    "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                    "digest": f"sha256:{sha(packed)}",
                    "size": len(packed),
                }
            ],
        }
    ).encode()
    platform = {"architecture": architecture, "os": "linux"}
    entries = [
        {"mediaType": "m", "digest": f"sha256:{'0' * 64}", "size": 1, "platform": {"architecture": "unknown"}},
        {"mediaType": "m", "digest": f"sha256:{sha(manifest)}", "size": len(manifest), "platform": platform},
    ]
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        f"blobs/sha256/{sha(config)}": config,
        f"blobs/sha256/{sha(manifest)}": manifest,
        f"blobs/sha256/{sha(packed)}": packed if stored is None else stored,
    }
    if nested:
        files[f"blobs/sha256/{sha(index)}"] = index
        index = json.dumps(
            {"manifests": [{"mediaType": "application/vnd.oci.image.index.v1+json", "digest": f"sha256:{sha(index)}"}]}
        ).encode()
    return tar_of({**files, "index.json": index})


def docker_save(layer: bytes = LAYER) -> bytes:
    config = configuration([sha(LAYER)])
    saved = [{"Config": "abc.json", "RepoTags": ["base:1"], "Layers": ["1/layer.tar"]}]
    return tar_of({"abc.json": config, "1/layer.tar": layer, "manifest.json": json.dumps(saved).encode()})


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    tiny_model.release(tmp_path)
    (tmp_path / "base.tar").write_bytes(oci())
    return {
        "base": tmp_path / "base.tar",
        "model": tmp_path / "model.onnx",
        "profile": tmp_path / "profile.json",
        "output": tmp_path / "image.tar",
    }


def read(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        assert all(member.mtime == 0 and member.uid == 0 for member in tar)
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}


def test_the_image_is_an_oci_layout_whose_every_digest_holds(files):
    report = build(**files, name="bank/support-bot", tag="1.0")
    parts = read(files["output"])
    assert all(name.rsplit("/", 1)[1] == sha(content) for name, content in parts.items() if name.startswith("blobs/"))
    assert json.loads(parts["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    [entry] = json.loads(parts["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/bank/support-bot:1.0"
    manifest = json.loads(parts[f"blobs/sha256/{entry['digest'].removeprefix('sha256:')}"])
    config = json.loads(parts[f"blobs/sha256/{manifest['config']['digest'].removeprefix('sha256:')}"])
    assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"]) == len(config["history"]) == 3
    assert manifest["layers"][0]["mediaType"].endswith("tar+gzip")
    assert report.digest == entry["digest"] and report.id == manifest["config"]["digest"]
    assert report.sha256 == sha(files["output"].read_bytes()) and report.bytes == files["output"].stat().st_size


def test_docker_finds_the_same_layers_by_its_own_manifest(files):
    report = build(**files, name="support-bot", tag="1.0")
    parts = read(files["output"])
    [saved] = json.loads(parts["manifest.json"])
    assert saved["RepoTags"] == ["support-bot:1.0"]
    assert [f"sha256:{name.rsplit('/', 1)[1]}" for name in saved["Layers"]] == [
        layer["digest"] for layer in report.layers
    ]
    config = json.loads(parts[saved["Config"]])
    top = parts[saved["Layers"][2]]
    with tarfile.open(fileobj=io.BytesIO(top)) as tar:
        assert tar.getnames() == ["model", "model/model.onnx", "model/profile.json"]
        assert tar.extractfile("model/model.onnx").read() == files["model"].read_bytes()
    assert config["rootfs"]["diff_ids"][1:] == [f"sha256:{sha(parts[name])}" for name in saved["Layers"][1:]]


def test_what_the_base_set_stays_and_the_server_is_what_runs(files):
    build(**files, name="support-bot", tag="1.0")
    parts = read(files["output"])
    config = json.loads(parts[json.loads(parts["manifest.json"])[0]["Config"]])
    run = config["config"]
    assert config["architecture"] == "arm64"
    assert run["Entrypoint"] == ["python3", "-m", "serving", "--model", "/model"] and "Cmd" not in run
    assert "PYTHONPATH=/opt/console:/usr/local/Ascend/python" in run["Env"] and "PATH=/usr/bin" in run["Env"]
    assert run["Labels"]["a"] == "b" and run["Labels"]["console.model.sha256"] == sha(files["model"].read_bytes())


def test_the_code_layer_runs_on_its_own(files, tmp_path: Path):
    build(**files, name="support-bot", tag="1.0")
    parts = read(files["output"])
    for layer in json.loads(parts["manifest.json"])[0]["Layers"][1:]:
        with tarfile.open(fileobj=io.BytesIO(parts[layer])) as tar:
            tar.extractall(tmp_path / "root")
    done = subprocess.run(
        [sys.executable, "-m", "serving", "--model", str(tmp_path / "nothing")],
        cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "root/opt/console")}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and "folder-missing" in done.stderr


def test_the_same_inputs_give_the_same_bytes(files, tmp_path: Path):
    first = build(**files, name="support-bot", tag="1.0")
    files["model"].touch()
    second = build(**{**files, "output": tmp_path / "again.tar"}, name="support-bot", tag="1.0")
    assert first.sha256 == second.sha256


@pytest.mark.parametrize("archive", [oci(nested=True), docker_save()], ids=["an index in the index", "docker save"])
def test_other_forms_of_base_are_read_too(files, archive: bytes):
    files["base"].write_bytes(archive)
    assert len(build(**files, name="support-bot", tag="1.0").layers) == 3


def test_an_image_that_was_built_can_be_the_base_of_the_next(files, tmp_path: Path):
    build(**files, name="support-bot", tag="1.0")
    report = build(**{**files, "base": files["output"], "output": tmp_path / "next.tar"}, name="support-bot", tag="2.0")
    assert len(report.layers) == 5


@pytest.mark.parametrize(
    ("base", "code"),
    [
        (b"", "base-missing"),
        (b"words, no archive", "base-invalid"),
        (gzip.compress(oci()), "base-compressed"),
        (oci("amd64"), "base-architecture"),
        (oci()[:-9000], "base-invalid"),
        (oci(stored=b"x"), "base-damaged"),
        (oci(stored=b"x" * len(gzip.compress(LAYER, mtime=0))), "base-damaged"),
        (docker_save(layer=LAYER.replace(b"kylin", b"kyl1n")), "base-damaged"),
        (tar_of({"readme": b"hello"}), "base-invalid"),
        (tar_of({"index.json": b"[]"}), "base-invalid"),
        (tar_of({"index.json": b"{"}), "base-invalid"),
        (tar_of({"index.json": b'{"manifests":[{"digest":"sha256:../../etc/passwd"}]}'}), "base-invalid"),
    ],
)
def test_a_base_that_cannot_be_used_is_refused_and_leaves_nothing(files, base: bytes, code: str):
    files["base"].write_bytes(base)
    with pytest.raises(ImageRefused) as refused:
        build(**files, name="support-bot", tag="1.0")
    assert refused.value.code == code and refused.value.mend and "\n" not in str(refused.value)
    assert not list(files["output"].parent.glob("image.tar*"))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": "Support Bot"}, "name-invalid"),
        ({"tag": "1 0"}, "name-invalid"),
        ({"model": "profile.json"}, "model-invalid"),
        ({"model": "nothing.onnx"}, "model-invalid"),
        ({"profile": "model.onnx"}, "profile-invalid"),
        ({"profile": "nothing.json"}, "profile-invalid"),
        ({"output": "nowhere/image.tar"}, "not-writable"),
    ],
)
def test_the_command_refuses_in_one_line_with_status_2(files, tmp_path: Path, change: dict[str, str], code: str):
    done = command(tmp_path, **change)
    assert done.returncode == 2 and done.stderr.startswith(f"{code}: ") and done.stderr.count("\n") == 1


def test_the_command_ends_with_its_report_in_one_line(files, tmp_path: Path):
    done = command(tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["image"] == "support-bot:1.0" and report["provenance"]["model"]["format"] == "onnx"
    assert report["sha256"] == sha(files["output"].read_bytes())


def command(folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    given = {
        "base": "base.tar", "model": "model.onnx", "profile": "profile.json", "name": "support-bot", "tag": "1.0",
        "output": "image.tar", **changes,
    }  # fmt: skip
    options = [word for key, value in given.items() for word in (f"--{key}", value)]
    return subprocess.run(
        [sys.executable, "-m", "jobs.kinds.package_image", *options],
        cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
